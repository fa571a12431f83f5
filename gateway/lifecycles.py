"""Lifecycle between a bucket's document and the rules: what answers tell of an object's expiration.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-expire-general-considerations.html
"""

from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

from gateway.index.records import BucketRecord, ObjectRecord
from s3compat.httpdate import format_http_date
from s3compat.lifecycle import Rule, Version, expiration_of
from s3compat.lifecycle_document import decode_document, parse_rules

#: The name of the configuration document, as `s3compat.lifecycle_document.encode_document` makes it.
LIFECYCLE = "lifecycle"


@lru_cache(maxsize=256)
def stored_rules(document: bytes) -> tuple[Rule, ...]:
    """The rules of a stored document."""
    return parse_rules(decode_document(document))


def bucket_rules(bucket: BucketRecord) -> tuple[Rule, ...]:
    """The rules of a bucket, none where it has no configuration."""
    document = bucket.configs.get(LIFECYCLE)
    return () if document is None else stored_rules(document)


def version_of(key: str, record: ObjectRecord) -> Version:
    """A record as the rules see it, taken for current."""
    return Version(
        key=key,
        size_bytes=record.size_bytes,
        modified=datetime.fromtimestamp(record.modified_ms / 1000, UTC),
        tags=record.tags,
        storage_class=record.header("x-amz-storage-class") or "STANDARD",
        is_marker=record.delete_marker,
    )


def expiration_member(bucket: BucketRecord, key: str, record: ObjectRecord, *, day_s: float) -> dict[str, str]:
    """x-amz-expiration of an object's current version, by its member name; nothing where no rule expires it."""
    rules = bucket_rules(bucket)
    found = expiration_of(rules, version_of(key, record), day_s=day_s) if rules else None
    if found is None:
        return {}
    date, rule_id = found
    return {"Expiration": f'expiry-date="{format_http_date(date)}", rule-id="{quote(rule_id, safe="")}"'}

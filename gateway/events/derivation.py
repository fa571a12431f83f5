"""From a change in the index to the event that S3 tells of it. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
"""

from collections.abc import Iterator, Mapping
from typing import Final

from gateway.index import keys
from gateway.index.cause import LIFECYCLE_RULE, Cause
from gateway.index.journal_entries import Change
from gateway.index.object_encoding import decode_version
from gateway.index.record_encoding import config_field
from gateway.index.records import NULL_VERSION, ObjectRecord
from s3compat.event_message import LIFECYCLE_PRINCIPAL, ObjectEvent

NOTIFICATION: Final = "notification"
"""The name of the configuration document, as `s3compat.notification.encode_document` makes it."""

_NO_CAUSE: Final = Cause(operation="")
#: What a new version is told as, by the operation that wrote it.
_CREATIONS: Final[Mapping[str, str]] = {
    "CopyObject": "ObjectCreated:Copy",
    "RenameObject": "ObjectCreated:Copy",
    "PostObject": "ObjectCreated:Post",
    "CompleteMultipartUpload": "ObjectCreated:CompleteMultipartUpload",
}
#: The same for a version of which something else than its bytes changes; any other operation is not told.
_UPDATES: Final[Mapping[str, str]] = {
    "PutObjectTagging": "ObjectTagging:Put",
    "DeleteObjectTagging": "ObjectTagging:Delete",
    "PutObjectAcl": "ObjectAcl:Put",
    "PutObjectRetention": "ObjectRetention:Put",
    LIFECYCLE_RULE: "LifecycleTransition",
}
_STORAGE_CLASS: Final = "x-amz-storage-class"


def event_bucket(change: Change) -> str | None:
    """The bucket to whose objects something happened that may be told of; None where nothing did."""
    written = _written(change)
    return None if written is None else written[0]


def event_of(change: Change) -> ObjectEvent | None:
    """The event of a change, None where there is nothing to tell."""
    cause = change.cause or _NO_CAUSE
    name, written = _name(change.kind, cause), _written(change)
    if name is None or written is None:
        return None
    bucket, member = written
    key, record = decode_version(member)
    by_rule = cause.operation == LIFECYCLE_RULE
    return ObjectEvent(
        name=name,
        bucket=bucket,
        key=key,
        version_id=None if record.version_id == NULL_VERSION else record.version_id,
        etag=record.etag,
        size_bytes=record.size_bytes,
        sequence=change.sequence,
        at_ms=change.at_ms,
        principal_id=LIFECYCLE_PRINCIPAL if by_rule else cause.requester_id,
        source_address=LIFECYCLE_PRINCIPAL if by_rule else cause.address,
        request_id=cause.request_id,
        host_id=cause.host_id,
        storage_class=_class_of(record) if name == "LifecycleTransition" else "",
    )


def configured_buckets(change: Change) -> Iterator[tuple[str, bool]]:
    """Buckets whose notification configuration may be another from this change on, and whether one was stored."""
    if change.kind == "create_bucket":
        names = {keys.bucket_of_record(word) for command in change.effects for word in command[1:2]}
        yield from ((name, False) for name in names if name is not None)
    elif change.kind == "set_bucket_config":
        for command in change.effects:
            bucket = keys.bucket_of_record(command[1])
            if bucket is not None and command[2] == _FIELD:
                yield bucket, command[0] == b"HSET"


_FIELD: Final = config_field(NOTIFICATION).encode()


def _name(kind: str, cause: Cause) -> str | None:
    by_rule = cause.operation == LIFECYCLE_RULE
    match kind:
        case "put_object" | "complete_upload" | "undelete":
            # Of changes without a cause the kind tells as much: entries of earlier releases, commands.
            unknown = "ObjectCreated:CompleteMultipartUpload" if kind == "complete_upload" else "ObjectCreated:Put"
            return _CREATIONS.get(cause.operation, unknown)
        case "delete_version":
            return "LifecycleExpiration:Delete" if by_rule else "ObjectRemoved:Delete"
        case "add_delete_marker":
            return f"{'LifecycleExpiration' if by_rule else 'ObjectRemoved'}:DeleteMarkerCreated"
        case "update_object":
            return _UPDATES.get(cause.operation)
    return None


def _written(change: Change) -> tuple[str, bytes] | None:
    """The bucket and the member of the version that came to be, or ceased to be."""
    verb = _VERBS.get(change.kind)
    for command in change.effects if verb else ():
        if command[0] == verb and (bucket := keys.bucket_of_objects(command[1])) is not None:
            return bucket, command[-1]
    return None


_VERBS: Final[Mapping[str, bytes]] = {
    "put_object": b"ZADD",
    "complete_upload": b"ZADD",
    "undelete": b"ZADD",
    "add_delete_marker": b"ZADD",
    "update_object": b"ZADD",
    "delete_version": b"ZREM",
}


def _class_of(record: ObjectRecord) -> str:
    return record.header(_STORAGE_CLASS) or "STANDARD"

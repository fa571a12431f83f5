"""The JSON in which S3 tells of events. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html

Version 2.1, and 2.3 for the kinds of events that came with it. A record's `sequencer` is the number of the change in
16 hexadecimal digits: of two records of one key the later change has the greater one, as texts compare.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote_plus

LIFECYCLE_PRINCIPAL: Final = "s3.amazonaws.com"
"""Who acts, and from where, when a lifecycle rule does."""

_GENERAL_VERSION: Final = "2.1"
_LATER_VERSION: Final = "2.3"
_LATER: Final = ("Lifecycle", "ObjectAcl:", "ObjectTagging:", "ObjectRetention:", "IntelligentTiering")
_REMOVALS: Final = ("ObjectRemoved:Delete", "LifecycleExpiration:Delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectEvent:
    """Something that happened to one version of an object."""

    name: str
    """Without the `s3:` of configurations, as records have it: ObjectCreated:Put."""
    bucket: str
    key: str
    version_id: str | None
    etag: str
    size_bytes: int
    sequence: int
    at_ms: int
    principal_id: str
    source_address: str
    request_id: str
    host_id: str
    storage_class: str = ""
    """Where a lifecycle rule moved it."""

    @property
    def full_name(self) -> str:
        """As configurations name it."""
        return f"s3:{self.name}"


def event_record(event: ObjectEvent, *, region: str, owner_id: str, configuration_id: str) -> dict[str, Any]:
    """One element of a message's Records."""
    later = event.name.startswith(_LATER)
    # Java's URLEncoder, which AWS uses, leaves these; and a slash is left in the messages that AWS sends.
    described: dict[str, Any] = {"key": quote_plus(event.key, safe="/*")}
    if event.name not in _REMOVALS:
        described |= {"size": event.size_bytes, "eTag": event.etag}
    if event.version_id is not None:
        described["versionId"] = event.version_id
    described["sequencer"] = f"{event.sequence:016X}"
    record: dict[str, Any] = {
        "eventVersion": _LATER_VERSION if later else _GENERAL_VERSION,
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": iso_time(event.at_ms),
        "eventName": event.name,
        "userIdentity": {"principalId": event.principal_id},
        "requestParameters": {"sourceIPAddress": event.source_address},
        "responseElements": {"x-amz-request-id": event.request_id, "x-amz-id-2": event.host_id},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": configuration_id,
            "bucket": {
                "name": event.bucket,
                "ownerIdentity": {"principalId": owner_id},
                "arn": f"arn:aws:s3:::{event.bucket}",
            },
            "object": described,
        },
    }
    if event.storage_class:
        transition = {"destinationStorageClass": event.storage_class}
        record["lifecycleEventData"] = {"transitionEventData": transition}
    return record


def probe_message(bucket: str, *, at_ms: int, request_id: str, host_id: str) -> Mapping[str, str]:
    """What a target hears first when a configuration that names it is stored; AWS calls it a test."""
    return {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": iso_time(at_ms),
        "Bucket": bucket,
        "RequestId": request_id,
        "HostId": host_id,
    }


def iso_time(at_ms: int) -> str:
    """ISO 8601 with milliseconds, in UTC."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"

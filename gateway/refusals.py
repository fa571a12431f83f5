"""Why something was refused: what decided, for administrators. Clients are told no more than S3 tells them."""

from dataclasses import dataclass
from enum import StrEnum

from s3compat.errors import S3Error


class Decider(StrEnum):
    """What decided that a request is refused. Stored: append only."""

    BUCKET_POLICY = "bucket policy"
    IDENTITY_POLICY = "identity policy"
    ACL = "ACL"
    PUBLIC_ACCESS_BLOCK = "public access block"
    OWNERSHIP = "object ownership"
    MISSING_PERMISSION = "missing permission"
    MISSING_KEY = "missing key"
    EXPECTED_OWNER = "expected bucket owner"
    REQUESTER_PAYS = "requester pays"
    OBJECT_LOCK = "object lock"
    QUOTA = "quota"
    CORS = "CORS configuration"
    SIGNATURE = "signature"
    CLOCK = "clock"
    ACCESS_KEY = "access key"
    OPERATION = "operation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """What decided. `statement` counts from 1 within its policy, 0 where no statement decided."""

    decider: Decider
    text: str
    action: str = ""
    resource: str = ""
    statement: int = 0
    sid: str = ""
    hints: tuple[str, ...] = ()


def locked(resource: str = "") -> Reason:
    """Why a version is not removed that object lock holds."""
    return Reason(
        decider=Decider.OBJECT_LOCK,
        text="the version is in retention or under legal hold",
        resource=resource,
        hints=(
            "s3:BypassGovernanceRetention passes over GOVERNANCE, where the request asks for it; nothing else does.",
        ),
    )


class Refused(S3Error):
    """AccessDenied together with its reason, which the answer does not show."""

    __slots__ = ("reason",)

    reason: Reason

    def __init__(self, reason: Reason) -> None:
        super().__init__("AccessDenied")
        object.__setattr__(self, "reason", reason)

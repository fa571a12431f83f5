"""What the index refuses and how it fails. Translated to S3 errors at one place outside this package."""


class IndexFailure(Exception):
    """Base of everything that the index raises."""


class IndexRefusal(IndexFailure):
    """The index answered, and the answer is no. Nothing was changed."""


class NoSuchBucket(IndexRefusal):
    """The bucket does not exist (or is not the one that the caller read earlier)."""


class BucketExists(IndexRefusal):
    """A bucket of that name exists; `owner_id` says whose it is."""

    def __init__(self, message: str = "", *, owner_id: str = "") -> None:
        super().__init__(message)
        self.owner_id = owner_id


class BucketNotEmpty(IndexRefusal):
    """The bucket still holds objects, versions or delete markers."""


class TooManyBuckets(IndexRefusal):
    """The owner has as many buckets as its limit allows."""


class NoSuchKey(IndexRefusal):
    """A condition needs an object where there is none."""


class ConditionFailed(IndexRefusal):
    """A condition on the present object does not hold; `condition` is `If-Match`, `If-None-Match`, …"""

    def __init__(self, message: str = "", *, condition: str = "") -> None:
        super().__init__(message)
        self.condition = condition


class NoSuchUpload(IndexRefusal):
    """The multipart upload does not exist: never begun, aborted, completed, or of another key."""


class UploadChanged(IndexRefusal):
    """Parts were written since they were read: read them again and retry."""


class ObjectChanged(IndexRefusal):
    """The version is no longer what was read: read it again and retry."""


class CopyReleased(IndexRefusal):
    """The deletion of this copy has begun: the node cannot be named for it again before that has ended."""


class QuotaExceeded(IndexRefusal):
    """The bucket would become larger than its quota."""


class ObjectLocked(IndexRefusal):
    """A retention period or a legal hold keeps the version."""


class TargetExists(IndexRefusal):
    """A target of events has this name already."""


class NoSuchTarget(IndexRefusal):
    """No target of events has this name."""


class VersioningRequired(IndexRefusal):
    """The bucket's object lock needs versioning, which therefore cannot be suspended or is missing."""


class NotInTrash(IndexRefusal):
    """There is nothing of this name that could come back."""


class KeepsVersions(IndexRefusal):
    """A versioned bucket overwrites nothing: what was there is among its versions."""


class OlderThanIndex(IndexRefusal):
    """The write is from before this index began: what it was for, this index cannot know."""


class WriteCondemned(IndexRefusal):
    """The bytes of this write were given up as orphans; they must be written again under a new write id."""


class UserExists(IndexRefusal):
    """A user of that id or name, or of one of its access keys or its e-mail address, exists already."""


class NoSuchUser(IndexRefusal):
    """The user does not exist."""


class UserChanged(IndexRefusal):
    """The user was changed since it was read: read it again and retry."""


class UserOwnsBuckets(IndexRefusal):
    """A user that owns buckets cannot be removed."""


class KmsKeyChanged(IndexRefusal):
    """The key of the key ring is not what was read, or there is one where none was: read it again and retry."""


class IndexUnavailable(IndexFailure):
    """The index could not be asked, or did not answer in time.

    `maybe_applied` is True when a change had been sent and its outcome is unknown: the caller must neither
    report success nor remove the bytes that the change would have made reachable. False means that
    nothing was changed.
    """

    def __init__(self, message: str = "", *, maybe_applied: bool) -> None:
        super().__init__(message)
        self.maybe_applied = maybe_applied


class IndexNotOpen(IndexUnavailable):
    """The server answers, but nobody has made sure yet that it holds everything that was acknowledged."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message, maybe_applied=False)


class IndexFault(IndexFailure):
    """A script or the server answered with an error that no caller can mend: a defect, or foreign data."""


class UnsupportedFormat(IndexFailure):
    """A record was written by a newer release than this one."""


class CorruptRecord(IndexFailure):
    """A record's bytes do not parse."""

"""Differences between Cairn and moto's server that stand, each with the page of AWS's documentation that decides.

A difference that is not listed fails its case, and so does a listed one that is no more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

_API = "https://docs.aws.amazon.com/AmazonS3/latest/API"
_GUIDE = "https://docs.aws.amazon.com/AmazonS3/latest/userguide"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Paths of a case's transcript where the two servers may differ."""

    #: A case's name, or a pattern of names.
    case: str
    #: Patterns of transcript paths, as fnmatch reads them; `[` stands for itself.
    paths: tuple[str, ...]
    why: str
    #: The page of AWS's documentation.
    page: str

    @property
    def is_general(self) -> bool:
        """True where it speaks of many cases, of which not every one need show the difference."""
        return "*" in self.case


ACCEPTED: tuple[Accepted, ...] = (
    Accepted(
        case="*",
        paths=("*.Checksum*", "*.Contents[*].ChecksumAlgorithm*"),
        why="An object uploaded without a checksum gets CRC64NVME, and every answer names its checksum; moto has none.",
        page=f"{_GUIDE}/checking-object-integrity.html",
    ),
    Accepted(
        case="*",
        paths=("*:list_objects.Marker", "*:list_objects.Prefix"),
        why="Prefix and Marker are always in the answer; moto leaves them out when they are empty.",
        page=f"{_API}/API_ListObjects.html",
    ),
    Accepted(
        case="*",
        paths=("*:complete_multipart_upload.VersionId", "*:complete_multipart_upload.Location"),
        why="A version id comes from a versioned bucket only; the location is a URL that reaches the object, here.",
        page=f"{_API}/API_CompleteMultipartUpload.html",
    ),
    Accepted(
        case="*",
        paths=("*:head_bucket.AccessPointAlias",),
        why="HeadBucket says whether the name is an access point alias.",
        page=f"{_API}/API_HeadBucket.html",
    ),
)


def applying(name: str) -> tuple[Accepted, ...]:
    """The accepted differences that may show in a case."""
    return tuple(accepted for accepted in ACCEPTED if fnmatchcase(name, accepted.case))


def covers(accepted: Accepted, paths: Iterable[str]) -> frozenset[str]:
    """Which of the paths it accepts."""
    patterns = [pattern.replace("[", "[[]") for pattern in accepted.paths]
    return frozenset(path for path in paths if any(fnmatchcase(path, pattern) for pattern in patterns))

"""Differences between Cairn and moto's server that stand, each with the page of AWS's documentation that decides.

A difference that is not listed fails its case, and so does a listed one that is no more.
"""

import re
from collections.abc import Iterable, Mapping
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
    #: What Cairn must answer to the call of the first path; empty where it is no error.
    error: str = ""

    @property
    def is_general(self) -> bool:
        """True where it speaks of many cases, of which not every one need show the difference."""
        return "*" in self.case


_GENERAL = (
    Accepted(
        case="*",
        paths=("*.Checksum*", "*.Contents[*].ChecksumAlgorithm*"),
        why="An object uploaded without a checksum gets CRC64NVME, and answers name its checksum; moto stores none.",
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
    Accepted(
        case="*",
        paths=("*:list_multipart_uploads.Prefix",),
        why="Prefix is in the answer.",
        page=f"{_API}/API_ListMultipartUploads.html",
    ),
    Accepted(
        case="*",
        paths=("*:list_objects_v2.ContinuationToken",),
        why="A continuation token that was sent is in the answer.",
        page=f"{_API}/API_ListObjectsV2.html",
    ),
)


def _one(case: str, paths: str, why: str, page: str, error: str = "") -> Accepted:
    """A difference of one case; `paths` are separated by spaces."""
    return Accepted(case=case, paths=tuple(paths.split()), why=why, page=page, error=error)


_BUCKETS = (
    _one(
        "buckets/create in an unknown region",
        "0:*",
        "A region that is none is refused.",
        f"{_API}/API_CreateBucket.html",
        error="InvalidLocationConstraint",
    ),
    _one(
        "buckets/name with an upper-case letter",
        "0:*",
        "The name breaks the rules.",
        f"{_GUIDE}/bucketnamingrules.html",
        error="InvalidBucketName",
    ),
    _one(
        "buckets/name with an underscore",
        "0:*",
        "The name breaks the rules.",
        f"{_GUIDE}/bucketnamingrules.html",
        error="InvalidBucketName",
    ),
    _one(
        "buckets/name with a hyphen in front",
        "0:*",
        "The name breaks the rules.",
        f"{_GUIDE}/bucketnamingrules.html",
        error="InvalidBucketName",
    ),
    _one(
        "buckets/name with a hyphen at the end",
        "0:*",
        "The name breaks the rules.",
        f"{_GUIDE}/bucketnamingrules.html",
        error="InvalidBucketName",
    ),
    _one(
        "buckets/name with two dots",
        "0:*",
        "The name breaks the rules.",
        f"{_GUIDE}/bucketnamingrules.html",
        error="InvalidBucketName",
    ),
    _one(
        "buckets/name like an address",
        "0:*",
        "The name breaks the rules.",
        f"{_GUIDE}/bucketnamingrules.html",
        error="InvalidBucketName",
    ),
    _one(
        "buckets/list by prefix",
        "1:list_buckets.Prefix",
        "A prefix that was sent is in the answer.",
        f"{_API}/API_ListBuckets.html",
    ),
)
_WRITING = (
    _one(
        "writing/content codings with that of the transport",
        "1:head_object.ContentEncoding",
        "aws-chunked is not stored with the object.",
        f"{_API}/sigv4-streaming.html",
    ),
    _one(
        "writing/key of 1,025 bytes",
        "0:*",
        "A key has 1,024 bytes at most.",
        f"{_GUIDE}/object-keys.html",
        error="KeyTooLongError",
    ),
    _one(
        "writing/key of 1,025 bytes in few characters",
        "0:*",
        "The limit counts bytes of UTF-8.",
        f"{_GUIDE}/object-keys.html",
        error="KeyTooLongError",
    ),
    _one(
        "writing/metadata over 2 KiB",
        "0:*",
        "User metadata has 2 KiB at most.",
        f"{_GUIDE}/UsingMetadata.html",
        error="MetadataTooLarge",
    ),
    _one(
        "writing/wrong Content-MD5",
        "0:* 1:*",
        "The body is compared with Content-MD5, and nothing is stored.",
        f"{_API}/API_PutObject.html",
        error="BadDigest",
    ),
    _one(
        "writing/malformed Content-MD5",
        "0:* 1:*",
        "What is no MD5 is refused as InvalidDigest.",
        f"{_API}/ErrorResponses.html",
        error="InvalidDigest",
    ),
    _one(
        "writing/short Content-MD5",
        "0:*",
        "What is no MD5 is refused as InvalidDigest.",
        f"{_API}/ErrorResponses.html",
        error="InvalidDigest",
    ),
    _one(
        "writing/wrong SHA256",
        "0:* 1:*",
        "The body is compared with the checksum, and nothing is stored.",
        f"{_GUIDE}/checking-object-integrity.html",
        error="BadDigest",
    ),
    _one(
        "writing/malformed SHA256",
        "0:*",
        "A checksum of another length is refused.",
        f"{_GUIDE}/checking-object-integrity.html",
        error="InvalidRequest",
    ),
    _one(
        "writing/two checksums",
        "0:*",
        "A request may carry one checksum.",
        f"{_GUIDE}/checking-object-integrity.html",
        error="InvalidRequest",
    ),
)
_READING = (
    _one(
        "reading/encryption header",
        "1:*",
        "The header has no place in a GET of an object that its reader need not decrypt.",
        f"{_API}/API_GetObject.html",
        error="InvalidArgument",
    ),
    _one(
        "reading/range in another unit",
        "1:* 2:*",
        "A range of a unit that is not bytes is ignored, as RFC 9110 has it.",
        f"{_API}/API_GetObject.html",
    ),
    _one("reading/overrides", "2:*", "HeadObject takes the response-* parameters too.", f"{_API}/API_HeadObject.html"),
    _one(
        "reading/absent part number of a plain object",
        "1:get_object.Error",
        "The error has a body with its code.",
        f"{_API}/ErrorResponses.html",
        error="InvalidPartNumber",
    ),
    _one(
        "reading/part number with a range",
        "1:*",
        "Range and partNumber exclude each other.",
        f"{_API}/API_GetObject.html",
        error="InvalidRequest",
    ),
    _one(
        "reading/part number 0",
        "1:*",
        "Part numbers begin at 1.",
        f"{_API}/API_GetObject.html",
        error="InvalidArgument",
    ),
    _one(
        "reading/part number that is no number",
        "1:*",
        "A parameter of the wrong type is InvalidArgument.",
        f"{_API}/ErrorResponses.html",
        error="InvalidArgument",
    ),
)
_CONDITIONS = (
    _one(
        "conditions/if-match of anything",
        "1:* 2:*",
        "`*` matches any object that is there (RFC 9110, 13.1.1).",
        f"{_GUIDE}/conditional-reads.html",
    ),
    _one(
        "conditions/if-none-match of anything",
        "1:* 2:*",
        "`*` matches any object that is there (RFC 9110, 13.1.2).",
        f"{_GUIDE}/conditional-reads.html",
        error="304",
    ),
    _one(
        "conditions/if-match holds and if-unmodified-since fails",
        "1:* 2:*",
        "If-Match that holds decides: the answer is 200.",
        f"{_API}/API_GetObject.html",
    ),
    _one(
        "conditions/if-none-match holds and if-modified-since fails",
        "2:*",
        "RFC 9110, 13.2.2: with If-None-Match, If-Modified-Since does not count.",
        f"{_API}/API_GetObject.html",
    ),
    _one(
        "conditions/put if none matches an etag",
        "1:*",
        "If-None-Match of a write takes nothing but `*`.",
        f"{_API}/API_PutObject.html",
        error="NotImplemented",
    ),
    _one(
        "conditions/put if it matches and none is there",
        "1:*",
        "Both conditions at once are not implemented.",
        f"{_API}/API_PutObject.html",
        error="NotImplemented",
    ),
)
_LISTING = (
    _one(
        "listing/max-keys 1",
        "7:list_objects.NextMarker",
        "NextMarker comes only with a delimiter, and is a key.",
        f"{_API}/API_ListObjects.html",
    ),
    _one(
        "listing/max-keys with delimiter",
        "7:*",
        "Keys and common prefixes count alike, and in their common order.",
        f"{_API}/API_ListObjects.html",
    ),
    _one(
        "listing/pages by marker",
        "7:* 8:*",
        "Keys and common prefixes count alike, and in their common order.",
        f"{_API}/API_ListObjects.html",
    ),
    _one(
        "listing/marker and delimiter",
        "7:*",
        "What is listed is greater than the marker, common prefixes as well.",
        f"{_API}/API_ListObjects.html",
    ),
    _one(
        "listing/max-keys over 1000",
        "7:*.MaxKeys 8:*.MaxKeys",
        "A page has 1,000 keys at most.",
        f"{_API}/API_ListObjectsV2.html",
    ),
    _one(
        "listing/max-keys below 0",
        "7:* 8:*",
        "A negative number is InvalidArgument.",
        f"{_API}/ErrorResponses.html",
        error="InvalidArgument",
    ),
    _one(
        "listing/max-keys that is no number",
        "7:* 8:*",
        "A parameter of the wrong type is InvalidArgument.",
        f"{_API}/ErrorResponses.html",
        error="InvalidArgument",
    ),
    _one(
        "listing/encoding",
        "*.Contents[5].Key",
        "A space may be sent as `+`, which clients decode (botocore: unquote_plus).",
        f"{_API}/API_ListObjectsV2.html",
    ),
    _one(
        "listing/encoding with prefix and delimiter",
        "7:* 8:*",
        "Delimiter and common prefixes are encoded too, a space as `+`.",
        f"{_API}/API_ListObjectsV2.html",
    ),
    _one(
        "listing/unknown encoding",
        "7:* 8:*",
        "`url` is the only encoding.",
        f"{_API}/API_ListObjectsV2.html",
        error="InvalidArgument",
    ),
    _one(
        "listing/no owners", "*.Owner", "Owners come only when fetch-owner is true.", f"{_API}/API_ListObjectsV2.html"
    ),
    _one(
        "listing/token that is none",
        "7:*",
        "A token that the server did not make is InvalidArgument.",
        f"{_API}/ErrorResponses.html",
        error="InvalidArgument",
    ),
    _one(
        "listing/start-after with a token",
        "8:list_objects_v2.StartAfter",
        "StartAfter that was sent is in the answer.",
        f"{_API}/API_ListObjectsV2.html",
    ),
)
_DELETING = (
    _one("deleting/many, quiet", "1:*", "Quiet answers name only what failed.", f"{_API}/API_DeleteObjects.html"),
    _one("deleting/1,000", "1:*", "Quiet answers name only what failed.", f"{_API}/API_DeleteObjects.html"),
    _one(
        "deleting/1,001",
        "0:*",
        "A request names 1,000 keys at most.",
        f"{_API}/API_DeleteObjects.html",
        error="MalformedXML",
    ),
)
_COPYING = (
    _one(
        "copying/unknown directive",
        "1:* 2:* 3:*",
        "The directive is COPY or REPLACE.",
        f"{_API}/API_CopyObject.html",
        error="InvalidArgument",
    ),
    _one(
        "copying/source without a key",
        "0:*",
        "The source is bucket/key.",
        f"{_API}/API_CopyObject.html",
        error="InvalidArgument",
    ),
    _one(
        "copying/source if-match fails",
        "1:* 2:* 3:*",
        "The copy is refused with 412.",
        f"{_API}/API_CopyObject.html",
        error="PreconditionFailed",
    ),
    _one(
        "copying/source if-unmodified-since fails",
        "1:* 2:* 3:*",
        "The copy is refused with 412.",
        f"{_API}/API_CopyObject.html",
        error="PreconditionFailed",
    ),
    _one(
        "copying/a part of a range behind the end",
        "2:* 3:*",
        "The range must lie within the source.",
        f"{_API}/API_UploadPartCopy.html",
        error="InvalidRange",
    ),
    _one(
        "copying/a part of a malformed range",
        "2:* 3:*",
        "The range is bytes=first-last.",
        f"{_API}/API_UploadPartCopy.html",
        error="InvalidArgument",
    ),
    _one(
        "copying/a part from an absent key",
        "1:upload_part_copy.Error",
        "The error has a body with its code.",
        f"{_API}/ErrorResponses.html",
        error="NoSuchKey",
    ),
)
_TAGGING = (
    _one(
        "tagging/a key twice",
        "1:put_object_tagging.Error 1:*",
        "Each tag of an object must have a unique key.",
        f"{_GUIDE}/object-tagging.html",
        error="InvalidTag",
    ),
)
_MULTIPART = (
    _one(
        "multipart/first part by number",
        "4:*",
        "HeadObject with partNumber answers 206 with the part's range, and with the object's ETag.",
        f"{_API}/API_HeadObject.html",
    ),
    _one(
        "multipart/last part by number",
        "4:*",
        "GetObject with partNumber answers with that part.",
        f"{_API}/API_GetObject.html",
    ),
    _one(
        "multipart/absent part by number",
        "4:*",
        "A part that is not there cannot be read.",
        f"{_API}/ErrorResponses.html",
        error="InvalidPartNumber",
    ),
    _one(
        "multipart/wrong order",
        "3:complete_multipart_upload.Error",
        "Parts out of order are InvalidPartOrder.",
        f"{_API}/API_CompleteMultipartUpload.html",
        error="InvalidPartOrder",
    ),
    _one(
        "multipart/complete of an unknown upload",
        "0:*",
        "An unknown upload is NoSuchUpload.",
        f"{_API}/API_CompleteMultipartUpload.html",
        error="NoSuchUpload",
    ),
    _one(
        "multipart/part of an unknown upload",
        "0:*",
        "An unknown upload is NoSuchUpload.",
        f"{_API}/API_UploadPart.html",
        error="NoSuchUpload",
    ),
    _one(
        "multipart/abort",
        "4:*",
        "An aborted upload is NoSuchUpload.",
        f"{_API}/API_UploadPart.html",
        error="NoSuchUpload",
    ),
    _one(
        "multipart/part number 0",
        "1:*",
        "Part numbers are 1 to 10,000.",
        f"{_API}/API_UploadPart.html",
        error="InvalidArgument",
    ),
    _one(
        "multipart/part number that is no number",
        "1:*",
        "Part numbers are 1 to 10,000.",
        f"{_API}/API_UploadPart.html",
        error="InvalidArgument",
    ),
    _one(
        "multipart/part with a wrong Content-MD5",
        "1:* 2:*",
        "The body is compared with Content-MD5, and nothing is stored.",
        f"{_API}/API_UploadPart.html",
        error="BadDigest",
    ),
    _one(
        "multipart/no parts",
        "1:list_parts.NextPartNumberMarker",
        "It names the last part of the page, and there is none.",
        f"{_API}/API_ListParts.html",
    ),
    _one(
        "multipart/parts behind all",
        "2:list_parts.NextPartNumberMarker",
        "It names the last part of the page, and there is none.",
        f"{_API}/API_ListParts.html",
    ),
    _one(
        "multipart/parts, max 0",
        "2:list_parts.NextPartNumberMarker",
        "It names the last part of the page, and there is none.",
        f"{_API}/API_ListParts.html",
    ),
    _one(
        "multipart/uploads",
        "2:*.Key",
        "Uploads are in the order of their keys.",
        f"{_API}/API_ListMultipartUploads.html",
    ),
    _one(
        "multipart/uploads by delimiter",
        "3:*",
        "Keys are grouped by the delimiter.",
        f"{_API}/API_ListMultipartUploads.html",
    ),
    _one(
        "multipart/uploads by page",
        "3:* 4:*",
        "Pages have max-uploads uploads and begin behind key-marker.",
        f"{_API}/API_ListMultipartUploads.html",
    ),
    _one(
        "multipart/uploads behind a key",
        "2:*",
        "The list begins behind key-marker.",
        f"{_API}/API_ListMultipartUploads.html",
    ),
    _one(
        "multipart/uploads, encoded",
        "1:*",
        "Keys are encoded when encoding-type is sent.",
        f"{_API}/API_ListMultipartUploads.html",
    ),
)

ACCEPTED: tuple[Accepted, ...] = (
    *_GENERAL,
    *_BUCKETS,
    *_WRITING,
    *_READING,
    *_CONDITIONS,
    *_LISTING,
    *_DELETING,
    *_COPYING,
    *_TAGGING,
    *_MULTIPART,
)


def applying(name: str) -> tuple[Accepted, ...]:
    """The accepted differences that may show in a case."""
    return tuple(accepted for accepted in ACCEPTED if fnmatchcase(name, accepted.case))


def error_of(accepted: Accepted, transcript: Mapping[str, object]) -> object:
    """The error code that the call of the first path was answered with, None for none."""
    call = accepted.paths[0].partition(":")[0]
    return next((transcript[path] for path in transcript if re.fullmatch(rf"{call}:\w+\.Error", path)), None)


def covers(accepted: Accepted, paths: Iterable[str]) -> frozenset[str]:
    """Which of the paths it accepts."""
    patterns = [pattern.replace("[", "[[]") for pattern in accepted.paths]
    return frozenset(path for path in paths if any(fnmatchcase(path, pattern) for pattern in patterns))

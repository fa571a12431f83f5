"""Which headers an object keeps, how a request gives them and how an answer returns them.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
"""

from collections.abc import Mapping

from gateway.context import Input
from s3compat.errors import S3Error
from s3compat.request import Headers

#: System metadata that a client sets and gets back unchanged.
KEPT = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
)
STORAGE_CLASS = "x-amz-storage-class"
#: AWS's default when a client names no type.
DEFAULT_CONTENT_TYPE = "binary/octet-stream"
#: User metadata: names and values together, in bytes of UTF-8.
USER_METADATA_LIMIT_BYTES = 2048

STORAGE_CLASSES = frozenset(
    {
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER",
        "DEEP_ARCHIVE",
        "OUTPOSTS",
        "GLACIER_IR",
        "SNOW",
        "EXPRESS_ONEZONE",
        "FSX_OPENZFS",
        "FSX_ONTAP",
    }
)
#: Classes that would promise a place or a delay which this store does not have.
REFUSED_CLASSES = frozenset({"OUTPOSTS", "SNOW", "EXPRESS_ONEZONE", "FSX_OPENZFS", "FSX_ONTAP"})

#: GetObject's query parameters that override a header of the answer.
OVERRIDES = {
    "ResponseCacheControl": "cache-control",
    "ResponseContentDisposition": "content-disposition",
    "ResponseContentEncoding": "content-encoding",
    "ResponseContentLanguage": "content-language",
    "ResponseContentType": "content-type",
    "ResponseExpires": "expires",
}

#: Request headers whose function needs an engine that does not exist here yet: refused, never ignored.
_WITHOUT_ENGINE = ("x-amz-write-offset-bytes",)


def refuse_unsupported(headers: Headers) -> None:
    """Raise S3's error for a header that asks for what a bucket here cannot have: nothing is ignored in silence."""
    for name in _WITHOUT_ENGINE:
        if name in headers:
            raise S3Error("NotImplemented", Header=name)


def kept_headers(headers: Headers) -> tuple[tuple[str, str], ...]:
    """The system metadata of a write, lower-case names; ``aws-chunked`` is the transport's, not the object's."""
    kept = []
    for name in KEPT:
        value = headers.get(name)
        if name == "content-encoding" and value is not None:
            codings = [coding for coding in value.split(",") if coding.strip().lower() != "aws-chunked"]
            value = ",".join(codings).strip() or None
        if name == "content-type" and not value:
            value = DEFAULT_CONTENT_TYPE
        if value is not None:
            kept.append((name, value))
    if (location := headers.get("x-amz-website-redirect-location")) is not None:
        check_redirect(location)
    kept.extend(storage_class_header(headers))
    return tuple(kept)


def storage_class_header(headers: Headers) -> list[tuple[str, str]]:
    """The storage class to keep, nothing for STANDARD; raises InvalidStorageClass."""
    storage_class = headers.get(STORAGE_CLASS)
    if storage_class is None or storage_class == "STANDARD":
        return []
    if storage_class not in STORAGE_CLASSES or storage_class in REFUSED_CLASSES:
        raise S3Error("InvalidStorageClass")
    return [(STORAGE_CLASS, storage_class)]


def check_redirect(location: str) -> None:
    """Raise InvalidRedirectLocation for a target that is neither a key nor a URL."""
    if not location.startswith(("/", "http://", "https://")):
        raise S3Error("InvalidRedirectLocation")


def user_metadata(params: Input) -> tuple[tuple[str, str], ...]:
    """The x-amz-meta-* of a write; raises MetadataTooLarge over 2 KB."""
    metadata: Mapping[str, str] = params.get("Metadata") or {}
    size = sum(len(name.encode()) + len(value.encode("latin-1")) for name, value in metadata.items())
    if size > USER_METADATA_LIMIT_BYTES:
        raise S3Error("MetadataTooLarge", Size=str(size), MaxSizeAllowed=str(USER_METADATA_LIMIT_BYTES))
    return tuple(sorted(metadata.items()))

"""Tags of objects and buckets: the header that carries them, and the limits that S3 holds them against.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/CostAllocTagging.html
"""

import unicodedata
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from s3compat.errors import S3Error

Tags = tuple[tuple[str, str], ...]

OBJECT_TAGS_LIMIT: Final = 10
BUCKET_TAGS_LIMIT: Final = 50
#: In characters of Unicode.
KEY_LIMIT: Final = 128
VALUE_LIMIT: Final = 256

_HEADER: Final = "x-amz-tagging"
_PUNCTUATION: Final = frozenset("_.:/=+-@")
#: Letters, separators and numbers, by the first letter of their category in Unicode.
_CATEGORIES: Final = frozenset("LZN")


def parse_tagging_header(text: str | None) -> Tags:
    """Tags of an x-amz-tagging header, a URL query string, sorted by key.

    Raises InvalidArgument (not URL-encoded UTF-8, or a key twice), BadRequest (more than ten), InvalidTag.
    """
    if not text:
        return ()
    try:
        pairs = [_decode_pair(piece) for piece in text.split("&")]
    except ValueError as malformed:
        raise _malformed_header(text) from malformed
    if len({name for name, _ in pairs}) != len(pairs):
        raise _malformed_header(text)
    return check_object_tags(pairs)


def check_object_tags(pairs: Sequence[tuple[str, str]]) -> Tags:
    """The tags of an object, sorted by key; raises InvalidTag, then BadRequest for more than ten."""
    _check(pairs, "Your TagKey cannot be prefixed with aws:")
    if len(pairs) > OBJECT_TAGS_LIMIT:
        raise S3Error("BadRequest", f"Object tags cannot be greater than {OBJECT_TAGS_LIMIT}")
    return tuple(sorted(pairs))


def check_bucket_tags(pairs: Sequence[tuple[str, str]]) -> Tags:
    """The tags of a bucket, sorted by key; raises InvalidTag, then BadRequest for more than fifty."""
    _check(pairs, "System tags cannot be added/updated by requester")
    if len(pairs) > BUCKET_TAGS_LIMIT:
        raise S3Error("BadRequest", f"Bucket tag count cannot be greater than {BUCKET_TAGS_LIMIT}")
    return tuple(sorted(pairs))


def _check(pairs: Sequence[tuple[str, str]], reserved_message: str) -> None:
    """Each tag in its order, as S3 does: the first one that is wrong names the error."""
    seen: set[str] = set()
    for name, value in pairs:
        if name in seen:
            raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key", TagKey=name)
        seen.add(name)
        if name.lower().startswith("aws:"):
            raise S3Error("InvalidTag", reserved_message, TagKey=name)
        if not name or len(name) > KEY_LIMIT or not _is_tag_text(name):
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid", TagKey=name)
        if len(value) > VALUE_LIMIT or not _is_tag_text(value):
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid", TagKey=name, TagValue=value)


def _is_tag_text(text: str) -> bool:
    return all(character in _PUNCTUATION or unicodedata.category(character)[0] in _CATEGORIES for character in text)


def _decode_pair(piece: str) -> tuple[str, str]:
    """One `key=value` or bare `key`; raises ValueError."""
    if not piece:
        raise ValueError("an empty tag")
    name, _, value = piece.partition("=")
    return _decode(name), _decode(value)


def _decode(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ").encode("latin-1")).decode("utf-8")


def _malformed_header(text: str) -> S3Error:
    return S3Error(
        "InvalidArgument",
        "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters "
        "without tag name duplicates.",
        ArgumentName=_HEADER,
        ArgumentValue=text,
    )

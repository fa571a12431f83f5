"""Conditional requests and byte ranges: what If-*, x-amz-copy-source-if-* and Range ask of an object.

Order of evaluation is RFC 9110 section 13.2.2, which the tables on AWS's GetObject, HeadObject and CopyObject
pages restate. Entity tags are held without quotes everywhere else in the program; quotes are put on and
taken off here. Nothing here knows where objects are kept.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final, NoReturn, Self

from s3compat.errors import S3Error
from s3compat.httpdate import format_http_date, parse_http_date
from s3compat.request import Headers

ANY: Final = "*"

# entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE (RFC 9110 section 8.8.3). Many S3 clients leave the quotes out.
_ENTITY_TAG: Final = re.compile(r'[\s,]*(?:(W/)?"([^"]*)"|([^\s,"]+))')

# More digits than any offset has; int() of a header-sized number would be slow, or refused by Python.
_MAX_OFFSET_DIGITS: Final = 19
_RANGE: Final = re.compile(r"bytes=[ \t]*(\d*)[ \t]*-[ \t]*(\d*)[ \t]*", re.ASCII | re.IGNORECASE)
_COPY_RANGE: Final = re.compile(r"bytes=(\d{1,19})-(\d{1,19})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteRange:
    """Part of an object: offsets of the first and the last byte, `end_inclusive` included."""

    start: int
    end_inclusive: int

    @property
    def size_bytes(self) -> int:
        return self.end_inclusive - self.start + 1

    def content_range(self, size_bytes: int) -> str:
        """The Content-Range value, for an object of this whole size."""
        return f"bytes {self.start}-{self.end_inclusive}/{size_bytes}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityTags:
    """The value of If-Match or If-None-Match: `*`, or a list of tags."""

    any: bool
    strong: frozenset[str]
    weak: frozenset[str]

    def matches_strongly(self, etag: str) -> bool:
        """For If-Match: a weak tag never matches (RFC 9110 section 13.1.1)."""
        return self.any or etag in self.strong

    def matches_weakly(self, etag: str) -> bool:
        """For If-None-Match (RFC 9110 section 13.1.2)."""
        return self.any or etag in self.strong or etag in self.weak


@dataclass(frozen=True, slots=True, kw_only=True)
class _ObjectConditions:
    if_match: EntityTags | None = None
    if_none_match: EntityTags | None = None
    if_modified_since: datetime | None = None
    if_unmodified_since: datetime | None = None

    _PREFIX: ClassVar[str]

    @classmethod
    def from_headers(cls, headers: Headers, *, now: datetime | None = None) -> Self:
        """Read the four headers.

        Malformed dates are ignored (RFC 9110 section 13.1.3), and with `now` given so is an
        if-modified-since in the future, as AWS does.
        """
        modified_since = _date(headers, cls._PREFIX + "modified-since")
        if modified_since is not None and now is not None and modified_since > now:
            modified_since = None
        return cls(
            if_match=parse_entity_tags(headers.get(cls._PREFIX + "match")),
            if_none_match=parse_entity_tags(headers.get(cls._PREFIX + "none-match")),
            if_modified_since=modified_since,
            if_unmodified_since=_date(headers, cls._PREFIX + "unmodified-since"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadConditions(_ObjectConditions):
    """The If-* conditions of GetObject and HeadObject; None where a header is absent or says nothing."""

    _PREFIX = "if-"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySourceConditions(_ObjectConditions):
    """The x-amz-copy-source-if-* conditions of CopyObject and UploadPartCopy, on the source object."""

    _PREFIX = "x-amz-copy-source-if-"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteConditions:
    """The conditions of PutObject, CompleteMultipartUpload, CopyObject (on the target) and DeleteObject.

    `if_match` is an etag without quotes, or "*" for any existing object. `if_none_match` is that the key must
    not exist. `if_none_match_etag` (without quotes) is that the current object must not have this etag: RFC
    9110 has it, AWS does not.
    """

    if_match: str | None = None
    if_none_match: bool = False
    if_none_match_etag: str | None = None

    def __bool__(self) -> bool:
        return self.if_match is not None or self.if_none_match or self.if_none_match_etag is not None

    @classmethod
    def from_headers(cls, headers: Headers, *, etag_in_none_match: bool = False) -> "WriteConditions":
        """Read If-Match and If-None-Match.

        Raises S3Error NotImplemented for an If-None-Match other than "*", as AWS does, unless
        `etag_in_none_match`; and for conditions that no single check can stand for.
        """
        if_match = _single_tag(headers, "if-match")
        none_match = _single_tag(headers, "if-none-match")
        if if_match is not None and none_match is not None:
            _refuse_header("If-None-Match")
        if none_match is None or none_match == ANY:
            return cls(if_match=if_match, if_none_match=none_match == ANY)
        if not etag_in_none_match:
            _refuse_header("If-None-Match")
        return cls(if_none_match_etag=none_match)


def quote_etag(etag: str) -> str:
    """An etag as headers and XML carry it."""
    return f'"{etag}"'


def unquote_etag(text: str) -> str:
    """The etag in a client's value, where quotes and spaces around them are optional."""
    value = text.strip(" \t")
    if len(value) >= 2 and value[0] == '"' == value[-1]:
        return value[1:-1]
    return value


def parse_entity_tags(text: str | None) -> EntityTags | None:
    """The tags of an If-Match or If-None-Match value; None when there is no header or nothing in it."""
    if text is None or not text.strip():
        return None
    strong: set[str] = set()
    weak: set[str] = set()
    wildcard = False
    position = 0
    while match := _ENTITY_TAG.match(text, position):
        position = match.end()
        if match[3] is not None:
            wildcard = wildcard or match[3] == ANY
            strong.add(match[3])
        else:
            (weak if match[1] else strong).add(match[2])
    return EntityTags(any=wildcard, strong=frozenset(strong), weak=frozenset(weak))


def evaluate_read(conditions: ReadConditions, *, etag: str, modified: datetime) -> None:
    """Whether the object may be sent.

    Raises S3Error PreconditionFailed (412), or NotModified (304) carrying the ETag and Last-Modified headers
    that RFC 9110 section 15.4.5 wants in it.
    """
    _check_positive(conditions, "If-", etag, modified)
    if _unchanged_by(conditions, etag, modified) is not None:
        raise S3Error("NotModified", headers={"ETag": quote_etag(etag), "Last-Modified": format_http_date(modified)})


def evaluate_copy_source(conditions: CopySourceConditions, *, etag: str, modified: datetime) -> None:
    """Whether the source may be copied. Every failure is 412 (AWS's CopyObject page). Raises S3Error."""
    prefix = "x-amz-copy-source-If-"
    _check_positive(conditions, prefix, etag, modified)
    failed = _unchanged_by(conditions, etag, modified)
    if failed is not None:
        raise S3Error("PreconditionFailed", Condition=prefix + failed)


def evaluate_write(conditions: WriteConditions, *, current_etag: str | None) -> None:
    """Whether a write may replace the current object (None: there is none, or it is a delete marker).

    This is the early check, before the body is read; the index decides again when it commits.
    Raises S3Error NoSuchKey (If-Match without an object, as AWS) or PreconditionFailed.
    """
    if conditions.if_match is not None:
        if current_etag is None:
            raise S3Error("NoSuchKey")
        if conditions.if_match not in (ANY, current_etag):
            raise S3Error("PreconditionFailed", Condition="If-Match")
    if current_etag is None:
        return
    if conditions.if_none_match or conditions.if_none_match_etag == current_etag:
        raise S3Error("PreconditionFailed", Condition="If-None-Match")


def parse_range(header: str | None, size_bytes: int) -> ByteRange | None:
    """The part of an object of `size_bytes` that a Range header asks for; None means the whole object.

    A header that is malformed, has another unit, or asks for several ranges is ignored (RFC 9110 section
    14.2; AWS: "Amazon S3 doesn't support retrieving multiple ranges of data per GET request"), and so is a
    suffix of an empty object, which RFC 9110 section 14.1.2 calls satisfiable.
    Raises S3Error InvalidRange (416) for a range that lies wholly outside.
    """
    match = _RANGE.fullmatch(header) if header is not None else None
    if header is None or match is None or not (match[1] or match[2]):
        return None
    last = _offset(match[2])
    if not match[1]:
        if last == 0:
            _refuse_range(header, size_bytes)
        if size_bytes == 0:
            return None
        return ByteRange(start=max(0, size_bytes - last), end_inclusive=size_bytes - 1)
    first = _offset(match[1])
    if match[2] and last < first:
        return None
    if first >= size_bytes:
        _refuse_range(header, size_bytes)
    end = min(last, size_bytes - 1) if match[2] else size_bytes - 1
    return ByteRange(start=first, end_inclusive=end)


def parse_copy_source_range(text: str, size_bytes: int) -> ByteRange:
    """The range of an x-amz-copy-source-range value: strictly `bytes=first-last`, wholly inside the source.

    Raises S3Error InvalidArgument when malformed, InvalidRange when outside (AWS has been seen to answer
    InvalidArgument there as well; Ceph's conformance suite wants InvalidRange).
    """
    match = _COPY_RANGE.fullmatch(text.strip(" \t"))
    if match is None or int(match[2]) < int(match[1]):
        raise S3Error(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are "
            "the zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=text,
        )
    if int(match[2]) >= size_bytes:
        raise S3Error(
            "InvalidRange",
            f"Range specified is not valid for source object of size: {size_bytes}",
            RangeRequested=text,
            ActualObjectSize=str(size_bytes),
        )
    return ByteRange(start=int(match[1]), end_inclusive=int(match[2]))


def _offset(digits: str) -> int:
    significant = digits.lstrip("0")
    if len(significant) > _MAX_OFFSET_DIGITS:
        return 10**_MAX_OFFSET_DIGITS
    return int(significant or "0")


def _refuse_range(header: str, size_bytes: int) -> NoReturn:
    raise S3Error(
        "InvalidRange",
        headers={"Content-Range": f"bytes */{size_bytes}"},
        RangeRequested=header,
        ActualObjectSize=str(size_bytes),
    )


def _refuse_header(name: str) -> NoReturn:
    raise S3Error("NotImplemented", Header=name)


def _date(headers: Headers, name: str) -> datetime | None:
    text = headers.get(name)
    return None if text is None else parse_http_date(text)


def _single_tag(headers: Headers, name: str) -> str | None:
    text = headers.get(name)
    if text is None or not text.strip():
        return None
    if "," in text:
        _refuse_header(name.title())
    return unquote_etag(text)


def _check_positive(conditions: _ObjectConditions, prefix: str, etag: str, modified: datetime) -> None:
    # If-Unmodified-Since counts only without If-Match: an etag says more than a date.
    if conditions.if_match is not None:
        if not conditions.if_match.matches_strongly(etag):
            raise S3Error("PreconditionFailed", Condition=prefix + "Match")
        return
    limit = conditions.if_unmodified_since
    if limit is not None and _header_precision(modified) > limit:
        raise S3Error("PreconditionFailed", Condition=prefix + "Unmodified-Since")


def _unchanged_by(conditions: _ObjectConditions, etag: str, modified: datetime) -> str | None:
    """The condition by which the client has this object already. If-None-Match outranks the date."""
    if conditions.if_none_match is not None:
        return "None-Match" if conditions.if_none_match.matches_weakly(etag) else None
    limit = conditions.if_modified_since
    return "Modified-Since" if limit is not None and _header_precision(modified) <= limit else None


def _header_precision(moment: datetime) -> datetime:
    # Last-Modified has whole seconds, so a client can only send those back.
    return moment.replace(microsecond=0)

"""If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since on reads and writes."""

from datetime import UTC, datetime
from typing import Any

from tests.differential.case import Case, answered, case, get, head, put, s3

_PAST = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
_FUTURE = datetime(2097, 2, 3, 4, 5, 6, tzinfo=UTC)
_ETAG = answered(0, "ETag")
_OTHER = '"00000000000000000000000000000000"'


def _read(**conditions: Any) -> Case:
    return case(put("k"), get("k", **conditions), head("k", **conditions))


CONDITIONS: dict[str, Case] = {
    "if-match holds": _read(IfMatch=_ETAG),
    "if-match fails": _read(IfMatch=_OTHER),
    "if-match of anything": _read(IfMatch="*"),
    "if-match in a list": case(
        put("k"), get("k", IfMatch=f'{_OTHER}, "2e9ba37e22ec5ce40b26ba92a1c4e4d0"'), get("k", IfMatch=_OTHER)
    ),
    "if-match of an absent key": case(get("k", IfMatch="*"), head("k", IfMatch="*")),
    "if-none-match fails": _read(IfNoneMatch=_ETAG),
    "if-none-match holds": _read(IfNoneMatch=_OTHER),
    "if-none-match of anything": _read(IfNoneMatch="*"),
    "if-modified-since holds": _read(IfModifiedSince=_PAST),
    "if-modified-since its own time": case(put("k"), head("k"), get("k", IfModifiedSince=answered(1, "LastModified"))),
    "if-unmodified-since holds": _read(IfUnmodifiedSince=_FUTURE),
    "if-unmodified-since fails": _read(IfUnmodifiedSince=_PAST),
    "if-unmodified-since its own time": case(
        put("k"), head("k"), get("k", IfUnmodifiedSince=answered(1, "LastModified"))
    ),
    "if-match holds and if-unmodified-since fails": _read(IfMatch=_ETAG, IfUnmodifiedSince=_PAST),
    "if-none-match fails and if-modified-since holds": _read(IfNoneMatch=_ETAG, IfModifiedSince=_PAST),
    "if-none-match holds and if-modified-since fails": case(
        put("k"), head("k"), get("k", IfNoneMatch=_OTHER, IfModifiedSince=answered(1, "LastModified"))
    ),
    "put if none is there": case(put("k", IfNoneMatch="*"), get("k")),
    "put if none is there, but one is": case(put("k"), put("k", b"other", IfNoneMatch="*"), get("k")),
    "put if none matches an etag": case(put("k"), put("k", b"other", IfNoneMatch=_OTHER)),
    "put if it matches": case(put("k"), put("k", b"other", IfMatch=_ETAG), get("k")),
    "put if it matches, but it does not": case(put("k"), put("k", b"other", IfMatch=_OTHER), get("k")),
    "put if an absent key matches": case(put("k", IfMatch=_OTHER), head("k")),
    "put if it matches and none is there": case(put("k"), put("k", b"other", IfMatch=_ETAG, IfNoneMatch="*")),
    "delete if it matches": case(put("k"), s3("delete_object", Key="k", IfMatch=_ETAG), head("k")),
    "delete if it matches, but it does not": case(put("k"), s3("delete_object", Key="k", IfMatch=_OTHER), head("k")),
}

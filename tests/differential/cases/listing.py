"""ListObjects and ListObjectsV2 with all their parameters."""

from typing import Any

from tests.differential.case import Answered, Call, Case, answered, case, put, s3

_KEYS = ("a", "b/1", "b/2", "b/c/3", "d", "e+f g", "z/")
_FILL = tuple(put(key, key.encode()) for key in _KEYS)
#: The number of the first call behind the puts.
_FIRST = len(_FILL)


def _both(**arguments: Any) -> Case:
    return case(*_FILL, s3("list_objects", **arguments), s3("list_objects_v2", **arguments))


def _v2(**arguments: Any) -> Call:
    return s3("list_objects_v2", **arguments)


def _v1(**arguments: Any) -> Call:
    return s3("list_objects", **arguments)


def _next(step: int) -> Answered:
    return answered(step, "NextContinuationToken")


LISTING: dict[str, Case] = {
    "empty bucket": case(_v1(), _v2()),
    "all": _both(),
    "prefix": _both(Prefix="b/"),
    "prefix of nothing": _both(Prefix="nothing"),
    "empty prefix": _both(Prefix=""),
    "delimiter": _both(Delimiter="/"),
    "empty delimiter": _both(Delimiter=""),
    "prefix and delimiter": _both(Prefix="b/", Delimiter="/"),
    "prefix that is a key and delimiter": _both(Prefix="z/", Delimiter="/"),
    "delimiter of several characters": _both(Delimiter="b/"),
    "delimiter that is in no key": _both(Delimiter="|"),
    "prefix that ends inside a name": _both(Prefix="b", Delimiter="/"),
    "max-keys 0": _both(MaxKeys=0),
    "max-keys 1": _both(MaxKeys=1),
    "max-keys of all": _both(MaxKeys=len(_KEYS)),
    "max-keys 1000": _both(MaxKeys=1000),
    "max-keys over 1000": _both(MaxKeys=2000),
    "max-keys below 0": _both(MaxKeys=-1),
    "max-keys that is no number": _both(MaxKeys="many"),
    "max-keys with delimiter": _both(MaxKeys=2, Delimiter="/"),
    "encoding": _both(EncodingType="url"),
    "encoding with prefix and delimiter": _both(EncodingType="url", Prefix="e+", Delimiter=" "),
    "unknown encoding": _both(EncodingType="base64"),
    "marker that is a key": case(*_FILL, _v1(Marker="b/1")),
    "marker that is no key": case(*_FILL, _v1(Marker="c")),
    "marker behind all": case(*_FILL, _v1(Marker="zz")),
    "marker and prefix": case(*_FILL, _v1(Marker="b/1", Prefix="b/")),
    "marker and delimiter": case(*_FILL, _v1(Marker="b/", Delimiter="/")),
    "marker inside a common prefix": case(*_FILL, _v1(Marker="b/1", Delimiter="/")),
    "pages by marker": case(
        *_FILL,
        _v1(MaxKeys=3, Delimiter="/"),
        _v1(MaxKeys=3, Delimiter="/", Marker=answered(_FIRST, "NextMarker")),
    ),
    "start-after that is a key": case(*_FILL, _v2(StartAfter="b/1")),
    "start-after that is no key": case(*_FILL, _v2(StartAfter="c")),
    "start-after behind all": case(*_FILL, _v2(StartAfter="zz")),
    "start-after and delimiter": case(*_FILL, _v2(StartAfter="b/", Delimiter="/")),
    "owners": case(*_FILL, _v2(FetchOwner=True)),
    "no owners": case(*_FILL, _v2(FetchOwner=False)),
    "pages by token": case(
        *_FILL,
        _v2(MaxKeys=3),
        _v2(MaxKeys=3, ContinuationToken=_next(_FIRST)),
        _v2(MaxKeys=3, ContinuationToken=_next(_FIRST + 1)),
    ),
    "pages by token with delimiter": case(
        *_FILL,
        _v2(MaxKeys=2, Delimiter="/"),
        _v2(MaxKeys=2, Delimiter="/", ContinuationToken=_next(_FIRST)),
        _v2(MaxKeys=2, Delimiter="/", ContinuationToken=_next(_FIRST + 1)),
    ),
    "token that is none": case(*_FILL, _v2(ContinuationToken="no token of ours")),
    "empty token": case(*_FILL, _v2(ContinuationToken="")),
    "start-after with a token": case(
        *_FILL, _v2(MaxKeys=2, StartAfter="a"), _v2(StartAfter="a", ContinuationToken=_next(_FIRST))
    ),
}

"""GetObject and HeadObject: ranges, parts, overrides, absent keys."""

from datetime import UTC, datetime

from tests.differential.case import Case, case, get, head, put

_BODY = b"0123456789"


def _ranged(value: str, body: bytes = _BODY) -> Case:
    return case(put("k", body), get("k", Range=value), head("k", Range=value))


_OVERRIDES = {
    "ResponseCacheControl": "no-cache",
    "ResponseContentDisposition": "attachment",
    "ResponseContentEncoding": "identity",
    "ResponseContentLanguage": "fr",
    "ResponseContentType": "application/json",
    "ResponseExpires": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
}

READING: dict[str, Case] = {
    "absent key": case(get("absent"), head("absent")),
    "key that differs in case": case(put("Key"), get("key")),
    "range of a middle": _ranged("bytes=2-5"),
    "range of the first byte": _ranged("bytes=0-0"),
    "range of the last byte": _ranged("bytes=9-9"),
    "range from": _ranged("bytes=4-"),
    "range of a suffix": _ranged("bytes=-3"),
    "range of a suffix longer than the object": _ranged("bytes=-30"),
    "range over the end": _ranged("bytes=5-100"),
    "range of everything": _ranged("bytes=0-9"),
    "range behind the end": _ranged("bytes=10-20"),
    "range of no suffix": _ranged("bytes=-0"),
    "range the wrong way round": _ranged("bytes=5-2"),
    "range in another unit": _ranged("lines=1-2"),
    "range without a number": _ranged("bytes=-"),
    "range with letters": _ranged("bytes=a-b"),
    "several ranges": _ranged("bytes=0-1,4-5"),
    "range of an empty object": _ranged("bytes=0-0", b""),
    "suffix of an empty object": _ranged("bytes=-1", b""),
    "overrides": case(put("k", ContentType="text/plain"), get("k", **_OVERRIDES), head("k", **_OVERRIDES)),
    "encryption header": case(put("k"), get("k", headers={"x-amz-server-side-encryption": "AES256"})),
    "part number of a plain object": case(put("k"), get("k", PartNumber=1), head("k", PartNumber=1)),
    "absent part number of a plain object": case(put("k"), get("k", PartNumber=2)),
    "part number with a range": case(put("k"), get("k", PartNumber=1, Range="bytes=0-1")),
    "part number 0": case(put("k"), get("k", PartNumber=0)),
    "part number that is no number": case(put("k"), get("k", PartNumber="one")),
    "unknown version": case(put("k"), get("k", VersionId="0123456789abcdef")),
    "version null": case(put("k"), get("k", VersionId="null")),
}

"""Multipart uploads: create, parts, complete, abort, and their listings."""

from typing import Any

from tests.differential.case import MISSING_BUCKET, Answered, Call, Case, answered, case, get, head, put, s3

_MIB = 1024 * 1024
_BIG = b"0123456789abcdef" * (5 * _MIB // 16)
_TAIL = b"and the rest"
_CREATE = s3("create_multipart_upload", Key="k")
_UPLOAD = answered(0, "UploadId")
_UNKNOWN_UPLOAD = "VXBsb2FkIElEIHRoYXQgbmV2ZXIgd2Fz"


def _part(number: object, body: bytes = _TAIL, upload: object = _UPLOAD, **arguments: Any) -> Call:
    return s3("upload_part", Key="k", UploadId=upload, PartNumber=number, Body=body, **arguments)


def _complete(*parts: tuple[int, Answered | str], upload: object = _UPLOAD, **arguments: Any) -> Call:
    wanted = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
    return s3("complete_multipart_upload", Key="k", UploadId=upload, MultipartUpload={"Parts": wanted}, **arguments)


def _etag(step: int) -> Answered:
    return answered(step, "ETag")


def _list(**arguments: Any) -> Call:
    return s3("list_parts", Key="k", UploadId=_UPLOAD, **arguments)


_TWO_PARTS = (_CREATE, _part(1, _BIG), _part(2), _complete((1, _etag(1)), (2, _etag(2))))

MULTIPART: dict[str, Case] = {
    "one part": case(_CREATE, _part(1), _complete((1, _etag(1))), get("k"), head("k")),
    "two parts": case(*_TWO_PARTS, head("k"), s3("list_objects_v2")),
    "first part by number": case(*_TWO_PARTS, head("k", PartNumber=1)),
    "last part by number": case(*_TWO_PARTS, get("k", PartNumber=2)),
    "absent part by number": case(*_TWO_PARTS, get("k", PartNumber=3)),
    "range over two parts": case(*_TWO_PARTS, get("k", Range=f"bytes={5 * _MIB - 2}-{5 * _MIB + 2}")),
    "numbers with gaps": case(
        _CREATE, _part(10, _BIG), _part(20), _complete((10, _etag(1)), (20, _etag(2))), head("k")
    ),
    "a part twice": case(_CREATE, _part(1, b"first"), _part(1, b"second"), _complete((1, _etag(2))), get("k")),
    "a part twice, the older etag": case(_CREATE, _part(1, b"first"), _part(1, b"second"), _complete((1, _etag(1)))),
    "not all parts used": case(_CREATE, _part(1), _part(2, b"unused"), _complete((1, _etag(1))), get("k")),
    "part too small": case(_CREATE, _part(1), _part(2), _complete((1, _etag(1)), (2, _etag(2))), head("k")),
    "wrong order": case(_CREATE, _part(1, _BIG), _part(2), _complete((2, _etag(2)), (1, _etag(1)))),
    "complete with a wrong etag": case(_CREATE, _part(1), _complete((1, '"' + "0" * 32 + '"'))),
    "complete with an absent part": case(_CREATE, _part(1), _complete((2, _etag(1)))),
    "complete without parts": case(_CREATE, _part(1), _complete()),
    "complete with unquoted etags": case(
        _CREATE, _part(1, b"abc"), _complete((1, "900150983cd24fb0d6963f7d28e17f72")), get("k")
    ),
    "complete of an unknown upload": case(_complete((1, "x"), upload=_UNKNOWN_UPLOAD)),
    "complete if none is there": case(
        put("k"),
        _CREATE,
        _part(1, upload=answered(1, "UploadId")),
        _complete((1, _etag(2)), upload=answered(1, "UploadId"), IfNoneMatch="*"),
        get("k"),
    ),
    "part of an unknown upload": case(_part(1, upload=_UNKNOWN_UPLOAD)),
    "part number 0": case(_CREATE, _part(0)),
    "part number 10,000": case(_CREATE, _part(10_000)),
    "part number 10,001": case(_CREATE, _part(10_001)),
    "part number that is no number": case(_CREATE, _part("one")),
    "part with a wrong Content-MD5": case(_CREATE, _part(1, ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg=="), _list()),
    "abort": case(
        _CREATE, _part(1), s3("abort_multipart_upload", Key="k", UploadId=_UPLOAD), _list(), _part(1), head("k")
    ),
    "abort of an unknown upload": case(s3("abort_multipart_upload", Key="k", UploadId=_UNKNOWN_UPLOAD)),
    "create in a missing bucket": case(s3("create_multipart_upload", Key="k", Bucket=MISSING_BUCKET)),
    "headers and metadata": case(
        s3(
            "create_multipart_upload",
            Key="k",
            ContentType="text/plain",
            CacheControl="no-cache",
            Metadata={"colour": "green"},
        ),
        _part(1),
        _complete((1, _etag(1))),
        head("k"),
    ),
    "parts": case(_CREATE, _part(1, b"one"), _part(2, b"two"), _list()),
    "no parts": case(_CREATE, _list()),
    "parts by page": case(
        _CREATE, _part(1), _part(2), _part(5), _list(MaxParts=2), _list(MaxParts=2, PartNumberMarker=2)
    ),
    "parts behind all": case(_CREATE, _part(1), _list(PartNumberMarker=7)),
    "parts, max 0": case(_CREATE, _part(1), _list(MaxParts=0)),
    "parts of an unknown upload": case(s3("list_parts", Key="k", UploadId=_UNKNOWN_UPLOAD)),
    "uploads": case(_CREATE, s3("create_multipart_upload", Key="a"), s3("list_multipart_uploads")),
    "no uploads": case(s3("list_multipart_uploads")),
    "uploads by prefix": case(
        _CREATE, s3("create_multipart_upload", Key="a"), s3("list_multipart_uploads", Prefix="a")
    ),
    "uploads by delimiter": case(
        s3("create_multipart_upload", Key="a/1"),
        s3("create_multipart_upload", Key="a/2"),
        _CREATE,
        s3("list_multipart_uploads", Delimiter="/"),
    ),
    "uploads by page": case(
        s3("create_multipart_upload", Key="a"),
        s3("create_multipart_upload", Key="b"),
        _CREATE,
        s3("list_multipart_uploads", MaxUploads=2),
        s3("list_multipart_uploads", MaxUploads=2, KeyMarker="b"),
    ),
    "uploads behind a key": case(
        s3("create_multipart_upload", Key="a"), _CREATE, s3("list_multipart_uploads", KeyMarker="a")
    ),
    "uploads, encoded": case(
        s3("create_multipart_upload", Key="a b+c"), s3("list_multipart_uploads", EncodingType="url")
    ),
    "with a checksum": case(
        s3("create_multipart_upload", Key="k", ChecksumAlgorithm="SHA256"),
        _part(1, ChecksumAlgorithm="SHA256"),
        s3(
            "complete_multipart_upload",
            Key="k",
            UploadId=_UPLOAD,
            MultipartUpload={
                "Parts": [{"PartNumber": 1, "ETag": _etag(1), "ChecksumSHA256": answered(1, "ChecksumSHA256")}]
            },
        ),
        head("k", ChecksumMode="ENABLED"),
    ),
}

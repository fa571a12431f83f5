"""PutObject: bodies, keys, headers, checksums, and what is wrong with them."""

import base64
import hashlib
import zlib
from typing import Any

from tests.differential.case import Case, case, get, head, put, s3

_BODY = b"the quick brown fox"
_MD5 = base64.b64encode(hashlib.md5(_BODY).digest()).decode()
_CRC32 = base64.b64encode(zlib.crc32(_BODY).to_bytes(4, "big")).decode()
_SHA1 = base64.b64encode(hashlib.sha1(_BODY).digest()).decode()
_SHA256 = base64.b64encode(hashlib.sha256(_BODY).digest()).decode()
_OTHER_SHA256 = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
#: Of b"123456789", from the catalogue of parametrised CRC algorithms.
_CRC32C_CHECK = base64.b64encode(0xE3069283.to_bytes(4, "big")).decode()
_CRC64NVME_CHECK = base64.b64encode(0xAE8B14860A799888.to_bytes(8, "big")).decode()

_KEYS = {
    "two slashes": "a//b",
    "dots": "a/../b",
    "a slash behind": "a/",
    "a slash in front": "/a",
    "a percent sign": "a%2Fb",
    "a plus sign": "a+b",
    "spaces": " a b ",
    "an emoji": "a/\N{SNOWMAN}\N{PILE OF POO}",
    "quotes and angles": "<a>&\"'b",
    "a question mark": "a?b=c#d",
    "1,024 bytes": "k" * 1024,
    "a tab": "a\tb",
}


def _round_trip(key: str) -> Case:
    return case(put(key), get(key), s3("list_objects_v2"))


_HEADERS: dict[str, Any] = {
    "CacheControl": "max-age=60, public",
    "ContentDisposition": 'attachment; filename="x.txt"',
    "ContentEncoding": "gzip",
    "ContentLanguage": "de, en",
    "ContentType": "text/plain; charset=utf-8",
}

WRITING: dict[str, Case] = {
    "empty": case(put("k", b""), get("k"), head("k")),
    "one byte": case(put("k", b"\0"), get("k"), head("k")),
    "one MiB": case(put("k", b"0123456789abcdef" * 65536), get("k")),
    "overwrite": case(put("k", b"first"), put("k", b"second, longer"), get("k"), s3("list_objects")),
    **{f"key with {name}": _round_trip(key) for name, key in _KEYS.items()},
    "key of 1,025 bytes": case(put("k" * 1025)),
    "key of 1,025 bytes in few characters": case(put("\N{SNOWMAN}" * 342)),
    "a key and a key below it": case(put("foo"), put("foo/bar"), get("foo"), get("foo/bar")),
    "standard headers": case(put("k", **_HEADERS), get("k"), head("k")),
    "content codings": case(put("k", ContentEncoding="deflate, gzip"), head("k")),
    "content codings with that of the transport": case(
        put("k", ContentEncoding="deflate, aws-chunked, gzip"), head("k")
    ),
    "default content type": case(put("k"), head("k")),
    "metadata": case(put("k", Metadata={"Colour": "Green", "empty": "", "dash-ed": "a b"}), get("k"), head("k")),
    "metadata over 2 KiB": case(put("k", Metadata={"big": "x" * 2100})),
    "right Content-MD5": case(put("k", _BODY, ContentMD5=_MD5), get("k")),
    "wrong Content-MD5": case(put("k", b"else", ContentMD5=_MD5), head("k")),
    "malformed Content-MD5": case(put("k", ContentMD5="not base64"), head("k")),
    "short Content-MD5": case(put("k", ContentMD5="AAAA")),
    "CRC32": case(put("k", _BODY, ChecksumCRC32=_CRC32), head("k", ChecksumMode="ENABLED")),
    "CRC32C": case(put("k", b"123456789", ChecksumCRC32C=_CRC32C_CHECK), head("k", ChecksumMode="ENABLED")),
    "CRC64NVME": case(put("k", b"123456789", ChecksumCRC64NVME=_CRC64NVME_CHECK), head("k", ChecksumMode="ENABLED")),
    "SHA1": case(put("k", _BODY, ChecksumSHA1=_SHA1), get("k", ChecksumMode="ENABLED")),
    "SHA256": case(put("k", _BODY, ChecksumSHA256=_SHA256), get("k", ChecksumMode="ENABLED")),
    "checksum made by the client": case(put("k", _BODY, ChecksumAlgorithm="SHA256"), head("k", ChecksumMode="ENABLED")),
    "checksum not asked for": case(put("k", _BODY, ChecksumSHA256=_SHA256), head("k")),
    "wrong SHA256": case(put("k", _BODY, ChecksumSHA256=_OTHER_SHA256), head("k")),
    "malformed SHA256": case(put("k", _BODY, ChecksumSHA256="AAAA")),
    "two checksums": case(put("k", _BODY, ChecksumSHA256=_SHA256, ChecksumCRC32=_CRC32)),
    "unknown storage class": case(put("k", StorageClass="ATTIC")),
    "storage class": case(put("k", StorageClass="STANDARD_IA"), head("k"), s3("list_objects_v2")),
    "website redirect": case(put("k", WebsiteRedirectLocation="/elsewhere"), head("k")),
    "tags": case(put("k", Tagging="a=1&b=2"), head("k"), get("k")),
}

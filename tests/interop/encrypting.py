"""The ways of encrypting through boto3: what a writer sends, what a reader must bring, what an answer states."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from tests.interop.support import md5

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))


def sse_c(key: bytes = KEY, prefix: str = "") -> dict[str, str]:
    return {
        f"{prefix}SSECustomerAlgorithm": "AES256",
        f"{prefix}SSECustomerKey": base64.b64encode(key).decode(),
        f"{prefix}SSECustomerKeyMD5": base64.b64encode(hashlib.md5(key, usedforsecurity=False).digest()).decode(),
    }


MODES: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "s3": {"ServerSideEncryption": "AES256"},
    "kms": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "interop-key"},
    "c": sse_c(),
}
#: What a reader must bring.
READS: Mapping[str, Mapping[str, str]] = {"none": {}, "s3": {}, "kms": {}, "c": sse_c()}


def said(answer: Mapping[str, Any]) -> str:
    """The mode that an answer states."""
    if answer.get("SSECustomerAlgorithm") == "AES256":
        assert answer["SSECustomerKeyMD5"] == sse_c()["SSECustomerKeyMD5"]
        assert "ServerSideEncryption" not in answer
        return "c"
    if answer.get("ServerSideEncryption") == "aws:kms":
        assert answer["SSEKMSKeyId"] == "interop-key"
        return "kms"
    return {"AES256": "s3", None: "none"}[answer.get("ServerSideEncryption")]


def upload(s3: Any, bucket: str, mode: str, bodies: list[bytes]) -> dict[str, Any]:
    """Upload an object `k` in parts, and give the answer of its end."""
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", **MODES[mode])
    assert said(begun) == mode
    place = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
    parts = []
    for number, body in enumerate(bodies, 1):
        part = s3.upload_part(**place, PartNumber=number, Body=body, **READS[mode])
        assert said(part) == mode
        assert (part["ETag"] == f'"{md5(body)}"') is (mode in ("s3", "none"))
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumCRC32": part["ChecksumCRC32"]})
    done: dict[str, Any] = s3.complete_multipart_upload(**place, MultipartUpload={"Parts": parts}, **READS[mode])
    return done

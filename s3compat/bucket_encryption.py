"""The default encryption of a bucket as its document states it.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketEncryption.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/blocking-unblocking-s3-c-encryption-gpb.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from s3compat.encryption import AES256, AWS_KMS, AWS_KMS_DSSE, KMS_KEY_ID_LIMIT_CHARACTERS, Method, WantedEncryption
from s3compat.errors import S3Error

SSE_C_TYPE: Final = "SSE-C"
NO_TYPE: Final = "NONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketEncryption:
    """What new objects of a bucket get where their writer says nothing, and what no writer may ask for."""

    algorithm: str = AES256  # or AWS_KMS
    kms_key_id: str = ""  # empty: the default key
    bucket_key: bool = False
    blocked: tuple[str, ...] = ()  # as stated: NO_TYPE, SSE_C_TYPE

    @property
    def blocks_customer_keys(self) -> bool:
        """Whether objects under keys of their writers are refused."""
        return SSE_C_TYPE in self.blocked

    @property
    def wanted(self) -> WantedEncryption:
        """The default, as if a writer had asked for it."""
        if self.algorithm == AES256:
            return WantedEncryption(method=Method.SSE_S3)
        return WantedEncryption(method=Method.SSE_KMS, kms_key_id=self.kms_key_id or None, bucket_key=self.bucket_key)


def parse_bucket_encryption(document: Mapping[str, Any]) -> BucketEncryption:
    """A ServerSideEncryptionConfiguration. A rule that only blocks leaves the default at SSE-S3, AWS's own.

    Raises MalformedXML, InvalidArgument (a key without aws:kms), NotImplemented (aws:kms:dsse).
    """
    rules = document.get("Rules") or []
    if len(rules) != 1:
        raise S3Error("MalformedXML")
    (rule,) = rules
    default = rule.get("ApplyServerSideEncryptionByDefault")
    blocked = _blocked(rule)
    if default is None and not blocked:
        raise S3Error("MalformedXML")
    algorithm, kms_key_id = _default(default or {"SSEAlgorithm": AES256})
    return BucketEncryption(
        algorithm=algorithm,
        kms_key_id=kms_key_id,
        bucket_key=bool(rule.get("BucketKeyEnabled")),
        blocked=blocked,
    )


def bucket_encryption_document(encryption: BucketEncryption) -> dict[str, Any]:
    """The ServerSideEncryptionConfiguration that GetBucketEncryption answers with."""
    default = {"SSEAlgorithm": encryption.algorithm}
    if encryption.kms_key_id:
        default["KMSMasterKeyID"] = encryption.kms_key_id
    rule: dict[str, Any] = {
        "ApplyServerSideEncryptionByDefault": default,
        "BucketKeyEnabled": encryption.bucket_key,
    }
    if encryption.blocked:
        rule["BlockedEncryptionTypes"] = {"EncryptionType": list(encryption.blocked)}
    return {"Rules": [rule]}


def _default(default: Mapping[str, Any]) -> tuple[str, str]:
    algorithm, kms_key_id = default.get("SSEAlgorithm"), default.get("KMSMasterKeyID")
    if algorithm == AWS_KMS_DSSE:
        raise S3Error("NotImplemented", "aws:kms:dsse is not implemented.")
    if algorithm not in (AES256, AWS_KMS):
        raise S3Error("MalformedXML")
    if kms_key_id is not None and algorithm != AWS_KMS:
        raise S3Error(
            "InvalidArgument",
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
            ArgumentName="ApplyServerSideEncryptionByDefault",
        )
    if len(kms_key_id or "") > KMS_KEY_ID_LIMIT_CHARACTERS:
        raise S3Error("MalformedXML")
    return algorithm, kms_key_id or ""


def _blocked(rule: Mapping[str, Any]) -> tuple[str, ...]:
    stated = rule.get("BlockedEncryptionTypes")
    if stated is None:
        return ()
    types = tuple(dict.fromkeys(stated.get("EncryptionType") or ()))
    if not types or any(one not in (NO_TYPE, SSE_C_TYPE) for one in types) or len(types) > 1:
        raise S3Error("MalformedXML")
    return types

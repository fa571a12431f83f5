"""Default encryption of a bucket: the documents that are taken, what they come to, and those that are refused."""

from typing import Any

import pytest

from s3compat.bucket_encryption import BucketEncryption, bucket_encryption_document, parse_bucket_encryption
from s3compat.encryption import Method, WantedEncryption
from s3compat.errors import S3Error


def rule(algorithm: str | None = None, key: str | None = None, **others: Any) -> dict[str, Any]:
    default = {"SSEAlgorithm": algorithm} if algorithm is not None else {}
    if key is not None:
        default["KMSMasterKeyID"] = key
    return {**({"ApplyServerSideEncryptionByDefault": default} if default else {}), **others}


def blocked(*types: str) -> dict[str, Any]:
    return {"BlockedEncryptionTypes": {"EncryptionType": list(types)}}


@pytest.mark.parametrize(
    ("stated", "parsed"),
    [
        (rule("AES256"), BucketEncryption()),
        (rule("AES256", BucketKeyEnabled=True), BucketEncryption(bucket_key=True)),
        (rule("aws:kms"), BucketEncryption(algorithm="aws:kms")),
        (rule("aws:kms", "k"), BucketEncryption(algorithm="aws:kms", kms_key_id="k")),
        (rule("aws:kms", "k", BucketKeyEnabled=False), BucketEncryption(algorithm="aws:kms", kms_key_id="k")),
        (
            rule("aws:kms", "k", BucketKeyEnabled=True),
            BucketEncryption(algorithm="aws:kms", kms_key_id="k", bucket_key=True),
        ),
        (rule("AES256", **blocked("SSE-C")), BucketEncryption(blocked=("SSE-C",))),
        (rule("AES256", **blocked("NONE")), BucketEncryption(blocked=("NONE",))),
        (rule(**blocked("SSE-C")), BucketEncryption(blocked=("SSE-C",))),
        (rule(**blocked("NONE")), BucketEncryption(blocked=("NONE",))),
    ],
)
def test_a_document_is_read_and_given_back(stated: dict[str, Any], parsed: BucketEncryption) -> None:
    found = parse_bucket_encryption({"Rules": [stated]})
    assert found == parsed
    assert parse_bucket_encryption(bucket_encryption_document(found)) == found


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({}, "MalformedXML"),
        ({"Rules": []}, "MalformedXML"),
        ({"Rules": [rule("AES256"), rule("AES256")]}, "MalformedXML"),
        ({"Rules": [{}]}, "MalformedXML"),
        ({"Rules": [rule(BucketKeyEnabled=True)]}, "MalformedXML"),
        ({"Rules": [{"ApplyServerSideEncryptionByDefault": {"KMSMasterKeyID": "k"}}]}, "MalformedXML"),
        ({"Rules": [rule("aws:fsx")]}, "MalformedXML"),
        ({"Rules": [rule("DES")]}, "MalformedXML"),
        ({"Rules": [rule("aws:kms:dsse")]}, "NotImplemented"),
        ({"Rules": [rule("AES256", "k")]}, "InvalidArgument"),
        ({"Rules": [rule("AES256", "")]}, "InvalidArgument"),
        ({"Rules": [rule("aws:kms", "k" * 2049)]}, "MalformedXML"),
        ({"Rules": [rule("AES256", **blocked())]}, "MalformedXML"),
        ({"Rules": [rule("AES256", **blocked("SSE-S3"))]}, "MalformedXML"),
        ({"Rules": [rule("AES256", **blocked("NONE", "SSE-C"))]}, "MalformedXML"),
    ],
)
def test_a_document_that_says_nothing_or_too_much_is_refused(document: dict[str, Any], code: str) -> None:
    with pytest.raises(S3Error) as refused:
        parse_bucket_encryption(document)
    assert refused.value.code == code


def test_a_default_is_what_a_writer_might_have_asked_for() -> None:
    assert BucketEncryption().wanted == WantedEncryption(method=Method.SSE_S3)
    assert BucketEncryption(algorithm="aws:kms", bucket_key=True).wanted == WantedEncryption(
        method=Method.SSE_KMS, bucket_key=True
    )


@pytest.mark.parametrize(("types", "blocks"), [((), False), (("NONE",), False), (("SSE-C",), True)])
def test_clients_own_keys_are_blocked_where_that_is_said(types: tuple[str, ...], blocks: bool) -> None:
    assert BucketEncryption(blocked=types).blocks_customer_keys is blocks

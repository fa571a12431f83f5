"""What the headers of server-side encryption come to, and AWS's error for every contradiction between them."""

import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3compat.encryption import (
    CUSTOMER_PREFIX,
    SOURCE_PREFIX,
    CustomerKey,
    Method,
    WantedEncryption,
    bucket_key,
    customer_key,
    has_customer_headers,
    refuse_managed_encryption,
    wanted_encryption,
)
from s3compat.errors import S3Error
from s3compat.request import Headers

METHOD = "x-amz-server-side-encryption"
KMS_KEY = f"{METHOD}-aws-kms-key-id"
CONTEXT = f"{METHOD}-context"
BUCKET_KEY = f"{METHOD}-bucket-key-enabled"
ALGORITHM, KEY, MD5 = f"{CUSTOMER_PREFIX}algorithm", f"{CUSTOMER_PREFIX}key", f"{CUSTOMER_PREFIX}key-MD5"

RAW = bytes(range(32))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def md5_of(key: bytes) -> str:
    return b64(hashlib.md5(key, usedforsecurity=False).digest())


def context_of(value: object) -> str:
    return b64(json.dumps(value).encode())


SSE_C = {ALGORITHM: "AES256", KEY: b64(RAW), MD5: md5_of(RAW)}
PAIRS = context_of({"department": "payroll"})


def without(name: str) -> dict[str, str]:
    return {one: value for one, value in SSE_C.items() if one != name}


def short(size: int) -> dict[str, str]:
    return {ALGORITHM: "AES256", KEY: b64(bytes(size)), MD5: md5_of(bytes(size))}


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, None),
        ({"x-amz-acl": "private"}, None),
        ({BUCKET_KEY: "true"}, None),
        ({METHOD: "AES256"}, WantedEncryption(method=Method.SSE_S3)),
        ({METHOD: "AES256", BUCKET_KEY: "true"}, WantedEncryption(method=Method.SSE_S3)),
        ({METHOD: "aws:kms"}, WantedEncryption(method=Method.SSE_KMS)),
        ({METHOD: "aws:kms", KMS_KEY: ""}, WantedEncryption(method=Method.SSE_KMS)),
        ({METHOD: "aws:kms", KMS_KEY: "k"}, WantedEncryption(method=Method.SSE_KMS, kms_key_id="k")),
        ({METHOD: "aws:kms", KMS_KEY: "k" * 2048}, WantedEncryption(method=Method.SSE_KMS, kms_key_id="k" * 2048)),
        ({METHOD: "aws:kms", CONTEXT: PAIRS}, WantedEncryption(method=Method.SSE_KMS, context=PAIRS)),
        ({METHOD: "aws:kms", CONTEXT: "e30="}, WantedEncryption(method=Method.SSE_KMS, context="e30=")),
        ({METHOD: "aws:kms", BUCKET_KEY: "true"}, WantedEncryption(method=Method.SSE_KMS, bucket_key=True)),
        ({METHOD: "aws:kms", BUCKET_KEY: "False"}, WantedEncryption(method=Method.SSE_KMS, bucket_key=False)),
        (SSE_C, WantedEncryption(method=Method.SSE_C, customer_key=CustomerKey(key=RAW, md5=md5_of(RAW)))),
    ],
)
def test_headers_ask_for_an_encryption(headers: dict[str, str], wanted: WantedEncryption | None) -> None:
    assert wanted_encryption(Headers(headers.items())) == wanted


@pytest.mark.parametrize(
    ("headers", "code", "message"),
    [
        # Methods
        ({METHOD: "AES192"}, "InvalidArgument", "not supported"),
        ({METHOD: "aes256"}, "InvalidArgument", "not supported"),
        ({METHOD: "aes:kms"}, "InvalidArgument", "not supported"),
        ({METHOD: ""}, "InvalidArgument", "not supported"),
        ({METHOD: "aws:fsx"}, "InvalidArgument", "not supported"),
        ({METHOD: "aws:backup"}, "InvalidArgument", "not supported"),
        ({METHOD: "aws:kms:dsse"}, "NotImplemented", "dsse"),
        ({METHOD: "aws:kms:dsse", KMS_KEY: "k"}, "NotImplemented", "dsse"),
        # KMS without aws:kms
        ({KMS_KEY: "k"}, "InvalidArgument", "requires HTTP header x-amz-server-side-encryption : aws:kms"),
        ({METHOD: "AES256", KMS_KEY: "k"}, "InvalidArgument", "requires HTTP header"),
        ({CONTEXT: PAIRS}, "InvalidArgument", "requires HTTP header"),
        ({METHOD: "AES256", CONTEXT: PAIRS}, "InvalidArgument", "requires HTTP header"),
        ({METHOD: "aws:kms", KMS_KEY: "k" * 2049}, "KMS.NotFoundException", "Invalid keyId"),
        # Contexts
        ({METHOD: "aws:kms", CONTEXT: ""}, "InvalidArgument", "string-string map"),
        ({METHOD: "aws:kms", CONTEXT: "not base64!"}, "InvalidArgument", "string-string map"),
        ({METHOD: "aws:kms", CONTEXT: "e30"}, "InvalidArgument", "string-string map"),
        ({METHOD: "aws:kms", CONTEXT: b64(b"no json")}, "InvalidArgument", "string-string map"),
        ({METHOD: "aws:kms", CONTEXT: b64(b"\xff\xfe")}, "InvalidArgument", "string-string map"),
        ({METHOD: "aws:kms", CONTEXT: context_of([])}, "InvalidArgument", "string-string map"),
        ({METHOD: "aws:kms", CONTEXT: context_of("text")}, "InvalidArgument", "string-string map"),
        ({METHOD: "aws:kms", CONTEXT: context_of(None)}, "InvalidArgument", "string-string map"),
        ({METHOD: "aws:kms", CONTEXT: context_of({"a": 1})}, "InvalidArgument", "string-string map"),
        ({METHOD: "aws:kms", CONTEXT: context_of({"a": {"b": "c"}})}, "InvalidArgument", "string-string map"),
        ({METHOD: "aws:kms", CONTEXT: context_of({"a": "b" * 8192})}, "InvalidArgument", "string-string map"),
        ({METHOD: "aws:kms", CONTEXT: b64(b"[" * 6000)}, "InvalidArgument", "string-string map"),
        ({METHOD: "aws:kms", BUCKET_KEY: "yes"}, "InvalidArgument", "Invalid Argument"),
        # SSE-C together with others
        ({**SSE_C, METHOD: "AES256"}, "InvalidArgument", "is incompatible with the encryption method"),
        ({**SSE_C, METHOD: "aws:kms"}, "InvalidArgument", "is incompatible"),
        ({**SSE_C, METHOD: "aws:kms", KMS_KEY: "k"}, "InvalidArgument", "is incompatible"),
        ({**SSE_C, METHOD: "nonsense"}, "InvalidArgument", "is incompatible"),
        ({**SSE_C, KMS_KEY: "k"}, "InvalidArgument", "is incompatible"),
        ({**SSE_C, CONTEXT: PAIRS}, "InvalidArgument", "is incompatible"),
        ({METHOD: "AES256", ALGORITHM: "AES256"}, "InvalidArgument", "is incompatible"),
        ({METHOD: "AES256", KEY: b64(RAW)}, "InvalidArgument", "is incompatible"),
        ({METHOD: "AES256", MD5: md5_of(RAW)}, "InvalidArgument", "is incompatible"),
        # SSE-C incomplete
        (without(ALGORITHM), "InvalidArgument", "must provide a valid encryption algorithm."),
        (without(KEY), "InvalidArgument", "must provide an appropriate secret key."),
        (without(MD5), "InvalidArgument", "must provide the client calculated MD5 of the secret key."),
        ({ALGORITHM: "AES256"}, "InvalidArgument", "must provide an appropriate secret key."),
        ({KEY: b64(RAW)}, "InvalidArgument", "must provide a valid encryption algorithm."),
        ({MD5: md5_of(RAW)}, "InvalidArgument", "must provide a valid encryption algorithm."),
        ({**SSE_C, KEY: ""}, "InvalidArgument", "must provide an appropriate secret key."),
        ({**SSE_C, MD5: ""}, "InvalidArgument", "must provide the client calculated MD5"),
        # SSE-C algorithms
        ({**SSE_C, ALGORITHM: "AES192"}, "InvalidEncryptionAlgorithmError", "Supported value: AES256."),
        ({**SSE_C, ALGORITHM: "aes256"}, "InvalidEncryptionAlgorithmError", "Supported value: AES256."),
        ({**SSE_C, ALGORITHM: ""}, "InvalidEncryptionAlgorithmError", "Supported value: AES256."),
        ({ALGORITHM: "AES192"}, "InvalidEncryptionAlgorithmError", "Supported value: AES256."),
        # SSE-C keys
        ({**SSE_C, KEY: "not base64!"}, "InvalidArgument", "The secret key was invalid for the specified algorithm."),
        ({**SSE_C, KEY: b64(RAW)[:-1]}, "InvalidArgument", "The secret key was invalid"),
        ({**SSE_C, KEY: RAW.hex() + "!"}, "InvalidArgument", "The secret key was invalid"),
        (short(0) | {KEY: ""}, "InvalidArgument", "must provide an appropriate secret key."),
        (short(1), "InvalidArgument", "The secret key was invalid"),
        (short(16), "InvalidArgument", "The secret key was invalid"),
        (short(31), "InvalidArgument", "The secret key was invalid"),
        (short(33), "InvalidArgument", "The secret key was invalid"),
        (short(64), "InvalidArgument", "The secret key was invalid"),
        ({**SSE_C, KEY: b64(bytes(32))}, "InvalidArgument", "The calculated MD5 hash of the key did not match"),
        ({**SSE_C, KEY: b64(bytes(16))}, "InvalidArgument", "The calculated MD5 hash of the key did not match"),
        ({**SSE_C, MD5: md5_of(b"other")}, "InvalidArgument", "The calculated MD5 hash of the key did not match"),
        ({**SSE_C, MD5: "A" * 24}, "InvalidArgument", "The calculated MD5 hash of the key did not match"),
        ({**SSE_C, MD5: md5_of(RAW)[:-1]}, "InvalidArgument", "The calculated MD5 hash of the key did not match"),
        ({**SSE_C, MD5: "\xfc"}, "InvalidArgument", "The calculated MD5 hash of the key did not match"),
    ],
)
def test_contradictions_are_refused_as_aws_does(headers: dict[str, str], code: str, message: str) -> None:
    with pytest.raises(S3Error) as refused:
        wanted_encryption(Headers(headers.items()))
    assert refused.value.code == code
    assert message in refused.value.message
    assert b64(RAW) not in str(dict(refused.value.elements))


def test_the_source_of_a_copy_has_headers_of_its_own() -> None:
    of_source = {name.replace(CUSTOMER_PREFIX, SOURCE_PREFIX): value for name, value in SSE_C.items()}
    headers = Headers(of_source.items())

    assert wanted_encryption(headers) is None
    assert not has_customer_headers(headers)
    assert customer_key(headers) is None
    found = customer_key(headers, SOURCE_PREFIX)
    assert found is not None
    assert found.key == RAW
    with pytest.raises(S3Error, match="InvalidEncryptionAlgorithmError"):
        customer_key(Headers([(f"{SOURCE_PREFIX}algorithm", "DES")]), SOURCE_PREFIX)


def test_no_key_shows_in_a_repr() -> None:
    assert repr(RAW) not in repr(wanted_encryption(Headers(SSE_C.items())))


@pytest.mark.parametrize(("text", "value"), [(None, None), ("true", True), ("TRUE", True), ("false", False)])
def test_bucket_keys_are_asked_for_or_not(text: str | None, value: bool | None) -> None:
    assert bucket_key(Headers([] if text is None else [(BUCKET_KEY, text)])) is value


@pytest.mark.parametrize("name", [METHOD, KMS_KEY, CONTEXT, BUCKET_KEY])
def test_reads_take_no_header_of_managed_keys(name: str) -> None:
    with pytest.raises(S3Error, match="not supported for this operation") as refused:
        refuse_managed_encryption(Headers([(name, "x")]))
    assert refused.value.elements["ArgumentName"] == name


def test_reads_take_the_clients_own_key() -> None:
    refuse_managed_encryption(Headers([*SSE_C.items(), ("x-amz-acl", "private")]))


@given(
    values=st.dictionaries(
        st.sampled_from([METHOD, KMS_KEY, CONTEXT, BUCKET_KEY, ALGORITHM, KEY, MD5]),
        st.sampled_from(["", "AES256", "aws:kms", "aws:kms:dsse", "true", PAIRS, b64(RAW), md5_of(RAW)])
        | st.text(alphabet=st.characters(max_codepoint=255), max_size=40),
    )
)
def test_whatever_is_sent_nothing_else_is_raised(values: dict[str, str]) -> None:
    headers = Headers(values.items())
    try:
        wanted = wanted_encryption(headers)
    except S3Error:
        return
    if wanted is not None and wanted.method is Method.SSE_C:
        assert wanted.customer_key is not None
        assert len(wanted.customer_key.key) == 32
    if has_customer_headers(headers):
        assert wanted is not None

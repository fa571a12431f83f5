"""Signatures of POST forms: AWS's example, botocore's signers, and every way to be wrong."""

import base64
import contextlib

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from s3compat.errors import S3Error
from s3compat.post_signature import parse_claim, verify

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#: The policy of AWS's page "Example: Browser-Based Upload using HTTP POST (Using AWS Signature Version 4)".
AWS_POLICY = """{ "expiration": "2015-12-30T12:00:00.000Z",\r
  "conditions": [\r
    {"bucket": "sigv4examplebucket"},\r
    ["starts-with", "$key", "user/user1/"],\r
    {"acl": "public-read"},\r
    {"success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},\r
    ["starts-with", "$Content-Type", "image/"],\r
    {"x-amz-meta-uuid": "14365123651274"},\r
    {"x-amz-server-side-encryption": "AES256"},\r
    ["starts-with", "$x-amz-meta-tag", ""],\r
\r
    {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"},\r
    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},\r
    {"x-amz-date": "20151229T000000Z" }\r
  ]\r
}"""
AWS_EXAMPLE = {
    "policy": base64.b64encode(AWS_POLICY.encode()).decode(),
    "x-amz-algorithm": "AWS4-HMAC-SHA256",
    "x-amz-credential": f"{ACCESS_KEY}/20151229/us-east-1/s3/aws4_request",
    "x-amz-date": "20151229T000000Z",
    "x-amz-signature": "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e",
}
VERSION_2 = {"policy": "e30=", "awsaccesskeyid": ACCESS_KEY, "signature": "x"}


def authenticate(fields: dict[str, str]) -> str:
    claim = parse_claim(fields, region="us-east-1", version_2=True)
    assert claim is not None
    verify(claim, SECRET_KEY)
    return claim.access_key


def refusal(fields: dict[str, str], *, version_2: bool = True) -> S3Error:
    with pytest.raises(S3Error) as caught:
        claim = parse_claim(fields, region="us-east-1", version_2=version_2)
        assert claim is not None
        verify(claim, SECRET_KEY)
    return caught.value


def signed_by_botocore(signer: type, *arguments: str) -> dict[str, str]:
    request = AWSRequest(method="POST", url="http://h/b")
    request.context["s3-presign-post-policy"] = {"expiration": "2026-01-01T00:00:00Z", "conditions": []}
    signer(Credentials(ACCESS_KEY, SECRET_KEY), *arguments).add_auth(request)
    return {name.lower(): value for name, value in request.context["s3-presign-post-fields"].items()}


def test_example_of_the_page_is_verified() -> None:
    assert authenticate(AWS_EXAMPLE) == ACCESS_KEY


def test_forms_of_botocore_are_verified() -> None:
    assert authenticate(signed_by_botocore(botocore.auth.S3SigV4PostAuth, "s3", "us-east-1")) == ACCESS_KEY
    assert authenticate(signed_by_botocore(botocore.auth.HmacV1PostAuth)) == ACCESS_KEY


def test_form_without_any_of_it_is_anonymous() -> None:
    assert parse_claim({"key": "k", "bucket": "b"}, region=None, version_2=True) is None


@pytest.mark.parametrize("name", sorted(AWS_EXAMPLE))
@pytest.mark.parametrize("left", [None, ""])
def test_each_field_is_needed(name: str, left: str | None) -> None:
    fields = {other: value for other, value in AWS_EXAMPLE.items() if other != name}
    error = refusal(fields if left is None else {**fields, name: left})
    assert (error.code, error.status) == ("InvalidArgument", 400)
    assert error.elements["ArgumentName"].lower() == name
    assert error.message.startswith("Bucket POST must contain a field named '")


@pytest.mark.parametrize("name", sorted(VERSION_2))
def test_each_field_of_version_2_is_needed(name: str) -> None:
    fields = {other: value for other, value in VERSION_2.items() if other != name}
    error = refusal(fields)
    assert (error.code, error.elements["ArgumentValue"]) == ("InvalidArgument", "")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"x-amz-signature": "0" * 64}, "SignatureDoesNotMatch"),
        ({"x-amz-signature": "é"}, "SignatureDoesNotMatch"),
        ({"policy": "e30="}, "SignatureDoesNotMatch"),
        ({"x-amz-algorithm": "AWS4-HMAC-SHA1"}, "InvalidArgument"),
        ({"x-amz-date": "2015-12-29"}, "InvalidArgument"),
        ({"x-amz-date": "20151230T000000Z"}, "InvalidArgument"),
        ({"x-amz-credential": ACCESS_KEY}, "InvalidArgument"),
        ({"x-amz-credential": f"{ACCESS_KEY}/20151229/eu-west-1/s3/aws4_request"}, "InvalidArgument"),
        ({"x-amz-credential": f"{ACCESS_KEY}/20151229/us-east-1/sqs/aws4_request"}, "InvalidArgument"),
        ({"x-amz-credential": f"{ACCESS_KEY}/20151229/us-east-1/s3/aws5_request"}, "InvalidArgument"),
    ],
)
def test_wrong_signature_is_refused(changed: dict[str, str], code: str) -> None:
    assert refusal({**AWS_EXAMPLE, **changed}).code == code


def test_mismatch_tells_what_was_to_be_signed() -> None:
    error = refusal({**AWS_EXAMPLE, "x-amz-signature": "0" * 64})
    assert error.elements["AWSAccessKeyId"] == ACCESS_KEY
    assert error.elements["StringToSign"] == AWS_EXAMPLE["policy"]


def test_version_2_is_refused_unless_it_is_wanted() -> None:
    assert refusal(VERSION_2, version_2=False).code == "InvalidRequest"
    assert refusal(VERSION_2).code == "SignatureDoesNotMatch"


@given(st.dictionaries(st.sampled_from([*AWS_EXAMPLE, *VERSION_2]), st.text()))
def test_any_fields_are_a_claim_or_refused(fields: dict[str, str]) -> None:
    with contextlib.suppress(S3Error):
        claim = parse_claim(fields, region=None, version_2=True)
        if claim is not None:
            verify(claim, SECRET_KEY)

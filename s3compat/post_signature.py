"""Who signed a POST form, and whether that is true: the signature is over the policy as the form carries it. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-authentication-HTTPPOST.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/HTTPPOSTForms.html (Version 2)
"""

import base64
import hmac
from dataclasses import dataclass, field
from typing import Final

from s3compat.errors import S3Error
from s3compat.httpdate import parse_amz_date
from s3compat.post_policy import Fields
from s3compat.signing import (
    ALGORITHM,
    CredentialError,
    same_signature,
    sign,
    signature_mismatch,
    signing_key,
    split_credential,
)

#: Fields of each version, by their names in lower case and as S3 spells them in its errors.
_VERSION_4: Final = {
    "x-amz-signature": "X-Amz-Signature",
    "x-amz-algorithm": "X-Amz-Algorithm",
    "x-amz-credential": "X-Amz-Credential",
    "x-amz-date": "X-Amz-Date",
}
_VERSION_2: Final = {"signature": "Signature", "awsaccesskeyid": "AWSAccessKeyId"}
_POLICY: Final = "policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormClaim:
    """Who says to have signed a form; nothing is proven until `verify`. `date` is "" for Version 2."""

    access_key: str
    signature: str = field(repr=False)
    policy: str
    date: str = ""
    region: str = ""
    service: str = ""

    @property
    def is_version_2(self) -> bool:
        return not self.date


def parse_claim(fields: Fields, *, region: str | None, version_2: bool) -> FormClaim | None:
    """What a form says about who signed it; None when it has neither policy nor signature.

    `fields` have names in lower case; `region` is the only one served, None for any. Raises S3Error InvalidArgument
    (a field is missing or malformed), InvalidRequest (Version 2, where that is not taken).
    """
    if fields.keys() & _VERSION_2.keys() and not fields.keys() & _VERSION_4.keys():
        _require(fields, {**_VERSION_2, _POLICY: "Policy"})
        if not version_2:
            raise S3Error(
                "InvalidRequest",
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
            )
        return FormClaim(access_key=fields["awsaccesskeyid"], signature=fields["signature"], policy=fields[_POLICY])
    if not fields.keys() & {*_VERSION_4, _POLICY}:
        return None
    _require(fields, {_POLICY: "Policy", **_VERSION_4})
    return _version_4(fields, region)


def verify(claim: FormClaim, secret_key: str) -> None:
    """Prove a claim with the secret key of its access key. Raises SignatureDoesNotMatch."""
    if claim.is_version_2:
        digest = hmac.digest(secret_key.encode(), claim.policy.encode(), "sha1")
        expected = base64.b64encode(digest).decode()
    else:
        expected = sign(signing_key(secret_key, claim.date, claim.region, claim.service), claim.policy)
    if not same_signature(expected, claim.signature):
        raise signature_mismatch(access_key=claim.access_key, signature=claim.signature, to_sign=claim.policy)


def _version_4(fields: Fields, region: str | None) -> FormClaim:
    if fields["x-amz-algorithm"] != ALGORITHM:
        raise _wrong("x-amz-algorithm", fields, f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    amz_date = fields["x-amz-date"]
    if parse_amz_date(amz_date) is None:
        raise _wrong("x-amz-date", fields, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    try:
        access_key, date, claimed_region, service = split_credential(
            fields["x-amz-credential"], amz_date=amz_date, region=region
        )
    except CredentialError as error:
        raise _wrong("x-amz-credential", fields, str(error)) from error
    return FormClaim(
        access_key=access_key,
        signature=fields["x-amz-signature"],
        policy=fields[_POLICY],
        date=date,
        region=claimed_region,
        service=service,
    )


def _require(fields: Fields, names: dict[str, str]) -> None:
    for name, shown in names.items():
        if not fields.get(name):
            raise S3Error(
                "InvalidArgument",
                f"Bucket POST must contain a field named '{shown}'.  If it is specified, please check the order of "
                "the fields.",
                ArgumentName=shown,
                ArgumentValue="",
            )


def _wrong(name: str, fields: Fields, message: str) -> S3Error:
    return S3Error("InvalidArgument", message, ArgumentName=_VERSION_4[name], ArgumentValue=fields[name])

"""Who sends this request: its claim, of Signature Version 4 or 2, checked against the stored credentials.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

from dataclasses import dataclass
from datetime import datetime

from gateway.credentials import Credential, CredentialStore, Identity
from s3compat import post_signature, sigv2, sigv4
from s3compat.errors import S3Error
from s3compat.post_policy import Fields
from s3compat.presigned import is_presigned
from s3compat.request import S3Request
from s3compat.sigv4 import SignatureClaim, SigningContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """The sender of a request, None in all three for an anonymous one, and what its payload was signed with.

    What is signed with Version 2 has an identity alone: that says nothing of the payload.
    """

    identity: Identity | None
    claim: SignatureClaim | None
    signing: SigningContext | None


ANONYMOUS = Authenticated(identity=None, claim=None, signing=None)


async def authenticate(
    request: S3Request, credentials: CredentialStore, now: datetime, *, region: str, version_2: bool = False
) -> Authenticated:
    """Check a signature, made for ``region``; raises S3's error for every way in which it can be wrong.

    Presigned URLs of Version 2 are always taken, Authorization headers of it only where ``version_2`` says so.
    """
    old_claim = _version_2_claim(request, now, headers_too=version_2)
    if old_claim is not None:
        credential = await _credential(credentials, old_claim.access_key)
        sigv2.verify(old_claim, request, credential.secret_key)
        return Authenticated(identity=credential.identity, claim=None, signing=None)
    claim = sigv4.parse_claim(request, now, region=region)
    if claim is None:
        return ANONYMOUS
    credential = await _credential(credentials, claim.access_key)
    signing = sigv4.verify(claim, request, credential.secret_key)
    return Authenticated(identity=credential.identity, claim=claim, signing=signing)


def _version_2_claim(request: S3Request, now: datetime, *, headers_too: bool) -> sigv2.OldClaim | None:
    """The claim of Version 2, None where there is none and none that competes with one of Version 4."""
    if is_presigned(request) or (sigv2.is_presigned(request) and "authorization" in request.headers):
        return None
    if sigv2.is_presigned(request):
        return sigv2.parse_presigned(request, now)
    return sigv2.parse_header(request, now) if headers_too and sigv2.is_signed(request) else None


async def authenticate_form(
    fields: Fields, credentials: CredentialStore, *, region: str, version_2: bool
) -> Authenticated:
    """Check the signature of a POST form over its policy; what the policy demands is not looked at here."""
    claim = post_signature.parse_claim(fields, region=region, version_2=version_2)
    if claim is None:
        return ANONYMOUS
    credential = await _credential(credentials, claim.access_key)
    post_signature.verify(claim, credential.secret_key)
    return Authenticated(identity=credential.identity, claim=None, signing=None)


async def _credential(credentials: CredentialStore, access_key: str) -> Credential:
    found = await credentials.lookup(access_key)
    if found is None:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key)
    return found

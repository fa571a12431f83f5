"""Who sends this request: its claim, of SigV4 or a presigned URL of SigV2, checked against the stored credentials.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

from dataclasses import dataclass
from datetime import datetime

from gateway.credentials import Credential, CredentialStore, Identity
from s3compat import sigv2, sigv4
from s3compat.errors import S3Error
from s3compat.presigned import is_presigned
from s3compat.request import S3Request
from s3compat.sigv4 import SignatureClaim, SigningContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """The sender of a request, None in all three for an anonymous one, and what its payload was signed with.

    A presigned URL of Version 2 has an identity alone: it says nothing of the payload.
    """

    identity: Identity | None
    claim: SignatureClaim | None
    signing: SigningContext | None


ANONYMOUS = Authenticated(identity=None, claim=None, signing=None)


async def authenticate(
    request: S3Request, credentials: CredentialStore, now: datetime, *, region: str
) -> Authenticated:
    """Check a signature, made for ``region``; raises S3's error for every way in which it can be wrong."""
    if sigv2.is_presigned(request) and not is_presigned(request) and "authorization" not in request.headers:
        old_claim = sigv2.parse_presigned(request, now)
        credential = await _credential(credentials, old_claim.access_key)
        sigv2.verify(old_claim, request, credential.secret_key)
        return Authenticated(identity=credential.identity, claim=None, signing=None)
    claim = sigv4.parse_claim(request, now, region=region)
    if claim is None:
        return ANONYMOUS
    credential = await _credential(credentials, claim.access_key)
    signing = sigv4.verify(claim, request, credential.secret_key)
    return Authenticated(identity=credential.identity, claim=claim, signing=signing)


async def _credential(credentials: CredentialStore, access_key: str) -> Credential:
    found = await credentials.lookup(access_key)
    if found is None:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key)
    return found

"""Who sends this request: SigV4 claims checked against the stored credentials.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

from dataclasses import dataclass
from datetime import datetime

from gateway.credentials import CredentialStore, Identity
from s3compat import sigv4
from s3compat.errors import S3Error
from s3compat.request import S3Request
from s3compat.sigv4 import SignatureClaim, SigningContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """The sender of a request, None in all three for an anonymous one, and what its payload was signed with."""

    identity: Identity | None
    claim: SignatureClaim | None
    signing: SigningContext | None


ANONYMOUS = Authenticated(identity=None, claim=None, signing=None)


async def authenticate(request: S3Request, credentials: CredentialStore, now: datetime) -> Authenticated:
    """Check the signature of a request; raises S3's error for every way in which it can be wrong."""
    claim = sigv4.parse_claim(request, now)
    if claim is None:
        return ANONYMOUS
    credential = await credentials.lookup(claim.access_key)
    if credential is None:
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=claim.access_key)
    signing = sigv4.verify(claim, request, credential.secret_key)
    return Authenticated(identity=credential.identity, claim=claim, signing=signing)

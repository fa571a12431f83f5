"""Who may do what: the owner of a bucket and the root user may do everything with it, nobody else anything.

Sharing by policies and ACLs will widen `authorize`; the pipeline asks nothing else.
"""

from gateway.credentials import Identity
from gateway.index.records import BucketRecord
from s3compat.errors import S3Error


def authorize(identity: Identity | None, bucket: BucketRecord | None, expected_owner: str | None = None) -> Identity:
    """Return the identity when it may use the bucket; raises AccessDenied.

    ``expected_owner`` is x-amz-expected-bucket-owner, which AWS checks before anything else of the bucket.
    """
    if identity is None:
        raise S3Error("AccessDenied")
    if bucket is None:
        return identity
    if expected_owner is not None and expected_owner != bucket.owner_id:
        raise S3Error("AccessDenied")
    if bucket.owner_id != identity.canonical_id and not identity.is_root:
        raise S3Error("AccessDenied")
    return identity

"""GetBucketAcl, PutBucketAcl, GetObjectAcl, PutObjectAcl.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketAcl.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectAcl.html
"""

from dataclasses import replace

from gateway.bucket_access import ACL, acls_disabled, bucket_acl, object_owner
from gateway.context import Answer, Context, Input, Output
from gateway.index.records import ObjectRecord
from gateway.operations.grants import described_acl, described_object_acl, grants_of_request, refuse_public
from gateway.operations.reading import find_object
from s3compat import acl
from s3compat.errors import S3Error


async def get_bucket_acl(context: Context, params: Input) -> Answer:
    """GetBucketAcl."""
    bucket = context.target_bucket
    return Answer(output=await described_acl(context, bucket.owner_id, bucket_acl(bucket)))


async def put_bucket_acl(context: Context, params: Input) -> Answer:
    """PutBucketAcl.

    Raises AccessControlListNotSupported, AccessDenied (BlockPublicAcls, another owner), MalformedACLError,
    InvalidArgument, InvalidRequest, MissingSecurityHeader, UnexpectedContent, UnresolvableGrantByEmailAddress.
    """
    bucket = context.target_bucket
    if acls_disabled(bucket):
        raise S3Error("AccessControlListNotSupported")
    owner_id = bucket.owner_id
    grants = await grants_of_request(context, params, owner_id=owner_id, bucket_owner_id=owner_id)
    refuse_public(bucket, grants)
    stored = acl.encode_grants(grants, owner_id)
    await context.index.set_bucket_config(
        bucket.name, ACL, stored.encode() if stored else None, bucket_id=bucket.bucket_id
    )
    return Answer()


async def get_object_acl(context: Context, params: Input) -> Answer:
    """GetObjectAcl. Raises NoSuchKey, NoSuchVersion, MethodNotAllowed (delete marker by version)."""
    record = await find_object(context, params)
    output: Output = await described_object_acl(context, record)
    return Answer(output=output, headers=_version_header(context, record))


async def put_object_acl(context: Context, params: Input) -> Answer:
    """PutObjectAcl; the object keeps its time, ETag and bytes.

    Raises NoSuchKey, NoSuchVersion, MethodNotAllowed, and what PutBucketAcl raises.
    """
    bucket = context.target_bucket
    record = await find_object(context, params)
    if acls_disabled(bucket):
        raise S3Error("AccessControlListNotSupported")
    owner_id = object_owner(bucket, record)
    grants = await grants_of_request(context, params, owner_id=owner_id, bucket_owner_id=bucket.owner_id)
    refuse_public(bucket, grants)
    stored = acl.encode_grants(grants, owner_id)

    def with_acl(current: ObjectRecord) -> ObjectRecord:
        # What was authorized is the version that was read: another one, by whomever, keeps its own ACL.
        if current.sequence != record.sequence:
            raise S3Error("OperationAborted")
        return replace(current, acl=stored)

    changed = await context.index.update_object(
        bucket.name, context.key, params.get("VersionId"), with_acl, bucket_id=bucket.bucket_id
    )
    if changed is None:
        raise S3Error("NoSuchKey", Key=context.key)
    return Answer(headers=_version_header(context, record))


def _version_header(context: Context, record: ObjectRecord) -> tuple[tuple[str, str], ...]:
    return (("x-amz-version-id", record.version_id),) if context.target_bucket.versioning else ()

"""Server access logging of a bucket: put and get. Lines are gathered and written by gateway/access_log*.py.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLogging.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLogging.html
"""

from gateway.bucket_access import acls_disabled
from gateway.context import Answer, Context, Input
from gateway.index.errors import NoSuchBucket
from gateway.index.records import BucketRecord
from gateway.log_delivery import LOGGING, may_deliver
from gateway.operations.grants import resolved
from s3compat import acl
from s3compat.access_log import LogTarget, decode_document, encode_document, parse_logging
from s3compat.errors import S3Error


async def put_bucket_logging(context: Context, params: Input) -> Answer:
    """PutBucketLogging; a document without LoggingEnabled ends it.

    Raises InvalidTargetBucketForLogging (not there, another's, or logs may not be delivered to it), MalformedXML,
    AccessControlListNotSupported (grants in a bucket without ACLs), InvalidArgument, UnresolvableGrantByEmailAddress.
    """
    document = params.get("BucketLoggingStatus")
    if document is None:
        raise S3Error("MalformedXML")
    target = parse_logging(document)
    if target is not None:
        await _check_target(context, target, document["LoggingEnabled"].get("TargetGrants") or [])
    stored = None if target is None else encode_document(document)
    bucket = context.target_bucket
    await context.index.set_bucket_config(bucket.name, LOGGING, stored, bucket_id=bucket.bucket_id)
    return Answer()


async def get_bucket_logging(context: Context, params: Input) -> Answer:
    """GetBucketLogging: nothing where requests are not logged."""
    stored = context.target_bucket.configs.get(LOGGING)
    return Answer(output={} if stored is None else decode_document(stored))


async def _check_target(context: Context, target: LogTarget, grants: list[Input]) -> None:
    source = context.target_bucket
    found = await _find_target(context, target, source)
    if not may_deliver(source, found, target.prefix):
        raise S3Error(
            "InvalidTargetBucketForLogging",
            "You must let logging.s3.amazonaws.com put objects into the target bucket by its policy, or give the "
            "log-delivery group WRITE and READ_ACP permissions by its ACL.",
            TargetBucket=target.bucket,
        )
    if grants:
        if acls_disabled(found):
            raise S3Error("AccessControlListNotSupported")
        given = acl.grants_from_document({"Owner": {"ID": found.owner_id}, "Grants": grants}, owner_id=found.owner_id)
        await resolved(context.services.credentials, given)


async def _find_target(context: Context, target: LogTarget, source: BucketRecord) -> BucketRecord:
    if target.bucket == source.name:
        return source
    try:
        found = await context.index.get_bucket(target.bucket)
    except NoSuchBucket as missing:
        raise S3Error("InvalidTargetBucketForLogging", TargetBucket=target.bucket) from missing
    if found.owner_id != source.owner_id:
        raise S3Error("InvalidTargetBucketForLogging", TargetBucket=target.bucket)
    return found

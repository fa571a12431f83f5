"""The lifecycle configuration of a bucket: put, get, delete. The worker acts on it (workers/lifecycle.py).

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html
"""

from gateway.context import Answer, Context, Input
from gateway.lifecycles import LIFECYCLE
from s3compat.errors import S3Error
from s3compat.lifecycle_document import decode_document, encode_document, parse_rules, with_ids

_SIZE_HEADER = "x-amz-transition-default-minimum-object-size"
#: Objects smaller than 128 KB change no class unless a filter names sizes; AWS's default since 2024.
_MINIMUM_SIZES = ("all_storage_classes_128K", "varies_by_storage_class")
_MEMBER = "TransitionDefaultMinimumObjectSize"


async def put_bucket_lifecycle_configuration(context: Context, params: Input) -> Answer:
    """PutBucketLifecycleConfiguration: all rules are replaced; rules without an id get one.

    Raises MalformedXML, InvalidArgument, InvalidRequest.
    """
    stated = params.get("LifecycleConfiguration")
    if stated is None:
        raise S3Error("MalformedXML")
    minimum: str = params.get(_MEMBER) or _MINIMUM_SIZES[0]
    if minimum not in _MINIMUM_SIZES:
        raise S3Error("InvalidArgument", ArgumentName=_SIZE_HEADER, ArgumentValue=minimum[:100])
    document = with_ids(stated)
    parse_rules(document)
    await _store(context, encode_document({**document, _MEMBER: minimum}))
    return Answer(output={_MEMBER: minimum})


async def get_bucket_lifecycle_configuration(context: Context, params: Input) -> Answer:
    """GetBucketLifecycleConfiguration. Raises NoSuchLifecycleConfiguration."""
    stored = context.target_bucket.configs.get(LIFECYCLE)
    if stored is None:
        raise S3Error("NoSuchLifecycleConfiguration", BucketName=context.target_bucket.name)
    return Answer(output=decode_document(stored))


async def delete_bucket_lifecycle(context: Context, params: Input) -> Answer:
    """DeleteBucketLifecycle, whether or not there are rules."""
    await _store(context, None)
    return Answer()


async def _store(context: Context, document: bytes | None) -> None:
    bucket = context.target_bucket
    await context.index.set_bucket_config(bucket.name, LIFECYCLE, document, bucket_id=bucket.bucket_id)

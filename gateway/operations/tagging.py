"""Tags of objects and of buckets.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectTagging.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketTagging.html
"""

from dataclasses import replace

from gateway.bucket_tags import BUCKET_TAGS, decode_bucket_tags, encode_bucket_tags
from gateway.context import Answer, Context, Input, Output
from gateway.index.records import ObjectRecord
from gateway.operations.reading import find_object, there
from gateway.operations.versioning import check_version_id
from s3compat.errors import S3Error
from s3compat.tags import Tags, check_bucket_tags, check_object_tags


async def get_object_tagging(context: Context, params: Input) -> Answer:
    """GetObjectTagging: an empty set for an object without tags. Raises NoSuchKey, NoSuchVersion, MethodNotAllowed."""
    record = await find_object(context, params)
    return Answer(output={"TagSet": _tag_set(record.tags), **_version_member(context, record)})


async def put_object_tagging(context: Context, params: Input) -> Answer:
    """PutObjectTagging: the whole set is replaced.

    Raises NoSuchKey, NoSuchVersion, MethodNotAllowed (delete marker), InvalidTag, BadRequest (too many), MalformedXML.
    """
    return await _replace_tags(context, params, check_object_tags(tag_pairs(params["Tagging"])))


async def delete_object_tagging(context: Context, params: Input) -> Answer:
    """DeleteObjectTagging. Raises NoSuchKey, NoSuchVersion, MethodNotAllowed (delete marker)."""
    return await _replace_tags(context, params, ())


async def _replace_tags(context: Context, params: Input, tags: Tags) -> Answer:
    version_id: str | None = params.get("VersionId")
    check_version_id(version_id)

    def change(record: ObjectRecord) -> ObjectRecord:
        return replace(there(context, version_id, record), tags=tags)

    bucket = context.target_bucket
    changed = await context.index.update_object(
        bucket.name, context.key, version_id, change, bucket_id=bucket.bucket_id
    )
    return Answer(output=_version_member(context, there(context, version_id, changed)))


async def get_bucket_tagging(context: Context, params: Input) -> Answer:
    """GetBucketTagging. Raises NoSuchTagSet."""
    name = context.target_bucket.name
    document = await context.index.get_bucket_config(name, BUCKET_TAGS)
    if document is None:
        raise S3Error("NoSuchTagSet", BucketName=name)
    return Answer(output={"TagSet": _tag_set(decode_bucket_tags(document))})


async def put_bucket_tagging(context: Context, params: Input) -> Answer:
    """PutBucketTagging: the whole set is replaced. Raises InvalidTag, BadRequest (over fifty), MalformedXML."""
    tags = check_bucket_tags(tag_pairs(params["Tagging"]))
    await _set_bucket_tags(context, encode_bucket_tags(tags))
    return Answer()


async def delete_bucket_tagging(context: Context, params: Input) -> Answer:
    """DeleteBucketTagging, whether or not there are tags."""
    await _set_bucket_tags(context, None)
    return Answer()


async def _set_bucket_tags(context: Context, document: bytes | None) -> None:
    bucket = context.target_bucket
    await context.index.set_bucket_config(bucket.name, BUCKET_TAGS, document, bucket_id=bucket.bucket_id)


def tag_pairs(tagging: Input) -> list[tuple[str, str]]:
    """The tags of a parsed Tagging document, not yet held against the limits."""
    return [(tag["Key"], tag["Value"]) for tag in tagging["TagSet"]]


def _tag_set(tags: Tags) -> list[Output]:
    return [{"Key": name, "Value": value} for name, value in tags]


def _version_member(context: Context, record: ObjectRecord) -> Output:
    return {"VersionId": record.version_id} if context.target_bucket.versioning else {}

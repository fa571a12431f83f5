"""GetObjectTagging: the tags that an object was written with.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html
"""

from gateway.context import Answer, Context, Input, Output
from gateway.operations.reading import find_object


async def get_object_tagging(context: Context, params: Input) -> Answer:
    """GetObjectTagging, without which aws (version 2) copies no large object. Raises NoSuchKey, NoSuchVersion."""
    record = await find_object(context, params)
    output: Output = {"TagSet": [{"Key": name, "Value": value} for name, value in record.tags]}
    if context.target_bucket.versioning:
        output["VersionId"] = record.version_id
    return Answer(output=output)

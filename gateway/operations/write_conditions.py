"""If-Match and If-None-Match on writes, in the form in which the index script decides them.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from gateway.index.records import BucketRecord, WriteCheck
from s3compat.conditions import WriteConditions
from s3compat.request import Headers


def write_check(headers: Headers, bucket: BucketRecord) -> WriteCheck:
    """What must hold at the commit, the bucket being still the authorized one among it.

    Raises NotImplemented for If-None-Match with an ETag, as AWS does.
    """
    conditions = WriteConditions.from_headers(headers)
    return WriteCheck(
        if_match=conditions.if_match,
        if_none_match=conditions.if_none_match,
        bucket_id=bucket.bucket_id,
    )

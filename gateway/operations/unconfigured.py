"""Configurations that no bucket here has, because nothing would act on them: to ask for them is answered as AWS answers
for a bucket without, to remove them too; to store one is NotImplemented, as of every operation without a handler.

Acceleration, analytics, intelligent tiering, inventory, metrics, replication.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations.html
"""

from gateway.context import Answer, Context, Input
from s3compat.errors import S3Error


async def get_accelerate_configuration(context: Context, params: Input) -> Answer:
    """GetBucketAccelerateConfiguration: no status, as of a bucket for which it was never set."""
    return Answer()


async def get_replication(context: Context, params: Input) -> Answer:
    """GetBucketReplication. Raises ReplicationConfigurationNotFoundError."""
    raise S3Error("ReplicationConfigurationNotFoundError", BucketName=context.target_bucket.name)


async def delete_replication(context: Context, params: Input) -> Answer:
    """DeleteBucketReplication of a bucket that has none."""
    return Answer()


async def find_configuration(context: Context, params: Input) -> Answer:
    """Get or delete one configuration by its id. Raises NoSuchConfiguration."""
    raise S3Error("NoSuchConfiguration", BucketName=context.target_bucket.name)


async def list_configurations(context: Context, params: Input) -> Answer:
    """List the configurations of a kind: none."""
    return Answer(output={"IsTruncated": False})

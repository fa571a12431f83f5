"""The bucket policy: get, put, delete, and whether it makes the bucket public.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
"""

from gateway.bucket_access import POLICY, bucket_acl, policy_is_public, public_access_block
from gateway.context import Answer, Context, Input
from gateway.refusals import Decider, Reason, Refused
from s3compat import acl
from s3compat.errors import S3Error
from s3compat.policy import is_public, parse_policy


async def get_bucket_policy(context: Context, params: Input) -> Answer:
    """GetBucketPolicy: the text as it was put. Raises NoSuchBucketPolicy."""
    stored = context.target_bucket.configs.get(POLICY)
    if stored is None:
        raise S3Error("NoSuchBucketPolicy", BucketName=context.target_bucket.name)
    return Answer(output={"Policy": stored.decode()})


async def put_bucket_policy(context: Context, params: Input) -> Answer:
    """PutBucketPolicy. Raises MalformedPolicy, AccessDenied (BlockPublicPolicy)."""
    bucket = context.target_bucket
    text: str = params["Policy"]
    policy = parse_policy(text, bucket=bucket.name)
    if public_access_block(bucket).block_public_policy and is_public(policy):
        text = f"the policy would make bucket {bucket.name} public, which has BlockPublicPolicy"
        raise Refused(Reason(decider=Decider.PUBLIC_ACCESS_BLOCK, text=text, action="s3:PutBucketPolicy"))
    await context.index.set_bucket_config(bucket.name, POLICY, text.encode(), bucket_id=bucket.bucket_id)
    return Answer()


async def delete_bucket_policy(context: Context, params: Input) -> Answer:
    """DeleteBucketPolicy: nothing happens where there is none."""
    bucket = context.target_bucket
    if POLICY in bucket.configs:
        await context.index.set_bucket_config(bucket.name, POLICY, None, bucket_id=bucket.bucket_id)
    return Answer()


async def get_bucket_policy_status(context: Context, params: Input) -> Answer:
    """GetBucketPolicyStatus: public by its policy, or by an ACL that counts."""
    bucket = context.target_bucket
    by_acl = acl.is_public(bucket_acl(bucket)) and not public_access_block(bucket).ignore_public_acls
    return Answer(output={"PolicyStatus": {"IsPublic": by_acl or policy_is_public(bucket)}})

"""CORS rules of a bucket: put, get, delete. How they are applied is in gateway/cross_origin.py.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketCors.html
"""

from gateway.context import Answer, Context, Input
from gateway.cross_origin import CORS, bucket_rules
from s3compat.cors import encode_rules, rules_from_document, rules_to_document
from s3compat.errors import S3Error


async def put_bucket_cors(context: Context, params: Input) -> Answer:
    """PutBucketCors: all rules are replaced. Raises MalformedXML, InvalidRequest (methods, wildcards)."""
    rules = rules_from_document(params["CORSConfiguration"])
    await _store(context, encode_rules(rules))
    return Answer()


async def get_bucket_cors(context: Context, params: Input) -> Answer:
    """GetBucketCors. Raises NoSuchCORSConfiguration."""
    rules = bucket_rules(context.target_bucket)
    if rules is None:
        raise S3Error("NoSuchCORSConfiguration", BucketName=context.target_bucket.name)
    return Answer(output={"CORSRules": rules_to_document(rules)})


async def delete_bucket_cors(context: Context, params: Input) -> Answer:
    """DeleteBucketCors, whether or not there are rules."""
    await _store(context, None)
    return Answer()


async def _store(context: Context, document: bytes | None) -> None:
    bucket = context.target_bucket
    await context.index.set_bucket_config(bucket.name, CORS, document, bucket_id=bucket.bucket_id)

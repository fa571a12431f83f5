"""The website configuration of a bucket: put, get, delete. Pages are served by gateway/website_endpoint.py.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketWebsite.html
"""

from gateway.context import Answer, Context, Input
from s3compat.errors import S3Error
from s3compat.website import decode_document, encode_document, parse_website

#: The name of the configuration document, as `s3compat.website.encode_document` makes it.
WEBSITE = "website"


async def put_bucket_website(context: Context, params: Input) -> Answer:
    """PutBucketWebsite: the whole is replaced. Raises MalformedXML, InvalidArgument, InvalidRequest."""
    document = params.get("WebsiteConfiguration")
    if document is None:
        raise S3Error("MalformedXML")
    parse_website(document)
    await _store(context, encode_document(document))
    return Answer()


async def get_bucket_website(context: Context, params: Input) -> Answer:
    """GetBucketWebsite. Raises NoSuchWebsiteConfiguration."""
    name = context.target_bucket.name
    stored = await context.index.get_bucket_config(name, WEBSITE)
    if stored is None:
        raise S3Error("NoSuchWebsiteConfiguration", BucketName=name)
    return Answer(output=decode_document(stored))


async def delete_bucket_website(context: Context, params: Input) -> Answer:
    """DeleteBucketWebsite, whether or not there is one."""
    await _store(context, None)
    return Answer()


async def _store(context: Context, document: bytes | None) -> None:
    bucket = context.target_bucket
    await context.index.set_bucket_config(bucket.name, WEBSITE, document, bucket_id=bucket.bucket_id)

"""CORS on the wire: the rules of the bucket that a request addresses, for preflights and for actual requests.

What the rules mean is in s3compat/cors.py.
"""

from gateway.index.errors import IndexFailure, NoSuchBucket
from gateway.index.records import BucketRecord
from gateway.index.store import Index
from s3compat import cors
from s3compat.cors import HeaderList, Rules
from s3compat.request import S3Request
from s3compat.serialization import RenderedResponse

#: The name of the rules among a bucket's configuration documents.
CORS = "cors"


def bucket_rules(bucket: BucketRecord) -> Rules | None:
    """The CORS rules of a bucket, None where it has none."""
    stored = bucket.configs.get(CORS)
    return None if stored is None else cors.decode_rules(stored)


async def answer_preflight(index: Index, request: S3Request) -> RenderedResponse:
    """Answer OPTIONS. Raises BadRequest, AccessForbidden, IndexUnavailable."""
    cors.check_preflight(request)
    rules = None
    if request.bucket is not None:
        try:
            rules = bucket_rules(await index.get_bucket(request.bucket))
        except NoSuchBucket as missing:
            raise cors.forbidden(request, "CORSResponse: Bucket not found") from missing
    return RenderedResponse(status=200, headers=list(cors.preflight_headers(request, rules)), body=b"")


async def response_headers(index: Index, request: S3Request, bucket: BucketRecord | None) -> HeaderList:
    """What to add to the answer of a request from another origin; `bucket` is None where nobody has read it yet.

    Nothing when the bucket cannot be read: the request has an answer already, which this must not replace.
    """
    if request.bucket is None:
        return ()
    try:
        rules = bucket_rules(bucket or await index.get_bucket(request.bucket))
    except IndexFailure:
        return ()
    return cors.response_headers(request, rules) if rules else ()

"""Ownership controls, public access block and request payment of a bucket.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketOwnershipControls.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutPublicAccessBlock.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketRequestPayment.html
"""

from gateway.bucket_access import (
    OWNERSHIP,
    PUBLIC_ACCESS_BLOCK,
    REQUEST_PAYMENT,
    Ownership,
    PublicAccessBlock,
    bucket_acl,
    encode_block,
    requester_pays,
    stated_block,
    stated_ownership,
)
from gateway.context import Answer, Context, Input
from s3compat import acl
from s3compat.errors import S3Error


async def get_bucket_ownership_controls(context: Context, params: Input) -> Answer:
    """GetBucketOwnershipControls. Raises OwnershipControlsNotFoundError."""
    stated = stated_ownership(context.target_bucket)
    if stated is None:
        raise S3Error("OwnershipControlsNotFoundError", BucketName=context.target_bucket.name)
    return Answer(output={"OwnershipControls": {"Rules": [{"ObjectOwnership": stated.value}]}})


async def put_bucket_ownership_controls(context: Context, params: Input) -> Answer:
    """PutBucketOwnershipControls.

    Raises MalformedXML (not one rule), InvalidBucketAclWithObjectOwnership (the bucket's ACL grants others something
    that BucketOwnerEnforced would take away).
    """
    bucket = context.target_bucket
    rules: list[Input] = params["OwnershipControls"].get("Rules") or []
    if len(rules) != 1:
        raise S3Error("MalformedXML")
    wanted = Ownership(rules[0]["ObjectOwnership"])
    if wanted is Ownership.BUCKET_OWNER_ENFORCED and not acl.names_only(bucket_acl(bucket), bucket.owner_id):
        raise S3Error("InvalidBucketAclWithObjectOwnership")
    await _set(context, OWNERSHIP, wanted.value.encode())
    return Answer()


async def delete_bucket_ownership_controls(context: Context, params: Input) -> Answer:
    """DeleteBucketOwnershipControls: afterwards whoever writes an object owns it, as with ObjectWriter."""
    await _set(context, OWNERSHIP, None)
    return Answer()


_BLOCK_MEMBERS = {
    "BlockPublicAcls": "block_public_acls",
    "IgnorePublicAcls": "ignore_public_acls",
    "BlockPublicPolicy": "block_public_policy",
    "RestrictPublicBuckets": "restrict_public_buckets",
}


async def get_public_access_block(context: Context, params: Input) -> Answer:
    """GetPublicAccessBlock. Raises NoSuchPublicAccessBlockConfiguration."""
    stated = stated_block(context.target_bucket)
    if stated is None:
        raise S3Error("NoSuchPublicAccessBlockConfiguration", BucketName=context.target_bucket.name)
    settings = {member: getattr(stated, name) for member, name in _BLOCK_MEMBERS.items()}
    return Answer(output={"PublicAccessBlockConfiguration": settings})


async def put_public_access_block(context: Context, params: Input) -> Answer:
    """PutPublicAccessBlock: a setting that is left out is off."""
    given: Input = params["PublicAccessBlockConfiguration"]
    block = PublicAccessBlock(**{name: bool(given.get(member)) for member, name in _BLOCK_MEMBERS.items()})
    await _set(context, PUBLIC_ACCESS_BLOCK, encode_block(block))
    return Answer()


async def delete_public_access_block(context: Context, params: Input) -> Answer:
    """DeletePublicAccessBlock."""
    await _set(context, PUBLIC_ACCESS_BLOCK, None)
    return Answer()


async def get_bucket_request_payment(context: Context, params: Input) -> Answer:
    """GetBucketRequestPayment."""
    return Answer(output={"Payer": "Requester" if requester_pays(context.target_bucket) else "BucketOwner"})


async def put_bucket_request_payment(context: Context, params: Input) -> Answer:
    """PutBucketRequestPayment: kept and enforced as at AWS; nobody is billed here."""
    payer: str = params["RequestPaymentConfiguration"]["Payer"]
    await _set(context, REQUEST_PAYMENT, payer.encode() if payer == "Requester" else None)
    return Answer()


async def _set(context: Context, name: str, document: bytes | None) -> None:
    bucket = context.target_bucket
    await context.index.set_bucket_config(bucket.name, name, document, bucket_id=bucket.bucket_id)

"""Buckets: create, look at, list, delete.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

import base64
import binascii

from gateway.bucket_access import ACL, OWNERSHIP, PUBLIC_ACCESS_BLOCK, WHOLE_BLOCK, Ownership, encode_block
from gateway.context import Answer, Context, Input
from gateway.index.errors import BucketExists
from gateway.index.records import Versioning
from gateway.object_locks import OBJECT_LOCK, encode_default
from gateway.operations.grants import grants_of_headers
from gateway.operations.times import from_ms
from s3compat import acl
from s3compat.errors import S3Error
from s3compat.names import check_bucket_name

#: AWS's largest page of ListBuckets.
BUCKETS_PAGE_LIMIT = 10_000
#: The region that AWS names by an empty LocationConstraint.
CLASSIC_REGION = "us-east-1"


async def create_bucket(context: Context, params: Input) -> Answer:
    """CreateBucket.

    Raises InvalidBucketName, IllegalLocationConstraintException, InvalidLocationConstraint, BucketAlreadyExists,
    BucketAlreadyOwnedByYou (outside us-east-1, where AWS answers 200 again), TooManyBuckets.
    """
    name: str = params["Bucket"]
    check_bucket_name(name)
    _refuse_unsupported(context, params)
    region = _region(context, params.get("CreateBucketConfiguration") or {})
    configs = await _configs_of_new(context, params)
    locked = bool(params.get("ObjectLockEnabledForBucket"))
    if locked:
        configs[OBJECT_LOCK] = encode_default(None)
    try:
        await context.index.create_bucket(
            name,
            context.identity.canonical_id,
            region,
            now_ms=context.now_ms,
            limit=context.services.settings.bucket_limit,
            configs=configs,
            versioning=Versioning.ENABLED if locked else Versioning.UNVERSIONED,
        )
    except BucketExists as exists:
        if exists.owner_id != context.identity.canonical_id:
            raise S3Error("BucketAlreadyExists", BucketName=name) from exists
        if region != CLASSIC_REGION:
            raise S3Error("BucketAlreadyOwnedByYou", BucketName=name) from exists
        # AWS: "if you re-create an existing bucket that you already own in us-east-1, Amazon S3 returns 200 OK and
        # resets the bucket access control lists".
        await context.index.set_bucket_config(name, ACL, configs.get(ACL))
    return Answer(output={"Location": f"/{name}"})


def _region(context: Context, configuration: Input) -> str:
    region = context.services.settings.region
    wanted = configuration.get("LocationConstraint")
    if wanted is None or wanted == region:
        return region
    if region == CLASSIC_REGION:
        raise S3Error("InvalidLocationConstraint", LocationConstraint=wanted)
    raise S3Error(
        "IllegalLocationConstraintException",
        f"The {wanted} location constraint is incompatible for the region specific endpoint this request was sent to.",
    )


def _refuse_unsupported(context: Context, params: Input) -> None:
    """What a bucket here cannot have is refused, never ignored."""
    configuration = params.get("CreateBucketConfiguration") or {}
    for member in ("Location", "Bucket", "Tags"):
        if configuration.get(member):
            raise S3Error("NotImplemented", f"CreateBucketConfiguration {member} is not implemented.")


async def _configs_of_new(context: Context, params: Input) -> dict[str, bytes]:
    """Ownership controls, public access block and ACL of a new bucket.

    ObjectWriter as the setting, and not by the request, is how AWS was before 2023: such a bucket has no controls.
    Raises InvalidArgument, InvalidBucketAclWithObjectOwnership, InvalidBucketAclWithBlockPublicAccessError,
    InvalidRequest, UnresolvableGrantByEmailAddress.
    """
    configs: dict[str, bytes] = {}
    blocks = context.services.settings.block_public_access
    if blocks:
        configs[PUBLIC_ACCESS_BLOCK] = encode_block(WHOLE_BLOCK)
    stated: str | None = params.get("ObjectOwnership")
    if stated is not None and stated not in [one.value for one in Ownership]:
        raise S3Error(
            "InvalidArgument",
            f"Invalid x-amz-object-ownership header: {stated[:100]}",
            ArgumentName="x-amz-object-ownership",
            ArgumentValue=stated[:100],
        )
    owned = Ownership(stated or context.services.settings.object_ownership)
    if stated is not None or owned is not Ownership.OBJECT_WRITER:
        configs[OWNERSHIP] = owned.value.encode()
    if not acl.has_acl_headers(context.request.headers):
        return configs
    owner_id = context.identity.canonical_id
    grants = await grants_of_headers(context, owner_id=owner_id, bucket_owner_id=owner_id)
    stored = acl.encode_grants(grants, owner_id)
    if stored and owned is Ownership.BUCKET_OWNER_ENFORCED:
        raise S3Error("InvalidBucketAclWithObjectOwnership")
    if blocks and acl.is_public(grants):
        raise S3Error("InvalidBucketAclWithBlockPublicAccessError")
    if stored:
        configs[ACL] = stored.encode()
    return configs


async def head_bucket(context: Context, params: Input) -> Answer:
    """HeadBucket. Raises NoSuchBucket."""
    return Answer(output={"BucketRegion": context.target_bucket.region, "AccessPointAlias": False})


async def delete_bucket(context: Context, params: Input) -> Answer:
    """DeleteBucket. Raises NoSuchBucket, BucketNotEmpty."""
    await context.index.delete_bucket(context.target_bucket.name)
    return Answer()


async def get_bucket_location(context: Context, params: Input) -> Answer:
    """GetBucketLocation: us-east-1 is the empty constraint. Raises NoSuchBucket."""
    region = context.target_bucket.region
    return Answer(output={} if region == CLASSIC_REGION else {"LocationConstraint": region})


async def list_buckets(context: Context, params: Input) -> Answer:
    """ListBuckets of the caller, in pages when MaxBuckets is given. Raises InvalidArgument."""
    limit: int | None = params.get("MaxBuckets")
    if limit is not None and not 1 <= limit <= BUCKETS_PAGE_LIMIT:
        raise S3Error("InvalidArgument", ArgumentName="max-buckets", ArgumentValue=str(limit))
    prefix: str = params.get("Prefix") or ""
    wanted_region = params.get("BucketRegion")
    owner = context.identity
    page = await context.index.list_buckets(
        owner.canonical_id,
        prefix=prefix,
        after=_decode_token(params.get("ContinuationToken")),
        limit=limit or BUCKETS_PAGE_LIMIT,
    )
    output: Input = {
        "Owner": {"ID": owner.canonical_id, "DisplayName": owner.display_name},
        "Buckets": [
            {"Name": bucket.name, "CreationDate": from_ms(bucket.created_ms), "BucketRegion": bucket.region}
            for bucket in page.buckets
            if wanted_region in (None, bucket.region)
        ],
    }
    if prefix:
        output["Prefix"] = prefix
    if page.truncated:
        output["ContinuationToken"] = base64.urlsafe_b64encode(page.buckets[-1].name.encode()).decode()
    return Answer(output=output)


def _decode_token(token: str | None) -> str:
    if not token:
        return ""
    try:
        return base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, ValueError) as malformed:
        raise S3Error(
            "InvalidArgument",
            "The continuation token provided is incorrect",
            ArgumentName="continuation-token",
        ) from malformed

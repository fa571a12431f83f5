"""What a bucket's configuration says about access: ownership, ACL, public access block, payer. Read here, and written.

The names of the documents and their stored forms live here once; nothing here decides who may do what. A bucket that
has none of them behaves as AWS's buckets did before 2023: its ACL is private and whoever writes an object owns it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from gateway.index.records import BucketRecord, ObjectRecord
from s3compat import acl
from s3compat.acl import Grants
from s3compat.policy import Policy, is_public, parse_policy

ACL = "acl"
OWNERSHIP = "ownership"
PUBLIC_ACCESS_BLOCK = "public-access-block"
POLICY = "policy"
REQUEST_PAYMENT = "request-payment"


class Ownership(StrEnum):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html"""

    BUCKET_OWNER_ENFORCED = "BucketOwnerEnforced"
    BUCKET_OWNER_PREFERRED = "BucketOwnerPreferred"
    OBJECT_WRITER = "ObjectWriter"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicAccessBlock:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html"""

    block_public_acls: bool = False
    ignore_public_acls: bool = False
    block_public_policy: bool = False
    restrict_public_buckets: bool = False


NO_BLOCK = PublicAccessBlock()
WHOLE_BLOCK = PublicAccessBlock(
    block_public_acls=True, ignore_public_acls=True, block_public_policy=True, restrict_public_buckets=True
)
#: The stored form: a letter for each setting that is on, at most once.
_BLOCK_LETTERS: Mapping[str, str] = {
    "block_public_acls": "a",
    "ignore_public_acls": "i",
    "block_public_policy": "p",
    "restrict_public_buckets": "r",
}


def stated_ownership(bucket: BucketRecord) -> Ownership | None:
    """The ownership controls of a bucket, None where it has none."""
    stored = bucket.configs.get(OWNERSHIP)
    return None if stored is None else Ownership(stored.decode())


def ownership(bucket: BucketRecord) -> Ownership:
    """Who owns the objects of a bucket."""
    return stated_ownership(bucket) or Ownership.OBJECT_WRITER


def acls_disabled(bucket: BucketRecord) -> bool:
    """Whether the bucket's owner owns everything in it and no ACL counts."""
    return bucket.configs.get(OWNERSHIP) == b"BucketOwnerEnforced"


def bucket_acl(bucket: BucketRecord) -> Grants:
    """The ACL of a bucket, as far as it counts."""
    stored = b"" if acls_disabled(bucket) else bucket.configs.get(ACL, b"")
    return acl.decode_grants(stored.decode(), bucket.owner_id)


def object_owner(bucket: BucketRecord, record: ObjectRecord) -> str:
    """The canonical id of an object's owner."""
    return bucket.owner_id if acls_disabled(bucket) else record.owner_id


def object_acl(bucket: BucketRecord, record: ObjectRecord) -> Grants:
    """The ACL of an object, as far as it counts."""
    if acls_disabled(bucket):
        return acl.private(bucket.owner_id)
    return acl.decode_grants(record.acl, record.owner_id)


def stated_block(bucket: BucketRecord) -> PublicAccessBlock | None:
    """The public access block of a bucket, None where it has none."""
    stored = bucket.configs.get(PUBLIC_ACCESS_BLOCK)
    return None if stored is None else _decode_block(stored)


def public_access_block(bucket: BucketRecord) -> PublicAccessBlock:
    """What of public access is blocked."""
    return stated_block(bucket) or NO_BLOCK


def encode_block(block: PublicAccessBlock) -> bytes:
    """The stored form of a public access block."""
    return "".join(letter for name, letter in _BLOCK_LETTERS.items() if getattr(block, name)).encode()


@lru_cache(maxsize=32)
def _decode_block(stored: bytes) -> PublicAccessBlock:
    text = stored.decode()
    return PublicAccessBlock(**{name: letter in text for name, letter in _BLOCK_LETTERS.items()})


def requester_pays(bucket: BucketRecord) -> bool:
    """Whether requesters pay (which here costs nobody anything, but has to be said and is told)."""
    return bucket.configs.get(REQUEST_PAYMENT) == b"Requester"


def bucket_policy(bucket: BucketRecord) -> Policy | None:
    """The policy of a bucket, None where it has none."""
    stored = bucket.configs.get(POLICY)
    return None if stored is None else _parse_policy(stored, bucket.name)[0]


def policy_is_public(bucket: BucketRecord) -> bool:
    """Whether a bucket has a policy that is public."""
    stored = bucket.configs.get(POLICY)
    return stored is not None and _parse_policy(stored, bucket.name)[1]


@lru_cache(maxsize=256)
def _parse_policy(stored: bytes, bucket: str) -> tuple[Policy, bool]:
    policy = parse_policy(stored.decode(), bucket=bucket)
    return policy, is_public(policy)

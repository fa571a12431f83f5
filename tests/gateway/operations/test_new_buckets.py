"""gateway.operations.buckets: what a new bucket has of access, by its request and the settings."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.authorization import AccessCheck
from gateway.bucket_access import PUBLIC_ACCESS_BLOCK, WHOLE_BLOCK, encode_block, public_access_block
from gateway.context import Context
from gateway.operations.buckets import create_bucket
from gateway.operations.policies import put_bucket_policy
from gateway.refusals import Decider, Refused
from gateway.settings import GatewaySettings
from s3compat.errors import S3Error
from tests.gateway.access_making import NOW, OWNER, bucket_policy, bucket_with, sender_of


class MemoryIndex:
    """Takes what is created."""

    def __init__(self) -> None:
        self.configs: Mapping[str, bytes] = {}

    async def create_bucket(self, name: str, *_: Any, configs: Mapping[str, bytes], **__: Any) -> None:
        self.configs = configs


def context_of(settings: GatewaySettings, headers: Mapping[str, str] | None = None, **more: Any) -> Context:
    sender = sender_of(OWNER, b"/photos", headers=headers)
    services = SimpleNamespace(settings=settings, index=MemoryIndex())
    absent = cast(Any, None)
    return Context(
        **{
            "request": sender.request,
            "request_id": "",
            "now": NOW,
            "identity": OWNER,
            "payload": absent,
            "services": cast(Any, services),
            "bucket": None,
            "access": AccessCheck(sender),
        }
        | more
    )


async def configs_of_new(settings: GatewaySettings, headers: Mapping[str, str] | None = None) -> Mapping[str, bytes]:
    context = context_of(settings, headers)
    await create_bucket(context, {"Bucket": "photos"})
    return cast(MemoryIndex, context.index).configs


async def test_new_bucket_blocks_no_public_access_by_default() -> None:
    assert PUBLIC_ACCESS_BLOCK not in await configs_of_new(GatewaySettings())


async def test_setting_blocks_all_public_access_of_new_buckets() -> None:
    configs = await configs_of_new(GatewaySettings(block_public_access=True))
    assert public_access_block(bucket_with(**configs)) == WHOLE_BLOCK


@pytest.mark.parametrize(
    ("ownership", "acl", "code"),
    [
        ("ObjectWriter", "public-read", "InvalidBucketAclWithBlockPublicAccessError"),
        ("BucketOwnerEnforced", "public-read", "InvalidBucketAclWithObjectOwnership"),
        ("ObjectWriter", "private", ""),
        ("ObjectWriter", "log-delivery-write", ""),
    ],
)
async def test_blocked_bucket_is_not_made_public(ownership: str, acl: str, code: str) -> None:
    settings = GatewaySettings(block_public_access=True, object_ownership=ownership)
    if not code:
        await configs_of_new(settings, {"x-amz-acl": acl})
        return
    with pytest.raises(S3Error) as refused:
        await configs_of_new(settings, {"x-amz-acl": acl})
    assert refused.value.code == code


async def test_public_policy_of_a_blocked_bucket_is_refused_with_its_reason() -> None:
    bucket = bucket_with(**{PUBLIC_ACCESS_BLOCK: encode_block(WHOLE_BLOCK)})
    with pytest.raises(Refused) as refused:
        await put_bucket_policy(context_of(GatewaySettings(), bucket=bucket), {"Policy": bucket_policy({}).decode()})
    assert (refused.value.code, refused.value.reason.decider) == ("AccessDenied", Decider.PUBLIC_ACCESS_BLOCK)

"""The key ring: names, making on first use, rotation, and what the index learns of a key."""

import asyncio

import pytest

from gateway.encryption.keyring import CACHE_TTL_S, DEFAULT_KEY, KeyRingError, UnknownKmsKey, ring_name
from gateway.index.store import Index
from tests.gateway.encryption.rings import NOW_MS, Clock, make_ring


@pytest.mark.parametrize(
    ("key_id", "name"),
    [
        ("testkey-1", "testkey-1"),
        ("1234abcd-12ab-34cd-56ef-1234567890ab", "1234abcd-12ab-34cd-56ef-1234567890ab"),
        ("arn:aws:kms:us-east-1:111122223333:key/payroll", "payroll"),
        ("arn:aws-cn:kms:cn-north-1:111122223333:key/a/b", "a/b"),
        ("arn:aws:kms:us-east-1:111122223333:alias/payroll", "alias/payroll"),
        ("arn:aws:kms:::key/payroll", "payroll"),
        ("alias/payroll", "alias/payroll"),
        ("alias/aws/s3", DEFAULT_KEY),
        ("aws/s3", DEFAULT_KEY),
        ("arn:aws:kms:us-east-1:1:alias/aws/s3", DEFAULT_KEY),
    ],
)
def test_a_key_has_one_name_in_all_of_awss_forms(key_id: str, name: str) -> None:
    assert ring_name(key_id) == name


@pytest.mark.parametrize("key_id", ["", " ", "a b", "-a", "a\nb", "ü", "a" * 257, "a\0b", "arn:aws:kms:::key/"])
def test_what_cannot_be_a_name_is_unknown(key_id: str) -> None:
    with pytest.raises(UnknownKmsKey):
        ring_name(key_id)


async def test_a_key_is_made_when_it_is_first_named(index: Index) -> None:
    ring = make_ring(index)
    first = await ring.current("payroll")

    assert (first.name, first.version, len(first.key)) == ("payroll", 1, 32)
    assert (await ring.current("arn:aws:kms:r:a:key/payroll")).key == first.key
    (listed,) = await ring.list_all()
    assert listed.current.created_ms == NOW_MS


async def test_gateways_that_make_a_key_at_once_agree_on_it(index: Index) -> None:
    found = await asyncio.gather(*[make_ring(index).current("payroll") for _ in range(8)])
    assert len({one.key for one in found}) == 1


async def test_with_creation_off_only_the_default_key_is_made(index: Index) -> None:
    ring = make_ring(index, creates_keys=False)
    with pytest.raises(UnknownKmsKey, match="payroll"):
        await ring.current("payroll")
    assert await ring.list_all() == []
    assert (await ring.current(DEFAULT_KEY)).version == 1


async def test_a_rotated_key_wraps_anew_and_opens_what_it_wrapped(index: Index) -> None:
    ring = make_ring(index)
    await ring.create("payroll")
    first = await ring.current("payroll")
    await ring.rotate("payroll")
    second = await ring.current("payroll")

    assert (second.version, second.key != first.key) == (2, True)
    assert await ring.version("payroll", 1) == first
    assert await make_ring(index).version("payroll", 1) == first


async def test_another_gateway_writes_under_the_new_version_once_its_memory_has_aged(index: Index) -> None:
    clock = Clock()
    other = make_ring(index, clock=clock)
    await other.current("payroll")
    await make_ring(index).rotate("payroll")

    assert (await other.current("payroll")).version == 1
    clock.now_s += CACHE_TTL_S
    assert (await other.current("payroll")).version == 2


async def test_what_is_there_is_not_made_and_what_is_not_is_not_rotated(index: Index) -> None:
    ring = make_ring(index)
    await ring.create("payroll")
    with pytest.raises(KeyRingError, match="already"):
        await ring.create("payroll")
    with pytest.raises(UnknownKmsKey):
        await ring.rotate("other")
    with pytest.raises(UnknownKmsKey):
        await ring.version("payroll", 2)
    with pytest.raises(UnknownKmsKey):
        await ring.version("other", 1)


async def test_the_index_learns_no_key(index: Index) -> None:
    key = await make_ring(index).current("payroll")
    (stored,) = await index.list_kms_keys()
    assert key.key not in stored.current.sealed_key
    assert repr(key.key) not in repr(key)


async def test_another_master_key_opens_nothing(index: Index) -> None:
    await make_ring(index).create("payroll")
    with pytest.raises(KeyRingError, match="master key"):
        await make_ring(index, master_key=b"n" * 32).current("payroll")
    with pytest.raises(KeyRingError, match="master key"):
        await make_ring(index, master_key=b"").create("other")

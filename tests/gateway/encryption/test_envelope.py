"""Data keys of objects: opened by the key that wrapped them, in every mode, and by no other."""

import base64
import hashlib
from dataclasses import replace

import pytest

from gateway.encryption.envelope import (
    CustomerKeyMissing,
    CustomerKeyWrong,
    DataKeyUnreadable,
    Envelopes,
    ObjectKey,
)
from gateway.encryption.keyring import DEFAULT_KEY, KeyRing, UnknownKmsKey
from gateway.index.encryption_record import EncryptionMode
from gateway.index.store import Index
from s3compat.encryption import CustomerKey, Method, WantedEncryption
from tests.gateway.encryption.rings import MASTER_KEY, make_ring


def customer(key: bytes = b"c" * 32) -> CustomerKey:
    return CustomerKey(key=key, md5=base64.b64encode(hashlib.md5(key, usedforsecurity=False).digest()).decode())


SSE_S3 = WantedEncryption(method=Method.SSE_S3)
SSE_KMS = WantedEncryption(method=Method.SSE_KMS, kms_key_id="payroll", context="eyJhIjoiYiJ9", bucket_key=True)
SSE_C = WantedEncryption(method=Method.SSE_C, customer_key=customer())


@pytest.fixture
def ring(index: Index) -> KeyRing:
    return make_ring(index)


@pytest.fixture
def envelopes(ring: KeyRing) -> Envelopes:
    return Envelopes(MASTER_KEY, ring)


@pytest.mark.parametrize("wanted", [SSE_S3, SSE_KMS, SSE_C], ids=lambda wanted: wanted.method.value)
async def test_a_data_key_comes_back(envelopes: Envelopes, index: Index, wanted: WantedEncryption) -> None:
    made = await envelopes.make(wanted)
    again = await Envelopes(MASTER_KEY, make_ring(index)).open(made.encryption, wanted.customer_key)

    assert again == made
    assert len(made.data_key) == 32
    assert made.data_key not in made.encryption.wrapped_key
    assert repr(made.data_key) not in repr(made)


async def test_no_two_objects_share_a_data_key(envelopes: Envelopes) -> None:
    keys = {(await envelopes.make(SSE_S3)).data_key for _ in range(20)}
    assert len(keys) == 20


async def test_the_record_says_what_was_wanted(envelopes: Envelopes) -> None:
    made = (await envelopes.make(SSE_KMS)).encryption
    assert (made.mode, made.kms_key_id, made.kms_key_version) == (EncryptionMode.SSE_KMS, "payroll", 1)
    assert (made.context, made.bucket_key) == ("eyJhIjoiYiJ9", True)
    unnamed = (await envelopes.make(WantedEncryption(method=Method.SSE_KMS))).encryption
    assert unnamed.kms_key_id == DEFAULT_KEY


async def test_the_record_says_nothing_of_a_clients_key(envelopes: Envelopes) -> None:
    made = await envelopes.make(SSE_C)
    shown = repr(made.encryption)
    assert customer().md5 not in shown
    assert made.customer_md5 == customer().md5
    assert customer().key not in made.encryption.wrapped_key


async def test_a_wrong_and_a_missing_client_key_are_told_apart(envelopes: Envelopes) -> None:
    made = await envelopes.make(SSE_C)
    with pytest.raises(CustomerKeyWrong):
        await envelopes.open(made.encryption, customer(b"d" * 32))
    with pytest.raises(CustomerKeyMissing):
        await envelopes.open(made.encryption, None)


async def test_a_rotated_key_opens_what_its_older_versions_wrapped(envelopes: Envelopes, ring: KeyRing) -> None:
    before = await envelopes.make(SSE_KMS)
    await ring.rotate("payroll")
    after = await envelopes.make(SSE_KMS)

    assert (before.encryption.kms_key_version, after.encryption.kms_key_version) == (1, 2)
    assert await envelopes.open(before.encryption, None) == before
    assert await envelopes.open(after.encryption, None) == after


async def test_version_key_and_context_are_bound(envelopes: Envelopes, ring: KeyRing) -> None:
    made = await envelopes.make(SSE_KMS)
    await ring.rotate("payroll")
    await ring.create("other")

    async def refused(key: ObjectKey, **changed: object) -> None:
        with pytest.raises(DataKeyUnreadable):
            await envelopes.open(replace(key.encryption, **changed), None)  # type: ignore[arg-type]

    await refused(made, context="")
    await refused(made, kms_key_version=2)
    await refused(made, kms_key_id="other")
    await refused(made, mode=EncryptionMode.SSE_S3)
    await refused(made, block_format=2)


async def test_another_master_key_opens_nothing(envelopes: Envelopes, ring: KeyRing) -> None:
    made = await envelopes.make(SSE_S3)
    with pytest.raises(DataKeyUnreadable):
        await Envelopes(b"n" * 32, ring).open(made.encryption, None)


async def test_a_key_that_nobody_makes_is_unknown(index: Index) -> None:
    envelopes = Envelopes(MASTER_KEY, make_ring(index, creates_keys=False))
    with pytest.raises(UnknownKmsKey):
        await envelopes.make(SSE_KMS)

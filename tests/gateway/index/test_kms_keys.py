"""Keys of the key ring in the index: made once, changed only by whoever has read them as they are."""

import asyncio

import pytest

from gateway.index import keys
from gateway.index.connection import Connection
from gateway.index.errors import CorruptRecord, KmsKeyChanged, UnsupportedFormat
from gateway.index.kms_keys import KmsKeyRecord, KmsKeyVersion, decode_kms_key, encode_kms_key
from gateway.index.store import Index


def key(key_id: str, *versions: int, revision: int = 0) -> KmsKeyRecord:
    return KmsKeyRecord(
        key_id=key_id,
        versions=tuple(
            KmsKeyVersion(number=one, created_ms=1000 + one, sealed_key=b"\x00\xffsealed") for one in versions
        ),
        revision=revision,
    )


async def test_a_key_is_found_as_it_was_stored(index: Index) -> None:
    stored = await index.put_kms_key(key("ann", 1))

    assert stored.revision > 0
    assert await index.get_kms_key("ann") == stored
    assert await index.get_kms_key("bob") is None


async def test_a_rotated_key_keeps_its_versions(index: Index) -> None:
    first = await index.put_kms_key(key("ann", 1))
    second = await index.put_kms_key(key("ann", 1, 2, revision=first.revision))

    found = await index.get_kms_key("ann")
    assert found == second
    assert found is not None
    assert [one.number for one in found.versions] == [1, 2]
    assert found.current.number == 2


async def test_of_two_that_make_the_same_key_one_succeeds(index: Index) -> None:
    made = await asyncio.gather(
        index.put_kms_key(key("ann", 1)), index.put_kms_key(key("ann", 1)), return_exceptions=True
    )

    assert {type(one) for one in made} == {KmsKeyRecord, KmsKeyChanged}


async def test_a_change_from_an_old_reading_is_refused(index: Index) -> None:
    first = await index.put_kms_key(key("ann", 1))
    await index.put_kms_key(key("ann", 1, 2, revision=first.revision))

    with pytest.raises(KmsKeyChanged):
        await index.put_kms_key(key("ann", 1, 2, revision=first.revision))
    with pytest.raises(KmsKeyChanged):
        await index.put_kms_key(key("bob", 1, revision=first.revision))


async def test_keys_are_listed_by_id(index: Index) -> None:
    for name in ("b", "a", "c"):
        await index.put_kms_key(key(name, 1))

    assert [one.key_id for one in await index.list_kms_keys()] == ["a", "b", "c"]


async def test_each_change_leaves_an_entry_in_the_journal(index: Index, connection: Connection) -> None:
    before = await connection.command("XLEN", keys.journal_stream())
    await index.put_kms_key(key("ann", 1))

    assert await connection.command("XLEN", keys.journal_stream()) == before + 1
    assert keys.is_state(keys.kms_keys().encode())


def test_what_does_not_parse_is_corrupt_and_a_newer_format_refused() -> None:
    stored = bytes(8) + encode_kms_key(key("ann", 1))
    assert decode_kms_key(stored) == key("ann", 1)
    with pytest.raises(CorruptRecord):
        decode_kms_key(stored[:-1])
    with pytest.raises(UnsupportedFormat):
        decode_kms_key(bytes(8) + b"\x02" + stored[9:])

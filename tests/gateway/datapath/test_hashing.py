"""Hashing beside the loop: the digests are those of hashlib, whatever the blocks and however they mix."""

import asyncio
import hashlib
import random
import threading

import pytest

from gateway.datapath.hashing import INLINE_LIMIT_BYTES, MAXIMUM_BEHIND_BYTES, Block, BodyHasher


class SteppedHasher:
    """Joins what it is fed; each update of a large block waits for the test's permission."""

    def __init__(self) -> None:
        self.fed = bytearray()
        self.permits = threading.Semaphore(0)

    def update(self, block: Block, /) -> None:
        if len(block) >= INLINE_LIMIT_BYTES:
            assert self.permits.acquire(timeout=30)
        self.fed += block

    def digest(self) -> bytes:
        return bytes(self.fed)


SIZES = {
    "nothing": [],
    "an empty block": [0],
    "one byte at a time": [1] * 300,
    "small": [1, 100, INLINE_LIMIT_BYTES - 1],
    "exactly at the limit": [INLINE_LIMIT_BYTES],
    "large": [1 << 20] * 9,
    "mixed": [5, 1 << 18, 7, 3, 1 << 20, 0, 1, INLINE_LIMIT_BYTES, 12, 3 << 20, 9],
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
async def test_digests_equal_those_of_one_pass(sizes: list[int]) -> None:
    body = random.Random(7).randbytes(sum(sizes))
    hasher = BodyHasher({"MD5": hashlib.md5(), "SHA256": hashlib.sha256(), "CRC32": hashlib.sha1()})
    offset = 0
    for size in sizes:
        await hasher.update(body[offset : offset + size])
        offset += size
    assert await hasher.digests() == {
        "MD5": hashlib.md5(body).digest(),
        "SHA256": hashlib.sha256(body).digest(),
        "CRC32": hashlib.sha1(body).digest(),  # hashed as a fast one, for its name
    }


async def test_many_bodies_share_the_threads_and_none_is_mixed_up() -> None:
    async def digest(seed: int) -> tuple[bytes, bytes]:
        body = random.Random(seed).randbytes(6 << 20)
        hasher = BodyHasher({"SHA256": hashlib.sha256()})
        for offset in range(0, len(body), 300_000):
            await hasher.update(body[offset : offset + 300_000])
        return (await hasher.digests())["SHA256"], hashlib.sha256(body).digest()

    for computed, expected in await asyncio.gather(*map(digest, range(12))):
        assert computed == expected


async def test_the_sender_waits_only_when_a_lane_is_too_far_behind() -> None:
    slow = SteppedHasher()
    hasher = BodyHasher({"MD5": slow})
    block = bytes(MAXIMUM_BEHIND_BYTES // 2)
    for _ in range(2):
        await asyncio.wait_for(hasher.update(block), 5)  # nothing was hashed yet, and nobody waited
    behind = asyncio.create_task(hasher.update(block))
    done, _ = await asyncio.wait({behind}, timeout=0.05)
    assert not done
    for _ in range(2):
        slow.permits.release()
    await asyncio.wait_for(behind, 5)
    slow.permits.release()
    assert len((await hasher.digests())["MD5"]) == 3 * len(block)


async def test_a_small_block_behind_a_large_one_keeps_its_place() -> None:
    slow = SteppedHasher()
    hasher = BodyHasher({"SHA256": slow})
    await hasher.update(b"a" * INLINE_LIMIT_BYTES)
    await hasher.update(b"b")
    slow.permits.release()
    assert (await hasher.digests())["SHA256"] == b"a" * INLINE_LIMIT_BYTES + b"b"

"""Bits flipped in the files of a stopped node, and what is left to mend of them. No test lives here."""

import random
from collections.abc import Mapping
from pathlib import Path

from gateway.index.connection import connect
from gateway.placement.membership import Membership
from storagenode.client import NodeClient, NodeError
from tests.faults.cluster import FaultCluster
from tests.harness.accounting import Accounting, account, list_blobs
from tests.harness.cluster import CLUSTER_SECRET

#: What kinds of files a node has, and how many bits of each are flipped.
FLIPS = {
    "blobs/**/*": 2,
    "packs/*.pack": 8,
    "packs/*.index": 2,
    "journal/segments/*.log": 4,
    "journal/segments/*.seal": 2,
    "journal/manifests/*": 2,
    "journal/promise": 1,  # of its two copies: a node that lost both takes no part in the journal any more
}


def rot(directory: Path, source: random.Random) -> Mapping[str, int]:
    """Flip bits in every file of every kind; how many files of each kind there were."""
    found: dict[str, int] = {}
    for pattern, flips in FLIPS.items():
        files = sorted(path for path in directory.glob(pattern) if path.is_file())
        found[pattern] = len(files)
        for path in files:
            flip(path, flips, source)
    return found


def flip(path: Path, count: int, source: random.Random) -> None:
    """In bytes that mean something, as far as zeros do not."""
    content = bytearray(path.read_bytes())
    written = [at for at, byte in enumerate(content[:100_000]) if byte] if len(content) < 100_000 else None
    for _ in range(count):
        at = source.choice(written) if written else source.randrange(len(content))
        content[at] ^= 1 << source.randrange(8)
    with path.open("r+b") as file:
        file.write(content)


async def audit(cluster: FaultCluster) -> tuple[Accounting, list[str]]:
    """The books, and the copies of blobs that cannot be read whole. Raises NodeError, IndexUnavailable."""
    connection = connect("127.0.0.1", cluster.redis.port)
    try:
        async with NodeClient(CLUSTER_SECRET.encode()) as client:
            membership = Membership(connection, node_timeout_s=90.0)
            await membership.refresh()
            addresses = {node.node_id: node.address for node in membership.live_nodes()}
            books = await account(connection, client, addresses)
            broken = [
                f"{node_id} {found.blob_id}"
                for node_id, address in addresses.items()
                for found in await list_blobs(client, address)
                if not await is_whole(client, address, found.blob_id, found.size_bytes)
            ]
            return books, broken
    finally:
        await connection.close()


async def is_whole(client: NodeClient, address: str, blob: str, size_bytes: int) -> bool:
    """Whether a node gives all of a blob; it verifies what it reads."""
    try:
        async with client.get(address, blob, offset=0, length=size_bytes) as stream:
            return sum([len(chunk) async for chunk in stream]) == size_bytes
    except NodeError:
        return False

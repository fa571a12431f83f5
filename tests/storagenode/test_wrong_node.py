"""Requests that are meant for one node, where another one is at its address."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storagenode.client import NodeClient, NodeRefused, WrongNode, node_at
from tests.storagenode.support import NODE_ID, ORIGIN, SECRET, RunningNode, blob_id, running_node

END_MS = 1 << 47


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[RunningNode]:
    async with running_node(tmp_path) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[NodeClient]:
    async with NodeClient(SECRET) as client:
        yield client


async def every_call_to(client: NodeClient, address: str, node_id: str) -> list[BaseException | object]:
    """What becomes of each call that is meant for one node."""

    async def get() -> bytes:
        async with client.get(address, blob_id(), offset=0, length=4, node_id=node_id) as stream:
            return b"".join([chunk async for chunk in stream])

    calls = (
        lambda: client.put(address, blob_id(1), size_bytes=1, origin=ORIGIN, body=b"x", node_id=node_id),
        get,
        lambda: client.stat(address, blob_id(), node_id=node_id),
        lambda: client.stat(node_at(node_id, address), blob_id()),
        lambda: client.list(address, after="", before_ms=1, limit=1, node_id=node_id),
        lambda: client.damaged(address, after="", limit=1, node_id=node_id),
        lambda: client.journal.promise(node_at(node_id, address), 1),
        lambda: client.journal.put_manifest(node_at(node_id, address), "name", b"body"),
        lambda: client.quarantine(address, blob_id(), node_id=node_id),
        lambda: client.delete(address, blob_id(1), node_id=node_id),
    )
    return [(await asyncio.gather(call(), return_exceptions=True))[0] for call in calls]


async def test_nothing_is_asked_of_another_node_than_the_one_that_is_meant(node: RunningNode) -> None:
    async with NodeClient(SECRET) as client:
        await client.put(node.address, blob_id(), size_bytes=4, origin=ORIGIN, body=b"data")
        outcomes = await every_call_to(client, node.address, "f" * 16)
        assert [type(outcome) for outcome in outcomes] == [WrongNode] * len(outcomes)
        assert [info.blob_id for info in await client.list(node.address, after="", before_ms=END_MS, limit=9)] == [
            blob_id()
        ]
        assert (await client.journal.status(node.address)).promised_epoch == 0
        outcomes = await every_call_to(client, node.address, NODE_ID)
        assert not [outcome for outcome in outcomes if isinstance(outcome, BaseException)]


async def test_a_node_that_lost_its_directory_takes_nothing_in_the_name_of_its_old_id(
    tmp_path: Path, client: NodeClient, unused_tcp_port: int
) -> None:
    async with running_node(tmp_path / "a", port=unused_tcp_port) as node:
        await client.put(node.address, blob_id(), size_bytes=1, origin=ORIGIN, body=b"x", node_id=NODE_ID)
    async with running_node(tmp_path / "b", port=unused_tcp_port, node_id="f" * 16) as node:
        for number, error in enumerate([NodeRefused, WrongNode, WrongNode]):
            with pytest.raises(error):
                await client.put(node.address, blob_id(number), size_bytes=1, origin=ORIGIN, body=b"x", node_id=NODE_ID)
        assert not await client.list(node.address, after="", before_ms=END_MS, limit=9)
    async with running_node(tmp_path / "a", port=unused_tcp_port) as node:  # it comes back after all
        assert (await client.stat(node.address, blob_id(), node_id=NODE_ID)).size_bytes == 1

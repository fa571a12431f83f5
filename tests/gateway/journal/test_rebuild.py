"""What is looked at before an index is thrown away."""

import pytest

from gateway.index import keys
from gateway.journal.rebuild import Rebuilder, RebuildRefused
from gateway.settings import GatewaySettings
from tests.gateway.fsck.checking import Checking, sound_cluster
from tests.gateway.journal.rebuilding import Rebuilding, other_server, rebuilding, server

__all__ = ["other_server", "rebuilding", "server"]


def rebuilder(rebuilding: Rebuilding) -> Rebuilder:
    return Rebuilder(
        rebuilding.connection, rebuilding.membership, rebuilding.nodes.client(), settings=GatewaySettings()
    )


async def refused(checking: Checking) -> str:
    """Why a rebuild is refused."""
    with pytest.raises(RebuildRefused) as error:
        await rebuilder(checking.rebuilding).plan()
    return str(error.value)


async def trim(checking: Checking) -> None:
    for node in checking.rebuilding.nodes.nodes.values():
        del node.segments[checking.headers[0].segment_id]


async def lose_chunks(checking: Checking, snapshot: int) -> None:
    manifest = (await checking.manifests())[snapshot]
    for node in checking.rebuilding.nodes.nodes.values():
        node.blobs.pop(manifest.blob_id(0), None)


async def test_rebuild_begins_with_the_newest_snapshot(rebuilding: Rebuilding) -> None:
    async with sound_cluster(rebuilding) as checking:
        plan = await rebuilder(rebuilding).plan()
        assert plan is not None
        assert plan.snapshot == (await checking.manifests())[0]
        assert plan.entries == 5


async def test_rebuild_passes_over_a_snapshot_that_lost_a_chunk(rebuilding: Rebuilding) -> None:
    async with sound_cluster(rebuilding) as checking:
        await lose_chunks(checking, 0)
        plan = await rebuilder(rebuilding).plan()
        assert plan is not None
        assert plan.snapshot == (await checking.manifests())[1]


async def test_rebuild_needs_no_snapshot_where_the_journal_is_whole(rebuilding: Rebuilding) -> None:
    async with sound_cluster(rebuilding) as checking:
        await lose_chunks(checking, 0)
        await lose_chunks(checking, 1)
        plan = await rebuilder(rebuilding).plan()
        assert plan is not None
        assert plan.snapshot is None
        assert plan.entries == plan.watermark


async def test_rebuild_is_refused_where_neither_snapshot_nor_journal_leads_to_the_index(
    rebuilding: Rebuilding,
) -> None:
    async with sound_cluster(rebuilding) as checking:
        await trim(checking)
        await lose_chunks(checking, 0)
        await lose_chunks(checking, 1)
        assert "no snapshot leads there" in await refused(checking)
        assert await rebuilding.connection.command("EXISTS", keys.bucket("photos"))


async def test_rebuild_is_refused_where_too_few_nodes_have_the_journal(rebuilding: Rebuilding) -> None:
    async with sound_cluster(rebuilding) as checking:
        for name in ("a", "b"):
            del rebuilding.nodes.nodes[name].segments[checking.headers[1].segment_id]
        assert "too few nodes" in await refused(checking)


async def test_there_is_no_plan_for_an_index_that_is_not_open(rebuilding: Rebuilding) -> None:
    async with sound_cluster(rebuilding):
        await rebuilding.connection.command("HDEL", keys.journal(), "opened")
        assert await rebuilder(rebuilding).plan() is None

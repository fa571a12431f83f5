"""When a worker's pass takes no snapshot though it was asked to look."""

import pytest

from gateway.journal.snapshot_writer import SnapshotFailed
from gateway.placement.membership import Membership
from tests.gateway.index.making import make_bucket, put
from tests.gateway.journal.rebuilding import Rebuilding, keeper, other_server, rebuilding, server

__all__ = ["other_server", "rebuilding", "server"]


async def test_idle_cluster_takes_no_second_snapshot(rebuilding: Rebuilding) -> None:
    """Neither the segment that is ended behind the first, nor how far the journal is durable, is a change."""
    await make_bucket(rebuilding.index)
    worker = keeper(rebuilding, entries=1, interval_s=0.0)
    assert (await worker.run_once()).taken is not None
    assert await rebuilding.feed.set_segment(old_epoch=0, epoch=1 << 32, segment=b"")
    assert await rebuilding.feed.advance(epoch=1 << 32, watermark=1)
    for _ in range(3):
        done = await worker.run_once()
        assert (done.taken, done.removed) == (None, [])
    await put(rebuilding.index, "k")
    assert (await worker.run_once()).taken is not None


async def test_attempt_that_failed_is_not_repeated_at_each_pass(
    rebuilding: Rebuilding, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_bucket(rebuilding.index)
    for name in ("b", "c"):
        rebuilding.nodes.nodes[name].down = True  # which the node table does not know yet
    began_ms = rebuilding.membership.now_ms()
    passed_s = 0.0
    monkeypatch.setattr(Membership, "now_ms", lambda _: began_ms + int(1000 * passed_s))
    worker, attempts = keeper(rebuilding), []
    for second in range(100):
        passed_s = float(second)
        try:
            assert (await worker.run_once()).taken is None
        except SnapshotFailed:
            attempts.append(second)
    assert attempts == [0, 10, 30, 70]
    for name in ("b", "c"):
        rebuilding.nodes.nodes[name].down = False
    passed_s = 151.0
    assert (await worker.run_once()).taken is not None

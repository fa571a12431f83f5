"""Damage met by requests becomes repairs: with its owner, once, bounded, and without troubling the request."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator

import pytest

from gateway.datapath import Origin
from gateway.datapath.damage import Damage, DamageKind
from gateway.datapath.origin import pack_origin
from gateway.datapath.repair_reports import RepairReporter
from gateway.index.errors import IndexUnavailable
from gateway.index.repair_records import RepairReason, RepairReport
from gateway.index.store import Index
from storagenode.protocol import blob_id
from tests.gateway.datapath.cluster import Cluster, Processes, open_cluster, running_processes

WRITE_ID = "01" * 16
ORIGIN = Origin(bucket="b", key="k", upload_id="u", part_number=3)


class FakeIndex(Index):
    """Takes reports, or fails as often as it is told."""

    def __init__(self, *, failures: int = 0) -> None:
        self.failures = failures
        self.reports: list[RepairReport] = []
        self.calls = 0

    async def queue_repairs(self, reports: Iterable[RepairReport]) -> int:
        self.calls += 1
        if self.failures:
            self.failures -= 1
            raise IndexUnavailable("away", maybe_applied=False)
        found = list(reports)
        self.reports += found
        return len(found)


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with running_processes(tmp_path_factory.mktemp("two"), nodes=2) as processes:
        yield processes


@pytest.fixture
async def cluster(two_nodes: Processes) -> AsyncIterator[Cluster]:
    async with open_cluster(two_nodes, replicas=2) as cluster:
        yield cluster


@contextlib.asynccontextmanager
async def reporting(cluster: Cluster, index: FakeIndex, **settings: float) -> AsyncIterator[RepairReporter]:
    async with RepairReporter(
        index, cluster.client, cluster.membership, gather_s=0.01, most_waiting=int(settings.get("most_waiting", 100))
    ) as reporter:
        yield reporter


def too_few(number: int, *, nodes: tuple[str, ...] = ()) -> Damage:
    return Damage(
        blob_id=blob_id(WRITE_ID, number),
        kind=DamageKind.TOO_FEW,
        nodes=nodes,
        origin=pack_origin(ORIGIN, write_id=WRITE_ID, size_bytes=9),
        size_bytes=9,
    )


async def test_a_write_of_too_few_copies_is_reported_with_its_owner_and_left_alone_until_it_is_committed(
    cluster: Cluster,
) -> None:
    index = FakeIndex()
    async with reporting(cluster, index) as reporter:
        reporter(too_few(7, nodes=(cluster.nodes[0].node_id,)))
        await reporter.idle()
    (report,) = index.reports
    assert (report.segment.write_id, report.segment.number, report.origin) == (WRITE_ID, 7, ORIGIN)
    assert (report.reasons, report.copies_left, report.size_bytes) == (RepairReason.TOO_FEW, 1, 9)
    assert report.delay_ms > 0


@pytest.mark.parametrize(
    ("kind", "reason"), [(DamageKind.MISSING, RepairReason.MISSING), (DamageKind.CORRUPT, RepairReason.CORRUPT)]
)
async def test_another_copy_tells_whose_blob_it_is_that_a_read_missed(
    cluster: Cluster, kind: DamageKind, reason: RepairReason
) -> None:
    extent = await cluster.write(b"body", origin=ORIGIN)
    first, second = extent.segments[0].nodes
    name = blob_id(extent.write_id, 0)
    index = FakeIndex()
    async with reporting(cluster, index) as reporter:
        reporter(Damage(blob_id=name, kind=kind, node_id=first, nodes=(first, second)))
        await reporter.idle()
    (report,) = index.reports
    assert (report.origin, report.reasons, report.size_bytes, report.delay_ms) == (ORIGIN, reason, 4, 0)
    assert (report.copies_left, int(report.repair_class)) == (1, 1)


async def test_a_read_that_misses_a_copy_reports_it(cluster: Cluster) -> None:
    extent = await cluster.write(b"body", origin=ORIGIN)
    for node_id in extent.segments[0].nodes[:1]:
        await cluster.client.delete(cluster.node(node_id).address, blob_id(extent.write_id, 0))
    async with asyncio.timeout(20):
        while not cluster.damages:  # it reads from either
            assert await cluster.read(extent) == b"body"
    index = FakeIndex()
    async with reporting(cluster, index) as reporter:
        reporter(cluster.damages[0])
        await reporter.idle()
    assert [report.origin for report in index.reports] == [ORIGIN]


async def test_a_blob_of_which_no_copy_answers_is_left_to_the_audit(cluster: Cluster) -> None:
    index = FakeIndex()
    async with reporting(cluster, index) as reporter:
        reporter(Damage(blob_id=blob_id(WRITE_ID, 0), kind=DamageKind.MISSING, node_id="n1", nodes=("n1", "n2")))
        reporter(too_few(1))
        await reporter.idle()
    assert [report.segment.number for report in index.reports] == [1]


async def test_the_same_damage_is_reported_once_while_it_waits(cluster: Cluster) -> None:
    index = FakeIndex()
    async with reporting(cluster, index) as reporter:
        for _ in range(50):
            reporter(too_few(1))
        await reporter.idle()
    assert (len(index.reports), index.calls) == (1, 1)


async def test_more_than_can_wait_is_let_go(cluster: Cluster) -> None:
    index = FakeIndex()
    async with reporting(cluster, index, most_waiting=10) as reporter:
        for number in range(100):
            reporter(too_few(number))
        await reporter.idle()
        assert len(index.reports) == 10
        reporter(too_few(50))
        await reporter.idle()
    assert len(index.reports) == 11


async def test_what_the_index_does_not_take_now_is_told_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.datapath.repair_reports.AWAY_DELAY_S", 0.01)
    index = FakeIndex(failures=2)
    async with reporting(cluster, index) as reporter:
        reporter(too_few(1))
        reporter(too_few(2))
        await reporter.idle()
    assert sorted(report.segment.number for report in index.reports) == [1, 2]


async def test_an_end_in_the_middle_leaves_no_task_behind(cluster: Cluster) -> None:
    index = FakeIndex(failures=1000)
    async with reporting(cluster, index) as reporter:
        reporter(too_few(1))
        await asyncio.sleep(0.05)
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert "repair reports" not in names

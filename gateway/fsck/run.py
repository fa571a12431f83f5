"""`cairn fsck` as a whole: the three comparisons one after the other, then repair where it was asked for."""

from collections.abc import Callable

from gateway.fsck.consistency_check import check_consistency
from gateway.fsck.findings import Report
from gateway.fsck.index_check import Rebuilt, check_index
from gateway.fsck.journal_check import check_journal
from gateway.fsck.node_check import check_nodes
from gateway.fsck.scratch import scratch_server
from gateway.fsck.surroundings import Surroundings


async def check_all(
    around: Surroundings, report: Report, *, grace_ms: int, say: Callable[[str], None] = lambda _: None
) -> None:
    """Compare journal, index and nodes; `say` is told what is being done.

    Raises IndexUnavailable, IndexFault, CorruptRecord, StartRefused (no scratch server on this platform), OSError.
    """
    await around.membership.refresh()
    say("comparing the copies of the journal and of its snapshots")
    chain = await check_journal(around, report)
    say("comparing the index with the journal")
    async with scratch_server() as scratch:
        rebuilt = Rebuilt(around, scratch)
        if chain and await check_index(around, rebuilt, chain, report):
            say("comparing the index with itself")
            await check_consistency(scratch, report)
    say("comparing the nodes with the index")
    await check_nodes(around, report, grace_ms=grace_ms)

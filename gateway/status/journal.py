"""How the journal stands: the index's books beside what the nodes say of themselves."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.index.journal_feed import JournalState
from gateway.journal.catalogue import manifests_by_node
from gateway.journal.snapshot_format import Manifest, SnapshotState, newest
from gateway.placement.membership import Node
from gateway.status.report import JournalReport, SnapshotReport
from storagenode.client import NodeClient, NodeError
from storagenode.journal_protocol import JournalStatus, SegmentHeader, unpack_header

JOURNAL_TIMEOUT_S = 5.0
SNAPSHOTS_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalAnswers:
    """What one node says."""

    status: JournalStatus
    manifests: Mapping[str, Manifest]


async def ask_journal(client: NodeClient, nodes: Sequence[Node], addresses: Iterable[str]) -> dict[str, JournalAnswers]:
    """The answers by address; nodes that do not answer are left out."""
    asked = list(dict.fromkeys([*(node.address for node in nodes), *addresses]))
    answers = await asyncio.gather(*(_ask(client, address) for address in asked))
    return {address: answer for address, answer in zip(asked, answers, strict=True) if answer is not None}


async def _ask(client: NodeClient, address: str) -> JournalAnswers | None:
    try:
        async with asyncio.timeout(JOURNAL_TIMEOUT_S):
            status = await client.journal.status(address)
            manifests = await manifests_by_node(client, {"": address})
    except (TimeoutError, NodeError):
        return None
    return JournalAnswers(status=status, manifests=manifests.get("", {}))


def journal_report(state: JournalState, answers: Mapping[str, JournalAnswers], *, now_ms: int) -> JournalReport:
    """`answers` by node id."""
    header = _header(state)
    sequence = state.sequence
    return JournalReport(
        is_open=bool(state.opened) and state.opened == state.identity and sequence is not None,
        sequence=sequence,
        watermark=state.watermark,
        lag=max(0, (sequence or 0) - state.watermark),
        epoch=state.epoch,
        segment_id=header.segment_id if header else "",
        segment_nodes=header.nodes if header else (),
        nodes_missing=tuple([node_id for node_id in header.nodes if node_id not in answers]) if header else (),
        quorum=header.quorum if header else 0,
        damaged_segments=tuple(
            f"{segment.header.segment_id}@{node_id}"
            for node_id, answer in sorted(answers.items())
            for segment in answer.status.segments
            if segment.damaged
        ),
        snapshots=_snapshots(answers, now_ms),
    )


def _header(state: JournalState) -> SegmentHeader | None:
    if not state.segment:
        return None
    try:
        return unpack_header(state.segment)
    except ValueError:  # of a newer release
        return None


def _snapshots(answers: Mapping[str, JournalAnswers], now_ms: int) -> tuple[SnapshotReport, ...]:
    found = newest(manifest for answer in answers.values() for manifest in answer.manifests.values())
    complete = [manifest for manifest in found.values() if manifest.state is SnapshotState.COMPLETE]
    return tuple(
        SnapshotReport(
            snapshot_id=manifest.snapshot_id,
            age_s=max(0.0, (now_ms - manifest.created_ms) / 1000),
            sequence=manifest.start_sequence,
            size_bytes=manifest.size_bytes,
            manifests=sum(manifest.snapshot_id in answer.manifests for answer in answers.values()),
        )
        for manifest in sorted(complete, key=lambda one: one.snapshot_id, reverse=True)[:SNAPSHOTS_SHOWN]
    )

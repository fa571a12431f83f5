"""Giving back the journal's segments that two snapshots have made superfluous.

Which segments are the chain is certain of its open end alone, as the index names it: that one was agreed on before it
was used. Before each segment of the chain comes the one whose seal names it; ids hold an epoch that is never used
twice, so one copy of that seal is enough. The chain is needed back to the segment that holds the change after
`kept_after`. Every other segment of a lower epoch than the open one either lies wholly behind, or was proposed and
never agreed on.
"""

import asyncio
from collections.abc import Iterable, Mapping

import structlog

from storagenode.client import NodeClient, NodeError, node_at
from storagenode.journal_protocol import JournalStatus, SegmentHeader, unpack_header

_log = structlog.get_logger(__name__)


async def trim_journal(client: NodeClient, nodes: Mapping[str, str], *, open_segment: bytes, kept_after: int) -> int:
    """Drop what no replay after change `kept_after` needs; how many copies of segments went.

    The caller vouches for two sound snapshots, the older of which begins at `kept_after`. `open_segment` is the packed
    header that the index holds. A node that does not answer keeps what it has until a later pass.
    """
    if not open_segment:
        return 0
    last = unpack_header(open_segment)
    answers = await asyncio.gather(*(_status(client, node_id, address) for node_id, address in nodes.items()))
    statuses = {node_id: answer for node_id, answer in zip(nodes, answers, strict=True) if answer is not None}
    needed = needed_segments(last, statuses.values(), kept_after=kept_after)
    if needed is None:
        return 0
    dropped = 0
    for node_id, status in statuses.items():
        # Oldest first: what is left of a chain has no hole.
        for segment in status.segments:
            header = segment.header
            if header.epoch < last.epoch and header.segment_id not in needed:
                dropped += await _drop(client, node_id, nodes[node_id], header.segment_id)
    if dropped:
        _log.info("journal trimmed", copies=dropped, kept_after=kept_after)
    return dropped


def needed_segments(last: SegmentHeader, statuses: Iterable[JournalStatus], *, kept_after: int) -> set[str] | None:
    """The segments from the open one back to the one that holds the change after `kept_after`.

    None when the chain cannot be followed that far: then nothing may go.
    """
    before = {
        segment.seal.next.segment_id: segment.header
        for status in statuses
        for segment in status.segments
        if segment.seal is not None
    }
    needed = {last.segment_id}
    segment: SegmentHeader | None = last
    while segment is not None and segment.first_sequence > kept_after + 1:
        segment = before.get(segment.segment_id)
        if segment is not None:
            needed.add(segment.segment_id)
    return None if segment is None else needed


async def _status(client: NodeClient, node_id: str, address: str) -> JournalStatus | None:
    try:
        return await client.journal.status(node_at(node_id, address))
    except NodeError as error:
        _log.warning("node not asked for its journal", node=node_id, error=str(error))
        return None


async def _drop(client: NodeClient, node_id: str, address: str, segment_id: str) -> bool:
    try:
        return await client.journal.drop(node_at(node_id, address), segment_id)
    except NodeError as error:
        _log.warning("segment not dropped", node=node_id, segment=segment_id, error=str(error))
        return False

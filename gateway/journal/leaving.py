"""What of the index would go with a node that leaves the cluster: its part of the journal and of the snapshots."""

import asyncio
from collections.abc import Mapping

from gateway.journal.catalogue import manifests_by_node
from gateway.journal.snapshot import SNAPSHOTS_KEPT
from gateway.journal.snapshot_format import Manifest, SnapshotState, newest
from gateway.placement.membership import Membership, Node
from storagenode.client import NodeClient, NodeError, node_at
from storagenode.journal_protocol import SegmentStatus


async def why_index_needs(
    client: NodeClient, membership: Membership, node: Node, *, only_copies: bool = False
) -> str | None:
    """Why a node cannot leave yet, in one sentence; `only_copies`: as long as what it has is elsewhere, it can.

    Of a node that does not answer only the snapshots are known.
    """
    others = {one.node_id: one.address for one in membership.live_nodes() if one.node_id != node.node_id}
    by_node = await manifests_by_node(client, others)
    manifests = newest(manifest for found in by_node.values() for manifest in found.values())
    complete = [one for one in manifests.values() if one.state is SnapshotState.COMPLETE]
    for manifest in complete[:SNAPSHOTS_KEPT]:
        if not only_copies and any(node.node_id in chunk.nodes for chunk in manifest.chunks):
            return (
                f"snapshots of the index lie on {node.node_id}: the cairn worker takes others, two in all, within the "
                "next rounds of CAIRN_RECLAIM_INTERVAL_S"
            )
        if await _is_only_copy(client, node, manifest, others):
            return f"a part of snapshot {manifest.snapshot_id} of the index is on {node.node_id} alone"
    return await _why_journal_needs(client, node, others, only_copies=only_copies)


async def _is_only_copy(client: NodeClient, node: Node, manifest: Manifest, others: Mapping[str, str]) -> bool:
    """Whether some chunk that was put on the node is on no other one that answers."""
    for number, chunk in enumerate(manifest.chunks):
        if node.node_id not in chunk.nodes:
            continue
        for node_id in chunk.nodes:
            if node_id not in others:
                continue
            try:
                info = await client.stat(others[node_id], manifest.blob_id(number), node_id=node_id)
            except NodeError:
                continue
            if info.digest == chunk.digest:
                break
        else:
            return True
    return False


async def _why_journal_needs(
    client: NodeClient, node: Node, others: Mapping[str, str], *, only_copies: bool
) -> str | None:
    answers = await asyncio.gather(*(_segments(client, *other) for other in others.items()))
    elsewhere = [segment for segments in answers for segment in segments]
    mine = await _segments(client, node.node_id, node.address) if node.live else ()
    last = max((one for one in (*elsewhere, *mine) if one.seal is None), key=_epoch, default=None)
    if not only_copies and last is not None and node.node_id in last.header.nodes:
        return (
            f"the journal is still written to {node.node_id}: it goes on elsewhere as soon as other nodes can take it"
        )
    reach: dict[str, int] = {}
    for segment in elsewhere:
        name = segment.header.segment_id
        reach[name] = max(reach.get(name, 0), segment.last_sequence)
    for segment in mine:
        needed = segment.last_sequence if segment.seal is None else segment.seal.end_sequence
        end = min(segment.last_sequence, needed)
        if end >= segment.header.first_sequence and reach.get(segment.header.segment_id, 0) < end:
            return (
                f"entries of the journal (segment {segment.header.segment_id}) are on {node.node_id} alone: the cairn "
                "worker gives them up behind two snapshots"
            )
    return None


async def _segments(client: NodeClient, node_id: str, address: str) -> tuple[SegmentStatus, ...]:
    try:
        return (await client.journal.status(node_at(node_id, address))).segments
    except NodeError:
        return ()


def _epoch(segment: SegmentStatus) -> int:
    return segment.header.epoch

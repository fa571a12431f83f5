"""The journal and the snapshots as the nodes hold them: is everything there, and everywhere alike?"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

import xxhash

from gateway.fsck.findings import Finding, FindingKind, Report
from gateway.fsck.surroundings import Surroundings
from gateway.journal.catalogue import manifests_by_node
from gateway.journal.chain import Link, Statuses, chain_up_to, views_of
from gateway.journal.history import History
from gateway.journal.restore import ChunkLost, read_chunk
from gateway.journal.snapshot_format import Manifest, SnapshotState, newest
from storagenode.client import NodeError
from storagenode.journal_protocol import JournalStatus, SegmentHeader, unpack_header

READ_BYTES = 1024 * 1024

_CHUNKS_AT_ONCE = 4


async def check_journal(around: Surroundings, report: Report) -> Sequence[Link]:
    """Compare the copies of every entry from the oldest kept snapshot to the watermark; the chain as it was found.

    Raises IndexUnavailable, IndexFault.
    """
    state = await around.feed.read_state()
    manifests = await check_snapshots(around, report)
    complete = [one for one in manifests.values() if one.state is SnapshotState.COMPLETE]
    kept_after = min([one.start_sequence for one in complete], default=0)
    if not state.segment:
        report.add(Finding(kind=FindingKind.NOT_CHECKED, text="the index names no open segment of a journal"))
        return ()
    statuses = await _statuses(around, report)
    chain = chain_up_to(views_of(statuses), unpack_header(state.segment), state.watermark)
    begins = chain[0].header.first_sequence
    if begins > kept_after + 1:
        text = f"the journal begins with entry {begins}, entries {kept_after + 1} to {begins - 1} are on no node"
        report.add(Finding(kind=FindingKind.JOURNAL_GAP, text=text))
    for number, link in enumerate(chain):
        following = chain[number + 1].header.first_sequence if number + 1 < len(chain) else state.watermark + 1
        # What two segments share is vouched for by the second one alone.
        last = min(link.end_sequence, following - 1)
        await _check_segment(
            around, link.header, statuses, max(kept_after, link.header.first_sequence - 1), last, report
        )
    return chain


async def _statuses(around: Surroundings, report: Report) -> Statuses:
    found: dict[str, JournalStatus] = {}
    for node in around.membership.expected_nodes():
        try:
            if not node.live:
                raise NodeError("no heartbeat")
            found[node.node_id] = await around.client.journal.status(node.address)
        except NodeError as error:
            text = f"node {node.node_id} does not answer, nothing of it is checked: {error}"
            report.add(Finding(kind=FindingKind.NOT_CHECKED, text=text, node_id=node.node_id))
    return found


async def _check_segment(
    around: Surroundings, header: SegmentHeader, statuses: Statuses, after: int, last: int, report: Report
) -> None:
    """Entries `after` + 1 to `last`, on every node of the segment that answers."""
    readers: dict[str, AsyncGenerator[tuple[int, bytes], None]] = {}
    name = header.segment_id
    for node_id in header.nodes:
        held = {one.header.segment_id: one for one in statuses[node_id].segments} if node_id in statuses else None
        if held is None:
            continue
        if name not in held or held[name].damaged:
            what = "is damaged" if name in held else "is missing"
            text = f"journal segment {name} {what} on node {node_id}"
            report.add(Finding(kind=FindingKind.JOURNAL_DAMAGED, text=text, node_id=node_id))
        if name in held:
            readers[node_id] = _entries(around, around.addresses[node_id], name, after, last)
    comparison = _Comparison(header, report)
    current = {node_id: await anext(reader, None) for node_id, reader in readers.items()}
    for sequence in range(after + 1, last + 1):
        copies = {node_id: entry[1] for node_id, entry in current.items() if entry and entry[0] == sequence}
        comparison.compare(sequence, copies)
        for node_id in copies:
            current[node_id] = await anext(readers[node_id], None)
    comparison.end()
    for reader in readers.values():
        await reader.aclose()


async def _entries(
    around: Surroundings, address: str, segment_id: str, after: int, last: int
) -> AsyncGenerator[tuple[int, bytes], None]:
    """A node's entries up to `last`; it ends early where the node fails, as if the rest were missing."""
    while after < last:
        try:
            page = await around.client.journal.read(address, segment_id, after=after, limit_bytes=READ_BYTES)
        except NodeError:
            return
        if not page:
            return
        for entry in page:
            yield entry
        after = page[-1][0]


class _Comparison:
    """Of the copies of a segment's entries; runs of entries with the same fault become one finding."""

    def __init__(self, header: SegmentHeader, report: Report) -> None:
        self._header = header
        self._report = report
        self._fault: tuple[FindingKind, str] | None = None
        self._first = self._last = 0

    def compare(self, sequence: int, copies: Mapping[str, bytes]) -> None:
        """The copies of one entry, by node id."""
        self._report.looked_at["journal entries"] += 1
        fault = None
        if not copies:
            fault = FindingKind.JOURNAL_GAP, "are on no node"
        elif len(set(copies.values())) > 1:
            fault = FindingKind.JOURNAL_ENTRIES_DIFFER, f"differ between nodes {', '.join(sorted(copies))}"
        elif len(copies) < self._header.quorum:
            held = ", ".join(sorted(copies))
            fault = FindingKind.JOURNAL_ENTRY_SHORT, f"are on {held} only, {self._header.quorum} nodes are a quorum"
        if fault != self._fault:
            self.end()
            self._fault, self._first = fault, sequence
        self._last = sequence

    def end(self) -> None:
        """No entry follows."""
        if self._fault is not None:
            kind, text = self._fault
            which = f"entries {self._first} to {self._last} of journal segment {self._header.segment_id}"
            self._report.add(Finding(kind=kind, text=f"{which} {text}"))
        self._fault = None


async def check_snapshots(around: Surroundings, report: Report) -> dict[str, Manifest]:
    """Read every chunk of every complete snapshot from every node that holds it; the manifests, newest first."""
    by_node = await manifests_by_node(around.client, around.addresses)
    manifests = newest(manifest for found in by_node.values() for manifest in found.values())
    for manifest in manifests.values():
        if manifest.state is not SnapshotState.COMPLETE:
            continue
        for node_id, found in by_node.items():
            if found.get(manifest.snapshot_id) != manifest:
                text = f"node {node_id} lacks the manifest of snapshot {manifest.snapshot_id}"
                report.add(Finding(kind=FindingKind.SNAPSHOT_MANIFEST, text=text, node_id=node_id))
        turn = asyncio.Semaphore(_CHUNKS_AT_ONCE)
        numbers = range(len(manifest.chunks))
        await asyncio.gather(*(_check_chunk(around, manifest, number, turn, report) for number in numbers))
    return manifests


async def _check_chunk(
    around: Surroundings, manifest: Manifest, number: int, turn: asyncio.Semaphore, report: Report
) -> None:
    chunk, name = manifest.chunks[number], manifest.blob_id(number)
    good = 0
    for node_id in chunk.nodes:
        address = around.addresses.get(node_id)
        if address is None:
            continue
        report.looked_at["snapshot chunks"] += 1
        hasher = xxhash.xxh3_128()
        reason = "other bytes"
        try:
            async with turn, around.client.get(address, name, offset=0, length=chunk.size_bytes) as stream:
                async for piece in stream:
                    hasher.update(piece)
        except NodeError as error:
            reason = str(error)
        if hasher.digest() == chunk.digest:
            good += 1
            continue
        text = f"chunk {name} of a snapshot is bad on node {node_id}: {reason}"
        report.add(Finding(kind=FindingKind.SNAPSHOT_CHUNK, text=text, node_id=node_id, blob_id=name))
    if not good and not await _is_elsewhere(around, manifest, number):
        report.add(
            Finding(kind=FindingKind.SNAPSHOT_LOST, text=f"chunk {name} of a snapshot is on no node that answers")
        )


async def _is_elsewhere(around: Surroundings, manifest: Manifest, number: int) -> bool:
    try:
        await read_chunk(manifest, number, around.client, around.addresses)
    except ChunkLost:
        return False
    return True


async def journal_entries(
    around: Surroundings, chain: Sequence[Link], after: int, last: int
) -> AsyncGenerator[list[tuple[int, bytes]], None]:
    """Pages of the entries `after` + 1 to `last`, from whichever node has them. Raises JournalBlocked."""
    if last <= after:
        return
    ends = [*chain[:-1], Link(header=chain[-1].header, end_sequence=last)]
    async for page in History(around.client.journal, around.addresses, ends).read(after):
        if wanted := [entry for entry in page if entry[0] <= last]:
            yield wanted

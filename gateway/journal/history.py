"""Reading the journal back from the nodes: entries in order, across segments, each from whichever node has it."""

from collections.abc import AsyncIterator, Mapping, Sequence

from gateway.journal.chain import Link
from gateway.journal.failures import JournalBlocked
from gateway.journal.nodes import JournalNodes
from storagenode.client import NodeError
from storagenode.journal_protocol import SegmentHeader

READ_BYTES = 2 * 1024 * 1024


class History:
    """The entries of a chain of segments, oldest first, as `chain.chain_up_to` gives it."""

    def __init__(self, nodes: JournalNodes, addresses: Mapping[str, str], chain: Sequence[Link]) -> None:
        """`addresses` by node id, of the nodes that answer."""
        self._nodes = nodes
        self._addresses = addresses
        self._chain = chain

    @property
    def begins_after(self) -> int:
        """Entries above it are there; those up to it were trimmed."""
        return self._chain[0].header.first_sequence - 1

    async def read(self, after: int) -> AsyncIterator[list[tuple[int, bytes]]]:
        """All entries above `after`, without a gap, in pages. Raises JournalBlocked where no node has the next one."""
        end = self._chain[-1].end_sequence
        while after < end:
            page = await self._next_page(after)
            yield page
            after = page[-1][0]

    async def _next_page(self, after: int) -> list[tuple[int, bytes]]:
        """The entries that follow. Segments overlap: what is damaged in one may be sound in the next."""
        reasons: list[str] = []
        for link in self._chain:
            if not link.header.first_sequence <= after + 1 <= link.end_sequence:
                continue
            page = await read_page(self._nodes, self._addresses, link.header, after, reasons)
            # Beyond its end a segment holds what was never agreed on, on nodes that were not heard.
            if page := [entry for entry in page if entry[0] <= link.end_sequence]:
                return page
        why = "; ".join(reasons) or "its segment is gone"
        raise JournalBlocked(f"entry {after + 1} of the journal cannot be read from any node: {why}")


async def read_page(
    nodes: JournalNodes, addresses: Mapping[str, str], header: SegmentHeader, after: int, reasons: list[str]
) -> list[tuple[int, bytes]]:
    """Entries that follow `after` without a gap, from the first node of the segment that has the next one."""
    for node_id in header.nodes:
        address = addresses.get(node_id)
        if address is None:
            reasons.append(f"node {node_id} does not answer")
            continue
        try:
            found = await nodes.read(address, header.segment_id, after=after, limit_bytes=READ_BYTES)
        except NodeError as error:
            reasons.append(f"node {node_id}: {error}")
            continue
        count = 0
        while count < len(found) and found[count][0] == after + 1 + count:
            count += 1
        if count:
            return found[:count]
        reasons.append(f"node {node_id} does not have it")
    return []

"""The journal's side of the node client: one call a route of journal_protocol.py."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

from storagenode import journal_protocol as protocol
from storagenode.errors import NodeFailed
from storagenode.journal_protocol import JournalStatus, Seal, SegmentHeader
from storagenode.protocol import decode
from storagenode.transport import Transport

_PIECE_BYTES = 1024 * 1024

_Answer = TypeVar("_Answer")


class NodeJournal:
    """Reached as NodeClient.journal. `address` is "host:port" everywhere, or better what `node_at` makes of it: what
    one node promised or took must not count for another.

    As everywhere in the client nothing is tried again. Bodies and answers are short, so here the idle timeout bounds a
    call as a whole. All calls raise NodeFailed, NodeRefused, NodeUnreachable besides what they name; after
    NodeUnreachable a change may or may not have been made. Every change may be repeated.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def status(self, address: str) -> JournalStatus:
        """All that the node knows of the journal."""
        return await self._call(address, "GET", protocol.JOURNAL_PATH, protocol.unpack_status)

    async def promise(self, address: str, epoch: int) -> JournalStatus:
        """Have the node refuse create, append, seal and promise of lower epochs from now on, durably.

        Raises JournalFenced when it promised a higher one, NodeFull.
        """
        path = f"{protocol.PROMISE_PATH}?epoch={epoch}"
        return await self._call(address, "PUT", path, protocol.unpack_status)

    async def create(self, address: str, header: SegmentHeader) -> None:
        """Make an empty segment, durably; one that is there with the same header is as good.

        Raises JournalFenced, NodeFull; InvalidRequest when the node has it with another header.
        """
        await self._send(address, "PUT", _segment(header.segment_id), {}, protocol.pack_header(header), _nothing)

    async def append(
        self,
        address: str,
        segment_id: str,
        *,
        epoch: int,
        watermark: int,
        first_sequence: int,
        entries: Sequence[bytes],
    ) -> int:
        """Append entries with the sequences from first_sequence on; the node's last durable sequence.

        Entries that the node has are passed over. `watermark` is the sequence up to which everything is durable on a
        quorum. Without entries only the watermark is told, and perhaps not durably. Raises JournalFenced,
        SegmentGap (first_sequence lies beyond the node's next one), SegmentSealed, SegmentNotFound, NodeFull (the
        segment may go on when there is room again, unless NodeFailed follows), NodeFailed (not in this segment, not
        here); ValueError for more than BODY_LIMIT_BYTES.
        """
        body = protocol.frame_entries(segment_id, first_sequence, entries)
        if len(body) > protocol.BODY_LIMIT_BYTES:
            raise ValueError(f"an append of {len(body)} bytes; at most {protocol.BODY_LIMIT_BYTES}")
        query = {"epoch": epoch, "watermark": watermark, "first": first_sequence}
        return await self._send(address, "POST", f"{_segment(segment_id)}/entries", query, body, _unpack_int)

    async def read(self, address: str, segment_id: str, *, after: int, limit_bytes: int) -> list[tuple[int, bytes]]:
        """Durable entries above `after` in rising order, of about limit_bytes (at most READ_LIMIT_BYTES).

        At least one if there is one. Damaged entries are missing: then the sequences have a hole. Raises
        SegmentNotFound.
        """
        limit_bytes = min(limit_bytes, protocol.READ_LIMIT_BYTES)
        path = f"{_segment(segment_id)}/entries?after={after}&limit_bytes={limit_bytes}"
        return await self._call(address, "GET", path, lambda payload: _unpack_entries(segment_id, payload))

    async def seal(self, address: str, segment_id: str, seal: Seal) -> None:
        """Have the node accept a seal, durably; it replaces one of a lower epoch (a Paxos accept).

        The node promises seal.epoch with it. Raises JournalFenced, SegmentNotFound, NodeFull; InvalidRequest for a
        second seal of the same epoch that says something else.
        """
        await self._send(address, "PUT", f"{_segment(segment_id)}/seal", {}, protocol.pack_seal(seal), _nothing)

    async def drop(self, address: str, segment_id: str) -> bool:
        """Remove a segment durably; whether there was one."""
        return await self._call(address, "DELETE", _segment(segment_id), _unpack_bool)

    async def put_manifest(self, address: str, name: str, body: bytes) -> None:
        """Store a document of at most MANIFEST_LIMIT_BYTES durably, in the place of any older one. Raises NodeFull."""
        if len(body) > protocol.MANIFEST_LIMIT_BYTES:
            raise ValueError(f"a manifest of {len(body)} bytes; at most {protocol.MANIFEST_LIMIT_BYTES}")
        await self._send(address, "PUT", _manifest(name), {}, body, _nothing)

    async def manifests(self, address: str) -> list[tuple[str, bytes]]:
        """All manifests with their names, in the order of names; damaged ones are left out."""
        return await self._call(address, "GET", protocol.MANIFESTS_PATH, _unpack_manifests)

    async def drop_manifest(self, address: str, name: str) -> bool:
        """Remove a manifest durably; whether there was one."""
        return await self._call(address, "DELETE", _manifest(name), _unpack_bool)

    async def _call(self, address: str, method: str, path: str, unpack: Callable[[bytes], _Answer]) -> _Answer:
        with self._transport.node_errors(address):
            async with asyncio.timeout(self._transport.idle_timeout_s):
                response = await self._transport.send(address, method, path)
                return _opened(await response.read(), unpack)

    async def _send(
        self,
        address: str,
        method: str,
        path: str,
        query: dict[str, int],
        body: bytes,
        unpack: Callable[[bytes], _Answer],
    ) -> _Answer:
        """Send a body that the signature binds through its digest in the query."""
        fields = "".join(f"{name}={value}&" for name, value in query.items())
        signed_path = f"{path}?{fields}body={protocol.body_digest(body)}"
        # aiohttp warns of long bodies in one piece: they would keep the event loop from all else.
        content = body if len(body) <= _PIECE_BYTES else _pieces(body)
        with self._transport.node_errors(address):
            async with asyncio.timeout(self._transport.idle_timeout_s):
                response = await self._transport.send(address, method, signed_path, data=content, body_bytes=len(body))
                return _opened(await response.read(), unpack)


async def _pieces(body: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(body)
    for at in range(0, len(view), _PIECE_BYTES):
        yield view[at : at + _PIECE_BYTES]


def _segment(segment_id: str) -> str:
    if not protocol.is_segment_id(segment_id):
        raise ValueError(f"not a segment id: {segment_id!r}")
    return f"{protocol.SEGMENTS_PATH}/{segment_id}"


def _manifest(name: str) -> str:
    if not protocol.is_manifest_name(name):
        raise ValueError(f"not a manifest's name: {name!r}")
    return f"{protocol.MANIFESTS_PATH}/{name}"


def _opened(answer: bytes, unpack: Callable[[bytes], _Answer]) -> _Answer:
    try:
        return unpack(protocol.open_answer(answer))
    except (ValueError, protocol.FrameDamaged) as error:
        raise NodeFailed(f"unintelligible answer: {error}") from error


def _nothing(_payload: bytes) -> None:
    return None


def _unpack_int(payload: bytes) -> int:
    match decode(payload):
        case int(number):
            return number
        case _:
            raise ValueError("not a number")


def _unpack_bool(payload: bytes) -> bool:
    match decode(payload):
        case bool(answer):
            return answer
        case _:
            raise ValueError("not a yes or no")


def _unpack_entries(segment_id: str, payload: bytes) -> list[tuple[int, bytes]]:
    return [(frame.sequence, frame.payload) for frame in protocol.parse_entries(segment_id, payload)]


def _unpack_manifests(payload: bytes) -> list[tuple[str, bytes]]:
    match decode(payload):
        case [*pairs]:
            return [_unpack_manifest(pair) for pair in pairs]
        case _:
            raise ValueError("not a list of manifests")


def _unpack_manifest(pair: object) -> tuple[str, bytes]:
    match pair:
        case [str(name), bytes(body)]:
            return name, body
        case _:
            raise ValueError("not a manifest")

"""The data path as the operations see it: write an extent, read a range, give bytes back.

Everything here lives as long as the process; what belongs to one write or read is in writer.py and reader.py.
"""

import os
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence

import structlog

from gateway.datapath.cleanup import BlobCleaner
from gateway.datapath.damage import DamageSink, log_damage
from gateway.datapath.hedging import Hedging
from gateway.datapath.origin import pack_origin
from gateway.datapath.probe import NodeProbe
from gateway.datapath.reader import ExtentReader, plan
from gateway.datapath.segment import Patience, WriteJob
from gateway.datapath.writer import ExtentWriter
from gateway.index.errors import IndexFailure
from gateway.index.records import Extent, Origin
from gateway.placement.membership import Membership
from gateway.redundancy import majority
from storagenode.client import NodeClient
from storagenode.protocol import blob_id, new_write_id

_log = structlog.get_logger(__name__)


LONGEST_LEASE_INTERVAL_S = 60.0
"""A write that takes longer than this is known by its lease: who drains a node waits for those from before."""

KeepLease = Callable[[str, float], Awaitable[None]]
"""Write id, seconds from now during which the write is not taken for abandoned (Index.keep_lease)."""


class DataPath:
    """Made once a process over a NodeClient and a started Membership; `aclose` when done."""

    def __init__(
        self,
        *,
        client: NodeClient,
        membership: Membership,
        replicas_for: Callable[[int], int],
        keep_lease: KeepLease,
        orphan_grace_s: float,
        damage: DamageSink = log_damage,
        patience: Patience | None = None,
        hedging: Hedging | None = None,
        clock: Callable[[], float] = time.monotonic,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """`replicas_for` (GatewaySettings has it) gives the replicas of a write that does not say how many it wants.

        `clock` gives seconds and goes as fast as the event loop's.
        """
        self._client = client
        self._membership = membership
        self._replicas_for = replicas_for
        self._keep_lease = keep_lease
        self._orphan_grace_s = orphan_grace_s
        self._damage = damage
        self._patience = patience or Patience()
        self._clock = clock
        self._random_bytes = random_bytes
        self._cleaner = BlobCleaner(client, membership)
        self._probe = NodeProbe(client, timeout_s=self._patience.probe_s)
        self._reader = ExtentReader(
            client, membership, damage=damage, hedging=hedging, clock=clock, random_source=random.Random()
        )

    def open_write(
        self, *, origin: Origin, size_bytes: int, replicas: int | None = None, write_quorum: int | None = None
    ) -> ExtentWriter:
        """A writer for exactly `size_bytes` (0 is an extent without segments); see writer.py for its use.

        Each segment goes to `replicas` nodes (those of the settings when not given), and is stored once `write_quorum`
        (a majority of them when not given) have it durably.
        """
        write_id = new_write_id(self._membership.now_ms(), self._random_bytes(10))
        if replicas is None:
            replicas = self._replicas_for(len(self._membership.expected_nodes()))
        job = WriteJob(
            write_id=write_id,
            origin=pack_origin(origin, write_id=write_id, size_bytes=size_bytes),
            replicas=replicas,
            quorum=majority(replicas) if write_quorum is None else write_quorum,
            client=self._client,
            membership=self._membership,
            probe=self._probe,
            patience=self._patience,
            damage=self._damage,
            clock=self._clock,
        )
        return ExtentWriter(
            job,
            size_bytes=size_bytes,
            cleaner=self._cleaner,
            renew_lease=self._renew_lease,
            lease_interval_s=min(self._orphan_grace_s / 4, LONGEST_LEASE_INTERVAL_S),
        )

    def read(self, extents: Sequence[Extent], offset: int, length: int) -> AsyncGenerator[bytes, None]:
        """`length` bytes from `offset` of the extents laid end to end; `aclose` it when leaving early.

        The first bytes may be awaited with `anext` before an answer is begun. Raises BytesUnavailable where
        no replica has the bytes, ValueError when the range is not within the extents.
        """
        return self._reader.read(plan(extents, offset, length))

    def discard(self, extents: Iterable[Extent]) -> None:
        """Delete in the background what was written and certainly not committed.

        Not for a commit whose outcome is unknown: the orphan worker asks the index about its bytes.
        """
        self._cleaner.discard(
            (node_id, blob_id(extent.write_id, segment.number))
            for extent in extents
            for segment in extent.segments
            for node_id in segment.nodes
        )

    async def idle(self) -> None:
        """Wait until the deletions that were asked for so far have ended."""
        await self._cleaner.idle()

    async def aclose(self) -> None:
        """End the clean-ups under way; reads and writes must have ended."""
        await self._cleaner.aclose()
        await self._probe.aclose()

    async def _renew_lease(self, write_id: str) -> None:
        try:
            await self._keep_lease(write_id, self._orphan_grace_s)
        except IndexFailure as error:
            # The write may go on: should it be given up meanwhile, its commit is refused (WriteCondemned).
            _log.warning("write lease not renewed", write_id=write_id, error=str(error))

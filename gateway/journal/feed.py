"""What the journal needs of the index server: `gateway.index.journal_feed.JournalFeed`, or what stands for it."""

from collections.abc import Sequence
from typing import Protocol

from gateway.index.journal_feed import JournalState, RestoreClaim


class Feed(Protocol):
    """Under JournalFeed's contract. All raise IndexUnavailable, IndexFault."""

    async def read_state(self) -> JournalState: ...

    async def entries(self, after: int, limit: int) -> list[tuple[int, bytes]]: ...

    async def advance(self, *, epoch: int, watermark: int) -> bool: ...

    async def set_segment(self, *, old_epoch: int, epoch: int, segment: bytes) -> bool: ...

    async def open(
        self,
        *,
        identity: str,
        incarnation: str,
        epoch: int,
        segment: bytes,
        watermark: int,
        old_epoch: int | None = None,
        token: str = "",
    ) -> bool: ...

    async def replay(self, entries: Sequence[tuple[int, bytes]], claim: RestoreClaim) -> int: ...

    async def begin_restore(self, claim: RestoreClaim) -> None: ...

    async def end_restore(self, sequence: int, claim: RestoreClaim) -> None: ...

    async def try_recovery_lease(self, holder: str, *, ttl_ms: int) -> bool: ...

    async def release_recovery_lease(self, holder: str) -> None: ...

"""Key rings for tests: with a clock that is set by hand."""

from dataclasses import dataclass

from gateway.encryption.keyring import KeyRing
from gateway.index.store import Index

MASTER_KEY = b"m" * 32
NOW_MS = 1_790_000_000_000


@dataclass(slots=True)
class Clock:
    """Seconds."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def make_ring(
    index: Index, *, creates_keys: bool = True, master_key: bytes = MASTER_KEY, clock: Clock | None = None
) -> KeyRing:
    """A gateway's key ring."""
    return KeyRing(index, master_key, creates_keys=creates_keys, clock=clock or Clock(), now_ms=lambda: NOW_MS)

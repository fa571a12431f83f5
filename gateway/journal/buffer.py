"""The entries that some member of the segment still lacks: one run without a gap, shared by all senders. Pure."""

from collections.abc import Sequence


class EntryBuffer:
    """Holds the entries `first` to `end`."""

    def __init__(self, after: int) -> None:
        """Empty: the next entry is `after` + 1."""
        self._entries: dict[int, bytes] = {}
        self._first = after + 1
        self.end = after
        self.size_bytes = 0

    @property
    def first(self) -> int:
        return self._first

    def extend(self, entries: Sequence[tuple[int, bytes]]) -> None:
        """Append entries that follow without a gap."""
        for sequence, entry in entries:
            if sequence != self.end + 1:
                raise ValueError(f"entry {sequence} behind {self.end}")
            self._entries[sequence] = entry
            self.end = sequence
            self.size_bytes += len(entry)

    def skip_to(self, sequence: int) -> None:
        """Go on behind `sequence`, which nobody needs to be sent any more, nor anything before it."""
        if sequence > self.end:
            self._entries.clear()
            self.size_bytes = 0
            self._first, self.end = sequence + 1, sequence

    def forget(self, up_to: int) -> None:
        """Drop what every sender has behind it."""
        for sequence in range(self._first, min(up_to, self.end) + 1):
            self.size_bytes -= len(self._entries.pop(sequence))
        self._first = max(self._first, min(up_to, self.end) + 1)

    def run_after(self, after: int, *, limit_bytes: int) -> list[bytes] | None:
        """The entries from `after` + 1 on, of about that size; None when the first of them is gone."""
        if after + 1 < self._first:
            return None
        run: list[bytes] = []
        size_bytes = 0
        for sequence in range(after + 1, self.end + 1):
            entry = self._entries[sequence]
            size_bytes += len(entry)
            if run and size_bytes > limit_bytes:
                break
            run.append(entry)
        return run

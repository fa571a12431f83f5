"""Sorting more rows than memory should hold: runs in temporary files, merged as they are read."""

import heapq
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Any, Self

import msgpack

RUN_ROWS = 200_000
"""Some 50 MiB of memory."""

Row = tuple[Any, ...]


class SortedRows:
    """Rows of what msgpack takes and `<` compares: `add` all, then iterate once, in order."""

    def __init__(self, *, run_rows: int = RUN_ROWS) -> None:
        self._run_rows = run_rows
        self._rows: list[Row] = []
        self._runs: list[IO[bytes]] = []
        self._files = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def add(self, row: Row) -> None:
        """One more. Raises OSError when the disk of temporary files is full."""
        self._rows.append(row)
        if len(self._rows) >= self._run_rows:
            self._spill()

    def __iter__(self) -> Iterator[Row]:
        self._rows.sort()
        return heapq.merge(*(_read(run) for run in self._runs), self._rows)

    def _spill(self) -> None:
        self._rows.sort()
        run: IO[bytes] = self._files.enter_context(tempfile.TemporaryFile(prefix="cairn-fsck-"))  # noqa: SIM115
        packer = msgpack.Packer()
        run.writelines(packer.pack(row) for row in self._rows)
        run.seek(0)
        self._runs.append(run)
        self._rows = []


def _read(run: IO[bytes]) -> Iterator[Row]:
    return (tuple(row) for row in msgpack.Unpacker(run))

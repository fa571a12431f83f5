"""A file system of some megabytes that can really be full. No test lives here."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

BLOCK_BYTES = 4096


class SmallDisk:
    """A tmpfs; `fill` takes what is left of it, `clear` gives that back."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ballast = root / "ballast"

    def fill(self, *, leave_bytes: int = 0) -> None:
        """Take all but so much of what is free."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while self.free_bytes - leave_bytes >= BLOCK_BYTES:
                file.write(bytes(min(1024**2, self.free_bytes - leave_bytes)))

    def clear(self) -> None:
        self._ballast.unlink(missing_ok=True)

    @property
    def free_bytes(self) -> int:
        figures = os.statvfs(self.root)
        return figures.f_bavail * figures.f_frsize


@contextlib.contextmanager
def small_disk(root: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Mount one at `root`. Skips the test where that is not allowed."""
    root.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "cairn-test", str(root)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"there is no mount(8) here: {error}")
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here (root may): {done.stderr.strip()}")
    try:
        yield SmallDisk(root)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)

"""What this machine can do without Cairn: hashing, syncing, and two bare servers."""

import contextlib
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_SYNC_SIZE_BYTES = 4096
_SYNC_TIME_S = 0.3


def md5_rate(body: bytes) -> float:
    """Bytes a second of one core's MD5 over the whole body."""
    started = time.perf_counter()
    hashlib.md5(body, usedforsecurity=False).digest()
    return len(body) / (time.perf_counter() - started)


def fdatasync_rate(directory: Path) -> float:
    """Appends of 4 KiB, each made durable, a second; one after the other."""
    path = directory / "fdatasync"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    block = os.urandom(_SYNC_SIZE_BYTES)
    count, started = 0, time.perf_counter()
    try:
        while (elapsed_s := time.perf_counter() - started) < _SYNC_TIME_S:
            os.write(descriptor, block)
            os.fdatasync(descriptor)
            count += 1
    finally:
        os.close(descriptor)
        path.unlink()
    return count / elapsed_s


@contextlib.contextmanager
def bare_server(module: str, *arguments: str) -> Iterator[int]:
    """The port of a yardstick server, which ends with the context."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE)
    try:
        assert process.stdout
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()

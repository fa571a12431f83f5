"""Faults of the system calls of a running process, made by `strace --inject`. No test lives here.

    with failing(pid, "fdatasync", "error=EIO", path=segment) as fault:
        ...
    assert fault.count

The calls of every thread are hit, those of threads made later too. Injected errors replace the call: nothing of it is
done. When the block is left the process goes on as if nothing had been.
"""

import contextlib
import functools
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.supervisor import attach
from tests.harness.tools import strace

RENAMES = "rename,renameat,renameat2"
WRITES = "write,writev,pwrite64,pwritev"

_ATTACH_TIMEOUT_S = 20.0
_POLL_S = 0.01


class Fault:
    """What one injection did up to now."""

    def __init__(self, log: Path) -> None:
        self._log = log

    @property
    def count(self) -> int:
        """How many calls were hit."""
        return sum("(INJECTED)" in line or "(DELAYED)" in line or "killed by SIGKILL" in line for line in self.lines())

    def lines(self) -> list[str]:
        """What strace wrote."""
        return self._log.read_text(errors="replace").splitlines() if self._log.exists() else []

    def await_hit(self, timeout_s: float = 20.0) -> None:
        """Wait until a call was hit."""
        deadline = time.monotonic() + timeout_s
        while not self.count:
            if time.monotonic() > deadline:
                pytest.fail(f"no call was hit within {timeout_s:g} s:\n" + "\n".join(self.lines()[-5:]))
            time.sleep(_POLL_S)


@contextlib.contextmanager
def failing(pid: int, calls: str, fault: str, *, path: Path | None = None) -> Iterator[Fault]:
    """Have `calls` (names, by commas) fail as strace's `--inject` says, those on `path` only where one is given.

    Skips the test where strace is missing or may not trace.
    """
    require_ptrace()
    with tempfile.TemporaryDirectory(prefix="cairn-strace-") as directory:
        log = Path(directory) / "log"
        command = [str(strace()), "-f", "-o", str(log), "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}"]
        tracer = _start([*command, *(("-P", str(path)) if path else ()), "-p", str(pid)])
        try:
            _await_attached(tracer)
            yield Fault(log)
        finally:
            tracer.terminate()  # it lets the process go
            tracer.wait()
            if tracer.stderr:
                tracer.stderr.close()


@functools.cache
def _can_trace() -> bool:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            tracer = _start([str(strace()), "-p", str(sleeper.pid)])
            try:
                _await_attached(tracer)
            except AssertionError:
                return False
            finally:
                tracer.kill()
                tracer.communicate()
        finally:
            sleeper.kill()
    return True


def require_ptrace() -> None:
    """Skip where processes may not be traced: a container without SYS_PTRACE, for one."""
    strace()
    if not _can_trace():
        pytest.skip("strace may not trace a process here: it needs root or the capability SYS_PTRACE")


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    tie = [sys.executable, "-I", "-S", attach.__file__, str(os.getpid())]
    return subprocess.Popen([*tie, *command], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _await_attached(tracer: subprocess.Popen[bytes]) -> None:
    assert tracer.stderr is not None
    timer = threading.Timer(_ATTACH_TIMEOUT_S, tracer.kill)
    timer.start()
    try:
        said = b""
        while b" attached" not in said:
            line = tracer.stderr.readline()
            said += line
            assert line, f"strace did not attach: {said.decode(errors='replace')}"
    finally:
        timer.cancel()
        timer.join()

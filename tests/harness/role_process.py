"""One process of a cluster under test: started, killed, paused, started again on the same files and ports."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from gateway.supervisor import attach

STOP_TIMEOUT_S = 20.0


class RoleProcess:
    """`cairn ROLE` with an environment of its own; dies with the thread that started it (Linux).

    `killed_at` and `started_at` are monotonic seconds; `ended_by_itself` collects the ends nobody asked for.
    """

    def __init__(self, name: str, role: str, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.started_at = 0.0
        self.starts = 0
        self.ended_by_itself: list[str] = []
        self._role = role
        self.environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """False also once an end that nobody asked for was noticed here; it is noted in `ended_by_itself`."""
        if self._process is None:
            return False
        status = self._process.poll()
        if status is None:
            return True
        self._process = None
        self.ended_by_itself.append(f"{self.name} ended with status {status}: {self.last_lines(5)}")
        return False

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it, and do not wait for anything."""
        assert self._process is None, f"{self.name} is running already"
        tie = [sys.executable, "-I", "-S", attach.__file__, str(os.getpid())]
        with self.log.open("ab") as log_file:
            self._process = subprocess.Popen(
                [*tie, sys.executable, "-P", "-m", "gateway.cli", self._role],
                cwd=self.log.parent,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
            )
        self.started_at = time.monotonic()
        self.starts += 1

    def kill(self) -> None:
        """SIGKILL, as a crash of the process or a machine; nothing happens to one that does not run."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM and wait for the orderly end; SIGKILL when it takes too long, which is noted."""
        self._end(signal.SIGTERM)

    def ask_to_end(self) -> None:
        """SIGTERM without waiting; `terminate` or `kill` must follow."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: its connections stay open and nothing answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def last_lines(self, count: int) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-count:])

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.ended_by_itself.append(f"{self.name} did not end within {STOP_TIMEOUT_S:g} s of {number.name}")
            process.kill()
            process.wait()

"""One child process of the supervisor: started, logged, started again when it dies, stopped within a bound.

What a child does is not known here, nor the order among children.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from gateway.supervisor import attach

FIRST_RESTART_DELAY_S = 0.1
LONGEST_RESTART_DELAY_S = 5.0
#: When a child ran this long, its death counts as the first one again.
STEADY_AFTER_S = 10.0

#: Also where an endless log line is cut.
READ_SIZE_BYTES = 64 * 1024

_LAST_LINES = 20

_log = structlog.get_logger("cairn.supervisor")


class ChildFailed(Exception):
    """A child ended before it was ready for the first time; the message ends with its last log lines."""


def _nothing_is_noise(line: str) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How to run one child."""

    name: str
    command: list[str]
    environment: Mapping[str, str] = field(repr=False)
    #: Descriptors passed on.
    inherited: tuple[int, ...] = ()
    #: Text of the log line that tells that the child is ready; without it `mark_ready` must be called.
    ready_text: str | None = None
    is_noise: Callable[[str], bool] = _nothing_is_noise
    stop_timeout_s: float = 10.0


class Child:
    """Keeps one process running between `start` and `stop`."""

    def __init__(self, spec: ChildSpec, write_line: Callable[[str, str], None]) -> None:
        """`write_line(name, line)` takes each line that the child logs."""
        self.spec = spec
        self._write_line = write_line
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Begin running; `ready` tells how it went."""
        self._keeper = asyncio.create_task(self._keep_running(), name=self.spec.name)

    async def ready(self) -> None:
        """Return once it has been ready for the first time. Raises ChildFailed if it ends before."""
        await asyncio.shield(self._first_ready)

    def mark_ready(self) -> None:
        """From now on a death leads to a restart and is no failure to start."""
        if not self._first_ready.done():
            self._first_ready.set_result(None)

    async def stop(self) -> None:
        """SIGTERM, SIGKILL after the spec's time limit; returns when the process is gone."""
        self._stopping.set()
        if self._keeper is None:
            return
        self._signal(signal.SIGTERM)
        done, _ = await asyncio.wait({self._keeper}, timeout=self.spec.stop_timeout_s)
        if not done:
            _log.warning("child does not stop, killing it", child=self.spec.name)
            self.kill()
            await asyncio.wait({self._keeper})

    def kill(self) -> None:
        """SIGKILL and no restart; returns at once."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _keep_running(self) -> None:
        delay_s = FIRST_RESTART_DELAY_S
        while not self._stopping.is_set():
            started = time.monotonic()
            status = await self._run_once()
            if self._stopping.is_set():
                break
            if not self._first_ready.done():
                self._fail(status)
                return
            if time.monotonic() - started > STEADY_AFTER_S:
                delay_s = FIRST_RESTART_DELAY_S
            _log.warning("child died, starting it again", child=self.spec.name, status=status, delay_s=delay_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)
            delay_s = min(2 * delay_s, LONGEST_RESTART_DELAY_S)
        self._first_ready.cancel()

    async def _run_once(self) -> int:
        """Run the process to its end, its log included, and return its exit status (negative: the signal)."""
        wrapper = [sys.executable, "-I", "-S", attach.__file__, str(os.getpid())]
        self._process = await asyncio.create_subprocess_exec(
            *wrapper,
            *self.spec.command,
            env=self.spec.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=self.spec.inherited,
            # Ctrl-C goes to the terminal's foreground group; only the supervisor shall see it.
            process_group=0,
        )
        if self._stopping.is_set():  # `stop` came while there was no process to signal
            self._signal(signal.SIGKILL)
        assert self._process.stdout is not None
        await self._forward_log(self._process.stdout)
        return await self._process.wait()

    async def _forward_log(self, stream: asyncio.StreamReader) -> None:
        pending = b""
        while block := await stream.read(READ_SIZE_BYTES):
            *lines, pending = (pending + block).split(b"\n")
            if len(pending) >= READ_SIZE_BYTES:
                lines, pending = [*lines, pending], b""
            for line in lines:
                self._take_line(line.decode(errors="replace"))
        if pending:
            self._take_line(pending.decode(errors="replace"))

    def _take_line(self, line: str) -> None:
        self._last_lines.append(line)
        if not self.spec.is_noise(line):
            self._write_line(self.spec.name, line)
        if self.spec.ready_text is not None and self.spec.ready_text in line:
            self.mark_ready()

    def _fail(self, status: int) -> None:
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        said = "".join(f"\n  {line}" for line in self._last_lines)
        self._first_ready.set_exception(ChildFailed(f"{self.spec.name} {how} before it was ready{said}"))
        self._first_ready.exception()  # the one who waits sees it; nobody may be waiting, which is fine

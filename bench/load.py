"""Many small requests over some connections at once, one in flight on each: answers a second and latencies.

Runs in a process of its own (`python -m bench.load`), reading a `LoadPlan` from standard input and writing a
`LoadResult` to standard output, both pickled, so that its loop is not disturbed by the one that measures.
"""

import asyncio
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import uvloop

from bench.wire import UnexpectedAnswer, parse_head


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """Requests to send in order, whichever connection is free next."""

    host: str
    port: int
    connections: int
    #: Each a whole request: head and body.
    requests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """All requests were answered with 200 or 204."""

    elapsed_s: float
    latencies_s: tuple[float, ...]
    #: CPU that the load process itself burnt, in seconds.
    client_cpu_s: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies_s) / self.elapsed_s

    def percentile_ms(self, percent: float) -> float:
        """A latency in milliseconds that so many per cent of the answers stay below."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000


class _Lane(asyncio.Protocol):
    """One connection: takes the next request as soon as the last is answered."""

    def __init__(self, requests: Iterator[bytes], latencies: list[float], done: asyncio.Future[None]) -> None:
        self._requests = requests
        self._latencies = latencies
        self._done = done
        self._received = b""
        self._missing_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no instances of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def start(self) -> None:
        """Send the next request, or end when there is none."""
        request = next(self._requests, None)
        if request is None:
            self._done.set_result(None)
            return
        self._started = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._missing_bytes:
            self._missing_bytes -= len(data)
        elif not self._read_head(data):
            return
        if self._missing_bytes <= 0:
            self._latencies.append(time.perf_counter() - self._started)
            self.start()

    def _read_head(self, data: bytes) -> bool:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return False
        answer = parse_head(self._received[:end])
        if answer.status not in (200, 204):
            self._fail(self._received.decode(errors="replace"))
            return False
        self._missing_bytes = answer.body_size_bytes - (len(self._received) - end - 4)
        self._received = b""
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"a connection ended: {exc}")

    def _fail(self, message: str) -> None:
        if not self._done.done():
            self._done.set_exception(UnexpectedAnswer(message))


async def _run(plan: LoadPlan) -> LoadResult:
    loop = asyncio.get_running_loop()
    requests = iter(plan.requests)
    latencies: list[float] = []
    lanes: list[_Lane] = []
    ends: list[asyncio.Future[None]] = []
    for _ in range(plan.connections):
        ends.append(loop.create_future())
        _, lane = await loop.create_connection(lambda: _Lane(requests, latencies, ends[-1]), plan.host, plan.port)
        lanes.append(lane)
    cpu_before, before = time.process_time(), time.perf_counter()
    for lane in lanes:
        lane.start()
    await asyncio.gather(*ends)
    return LoadResult(
        elapsed_s=time.perf_counter() - before,
        latencies_s=tuple(latencies),
        client_cpu_s=time.process_time() - cpu_before,
    )


def drive(plan: LoadPlan) -> LoadResult:
    """Run a plan in a process of its own. Raises UnexpectedAnswer when it did not come to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"], input=pickle.dumps(plan), capture_output=True, check=False
    )
    if done.returncode != 0:
        raise UnexpectedAnswer(done.stderr.decode(errors="replace"))
    result: LoadResult = pickle.loads(done.stdout)
    return result


if __name__ == "__main__":
    # As a module of its own name, so that the pickles of both processes speak of the same classes.
    from bench import load

    sys.stdout.buffer.write(pickle.dumps(uvloop.run(load._run(pickle.load(sys.stdin.buffer)))))

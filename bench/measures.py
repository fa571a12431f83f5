"""The measurements: what is sent to Cairn, against which yardstick, round after round in turn."""

import functools
import hashlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from bench.load import LoadPlan, LoadResult, drive
from bench.report import Measurement
from bench.signed import Signer
from bench.wire import Connection
from bench.yardsticks import fdatasync_rate, md5_rate
from tests.harness.cairn import CairnServer

_MIB = 1024 * 1024
_BUCKET = "bench"
_SMALL = os.urandom(4096)
_SMALL_SHA256 = hashlib.sha256(_SMALL).hexdigest()
_LISTED_KEYS = 1000
_RANGES = 8
_ROLES = ("gateway", "node", "index")

#: Least ratios that the project wants.
GET_TARGET = 0.4
PUT_TARGET = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every measurement needs."""

    server: CairnServer
    signer: Signer
    #: Ports of the yardstick servers.
    sendfile_port: int
    hello_port: int
    scratch: Path
    rounds: int
    #: Of the large object.
    large: bytes
    #: Of one round of small requests.
    small_requests: int

    def connect(self) -> Connection:
        """A connection to the gateway."""
        return Connection(self.signer.host, self.signer.port)


def prepare(bench: Bench) -> None:
    """Make the bucket and the objects that are read."""
    with bench.connect() as connection:
        connection.exchange(bench.signer.head("PUT", f"/{_BUCKET}"))
        _put_large(bench, connection, "large", hashlib.sha256(bench.large).hexdigest())
    names = [f"read/{number:05}" for number in range(_LISTED_KEYS)]
    drive(_plan(bench, 8, (_small_put(bench, name) for name in names)))


def large_get(bench: Bench) -> Measurement:
    """One GET of the large object on one connection."""
    head = bench.signer.head("GET", f"/{_BUCKET}/large")
    return _compare(
        bench,
        name=f"GET {len(bench.large) // _MIB} MiB",
        unit="MiB/s",
        target=GET_TARGET,
        yardstick_name="bare sendfile",
        cairn=lambda _: _timed_get(bench.signer.port, head, len(bench.large)),
        yardstick=lambda _: _bare_get(bench),
    )


def parallel_get(bench: Bench) -> Measurement:
    """The large object in ranges at once, as the aws command line and boto3's transfers read it."""
    size = len(bench.large) // _RANGES
    heads = [
        bench.signer.head("GET", f"/{_BUCKET}/large", headers=(("range", f"bytes={n * size}-{(n + 1) * size - 1}"),))
        for n in range(_RANGES)
    ]

    def read_all(_: int) -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(_RANGES) as threads:
            for answer in [threads.submit(_exchange, bench.signer.port, head, 206) for head in heads]:
                answer.result()
        return size * _RANGES / _MIB / (time.perf_counter() - started)

    return _compare(
        bench,
        name=f"GET {len(bench.large) // _MIB} MiB in {_RANGES} ranges at once",
        unit="MiB/s",
        yardstick_name="bare sendfile",
        cairn=read_all,
        yardstick=lambda _: _bare_get(bench),
    )


def large_put(bench: Bench) -> Measurement:
    """One PUT of the large object with a signed payload, its SHA-256 made beforehand."""
    digest = hashlib.sha256(bench.large).hexdigest()

    def write(_: int) -> float:
        with bench.connect() as connection:
            return _put_large(bench, connection, "written", digest)

    return _compare(
        bench,
        name=f"PUT {len(bench.large) // _MIB} MiB, signed payload",
        unit="MiB/s",
        target=PUT_TARGET,
        yardstick_name="MD5 of one core",
        cairn=write,
        yardstick=lambda _: md5_rate(bench.large) / _MIB,
    )


def small_gets(bench: Bench, connections: int) -> Measurement:
    """4 KiB objects read over some connections."""
    heads = [bench.signer.head("GET", f"/{_BUCKET}/read/{number:05}") for number in range(_LISTED_KEYS)]
    requests = tuple(heads[number % _LISTED_KEYS] for number in range(bench.small_requests))
    return _small(bench, f"GET 4 KiB, {connections} connections", connections, lambda _: requests)


def small_puts(bench: Bench, connections: int) -> Measurement:
    """New 4 KiB objects written over some connections; the note compares with one writer's fdatasync."""

    def requests(turn: int) -> Iterator[bytes]:
        prefix = f"written/{connections}/{turn}"
        return (_small_put(bench, f"{prefix}/{number:05}") for number in range(bench.small_requests))

    syncs = statistics.median(fdatasync_rate(bench.scratch) for _ in range(3))
    return _small(bench, f"PUT 4 KiB, {connections} connections", connections, requests, syncs=syncs)


def lists(bench: Bench) -> Measurement:
    """Pages of 1,000 keys, one after the other."""
    head = bench.signer.head("GET", f"/{_BUCKET}", query="list-type=2&prefix=read%2F")
    requests = (head,) * max(20, bench.small_requests // 50)
    return _small(bench, f"list {_LISTED_KEYS:,} keys", 1, lambda _: requests)


def _small(
    bench: Bench,
    name: str,
    connections: int,
    requests: Callable[[int], Iterator[bytes] | tuple[bytes, ...]],
    syncs: float | None = None,
) -> Measurement:
    results: list[LoadResult] = []
    # Signing costs more than sending: done before the clock starts, and once for both servers.
    signed = functools.lru_cache(maxsize=1)(lambda turn: tuple(requests(turn)))

    def load(turn: int) -> float:
        results.append(drive(_plan(bench, connections, signed(turn))))
        return results[-1].rate

    found = _compare(
        bench,
        name=name,
        unit="1/s",
        yardstick_name="raw ASGI",
        cairn=load,
        yardstick=lambda turn: drive(_plan(bench, connections, signed(turn), bench.hello_port)).rate,
    )
    notes = {
        "p50 ms": statistics.median(result.percentile_ms(50) for result in results),
        "p99 ms": statistics.median(result.percentile_ms(99) for result in results),
    }
    if syncs is not None:
        notes["x fdatasync"] = statistics.median(found.cairn) / syncs
    client = statistics.median(result.client_cpu_s for result in results)
    return replace(found, cpu_s={**found.cpu_s, "client": client}, notes=notes)


def _compare(
    bench: Bench,
    *,
    name: str,
    unit: str,
    yardstick_name: str,
    cairn: Callable[[int], float],
    yardstick: Callable[[int], float],
    target: float | None = None,
) -> Measurement:
    mine, its, spent = [], [], []
    for turn in range(bench.rounds):
        its.append(yardstick(turn))
        before = _cpu_times(bench.server)
        mine.append(cairn(turn))
        after = _cpu_times(bench.server)
        spent.append({role: after[role] - before[role] for role in _ROLES})
    return Measurement(
        name=name,
        unit=unit,
        cairn=tuple(mine),
        yardstick=tuple(its),
        yardstick_name=yardstick_name,
        target=target,
        cpu_s={role: statistics.median(turn[role] for turn in spent) for role in _ROLES},
    )


def _cpu_times(server: CairnServer) -> Mapping[str, float]:
    times = {}
    for role in _ROLES:
        spent = [process.cpu_times() for process in server.processes(role)]
        times[role] = sum(process.user + process.system for process in spent)
    return times


def _plan(
    bench: Bench, connections: int, requests: Iterator[bytes] | tuple[bytes, ...], port: int | None = None
) -> LoadPlan:
    return LoadPlan(
        host=bench.signer.host,
        port=port or bench.signer.port,
        connections=connections,
        requests=tuple(requests),
    )


def _small_put(bench: Bench, key: str) -> bytes:
    head = bench.signer.head("PUT", f"/{_BUCKET}/{key}", payload_sha256=_SMALL_SHA256, body_size_bytes=len(_SMALL))
    return head + _SMALL


def _put_large(bench: Bench, connection: Connection, key: str, digest: str) -> float:
    head = bench.signer.head("PUT", f"/{_BUCKET}/{key}", payload_sha256=digest, body_size_bytes=len(bench.large))
    started = time.perf_counter()
    connection.exchange(head, bench.large)
    return len(bench.large) / _MIB / (time.perf_counter() - started)


def _exchange(port: int, head: bytes, expect: int = 200) -> int:
    with Connection("127.0.0.1", port) as connection:
        return connection.exchange(head, expect=expect).body_size_bytes


def _timed_get(port: int, head: bytes, size_bytes: int) -> float:
    started = time.perf_counter()
    received = _exchange(port, head)
    assert received == size_bytes
    return size_bytes / _MIB / (time.perf_counter() - started)


def _bare_get(bench: Bench) -> float:
    return _timed_get(bench.sendfile_port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", len(bench.large))

"""Carries out a schedule of faults on a cluster, and undoes each when its time is over."""

import contextlib
import heapq
import itertools
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.harness.cluster import Cluster
from tests.harness.role_process import RoleProcess
from tests.storm.schedule import KILLS, REDIS, Fault, FaultKind

#: Between two looks at the processes.
_TICK_S = 0.05
#: A process that ended by itself is started again after this, so that one that cannot start does not spin.
_RESTART_S = 0.5
_POSTPONED_S = 0.3


class Attack:
    """One run of one schedule, in the thread that started the cluster.

    `done` counts faults by (role or link kind, fault), `kills` those that ended a process.
    """

    def __init__(self, cluster: Cluster, faults: Iterable[Fault], *, note: Callable[[str], None]) -> None:
        """`note` is told what happens, one line a fault."""
        self._cluster = cluster
        self._note = note
        self._tie = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._down: set[str] = set()
        self._append_only_sizes: deque[tuple[float, Path, int]] = deque(maxlen=200)
        self.done: Counter[tuple[str, str]] = Counter()
        self.kills = 0
        self.last_fault_at = 0.0
        self._began_at = time.monotonic()
        for fault in faults:
            self._at(self._began_at + fault.at_s, lambda fault=fault: self._strike(fault))  # type: ignore[misc]

    def run(self, each_tick: Callable[[], None]) -> None:
        """Until the last fault was undone; `each_tick` is called some times a second."""
        while self._agenda:
            due_at = self._agenda[0][0]
            if (wait_s := due_at - time.monotonic()) > 0:
                time.sleep(min(wait_s, _TICK_S))
                self._tick()
                each_tick()
                continue
            _, _, step = heapq.heappop(self._agenda)
            step()

    def _tick(self) -> None:
        self._measure_append_only_file()
        for process in self._cluster.processes:
            if process.name in self._down or process.is_running:
                continue
            if time.monotonic() - process.started_at > _RESTART_S:
                self._note(f"{process.name} ended by itself")
                process.start()

    def _at(self, moment: float, step: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (moment, next(self._tie), step))

    def _later(self, delay_s: float, step: Callable[[], None]) -> None:
        self._at(time.monotonic() + delay_s, step)

    def _strike(self, fault: Fault) -> None:
        self.last_fault_at = time.monotonic()
        if fault.target == REDIS:
            happened = self._strike_redis(fault)
        elif fault.kind in _LINK_FAULTS:
            happened = self._strike_link(fault)
        else:
            happened = self._strike_process(fault)
        if not happened:  # the victim is down already: as soon as it is up
            self._later(_POSTPONED_S, lambda: self._strike(fault))
            return
        role = "link" if fault.kind in _LINK_FAULTS else fault.target.rstrip("-0123456789")
        self.done[role, str(fault.kind)] += 1
        self.kills += fault.kind in KILLS
        self._note(f"{fault.kind} {fault.target} for {fault.duration_s:.2f} s")

    # Redis

    def _strike_redis(self, fault: Fault) -> bool:
        redis = self._cluster.redis
        if fault.kind is FaultKind.FLUSH:
            return self._flush_redis()
        if REDIS in self._down:
            return False
        if fault.kind is FaultKind.PAUSE:
            redis.pause()
            self._later(fault.duration_s, self._resume_redis)
            return True
        redis.kill()
        self._down.add(REDIS)
        if fault.kind is FaultKind.FORGET:
            self._forget(fault.strength)
        elif fault.kind is FaultKind.WIPE:
            for path in (redis.directory / "appendonlydir").iterdir():
                path.unlink()
        self._append_only_sizes.clear()  # of another server from here on
        self._later(fault.duration_s, self._start_redis)
        return True

    def _start_redis(self) -> None:
        self._cluster.redis.start()
        self._down.discard(REDIS)

    def _resume_redis(self) -> None:
        if REDIS not in self._down:
            self._cluster.redis.resume()

    def _flush_redis(self) -> bool:
        """FLUSHALL: emptied without losing a connection."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(str(self._cluster.redis.socket_path))
            connection.sendall(b"FLUSHALL\r\n")
            return connection.recv(100).startswith(b"+OK")
        return False

    def _measure_append_only_file(self) -> None:
        for path in (self._cluster.redis.directory / "appendonlydir").glob("*.incr.aof"):
            with contextlib.suppress(FileNotFoundError):
                self._append_only_sizes.append((time.monotonic(), path, path.stat().st_size))

    def _forget(self, seconds: float) -> None:
        """Cut off the append-only file what came in the last seconds, as a power loss does with what was not synced."""
        moment = time.monotonic() - seconds
        measured = [(at, path, size) for at, path, size in self._append_only_sizes if path.exists()]
        older = [one for one in measured if one[0] <= moment] or measured[:1]
        if older:
            _, path, size = older[-1]
            os.truncate(path, min(size, path.stat().st_size))

    # Links

    def _strike_link(self, fault: Fault) -> bool:
        links = self._cluster.links
        if fault.kind is FaultKind.CUT:
            links.cut(fault.target)
            return True
        if fault.kind is FaultKind.DELAY:
            links.delay(fault.target, requests_s=fault.strength, replies_s=fault.strength)
        else:
            requests = fault.kind is FaultKind.SWALLOW_REQUESTS
            links.swallow(fault.target, requests=requests, replies=not requests)
        self._later(fault.duration_s, lambda: links.heal(fault.target))
        return True

    # Processes

    def _strike_process(self, fault: Fault) -> bool:
        process = self._running_like(fault.target)
        if process is None:
            return False
        if fault.kind is FaultKind.PAUSE:
            process.pause()
            self._later(fault.duration_s, process.resume)
            return True
        self._down.add(process.name)
        if fault.kind is FaultKind.TERMINATE:
            process.ask_to_end()
            self._later(max(fault.duration_s, 1.0), lambda: self._start_again(process))
            return True
        if fault.kind is FaultKind.LOSE_NODE:
            self._cluster.remove_node_directory(process)
        else:
            process.kill()
        self._later(fault.duration_s, lambda: self._start_again(process))
        return True

    def _start_again(self, process: RoleProcess) -> None:
        process.kill()  # one that was asked to end may not have
        process.start()
        self._down.discard(process.name)

    def _running_like(self, name: str) -> RoleProcess | None:
        """The process of this name, or another one of its role when that is down already."""
        role = name.rstrip("-0123456789")
        alike = [process for process in self._cluster.processes if process.name.startswith(role)]
        alike.sort(key=lambda process: process.name != name)
        return next((one for one in alike if one.name not in self._down and one.is_running), None)


_LINK_FAULTS = frozenset({FaultKind.CUT, FaultKind.DELAY, FaultKind.SWALLOW_REQUESTS, FaultKind.SWALLOW_REPLIES})

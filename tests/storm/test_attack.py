"""What the faults of the storm do to a real Redis; the other faults are signals and links."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import redis

from tests.harness.cluster import Cluster
from tests.harness.redis_server import RedisServer
from tests.harness.role_process import RoleProcess
from tests.storm.attack import Attack
from tests.storm.schedule import REDIS, Fault, FaultKind


@dataclass(slots=True)
class RedisAlone:
    """As much of a cluster as faults of Redis look at."""

    redis: RedisServer
    processes: list[RoleProcess] = field(default_factory=list)
    link_names: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer(appendonly=True, appendfsync="everysec") as running:
        yield running


def strike(server: RedisServer, kind: FaultKind, *, at_s: float = 0.0, strength: float = 0.0) -> Attack:
    fault = Fault(at_s=at_s, kind=kind, target=REDIS, duration_s=0.05, strength=strength)
    attack = Attack(cast("Cluster", RedisAlone(server)), [fault], note=lambda text: None)
    attack.run(lambda: None)
    return attack


def client(server: RedisServer) -> Any:
    return redis.Redis(unix_socket_path=str(server.socket_path))


def test_killed_redis_comes_back_with_everything(server: RedisServer) -> None:
    client(server).set("a", 1)
    attack = strike(server, FaultKind.KILL)
    assert client(server).get("a") == b"1"
    assert attack.kills == 1
    assert attack.done == {(REDIS, "kill"): 1}


def test_forgetful_redis_comes_back_without_its_last_second(server: RedisServer) -> None:
    client(server).set("old", 1)

    def write_late() -> None:
        time.sleep(1.0)
        client(server).set("new", 1)

    writer = threading.Thread(target=write_late)
    writer.start()
    strike(server, FaultKind.FORGET, at_s=1.3, strength=0.6)
    writer.join()
    assert client(server).mget("old", "new") == [b"1", None]


@pytest.mark.parametrize("kind", [FaultKind.WIPE, FaultKind.FLUSH])
def test_wiped_redis_comes_back_empty(server: RedisServer, kind: FaultKind) -> None:
    client(server).set("a", 1)
    strike(server, kind)
    assert client(server).dbsize() == 0


def test_paused_redis_answers_again(server: RedisServer) -> None:
    strike(server, FaultKind.PAUSE)
    assert client(server).ping()


def test_fault_of_a_redis_that_is_down_waits_until_it_is_up(server: RedisServer) -> None:
    faults = [Fault(at_s=at_s, kind=FaultKind.KILL, target=REDIS, duration_s=0.2) for at_s in (0.0, 0.05)]
    attack = Attack(cast("Cluster", RedisAlone(server)), faults, note=lambda text: None)
    attack.run(lambda: None)
    assert attack.kills == 2
    assert client(server).ping()

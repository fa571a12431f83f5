"""Where the index's server is at the moment: fixed, found through Sentinels, or the master of a cluster's slot.

REDIS_HOST names it:

    redis.example, unix:/path/redis.sock          one server
    sentinel:NAME@host:port,host:port             the master that Sentinels know as NAME
    cluster:host:port,host:port                   the master of the index's slot in a Redis Cluster

All keys of the index lie in one slot (keys.py), so one server of a cluster has it all. Asking is redis-py's; each new
connection of `Connection` asks again, and whether the server found is the right one its guard decides, not this file.
redis-py is imported where it is used: a process with one server starts 0.1 s sooner without it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gateway.index import keys

UNIX_PREFIX = "unix:"
SENTINEL_PREFIX = "sentinel:"
CLUSTER_PREFIX = "cluster:"

DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26379


class NotFound(OSError):
    """Nobody who was asked knows where the server is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to connect to: a socket's path, or host and port."""

    path: str = ""
    host: str = ""
    port: int = 0


Locate = Callable[[], Awaitable[Place]]
"""Finds the server now. Raises NotFound."""


def locator(host: str, port: int, *, password: str, timeout_s: float) -> Locate:
    """What finds the server that REDIS_HOST and REDIS_PORT name. Raises ValueError when they name none."""
    if host.startswith(SENTINEL_PREFIX):
        name, _, places = host.removeprefix(SENTINEL_PREFIX).partition("@")
        sentinels = parse_places(places, DEFAULT_SENTINEL_PORT)
        if not name or not sentinels:
            raise ValueError(f"expected sentinel:NAME@HOST:PORT,..., not {host!r}")
        return lambda: _ask_sentinels(name, sentinels, timeout_s)
    if host.startswith(CLUSTER_PREFIX):
        members = parse_places(host.removeprefix(CLUSTER_PREFIX), DEFAULT_PORT)
        if not members:
            raise ValueError(f"expected cluster:HOST:PORT,..., not {host!r}")
        return lambda: _ask_cluster(members, password, timeout_s)
    path = host.removeprefix(UNIX_PREFIX) if host.startswith(UNIX_PREFIX) else ""
    fixed = Place(path=path) if path else Place(host=host, port=port)

    async def stay() -> Place:
        return fixed

    return stay


def parse_places(text: str, default_port: int) -> list[tuple[str, int]]:
    """`host:port,host,[::1]:port` as pairs. Raises ValueError."""
    places = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        host, colon, port = item.rpartition(":")
        if not colon or item.endswith("]"):
            host, port = item, str(default_port)
        places.append((host.strip("[]"), int(port)))
    return places


async def _ask_sentinels(name: str, sentinels: Sequence[tuple[str, int]], timeout_s: float) -> Place:
    from redis.asyncio.sentinel import Sentinel
    from redis.exceptions import RedisError

    asked = Sentinel(list(sentinels), sentinel_kwargs=_options(timeout_s))  # type: ignore[no-untyped-call]
    try:
        host, port = await asked.discover_master(name)
    except (RedisError, OSError, TimeoutError) as error:
        raise NotFound(f"no Sentinel knows a master {name}: {error}") from error
    finally:
        for one in asked.sentinels:
            with suppress(RedisError, OSError):
                await one.aclose()
    return Place(host=host, port=int(port))


async def _ask_cluster(members: Sequence[tuple[str, int]], password: str, timeout_s: float) -> Place:
    """The first answer of any member; those that are down are passed over."""
    from redis.asyncio import Redis
    from redis.crc import key_slot
    from redis.exceptions import RedisError

    reasons = []
    for host, port in members:
        member = Redis(host=host, port=port, password=password or None, **_options(timeout_s))
        try:
            async with asyncio.timeout(timeout_s):
                shards = await member.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
            return _master_of(shards, key_slot(keys.sequence().encode()), host)
        except (RedisError, OSError, TimeoutError, NotFound) as error:
            reasons.append(f"{host}:{port}: {error}")
        finally:
            with suppress(RedisError, OSError):
                await member.aclose()
    raise NotFound(f"no member of the cluster knows the index's slot: {'; '.join(reasons)}")


def _master_of(shards: Any, slot: int, asked_host: str) -> Place:
    """From CLUSTER SLOTS: `[[first, last, [host, port, …], replica …], …]`, or what redis-py makes of that."""
    if isinstance(shards, dict):
        shards = [[first, last, shard["primary"]] for (first, last), shard in shards.items()]
    for first, last, master, *_ in shards:
        if first <= slot <= last:
            host, port = master[0], master[1]
            text = host.decode() if isinstance(host, bytes) else host
            return Place(host=text or asked_host, port=int(port))  # no host: that of whom one asks
    raise NotFound("the slot is not served")


def _options(timeout_s: float) -> dict[str, Any]:
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    # The next connection is the retry.
    return {"socket_connect_timeout": timeout_s, "socket_timeout": timeout_s, "retry": Retry(NoBackoff(), 0)}

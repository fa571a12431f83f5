"""Tells gateways, through Redis, that this node lives, where it is and how full. Redis away stops nothing.

    HSET cairn:{0}:nodes NODE_ID '{"node_id", "address", "zone", "capacity_bytes", "free_bytes", "accepting",
                                   "stopped" (only when it is true), "heartbeat_at"}'

heartbeat_at is Redis's own clock in seconds, so that no two clocks are compared.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

NODES_KEY = "cairn:{0}:nodes"

_RETRY_S = 1.0  # while Redis is away; a node should be known again soon after its return
_FAREWELL_TIMEOUT_S = 2.0
_CONNECT_TIMEOUT_S = 2.0
_ANSWER_TIMEOUT_S = 5.0

# The JSON is completed as text: cjson would render a capacity above 10**14 bytes with lost digits.
_SCRIPT = """
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])
return redis.call('HSET', KEYS[1], ARGV[1], string.sub(ARGV[2], 1, -2) .. ',"heartbeat_at":' .. at .. '}')
"""

_REDIS_AWAY = (RedisError, OSError, TimeoutError)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What one heartbeat says."""

    node_id: str
    address: str
    zone: str
    capacity_bytes: int
    free_bytes: int
    accepting: bool


def connect(host: str, port: int, password: str) -> Redis:
    """A client of the server at host:port, or at the socket of `unix:/path`. Connects when first used."""
    path = host.removeprefix("unix:") if host.startswith("unix:") else None
    return Redis(
        host=host,
        port=port,
        unix_socket_path=path,
        password=password or None,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        socket_timeout=_ANSWER_TIMEOUT_S,
        # Once is enough: the next heartbeat is the retry.
        retry=Retry(NoBackoff(), 0),
    )


class Heartbeat:
    """Beats from start() to stop(). `measure` gives what to say at the moment; it may raise OSError."""

    def __init__(self, redis: Redis, measure: Callable[[], Beat], *, interval_s: float) -> None:
        self._redis = redis
        self._measure = measure
        self._interval_s = interval_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Beat at once, then each interval."""
        self._task = asyncio.create_task(self._run(), name="heartbeat")

    async def stop(self) -> None:
        """Say goodbye, so that gateways need not wait for the silence to be noticed; within 2 s."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        try:
            async with asyncio.timeout(_FAREWELL_TIMEOUT_S):
                await self._send({**asdict(self._measure()), "accepting": False, "stopped": True})
        except _REDIS_AWAY as error:
            _log.warning("no goodbye, Redis is away: %r", error)
        await self._redis.aclose()

    async def _run(self) -> None:
        away = False
        while True:
            try:
                await self._send(asdict(self._measure()))
            except _REDIS_AWAY as error:
                if not away:
                    _log.warning("no heartbeat: %r", error)
                away = True
                await asyncio.sleep(min(_RETRY_S, self._interval_s))
                continue
            if away:
                _log.info("heartbeats again")
            away = False
            await asyncio.sleep(self._interval_s)

    async def _send(self, fields: dict[str, object]) -> None:
        answer = self._redis.eval(_SCRIPT, 1, NODES_KEY, str(fields["node_id"]), json.dumps(fields))
        await cast(Awaitable[object], answer)

"""Tells gateways, through Redis, that this node lives, where it is and how full. Redis away stops nothing.

    HSET cairn:{0}:nodes NODE_ID '{"node_id", "address", "zone", "capacity_bytes", "free_bytes", "accepting", "scrub",
                                   "boot", "stopped" (only when it is true), "heartbeat_at"}'

boot differs for each start of a node, so that what failed before it is not held against the new process.
heartbeat_at is Redis's own clock in seconds, so that no two clocks are compared. Between heartbeats the node looks
whether it is still in the table: a Redis that was wiped or replaced is filled again by asking the nodes, and they
must not be known only half a minute later.
"""

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import cast

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisError

NODES_KEY = "cairn:{0}:nodes"

_CHECK_S = 1.0  # how often to look whether the table still knows this node; an HEXISTS
_RETRY_S = 1.0  # while Redis is away; a node should be known again soon after its return
_FAREWELL_TIMEOUT_S = 2.0

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
    scrub: dict[str, int | float] | None = None  # round, fraction, expected_end_ms, damaged


class Heartbeat:
    """Beats from start() to stop(). `measure` gives what to say at the moment; it may raise OSError."""

    def __init__(
        self,
        redis: Redis | RedisCluster,
        measure: Callable[[], Beat],
        *,
        interval_s: float,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._redis = redis
        self._measure = measure
        self._interval_s = interval_s
        self._boot = random_bytes(8).hex()
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
                beat = self._measure()
                await self._send(asdict(beat))
                if away:
                    _log.info("heartbeats again")
                away = False
                await self._wait(beat.node_id)
            except _REDIS_AWAY as error:
                if not away:
                    _log.warning("no heartbeat: %r", error)
                away = True
                await asyncio.sleep(min(_RETRY_S, self._interval_s))

    async def _wait(self, node_id: str) -> None:
        """Return when the next heartbeat is due, or when the table has forgotten this node. Raises as redis-py does."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._interval_s
        while (left_s := due - loop.time()) > _CHECK_S:
            await asyncio.sleep(_CHECK_S)
            if not await self._redis.hexists(NODES_KEY, node_id):
                _log.info("the node table has forgotten this node")
                return
        await asyncio.sleep(max(left_s, 0.0))

    async def _send(self, beat: dict[str, object]) -> None:
        fields = {**beat, "boot": self._boot}
        answer = self._redis.eval(_SCRIPT, 1, NODES_KEY, str(fields["node_id"]), json.dumps(fields))
        await cast(Awaitable[object], answer)

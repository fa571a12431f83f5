"""The client for the Redis that REDIS_HOST names, however it is run; only heartbeats use it.

redis.example, unix:/path/redis.sock          one server
sentinel:NAME@host:port,host:port             the master that Sentinels know as NAME
cluster:host:port,host:port                   a Redis Cluster
"""

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

_DEFAULT_PORT = 6379
_DEFAULT_SENTINEL_PORT = 26379
_CONNECT_TIMEOUT_S = 2.0
_ANSWER_TIMEOUT_S = 5.0


def connect(host: str, port: int, password: str) -> Redis | RedisCluster:
    """A client that connects when it is first used. Raises ValueError when `host` is malformed."""
    kind, colon, rest = host.partition(":")
    if not colon or kind not in ("unix", "sentinel", "cluster"):
        return _one_server(host, port, None, password)
    if kind == "unix":
        return _one_server("localhost", port, rest, password)
    if kind == "sentinel":
        name, _, places = rest.partition("@")
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            _places(places, _DEFAULT_SENTINEL_PORT),
            sentinel_kwargs={"socket_connect_timeout": _CONNECT_TIMEOUT_S, "socket_timeout": _ANSWER_TIMEOUT_S},
        )
        master: Redis = sentinel.master_for(
            name,
            password=password or None,
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
            socket_timeout=_ANSWER_TIMEOUT_S,
            retry=_no_retry(),
        )
        return master
    return RedisCluster(
        startup_nodes=[ClusterNode(one, its_port) for one, its_port in _places(rest, _DEFAULT_PORT)],
        password=password or None,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        socket_timeout=_ANSWER_TIMEOUT_S,
    )


def _one_server(host: str, port: int, path: str | None, password: str) -> Redis:
    return Redis(
        host=host,
        port=port,
        unix_socket_path=path,
        password=password or None,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        socket_timeout=_ANSWER_TIMEOUT_S,
        retry=_no_retry(),
    )


def _no_retry() -> Retry:
    # Once is enough: the next heartbeat is the retry.
    return Retry(NoBackoff(), 0)


def _places(text: str, default_port: int) -> list[tuple[str, int]]:
    places = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        host, colon, port = item.rpartition(":")
        if not colon or item.endswith("]"):
            host, port = item, str(default_port)
        places.append((host.strip("[]"), int(port)))
    return places

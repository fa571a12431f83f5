"""Which server this is, in this life of it: what tells a Redis that went on from one that is not what it was.

The run id is new with every start. The replication id is new with every promotion, also with that of a server which
was master before, was resynchronised meanwhile and never ended (https://redis.io/docs/latest/operate/oss_and_stack/management/replication/).
It also changes by itself now and then; taking that for another server costs a short recovery that finds nothing.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from gateway.index.pipe import Argument


async def read_identity(call: Callable[..., Awaitable[Any]]) -> tuple[str, bool]:
    """The identity, and whether the server is a master. `call` executes a command; what it raises passes through."""
    fields: dict[str, str] = {}
    for section in ("server", "replication"):
        command: tuple[Argument, ...] = ("INFO", section)
        fields |= _fields(await call(*command))
    return f"{fields['run_id']}:{fields['master_replid']}", fields["role"] == "master"


def _fields(text: bytes) -> dict[str, str]:
    pairs = [line.partition(":") for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: value for name, separator, value in pairs if separator}

"""Settings of a storage node, each declared once, read from the environment and nowhere else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self


class SettingsError(Exception):
    """A setting is missing or malformed; the message names it."""


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("expected a whole number")
    return int(text)


def _port(text: str) -> int:
    if (port := _whole(text)) > 65535:
        raise ValueError("expected a port between 0 and 65535")
    return port


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError("expected a number of seconds above zero")
    return seconds


def _flag(text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        raise ValueError("expected on or off")
    return lowered in ("1", "true", "yes", "on")


def _from(variable: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    return {"variable": variable, "parse": parse}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What one node process needs to know."""

    #: Where the blobs lie; made if it is missing.
    directory: str = field(metadata=_from("BASE_STORAGE_PATH", str))
    #: Shared by the gateways and nodes of one cluster.
    secret: bytes = field(metadata=_from("CAIRN_CLUSTER_SECRET", str.encode), repr=False)
    #: Address to listen on.
    host: str = field(default="127.0.0.1", metadata=_from("CAIRN_NODE_HOST", str))
    #: 0 takes any free port.
    port: int = field(default=0, metadata=_from("CAIRN_NODE_PORT", _port))
    #: HOST or HOST:PORT that gateways shall use; by default what the node listens on.
    advertise: str = field(default="", metadata=_from("CAIRN_NODE_ADVERTISE", str))
    #: Nodes of one zone may fail together.
    zone: str = field(default="", metadata=_from("CAIRN_ZONE", str))
    #: Disk space that no blob gets; by default 1 GiB or 5 % of the disk, the smaller.
    reserve_bytes: int | None = field(default=None, metadata=_from("CAIRN_NODE_RESERVE_BYTES", _whole))
    #: A host name, or unix:/path of a socket.
    redis_host: str = field(default="localhost", metadata=_from("REDIS_HOST", str))
    redis_port: int = field(default=6379, metadata=_from("REDIS_PORT", _port))
    redis_password: str = field(default="", metadata=_from("REDIS_PASSWORD", str), repr=False)
    heartbeat_interval_s: float = field(default=30.0, metadata=_from("NODE_HEARTBEAT_INTERVAL", _seconds))
    #: Seconds in which every blob is read again and verified; 30 days.
    scrub_period_s: float = field(default=30 * 24 * 3600.0, metadata=_from("CAIRN_SCRUB_PERIOD", _seconds))
    #: The process to die with; 0 for none.
    parent_pid: int = field(default=0, metadata=_from("CAIRN_PARENT_PID", _whole))
    debug: bool = field(default=False, metadata=_from("DEBUG", _flag))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """An empty variable counts as unset. Raises SettingsError."""
        values: dict[str, Any] = {}
        for one in fields(cls):
            variable: str = one.metadata["variable"]
            if text := environment.get(variable, "").strip():
                try:
                    values[one.name] = one.metadata["parse"](text)
                except ValueError as error:
                    raise SettingsError(f"{variable}: {error}, not {text!r}") from None
        for name, variable in (("directory", "BASE_STORAGE_PATH"), ("secret", "CAIRN_CLUSTER_SECRET")):
            if name not in values:
                raise SettingsError(f"{variable} must be set: a storage node does not start without it")
        return cls(**values)

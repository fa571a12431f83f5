"""Having the index server write its append-only file anew when one of its syncs has failed.

After a failed fsync nothing that was written before is sure, so the server refuses every change until the whole file
has been written again; it does not begin that by itself. Where the disk is still bad the rewrite fails and nothing is
changed.
"""

import structlog

from gateway.index.connection import Connection
from gateway.index.errors import IndexFault

_log = structlog.get_logger(__name__)


class IndexFileKeeper:
    """`run_once` looks at the server's own word about its file."""

    def __init__(self, connection: Connection) -> None:
        """The connection without a guard: a server that refuses changes may not be open."""
        self._connection = connection

    async def run_once(self) -> bool:
        """Whether a rewrite was asked for. Raises IndexUnavailable."""
        report: bytes = await self._connection.command("INFO", "persistence")
        fields = dict(line.split(b":", 1) for line in report.splitlines() if b":" in line)
        if fields.get(b"aof_enabled") != b"1" or fields.get(b"aof_rewrite_in_progress") == b"1":
            return False
        if fields.get(b"aof_last_write_status") == b"ok":
            return False
        try:
            await self._connection.command("BGREWRITEAOF")
        except IndexFault as error:  # another child is at work, or the command is not ours to give
            _log.warning("the index server's file was not written anew", error=str(error))
            return False
        _log.warning("the index server could not sync its file; it is asked to write it anew")
        return True

"""A second index server for a check, in memory and in a temporary directory, that ends with this process."""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from gateway.index.connection import Connection, connect
from gateway.index.errors import IndexUnavailable
from gateway.supervisor import attach
from gateway.supervisor.embedded_index import server_program

START_TIMEOUT_S = 20.0
REPLY_TIMEOUT_S = 60.0
_POLL_S = 0.02


@contextlib.asynccontextmanager
async def scratch_server() -> AsyncGenerator[Connection, None]:
    """A connection to an empty server. Raises StartRefused where the platform has none, IndexUnavailable."""
    directory = Path(tempfile.mkdtemp(prefix="cairn-fsck-"))
    socket_path = directory / "index.sock"
    options = ["--port", "0", "--unixsocket", str(socket_path), "--dir", str(directory)]
    # What it holds can be had again: no file of it is written.
    options += ["--save", "", "--appendonly", "no", "--logfile", str(directory / "log")]
    command = [str(server_program()), *options]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(attach.__file__), str(os.getpid()), *command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    connection = connect(f"unix:{socket_path}", timeout_s=REPLY_TIMEOUT_S)
    try:
        await _answers(connection)
        yield connection
    finally:
        await connection.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        shutil.rmtree(directory, ignore_errors=True)


async def _answers(connection: Connection) -> None:
    """Return when the server answers. Raises IndexUnavailable when it does not in time."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + START_TIMEOUT_S
    while True:
        try:
            await connection.command("PING")
        except IndexUnavailable:
            if clock() > deadline:
                raise
            await asyncio.sleep(_POLL_S)
        else:
            return

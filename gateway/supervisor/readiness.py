"""Asks a gateway over HTTP whether it is ready; the only protocol that the supervisor speaks to a child."""

import asyncio
import contextlib
import socket
import ssl

READY_PATH = "/-/health/ready"
POLL_S = 0.02
ANSWER_TIMEOUT_S = 5.0


async def wait_until_ready(listener: socket.socket, *, tls: bool) -> None:
    """Return once a process that accepts on `listener` answers 200; waits for ever otherwise.

    A connection waits in the listener's queue until the first gateway accepts, so a start takes few polls.
    """
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    while True:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                if await _status(host, port, tls=tls) == 200:
                    return
        await asyncio.sleep(POLL_S)


async def _status(host: str, port: int, *, tls: bool) -> int:
    reader, writer = await asyncio.open_connection(host, port, ssl=_unverified() if tls else None)
    try:
        writer.write(f"GET {READY_PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("ascii"))
        line = await reader.readuntil(b"\r\n")
        return int(line.split()[1])
    except (asyncio.LimitOverrunError, ValueError, IndexError):
        return 0
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _unverified() -> ssl.SSLContext:
    """Our own process at the other end, whose certificate need not name the loopback address."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

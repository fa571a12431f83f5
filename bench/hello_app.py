"""The yardstick of small requests: a raw ASGI application that reads the body and answers 4 KiB from memory.

`python -m bench.hello_app` prints its port and serves with uvicorn as a gateway does, one process.
"""

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

BODY = b"x" * 4096
_HEADERS = [(b"content-type", b"application/octet-stream"), (b"content-length", str(len(BODY)).encode())]


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answers everything alike."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": BODY})


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        app, http="httptools", loop="uvloop", ws="none", lifespan="off", access_log=False, log_level="error"
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()

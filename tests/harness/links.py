"""Many TCP proxies in a process of their own, told over a pipe what to break: the network between the processes of a
cluster. Its own process, so that what passes does not wait for the interpreter of the test.

The process reads one JSON command a line from standard input, answers each with one line, and ends with its input.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.supervisor import attach
from tests.harness.tcp_proxy import Direction, TcpProxy

PROJECT = Path(__file__).resolve().parents[2]
_STOP_TIMEOUT_S = 5.0


class Links:
    """The test's side: opens links and breaks them; a context manager. Any thread may call."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        tie = [sys.executable, "-I", "-S", attach.__file__, str(os.getpid())]
        self._process = subprocess.Popen(
            [*tie, sys.executable, "-m", "tests.harness.links"],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def open(self, name: str, target_port: int) -> int:
        """Make a link to a port of 127.0.0.1 and give the port that leads there; both stay for good."""
        return int(self._ask(do="open", name=name, port=target_port)["port"])

    def cut(self, name: str) -> None:
        """End every connection that is open now; new ones may be made."""
        self._ask(do="cut", name=name)

    def delay(self, name: str, *, requests_s: float = 0.0, replies_s: float = 0.0) -> None:
        """Hold back every chunk by so much."""
        self._ask(do="delay", name=name, requests_s=requests_s, replies_s=replies_s)

    def swallow(self, name: str, *, requests: bool = False, replies: bool = False) -> None:
        """Let nothing pass in these directions until `heal`."""
        self._ask(do="swallow", name=name, requests=requests, replies=replies)

    def heal(self, name: str) -> None:
        """Neither delay nor swallow any more."""
        self._ask(do="heal", name=name)

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=_STOP_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, **command: Any) -> dict[str, Any]:
        with self._turn:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


async def _obey(command: dict[str, Any], proxies: dict[str, TcpProxy], stack: contextlib.AsyncExitStack) -> Any:
    name = command["name"]
    if command["do"] == "open":
        proxies[name] = await stack.enter_async_context(TcpProxy(port=command["port"], record=False))
        return {"port": proxies[name].port}
    proxy = proxies[name]
    if command["do"] == "cut":
        proxy.drop_all()
    elif command["do"] == "delay":
        proxy.requests.delay_s, proxy.replies.delay_s = command["requests_s"], command["replies_s"]
    elif command["do"] == "swallow":
        for direction, wanted in ((proxy.requests, command["requests"]), (proxy.replies, command["replies"])):
            direction.swallow() if wanted else direction.release()
    else:
        _heal(proxy.requests)
        _heal(proxy.replies)
    return {}


def _heal(direction: Direction) -> None:
    direction.delay_s = 0.0
    direction.release()


async def _serve() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    proxies: dict[str, TcpProxy] = {}
    async with contextlib.AsyncExitStack() as stack:
        while line := await reader.readline():
            print(json.dumps(await _obey(json.loads(line), proxies, stack)), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve())

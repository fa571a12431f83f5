"""Whether a node that has gone quiet is alive: asked beside the request that waits for it, once for all that wait."""

import asyncio
from collections.abc import Callable

from storagenode.client import NodeClient, NodeError


class NodeProbe:
    """Asks nodes for a sign of life. One for the whole process; `aclose` when done."""

    def __init__(self, client: NodeClient, *, timeout_s: float) -> None:
        """A node that has not answered after `timeout_s` is taken for dead: the answer needs no disk."""
        self._client = client
        self._timeout_s = timeout_s
        self._asking: dict[str, asyncio.Task[bool]] = {}

    def ask(self, address: str) -> asyncio.Task[bool]:
        """A task that tells whether the node answers; not to be cancelled, others may wait for it too."""
        task = self._asking.get(address)
        if task is None:
            task = asyncio.create_task(self._answers(address), name=f"probe {address}")
            self._asking[address] = task
            task.add_done_callback(self._forget(address))
        return task

    async def aclose(self) -> None:
        """End the questions under way."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, address: str) -> Callable[[asyncio.Task[bool]], None]:
        def forget(_: asyncio.Task[bool]) -> None:
            self._asking.pop(address, None)

        return forget

    async def _answers(self, address: str) -> bool:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._client.ping(address)
        except (NodeError, TimeoutError):
            return False
        return True

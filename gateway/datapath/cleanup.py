"""Deleting, in the background and as well as it goes, of blobs that nothing will ever refer to.

A blob that cannot be deleted now is left to the orphan worker, so every bound here may simply let go. That worker does
not see a copy whose write a record refers to: who leaves one asks to be told of it (`on_left`), and has it remembered.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from gateway.placement.membership import Membership
from storagenode.client import NodeClient, NodeError

MAXIMUM_TASKS = 64
"""Clean-ups under way at once; under a storm of aborted uploads the rest is left to the orphan worker."""

CLOSE_TIMEOUT_S = 5.0

_log = structlog.get_logger(__name__)

BlobAt = tuple[str, str]
"""A node id and a blob id."""


class BlobCleaner:
    """Runs clean-ups and knows which are under way."""

    def __init__(self, client: NodeClient, membership: Membership) -> None:
        self._client = client
        self._membership = membership
        self._tasks: set[asyncio.Task[None]] = set()

    def discard(
        self,
        blobs: Iterable[BlobAt],
        *,
        after: Iterable[asyncio.Task[Any]] = (),
        on_left: Callable[[], None] = lambda: None,
    ) -> None:
        """Delete `blobs` once the tasks `after`, which may still be writing them, have ended.

        `on_left` is called when some of them may still be there then, also should all this be given up.
        """
        wanted = list(blobs)
        waited_for = [task for task in after if not task.done()]
        if not wanted and not waited_for:
            return
        if len(self._tasks) >= MAXIMUM_TASKS:
            _log.info("clean-up left to the orphan worker", blobs=len(wanted))
            wanted = []
            on_left()
        task = asyncio.create_task(self._delete_all(wanted, waited_for, on_left), name="blob-cleanup")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Wait until all clean-ups asked for so far have ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def aclose(self) -> None:
        """Give the clean-ups under way a moment, then let go."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_TIMEOUT_S)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _delete_all(
        self, blobs: list[BlobAt], waited_for: list[asyncio.Task[Any]], on_left: Callable[[], None]
    ) -> None:
        left = len(blobs)
        try:
            await asyncio.gather(*waited_for, return_exceptions=True)
            for node_id, blob_id in blobs:
                left -= await self._delete(node_id, blob_id)
        finally:
            if left:
                on_left()

    async def _delete(self, node_id: str, blob_id: str) -> bool:
        """Whether the blob is certainly gone."""
        node = self._membership.node(node_id)
        if node is None or self._membership.suspects(node_id):
            return False
        try:
            await self._client.delete(node.address, blob_id, node_id=node_id)
        except NodeError as error:
            _log.info("blob not deleted yet", blob=blob_id, node=node_id, error=str(error))
            return False
        return True

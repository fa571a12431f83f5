"""Deleting blobs on nodes, several at a time, leaving a node alone once it could not be reached."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from gateway.datapath.cleanup import BlobAt
from gateway.placement.membership import Membership
from storagenode.client import NodeClient, NodeError, NodeUnreachable

PARALLEL_DELETIONS = 16
"""Each ends with an fsync of the node; more at once only lengthen the queue at its disk."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletions:
    """What became of the blobs of one call."""

    deleted: int
    absent: int
    """Were not there (any more); as good as deleted."""
    failed: int
    """May still be there; to be tried again later."""


async def all_of(steps: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run the steps at the same time, wait for every one of them, then raise the first error if there was one."""
    outcomes = await asyncio.gather(*steps, return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


class BlobDeleter:
    """For one pass of a worker: what it learns of unreachable nodes is forgotten with it."""

    def __init__(self, client: NodeClient, membership: Membership, *, unknown_nodes_are_gone: bool) -> None:
        """`unknown_nodes_are_gone`: a node missing from the table was removed for good and holds nothing."""
        self._client = client
        self._membership = membership
        self._unknown_nodes_are_gone = unknown_nodes_are_gone
        self._turn = asyncio.Semaphore(PARALLEL_DELETIONS)
        self._unreachable: set[str] = set()

    async def delete(self, blobs: Iterable[BlobAt]) -> Deletions:
        """Delete every one of the blobs that can be deleted now. Raises nothing for those that cannot."""
        outcomes = await asyncio.gather(*(self._delete(node_id, blob_id) for node_id, blob_id in blobs))
        return Deletions(deleted=outcomes.count(True), absent=outcomes.count(False), failed=outcomes.count(None))

    async def _delete(self, node_id: str, blob_id: str) -> bool | None:
        """True: deleted; False: was not there; None: failed."""
        node = self._membership.node(node_id)
        if node is None:
            return False if self._unknown_nodes_are_gone else None
        async with self._turn:
            if node_id in self._unreachable:
                return None
            try:
                return await self._client.delete(node.address, blob_id, node_id=node_id)
            except NodeError as error:
                _log.warning("blob not deleted", blob=blob_id, node=node_id, error=repr(error))
                if isinstance(error, NodeUnreachable):
                    self._unreachable.add(node_id)
                    self._membership.node_failed(node_id)
                return None

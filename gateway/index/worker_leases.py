"""Which process runs which background work. A lease that is not renewed ends by itself."""

from gateway.index import keys
from gateway.index.base import IndexBase, accepted
from gateway.index.scripts import load_script

_LEASE = load_script("lease_worker")


class WorkerLeaseIndex(IndexBase):
    """The part of the index that lets one process at a time do a piece of work.

    A holder that is paused past its lease may meet another at work: what is done under a lease must stand that.
    """

    async def try_lease(self, name: str, holder: str, *, ttl_ms: int) -> bool:
        """Take or renew the lease of this name for `ttl_ms`; False when another holds it.

        Raises IndexUnavailable.
        """
        return await self._lease_worker(name, holder, ttl_ms)

    async def release_lease(self, name: str, holder: str) -> None:
        """Give the lease up, if it is this holder's. Raises IndexUnavailable."""
        await self._lease_worker(name, holder, 0)

    async def _lease_worker(self, name: str, holder: str, ttl_ms: int) -> bool:
        names = (keys.sequence(), keys.worker_lease(name))
        reply = await self._connection.transient(_LEASE, names, (holder, ttl_ms))
        return bool(accepted(reply, name)[0])

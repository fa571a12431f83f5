"""The books of a cluster after a storm: what nodes hold against what the index refers to."""

import asyncio
import json
import time
from collections.abc import Iterable

from gateway.index import keys
from gateway.index.connection import Connection, connect
from storagenode.client import NodeClient
from tests.harness.accounting import Accounting, account
from tests.harness.cluster import CLUSTER_SECRET, Cluster

#: The graces of the harness, some rounds of the worker, and a sweep of every node take less.
BALANCE_TIMEOUT_S = 60.0
_POLL_S = 1.0


def await_balance(cluster: Cluster, *, timeout_s: float, all_given_back: bool = True) -> Accounting:
    """Wait until nodes hold exactly what the index refers to; after the timeout the books as they then are.

    Without `all_given_back` it is enough that they hold all of it, whatever else they hold. Nobody may write meanwhile.
    Nodes that lost their directory are gone for good and owe nothing.
    """
    return asyncio.run(_await_balance(cluster, timeout_s, all_given_back))


async def _await_balance(cluster: Cluster, timeout_s: float, all_given_back: bool) -> Accounting:
    deadline = time.monotonic() + timeout_s
    connection = connect(cluster.redis.address)
    try:
        async with NodeClient(CLUSTER_SECRET.encode()) as client:
            while True:
                present = await _nodes(connection)
                books = await account(connection, client, present)
                books.missing[:] = [place for place in books.missing if place[0] in present]
                complete = len(present) == len(cluster.nodes)
                enough = books.balanced and complete if all_given_back else books.nothing_lost
                if enough or time.monotonic() > deadline:
                    return books
                await asyncio.sleep(_POLL_S)
    finally:
        await connection.close()


async def _nodes(connection: Connection) -> dict[str, str]:
    """Addresses by node id, of the nodes that are there: of those with one address the one that was heard last."""
    heartbeats: Iterable[bytes] = await connection.command("HVALS", keys.nodes())
    latest: dict[str, tuple[float, str]] = {}
    for fields in map(json.loads, heartbeats):
        mine = fields["heartbeat_at"], fields["node_id"]
        latest[fields["address"]] = max(latest.get(fields["address"], mine), mine)
    return {node_id: address for address, (_, node_id) in latest.items()}

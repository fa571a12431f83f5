"""The manifests of snapshots on the nodes: asking every node, telling every node.

A manifest is a small document under the snapshot's id on every node that was live. A node that was away has an older
state of it or none, so all are asked and the greatest state of each snapshot holds.
"""

import asyncio
from collections.abc import Mapping

import structlog

from gateway.journal.snapshot_format import Manifest, SnapshotDamaged, newest, pack_manifest, unpack_manifest
from storagenode.client import NodeClient, NodeError, node_at

_PREFIX = "snapshot-"

_log = structlog.get_logger(__name__)


async def read_manifests(client: NodeClient, nodes: Mapping[str, str]) -> dict[str, Manifest]:
    """Of each snapshot its present manifest, by snapshot id, newest first. Nodes that do not answer are passed over."""
    by_node = await manifests_by_node(client, nodes)
    return newest(manifest for manifests in by_node.values() for manifest in manifests.values())


async def manifests_by_node(client: NodeClient, nodes: Mapping[str, str]) -> dict[str, dict[str, Manifest]]:
    """What each node that answers has, by node id and snapshot id. A damaged manifest counts as absent."""
    answers = await asyncio.gather(*(_ask(client, node_id, address) for node_id, address in nodes.items()))
    return {node_id: found for node_id, found in zip(nodes, answers, strict=True) if found is not None}


async def snapshot_ids(client: NodeClient, nodes: Mapping[str, str]) -> set[str]:
    """The snapshots that any of these nodes has a manifest of, sound or not. Raises NodeError where one is silent."""
    answers = await asyncio.gather(*(client.journal.manifests(address) for address in nodes.values()))
    return {name.removeprefix(_PREFIX) for documents in answers for name, _ in documents if name.startswith(_PREFIX)}


async def put_everywhere(client: NodeClient, nodes: Mapping[str, str], manifest: Manifest) -> set[str]:
    """Store a manifest on every node, in place of an older state; the ids of the nodes that have it durably."""
    name, body = _PREFIX + manifest.snapshot_id, pack_manifest(manifest)

    async def put(node_id: str, address: str) -> str | None:
        try:
            await client.journal.put_manifest(node_at(node_id, address), name, body)
        except NodeError as error:
            _log.warning("manifest not stored", node=node_id, snapshot=manifest.snapshot_id, error=str(error))
            return None
        return node_id

    stored = await asyncio.gather(*(put(*node) for node in nodes.items()))
    return {node_id for node_id in stored if node_id is not None}


async def drop_everywhere(client: NodeClient, nodes: Mapping[str, str], snapshot_id: str) -> bool:
    """Forget a manifest; whether every node did."""

    async def drop(node_id: str, address: str) -> bool:
        try:
            await client.journal.drop_manifest(node_at(node_id, address), _PREFIX + snapshot_id)
        except NodeError as error:
            _log.warning("manifest not dropped", node=node_id, snapshot=snapshot_id, error=str(error))
            return False
        return True

    return all(await asyncio.gather(*(drop(*node) for node in nodes.items())))


async def _ask(client: NodeClient, node_id: str, address: str) -> dict[str, Manifest] | None:
    try:
        documents = await client.journal.manifests(node_at(node_id, address))
    except NodeError as error:
        _log.warning("node not asked for its snapshots", node=node_id, error=str(error))
        return None
    found = {}
    for name, body in documents:
        if not name.startswith(_PREFIX):
            continue
        try:
            manifest = unpack_manifest(body)
        except SnapshotDamaged as error:
            _log.error("manifest not usable", node=node_id, name=name, error=str(error))
            continue
        found[manifest.snapshot_id] = manifest
    return found

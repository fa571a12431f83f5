"""What `cairn node` and `cairn rebalance` do, between the command line, the index and the node table."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from gateway.cli_options import CommandRefused
from gateway.command_services import CommandServices
from gateway.index.index_walk import WalkStep
from gateway.index.node_states import NodeState
from gateway.index.repair_records import Census, NodeHolding, PlaceKind
from gateway.journal.leaving import why_index_needs
from gateway.placement.membership import Node
from gateway.workers.audit import SETTLED_AFTER_MS
from gateway.workers.node_watch import NodeWatch
from gateway.workers.rebalance import Forecast, Rebalancer
from gateway.workers.repair_jobs import wanted_copies


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """A node as `cairn node list` shows it."""

    node_id: str
    address: str
    zone: str
    state: str  # live, stopped, dead, draining, removed; the latter two with "dead" behind them where it is
    capacity_bytes: int
    free_bytes: int
    holding: NodeHolding | None  # what the index named on it when it was last gone through; None: not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What only a node has."""

    objects: int
    size_bytes: int


async def list_nodes(services: CommandServices) -> list[NodeReport]:
    """Every node, removed ones that still answer included. Raises IndexUnavailable."""
    census = await services.index.census()
    found = [*services.membership.nodes(), *services.membership.removed_nodes()]
    return [_report(node, census) for node in sorted(found, key=lambda node: (node.zone, node.address))]


async def drain(services: CommandServices, name: str) -> NodeReport:
    """Have everything moved away from a node. Raises CommandRefused, IndexUnavailable."""
    node = _find(services, name)
    if node.removed:
        raise CommandRefused(f"{node.node_id} was removed")
    if not node.draining:
        await _set_state(services, node, NodeState.DRAINING)
    return _report(_find(services, node.node_id), await services.index.census())


async def undrain(services: CommandServices, name: str) -> NodeReport:
    """Take a draining or removed node back. Raises CommandRefused, IndexUnavailable."""
    if services.membership.was_removed(name):
        await services.index.set_node_state(name, None, now_ms=services.membership.now_ms())
        await services.membership.refresh()
    node = _find(services, name)
    if node.draining or node.removed:
        await _set_state(services, node, None)
    return _report(_find(services, node.node_id), await services.index.census())


async def remove(services: CommandServices, name: str, *, force: bool, accept_loss: bool) -> NodeReport:
    """Take a node out of the cluster, once nothing refers to it.

    `force`: also when records still name it, as long as everything can be read elsewhere; `accept_loss`: even then.
    Raises CommandRefused, IndexUnavailable.
    """
    node = _find(services, name)
    if node.removed:
        raise CommandRefused(f"{node.node_id} was removed already")
    if node.live and not node.draining:
        raise CommandRefused(f"{node.node_id} is in use: cairn node drain {node.node_id} first")
    if force or accept_loss:
        loss = await what_only_it_has(services, node.node_id)
        if loss.objects and not accept_loss:
            raise CommandRefused(
                f"{loss.objects} objects ({loss.size_bytes} bytes) can be read from no other node: start it again, or "
                "give them up with --accept-loss"
            )
    elif (reason := await _why_needed(services, node)) is not None:
        raise CommandRefused(reason)
    # What is new does not go to a draining node; a dead one may be named as long as it is not needed.
    only_copies = force or not node.draining
    reason = await why_index_needs(services.client, services.membership, node, only_copies=only_copies)
    if reason is not None and not accept_loss:
        raise CommandRefused(reason)
    census = await services.index.census()
    await _set_state(services, node, NodeState.REMOVED)
    if not node.live:
        await services.index.forget_node(node.node_id)
        await services.membership.refresh()
    return _report(replace(node, draining=False, removed=True), census)


async def what_only_it_has(services: CommandServices, node_id: str) -> Loss:
    """Objects of which some bytes are on no other live node: goes through the whole index.

    Raises IndexUnavailable.
    """
    live = {node.node_id for node in services.membership.live_nodes()} - {node_id}
    objects = size_bytes = 0
    async for step in _steps(services):
        for record in step.records:
            if record.kind is PlaceKind.TRASH:
                continue
            segments = [segment for extent in record.extents for segment in extent.segments]
            if any(node_id in one.nodes and not live & set(one.nodes) for one in segments):
                objects += 1
                size_bytes += sum(one.size_bytes for one in segments)
    return Loss(objects=objects, size_bytes=size_bytes)


async def order_rebalance(services: CommandServices, rate_bytes_s: int) -> None:
    """Raises IndexUnavailable."""
    await services.index.order_rebalance(rate_bytes_s=rate_bytes_s, now_ms=services.membership.now_ms())


async def stop_rebalance(services: CommandServices) -> bool:
    """Queue no more moves; whether there was a rebalance. Raises IndexUnavailable."""
    ordered = await services.index.rebalance_order() is not None
    await services.index.end_rebalance()
    return ordered


async def forecast(services: CommandServices) -> Forecast:
    """What a rebalance would move. Raises CommandRefused, IndexUnavailable."""
    settings, membership = services.settings, services.membership
    watch = NodeWatch(membership, node_timeout_s=settings.node_timeout_s, grace_s=settings.repair_grace_s)
    away = [node.node_id for node in watch.usable() if not node.live]
    if away:
        raise CommandRefused(f"nodes are away, and nothing is moved for that: {', '.join(away)}")
    return await Rebalancer(services.index, watch, wanted_copies=wanted_copies(settings, membership)).forecast()


async def _why_needed(services: CommandServices, node: Node) -> str | None:
    """Why a node cannot go yet, in one sentence."""
    membership = services.membership
    since_ms = node.state_since_ms if node.draining else membership.now_ms() - int(node.silent_s * 1000)
    census = await services.index.census()
    if census is None or census.started_ms < since_ms + SETTLED_AFTER_MS:
        ready_s = max(since_ms + SETTLED_AFTER_MS - membership.now_ms(), 0) // 1000
        when = f"in about {ready_s + 60} s" if ready_s else "soon: is a cairn worker running?"
        return (
            f"whether anything still lies on {node.node_id} only the next audit can tell, which ends {when} (a write "
            "that was under way may still name the node)"
        )
    held = census.nodes.get(node.node_id)
    if held is not None:
        return (
            f"{held.segments} segments ({held.size_bytes} bytes) still name {node.node_id}, those of deleted objects "
            "within their grace included: wait until it is drained"
        )
    return None


def _find(services: CommandServices, name: str) -> Node:
    """A node by its id, the beginning of it, or its address. Raises CommandRefused."""
    nodes = [*services.membership.nodes(), *services.membership.removed_nodes()]
    exact = [node for node in nodes if name in (node.node_id, node.address)]
    found = exact or [node for node in nodes if name and node.node_id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandRefused(f"there is no node {name!r}: see cairn node list")
    raise CommandRefused(f"{name!r} means several nodes: {', '.join(sorted(node.node_id for node in found))}")


async def _set_state(services: CommandServices, node: Node, state: NodeState | None) -> None:
    await services.index.set_node_state(node.node_id, state, now_ms=services.membership.now_ms())
    await services.membership.refresh()


async def _steps(services: CommandServices) -> AsyncIterator[WalkStep]:
    cursor = b""
    while True:
        step = await services.index.walk(cursor)
        yield step
        cursor = step.cursor
        if not cursor:
            return


def _report(node: Node, census: Census | None) -> NodeReport:
    alive = "live" if node.live else "stopped" if node.stopped else "dead"
    said = "removed" if node.removed else "draining" if node.draining else ""
    return NodeReport(
        node_id=node.node_id,
        address=node.address,
        zone=node.zone,
        state=alive if not said else said if node.live else f"{said}, {alive}",
        capacity_bytes=node.capacity_bytes,
        free_bytes=node.free_bytes,
        holding=None if census is None else census.nodes.get(node.node_id, NodeHolding()),
    )

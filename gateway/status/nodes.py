"""Asking every storage node how it is, and joining that with what the node table says."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.placement.membership import Node
from gateway.status.report import NodeReport, NodeState, ScrubReport
from storagenode.client import NodeClient, NodeError, NodeHealth, ScrubProgress

NODE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedNode:
    """A node's own answer, or why there is none."""

    health: NodeHealth | None = None
    problem: str = ""


async def ask_nodes(client: NodeClient, nodes: Sequence[Node], addresses: Iterable[str]) -> dict[str, AskedNode]:
    """The answers by address; also of nodes that count as dead, which may live and not reach the index."""
    asked = list(dict.fromkeys([*(node.address for node in nodes), *addresses]))
    answers = await asyncio.gather(*(_ask(client, address) for address in asked))
    return dict(zip(asked, answers, strict=True))


async def _ask(client: NodeClient, address: str) -> AskedNode:
    try:
        async with asyncio.timeout(NODE_TIMEOUT_S):
            return AskedNode(health=await client.health(address))
    except TimeoutError:
        return AskedNode(problem=f"no answer within {NODE_TIMEOUT_S:g} s")
    except NodeError as error:
        return AskedNode(problem=str(error) or type(error).__name__)


def node_reports(nodes: Sequence[Node], asked: Mapping[str, AskedNode]) -> list[NodeReport]:
    """One for each node of the table, then those that only answered; by zone and id."""
    reports = [_of_table(node, asked.get(node.address, AskedNode())) for node in nodes]
    known = {node.node_id for node in nodes}
    reports += [
        _of_answer(address, answer.health)
        for address, answer in asked.items()
        if answer.health is not None and answer.health.node_id not in known
    ]
    return sorted(reports, key=lambda report: (report.zone, report.node_id))


def _of_table(node: Node, answer: AskedNode) -> NodeReport:
    health, problem = answer.health, answer.problem
    if health is not None and health.node_id != node.node_id:
        problem = f"another node, {health.node_id}, answers at its address"
        health = None
    return NodeReport(
        node_id=node.node_id,
        address=node.address,
        zone=node.zone,
        state=_state(node),
        accepting=node.accepting if health is None else health.accepting,
        capacity_bytes=node.capacity_bytes if health is None else health.capacity_bytes,
        free_bytes=node.free_bytes if health is None else health.free_bytes,
        silent_s=node.silent_s,
        reachable=health is not None,
        problem=problem,
        quarantined=None if health is None else health.quarantined,
        scrub=None if health is None or health.scrub is None else _scrub(health.scrub),
    )


def _of_answer(address: str, health: NodeHealth) -> NodeReport:
    return NodeReport(
        node_id=health.node_id,
        address=address,
        zone=health.zone,
        state=NodeState.LIVE,
        accepting=health.accepting,
        capacity_bytes=health.capacity_bytes,
        free_bytes=health.free_bytes,
        silent_s=None,
        reachable=True,
        quarantined=health.quarantined,
        scrub=None if health.scrub is None else _scrub(health.scrub),
    )


def _state(node: Node) -> NodeState:
    if node.removed:
        return NodeState.REMOVED
    if node.stopped:
        return NodeState.STOPPED
    if not node.live:
        return NodeState.DEAD
    return NodeState.DRAINING if node.draining else NodeState.LIVE


def _scrub(progress: ScrubProgress) -> ScrubReport:
    return ScrubReport(
        round=progress.number,
        fraction=progress.fraction,
        started_ms=progress.started_ms,
        expected_end_ms=progress.expected_end_ms,
        damaged=progress.damaged,
        completed_ms=progress.completed_ms or None,
    )

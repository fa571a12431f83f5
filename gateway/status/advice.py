"""What to do about what is found: one table of symptoms, and one of the errors that repairs leave behind."""

import re
from dataclasses import dataclass

from gateway.status.report import Finding, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """One row."""

    severity: Severity
    advice: str


_NOTE, _WARNING, _CRITICAL = Severity.NOTE, Severity.WARNING, Severity.CRITICAL

SYMPTOMS = {
    "index-unreachable": Symptom(
        severity=_CRITICAL,
        advice="Start Redis, or correct REDIS_HOST and REDIS_PORT. Requests get 503 until it is back; nothing that was"
        " acknowledged is lost with it, the journal on the nodes has it all.",
    ),
    "index-not-open": Symptom(
        severity=_CRITICAL,
        advice="Gateways and workers catch the index up from the journal by themselves. When it stays so, enough of"
        " the journal's nodes must come back: start them; the gateway's /-/health/ready tells which reason it sees.",
    ),
    "index-is-replica": Symptom(
        severity=_CRITICAL,
        advice="Point REDIS_HOST at the master, or use sentinel:NAME@HOST:PORT so that it is found by itself.",
    ),
    "index-not-durable": Symptom(
        severity=_NOTE,
        advice="With the journal nothing is lost by it; `appendonly yes` and `appendfsync always` make a restart of"
        " Redis shorter, since less has to be replayed.",
    ),
    "index-memory": Symptom(
        severity=_WARNING,
        advice="Raise maxmemory of Redis, or move it to a machine with more: above the limit every write is refused.",
    ),
    "no-worker": Symptom(
        severity=_WARNING,
        advice="Start `cairn worker`: without one nothing is repaired, reclaimed or snapshotted.",
    ),
    "no-nodes": Symptom(
        severity=_CRITICAL,
        advice="Start storage nodes (`cairn node`) with this REDIS_HOST and CAIRN_CLUSTER_SECRET.",
    ),
    "no-node-answers": Symptom(
        severity=_CRITICAL,
        advice="Start the nodes, or look at the network between here and them; CAIRN_CLUSTER_SECRET must be theirs.",
    ),
    "node-dead": Symptom(
        severity=_WARNING,
        advice="Start it again. After the grace what it holds is copied to other nodes; if it will never come back,"
        " `cairn node remove` it.",
    ),
    "node-unreachable": Symptom(
        severity=_WARNING,
        advice="Its heartbeats come, or came lately, but it does not answer from here: the process hangs, or a"
        " firewall, CAIRN_NODE_ADVERTISE or the secret is in the way.",
    ),
    "node-silent": Symptom(
        severity=_WARNING,
        advice="It answers, but its heartbeats do not arrive: look whether it reaches Redis.",
    ),
    "node-full": Symptom(
        severity=_WARNING,
        advice="Add a node or a disk and run `cairn rebalance`, or delete objects; it takes no new bytes.",
    ),
    "node-nearly-full": Symptom(severity=_NOTE, advice="Add a node or a disk in time."),
    "node-not-accepting": Symptom(
        severity=_WARNING,
        advice="Its directory is gone, or it is stopping: look whether its disk is mounted.",
    ),
    "node-draining": Symptom(severity=_NOTE, advice="When nothing is left on it, `cairn node remove` it."),
    "objects-lost": Symptom(
        severity=_CRITICAL,
        advice="No living node has a copy. Bring back the dead nodes, with their disks; do not remove any node before.",
    ),
    "objects-short": Symptom(
        severity=_WARNING,
        advice="Repair makes the missing copies by itself; it needs enough nodes with room.",
    ),
    "no-census": Symptom(severity=_NOTE, advice="A worker counts copies when it has gone through the index once."),
    "repairs-fail": Symptom(
        severity=_WARNING,
        advice="Each is tried again by itself, later and later; see the errors below.",
    ),
    "events-not-taken": Symptom(
        severity=_WARNING,
        advice="Mend it, or `cairn target remove` it. Its events wait in the journal, for a day or a million changes.",
    ),
    "events-skipped": Symptom(
        severity=_WARNING,
        advice="It was down for longer than its events are kept: list the buckets to see what it has missed.",
    ),
    "reclaim-fails": Symptom(
        severity=_WARNING,
        advice="Bytes cannot be given back while a node that holds them is away: start it, or remove it for good.",
    ),
    "reclaim-late": Symptom(
        severity=_NOTE,
        advice="More is due than the worker gave back by now; if it grows, look at the worker's log.",
    ),
    "damage-found": Symptom(
        severity=_NOTE,
        advice="The copies were set aside (DIR/quarantine) and are made again from good ones. If one node finds more"
        " and more, replace its disk.",
    ),
    "scrub-late": Symptom(
        severity=_NOTE,
        advice="The node cannot read everything within CAIRN_SCRUB_PERIOD: make that longer, or look at its disk.",
    ),
    "journal-below-quorum": Symptom(
        severity=_CRITICAL,
        advice="Writes wait for the journal: start its nodes. With others living, the journal moves to them by itself.",
    ),
    "journal-node-missing": Symptom(
        severity=_WARNING,
        advice="The journal moves to other nodes by itself where there are enough; start the missing one otherwise.",
    ),
    "journal-lags": Symptom(
        severity=_WARNING,
        advice="Nodes take the journal more slowly than changes come: look at their disks and at the network.",
    ),
    "journal-damaged": Symptom(
        severity=_WARNING,
        advice="Other nodes have the same entries, and the files go when a snapshot makes them unneeded. Look at the"
        " node's disk.",
    ),
    "no-snapshot": Symptom(
        severity=_WARNING,
        advice="A worker writes snapshots of the index; without one, restoring it means replaying the whole journal."
        " Look at the worker's log.",
    ),
    "snapshot-old": Symptom(
        severity=_WARNING, advice="A worker writes them regularly: look whether one runs, and at its log."
    ),
    "unknown": Symptom(
        severity=_WARNING, advice="The rest of this report stands. Ask again; if it stays so, look at the log."
    ),
}

_REPAIR_ERRORS = (
    (r"no good copy", "bring back the nodes that hold it; while one may come, nothing is lost"),
    (r"could take it|NodeFull|no room", "add nodes, or room on them, in zones that have no copy yet"),
    (r"NodeUnreachable|timed? ?out", "look whether the node runs and is reachable from the worker"),
    (r"BlobCorrupt|damaged", "another copy is used; the damaged one is in the node's quarantine"),
    (r"NodeFailed|EIO", "the node's disk fails: look at its log, and drain it"),
    (r"NodeRefused|signature", "CAIRN_CLUSTER_SECRET of the node and of the worker must be the same"),
)


def finding(symptom: str, message: str) -> Finding:
    """A finding by its row of the table."""
    row = SYMPTOMS[symptom]
    return Finding(symptom=symptom, severity=row.severity, message=message, advice=row.advice)


def repair_advice(error: str) -> str:
    """What to do about a repair's last error."""
    for pattern, advice in _REPAIR_ERRORS:
        if re.search(pattern, error):
            return advice
    return "look at the worker's log; it is tried again by itself"

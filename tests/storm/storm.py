"""The storm: a cluster, clients at work, faults by a schedule; then everything is healed, read, and judged."""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.cluster import Cluster, ClusterPlan
from tests.storm.attack import Attack
from tests.storm.books import BALANCE_TIMEOUT_S, await_balance
from tests.storm.clients import StormClient
from tests.storm.history import Recorder
from tests.storm.keys import PLAIN, VERSIONED, Keys, prefix_of
from tests.storm.report import Report, make_report
from tests.storm.requests import Shared
from tests.storm.schedule import Switches, draw_schedule
from tests.storm.verdict import judge

#: Longer than any pause, shorter than the patience of whoever waits for the storm.
READ_TIMEOUT_S = 20
#: For the last reads, after everything is whole again.
SETTLE_TIMEOUT_S = 60.0
#: Of the acknowledged versions so many are read at the end; all of them must be listed.
MOST_VERSIONS_READ = 2000

_PROGRESS_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StormPlan:
    """One storm."""

    seed: int
    seconds: float
    kills: int
    clients: int = 6
    plain_keys: int = 240
    versioned_keys: int = 60
    cluster: ClusterPlan = field(default_factory=ClusterPlan)
    switches: Switches = field(default_factory=Switches)
    balance_timeout_s: float = BALANCE_TIMEOUT_S
    """How long the cluster has to give back what it owes."""
    all_given_back: bool = True
    """Wait for that; else only until nothing is missing."""


def run_storm(plan: StormPlan, directory: Path, *, say: Callable[[str], None] = print) -> Report:
    """Run one storm with its files under `directory`; `say` gets progress. The report holds the verdict.

    The history is left in `directory`/history.jsonl and the faults in faults.txt, beside the logs. Raises NotReady and
    TimeoutError when the cluster does not recover.
    """
    recorder = Recorder()
    shared = Shared(recorder=recorder, keys=Keys.make(plan.plain_keys, plan.versioned_keys))
    notes: list[str] = []
    with (
        _kept(recorder, notes, directory),
        Cluster(plan.cluster, directory) as cluster,
        _gateways(cluster, plan.clients + 1) as gateways,
    ):
        _make_buckets(gateways[0])
        began_at = time.monotonic()
        faults = draw_schedule(
            plan.seed,
            seconds=plan.seconds,
            kills=plan.kills,
            processes=[process.name for process in cluster.processes],
            links=cluster.link_names,
            switches=plan.switches,
        )

        def note(text: str) -> None:
            notes.append(f"{time.monotonic():.6f} {text}")

        attack = Attack(cluster, faults, note=note)
        with _clients_at_work(plan, shared, gateways):
            attack.run(_progress(recorder, attack, began_at, say))
        ended_at = time.monotonic()
        cluster.heal()
        cluster.await_ready()
        healed_at = time.monotonic()
        say(f"healed after {healed_at - ended_at:.1f} s; reading everything")
        read_everything(shared, StormClient("last reader", shared, gateways, random.Random(plan.seed)))
        say("waiting for the books to balance")
        books = await_balance(cluster, timeout_s=plan.balance_timeout_s, all_given_back=plan.all_given_back)
        fallen = [text for process in cluster.processes for text in process.ended_by_itself]
    return make_report(
        recorder,
        judge(recorder),
        attack,
        storm_s=ended_at - began_at,
        heal_s=healed_at - ended_at,
        began_at=began_at,
        ended_at=ended_at,
        fallen=fallen,
        books=books,
    )


def read_everything(shared: Shared, reader: StormClient) -> None:
    """Read and list every key and every acknowledged version, each until there is an answer. Raises TimeoutError."""
    deadline = time.monotonic() + SETTLE_TIMEOUT_S

    def insist(read: Callable[[], object]) -> None:
        read()
        while not reader.succeeded:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer {SETTLE_TIMEOUT_S:g} s after everything was healed: {reader.last_code}")
            time.sleep(0.1)
            read()

    for bucket, keys in ((PLAIN, shared.keys.plain), (VERSIONED, shared.keys.versioned)):
        for key in {prefix_of(key): key for key in keys}.values():
            insist(lambda bucket=bucket, key=key: reader.list(bucket, key))  # type: ignore[misc]
        for key in keys:
            insist(lambda bucket=bucket, key=key: reader.get(bucket, key))  # type: ignore[misc]
    for key in shared.keys.versioned:
        insist(lambda key=key: reader.list_versions(VERSIONED, key))  # type: ignore[misc]
    versions = [
        (place, version_id)
        for known in (shared.versions_at, shared.deleted_at)
        for place, version_ids in known.items()
        for version_id in version_ids
    ]
    random.Random(0).shuffle(versions)
    for (bucket, key), version_id in versions[:MOST_VERSIONS_READ]:
        insist(lambda bucket=bucket, key=key, one=version_id: reader.read_version(bucket, key, one))  # type: ignore[misc]


@contextlib.contextmanager
def _kept(recorder: Recorder, notes: list[str], directory: Path) -> Iterator[None]:
    """Keep what was recorded beside the logs, however the storm ends."""
    directory.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        (directory / "faults.txt").write_text("\n".join(notes) + "\n")
        recorder.save(directory / "history.jsonl")


@contextlib.contextmanager
def _gateways(cluster: Cluster, connections: int) -> Iterator[list[Any]]:
    """A client of each gateway, for all threads."""
    clients = [
        cluster.client(number, connect_timeout=2, read_timeout=READ_TIMEOUT_S, max_pool_connections=connections)
        for number in range(len(cluster.gateways))
    ]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


def _make_buckets(client: Any) -> None:
    client.create_bucket(Bucket=PLAIN)
    client.create_bucket(Bucket=VERSIONED)
    enabled = {"Status": "Enabled"}
    client.put_bucket_versioning(Bucket=VERSIONED, VersioningConfiguration=enabled)


@contextlib.contextmanager
def _clients_at_work(plan: StormPlan, shared: Shared, gateways: list[Any]) -> Iterator[None]:
    clients = [
        StormClient(f"c{number}", shared, gateways, random.Random(f"client {plan.seed} {number}"))
        for number in range(plan.clients)
    ]
    threads = [threading.Thread(target=client.run, name=client.name, daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        shared.stop.set()
        for thread in threads:
            thread.join(2 * READ_TIMEOUT_S)


def _progress(recorder: Recorder, attack: Attack, began_at: float, say: Callable[[str], None]) -> Callable[[], None]:
    told_at = began_at

    def tell() -> None:
        nonlocal told_at
        if time.monotonic() - told_at < _PROGRESS_S:
            return
        told_at = time.monotonic()
        say(
            f"{told_at - began_at:6.0f} s  {len(recorder.calls):7} calls  {attack.kills:4} kills  "
            f"{len(recorder.anomalies)} anomalies"
        )

    return tell

"""The index's Redis loses its last seconds, everything, its voice, or its place: no client is told anything wrong.

One suite for one server, for a master with Sentinels, and for a Redis Cluster.
"""

import contextlib
import itertools
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError

from gateway.supervisor.layout import DataDirectory
from tests.cluster.content import content
from tests.cluster.registers import CLIENT, Readiness, closing_client, not_a_clear_refusal, traffic
from tests.cluster.support import MIB, wait_until
from tests.cluster.topologies import Place, Single, connected, running, running_apart, sequence_of
from tests.harness.cairn import CairnServer, clean_environment
from tests.harness.cluster import ClusterPlan, readiness

#: How long a call may take that is refused because Redis is gone, or there and silent.
REFUSED_WITHIN_S = 2.0
REFUSED_WHEN_SILENT_WITHIN_S = 9.0
#: How long a gateway whose Redis was given up may still show what it holds.
FORGOTTEN_WITHIN_S = 4.0
FAILURES = 8
LARGE_BYTES = 24 * MIB

_COMPARED = re.compile(r"compared with the journal.*holds='?([a-z ]+?)'? sequence=(\d+|None)")


def on_every_kind(*, quickly: Collection[str]) -> pytest.MarkDecorator:
    """Run a test on each kind of Redis; but in the quick suite on these only."""
    kinds = ("single", "sentinel", "cluster")
    chosen = [pytest.param(kind, marks=() if kind in quickly else pytest.mark.large) for kind in kinds]
    return pytest.mark.parametrize("started", chosen, indirect=True, scope="module")


@pytest.fixture(scope="module")
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Two gateways, three nodes and a worker."""
    with running(request.param, tmp_path_factory.mktemp(request.param)) as running_place:
        yield running_place


@pytest.fixture
def place(started: Place) -> Place:
    """The same, sound again after the test before."""
    started.topology.settle()
    started.await_ready(restart=False)
    return started


def cairn(place: Place, *arguments: str) -> str:
    """Run a command as on one of the cluster's machines; what it printed."""
    return run_command(place.environments[place.nodes[0].name], *arguments)


def run_command(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "gateway.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def add_user(place: Place, name: str) -> None:
    cairn(place, "user", "add", name, *user_options(f"{name}key", f"{name}-secret"))


def user_options(access_key: str, secret_key: str) -> tuple[str, ...]:
    return ("--access-key", access_key, "--secret-key", secret_key)


def can_sign_in(place: Place, name: str) -> bool:
    client = place.client_for(f"{name}key", f"{name}-secret", **CLIENT)
    try:
        return "Buckets" in client.list_buckets()
    finally:
        client.close()


def comparisons(place: Place) -> Counter[tuple[str, str]]:
    """What recoveries found on the index's server: how it stood to the journal, and its last change."""
    return Counter(_COMPARED.findall(place.logs()))


@pytest.mark.parametrize("how", ["flushed", pytest.param("replaced", marks=pytest.mark.large)])
@on_every_kind(quickly=["single"])
def test_emptied_redis_is_made_anew_by_itself(place: Place, how: str) -> None:
    before = comparisons(place)
    add_user(place, f"kept-{how}")
    with traffic(place) as work, Readiness(place) as red:
        if how == "flushed":
            with connected(place.topology.serving()) as client:
                client.flushall()
        else:
            place.topology.replace()
        work.await_more()
        work.check()
    assert can_sign_in(place, f"kept-{how}")
    assert all(red.reasons), "each gateway said that it was not ready"
    assert any("the index" in reason or "the journal" in reason for reasons in red.reasons for reason in reasons)
    found = comparisons(place) - before
    assert {holds for holds, _ in found} & {"nothing"}, found


@on_every_kind(quickly=[])
def test_rebuild_command_makes_the_index_anew_under_traffic(place: Place) -> None:
    add_user(place, "rebuilt")
    with traffic(place) as work:
        assert "the index is open" in cairn(place, "rebuild", "--yes")
        work.await_more()
        work.check()
    assert can_sign_in(place, "rebuilt")


@pytest.mark.parametrize("silent", [False, pytest.param(True, marks=pytest.mark.large)], ids=["gone", "silent"])
@on_every_kind(quickly=["single"])
def test_calls_are_refused_in_time_while_redis_is_away(place: Place, silent: bool) -> None:
    bound_s = REFUSED_WHEN_SILENT_WITHIN_S if silent else REFUSED_WITHIN_S
    bucket = f"away-{silent}".lower()
    with closing_client(place, 0) as first, closing_client(place, 1) as second:
        first.create_bucket(Bucket=bucket)
        first.put_object(Bucket=bucket, Key="large", Body=content(LARGE_BYTES))
        answer = first.get_object(Bucket=bucket, Key="large")["Body"]
        got = [answer.read(MIB)]
        with away(place, silent=silent):
            for client in (first, second):
                assert_refused_within(bound_s, client.put_object, Bucket=bucket, Key="k", Body=b"x")
                assert_refused_within(bound_s, client.get_object, Bucket=bucket, Key="large")
                assert_refused_within(bound_s, client.delete_object, Bucket=bucket, Key="large")
            for number in range(len(place.endpoints)):
                assert "index" in (readiness_of(place, number) or "ready")
            while block := answer.read(MIB):
                got.append(block)
        assert b"".join(got) == content(LARGE_BYTES)
        place.await_ready(restart=False)
        # What was refused may have been carried out, or not: it is one of the two everywhere.
        states = {is_there(client, bucket, "large") for client in (first, second)}
        assert len(states) == 1
        for client in (first, second):
            client.put_object(Bucket=bucket, Key="again", Body=b"y")
    assert [end for process in place.processes for end in process.ended_by_itself] == []


@contextlib.contextmanager
def away(place: Place, *, silent: bool) -> Iterator[None]:
    """Redis is stopped, or only stopped from answering, while the block runs."""
    servers = list(place.topology.servers())
    for server in servers:
        server.pause() if silent else server.kill()
    try:
        yield
    finally:
        for server in servers:
            server.resume() if silent else server.start()


def assert_refused_within(bound_s: float, call: Callable[..., Any], **arguments: Any) -> None:
    began = time.monotonic()
    with pytest.raises(ClientError) as refusal:
        call(**arguments)
    took_s = time.monotonic() - began
    print(f"refused after {took_s:.2f} s: {refusal.value}")
    assert not_a_clear_refusal(refusal.value) is None
    assert took_s < bound_s


def readiness_of(place: Place, number: int) -> str | None:
    return readiness(int(place.endpoints[number].rpartition(":")[2]))


def is_there(client: Any, bucket: str, key: str) -> bool:
    return any(found["Key"] == key for found in client.list_objects_v2(Bucket=bucket).get("Contents", ()))


@on_every_kind(quickly=["single", "sentinel"])
def test_redis_comes_back_without_its_last_seconds(place: Place) -> None:
    before = comparisons(place)
    with traffic(place) as work:
        place.topology.mark()
        at_mark = sequence_of(place.topology.serving())
        add_user(place, "late")
        work.await_more()
        assert sequence_of(place.topology.serving()) > at_mark + 20
        place.topology.lose()
        work.await_more()
        work.check()
    assert can_sign_in(place, "late")
    found = {int(sequence) for holds, sequence in comparisons(place) - before if holds == "the beginning"}
    assert any(at_mark - 5 <= sequence <= at_mark + 20 for sequence in found), (found, at_mark)


@pytest.mark.timeout(300)
@on_every_kind(quickly=[])
def test_redis_fails_again_and_again_under_traffic(place: Place) -> None:
    """Losses of every sort, the next one while the last may not be overcome everywhere."""
    random = Random(11)
    with traffic(place) as work:
        for _ in range(FAILURES):
            fail_somehow(place, random)
            work.await_more(random.choice((0, 1, 3)))
        place.topology.settle()
        work.await_more(2)
        place.await_ready(restart=False)
        work.check()


def fail_somehow(place: Place, random: Random) -> None:
    topology = place.topology
    topology.settle()
    match random.choice(["lose", "lose", "flush", "replace", "crash", "silence"]):
        case "lose":
            topology.mark()
            time.sleep(random.uniform(0.1, 1.0))
            topology.lose()
        case "flush":
            with connected(topology.serving()) as client:
                client.flushall()
        case "replace":
            topology.replace()
        case "crash":
            with away(place, silent=False):
                pass
        case "silence":
            with away(place, silent=True):
                time.sleep(random.uniform(0.1, 3.0))


@pytest.mark.large
@pytest.mark.parametrize("asleep", [False, True], ids=["awake", "asleep"])
def test_gateway_on_a_forgotten_primary_acknowledges_nothing_and_ends_its_stale_reads(
    tmp_path: Path, asleep: bool
) -> None:
    """A partition: one gateway is alone with the old primary, all others go on with the promoted replica. The one may
    sleep over it, as a machine does that is moved, and wake up with a request half done.
    """
    with running_apart(tmp_path) as (place, partition), contextlib.ExitStack() as stack:
        forgotten, kept = (stack.enter_context(closing_client(place, number)) for number in (0, 1))
        kept.create_bucket(Bucket="split")
        kept.put_object(Bucket="split", Key="watched", Body=b"old")
        lonely = stack.enter_context(Lonely(forgotten, "split", "watched"))
        wait_until(lambda: len(lonely.acknowledged) > 3, "writes through the gateway that will be alone")
        if asleep:
            place.gateways[0].pause()
        partition()
        wait_until(lambda: puts(kept, "split", "watched", b"newer"), "the others go on", timeout_s=60)
        place.gateways[0].resume()
        moment = time.monotonic()
        wait_until(lambda: time.monotonic() > moment + 2 * FORGOTTEN_WITHIN_S, "what the lonely gateway does now")
        assert "another server has taken over" in (readiness_of(place, 0) or "ready")
        lonely.stop()
        kept_keys = {found["Key"] for found in kept.list_objects_v2(Bucket="split")["Contents"]}
        assert set(lonely.acknowledged) <= kept_keys
        assert [key for key, began in lonely.acknowledged.items() if began > moment] == []
        stale = [began - moment for began, size in lonely.reads if began > moment and size == len(b"old")]
        print(f"stale reads for {max(stale, default=0.0):.2f} s; {len(lonely.acknowledged)} writes before")
        assert max(stale, default=0.0) < FORGOTTEN_WITHIN_S
        assert lonely.wrong == []


class Lonely:
    """Writes new keys and looks at one, through one gateway, all the time."""

    def __init__(self, client: Any, bucket: str, watched: str) -> None:
        self.acknowledged: dict[str, float] = {}
        """When (monotonic seconds) each write began."""
        self.reads: list[tuple[float, int]] = []
        """When each began, and the size that it saw."""
        self.wrong: list[str] = []
        self._client, self._bucket, self._watched = client, bucket, watched
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> "Lonely":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        for number in itertools.count():
            if self._stop.wait(0.02):
                return
            self._try(self._read)
            self._try(lambda began, key=f"lonely/{number}": self._write(began, key))  # type: ignore[misc]

    def _try(self, call: Callable[[float], None]) -> None:
        try:
            call(time.monotonic())
        except ClientError as error:
            # HEAD's answers have no body and so no code.
            if error.operation_name != "HeadObject" and (wrong := not_a_clear_refusal(error)) is not None:
                self.wrong.append(wrong)

    def _read(self, began: float) -> None:
        self.reads.append((began, self._client.head_object(Bucket=self._bucket, Key=self._watched)["ContentLength"]))

    def _write(self, began: float, key: str) -> None:
        self._client.put_object(Bucket=self._bucket, Key=key, Body=b"x")
        self.acknowledged[key] = began


def puts(client: Any, bucket: str, key: str, body: bytes) -> bool:
    try:
        client.put_object(Bucket=bucket, Key=key, Body=body)
    except ClientError as error:
        if (wrong := not_a_clear_refusal(error)) is not None:
            pytest.fail(wrong)
        return False
    return True


@pytest.mark.large
def test_served_directory_gets_its_index_and_users_back(tmp_path: Path) -> None:
    """`cairn serve`, whose index directory is removed while it is stopped, and emptied while it runs."""
    data = tmp_path / "data"
    arguments = ("--nodes", "3", "--replicas", "2")
    key = ("marykey", "mary-secret")
    with CairnServer.start(data, *arguments) as server:
        run_command(clean_environment(), "user", "add", "mary", *user_options(*key), "--data", str(data))
        client = server.client_for(*key)
        client.create_bucket(Bucket="marys")
        client.put_object(Bucket="marys", Key="k", Body=b"kept")
        client.close()
    shutil.rmtree(data / "index")
    with CairnServer.start(data, *arguments) as server:
        client = server.client_for(*key)
        assert client.get_object(Bucket="marys", Key="k")["Body"].read() == b"kept"
        client.put_object(Bucket="marys", Key="k", Body=b"newer")
        address = DataDirectory(root=data).read_index_address().removeprefix("unix:")
        with redis.Redis(unix_socket_path=address) as index:
            index.flushall()
        wait_until(lambda: puts(client, "marys", "later", b"x"), "the index is open again")
        assert client.get_object(Bucket="marys", Key="k")["Body"].read() == b"newer"
        client.close()


def test_user_commands_work_and_are_remembered_where_only_nodes_run(tmp_path: Path) -> None:
    with Place(ClusterPlan(nodes=3, gateways=0, workers=0), tmp_path) as place:
        place.topology = Single(place.redis)
        add_user(place, "anna")
        add_user(place, "bert")
        assert all(name in cairn(place, "user", "list") for name in ("anna", "bert"))
        place.wipe_redis()
        assert all(name in cairn(place, "user", "list") for name in ("anna", "bert"))

"""Every blob is read again within the period, evenly, at low priority, across restarts; damage is found and listed."""

import errno
import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from storagenode.blobstore import BlobStore
from storagenode.disk import Disk
from storagenode.errors import NodeFailed
from storagenode.scrub import RATE_LIMIT_BYTES, Scrubber, ScrubFile
from tests.storagenode.support import (
    NOW_MS,
    ORIGIN,
    FaultyDisk,
    blob_files,
    blob_id,
    content,
    flip_bit,
    open_store,
    quarantined,
)

PERIOD_S = 1000.0
FILE_BYTES = 70_000
"""Large enough for a file of its own."""


class Clock:
    """Moves only when told."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms

    def sleep(self, seconds: float) -> None:
        self.now_ms += max(1, round(seconds * 1000))


class Watched:
    """A store, and when the scrubber verified which blob."""

    def __init__(self, store: BlobStore, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.verified: list[tuple[int, str]] = []
        verify = store.verify

        def watch(name: str) -> int:
            self.verified.append((clock.now_ms - NOW_MS, name))
            return verify(name)

        monkeypatch.setattr(store, "verify", watch)

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.verified]

    @property
    def times_s(self) -> list[float]:
        return [at_ms / 1000 for at_ms, _ in self.verified]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fill(store: BlobStore, numbers: Sequence[int], *, size_bytes: int = FILE_BYTES) -> list[str]:
    names = [blob_id(number, at_ms=NOW_MS + number) for number in numbers]
    for name in names:
        store.put(name, ORIGIN, [content(size_bytes, name.encode())])
    return names


def pretend(store: BlobStore, numbers: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the store list these blobs, without any of them; `verify` is for the test to replace."""
    names = [blob_id(number, at_ms=NOW_MS + number) for number in numbers]
    monkeypatch.setattr(store, "ids", lambda after, limit: [name for name in names if name > after][:limit])


def scrubber(
    store: BlobStore, directory: Path, clock: Clock, *, busy: bool = False, disk: Disk | None = None
) -> Scrubber:
    file = ScrubFile(disk or Disk(), str(directory))
    made = Scrubber(store, file, period_s=PERIOD_S, clock_ms=clock, busy=lambda: busy)
    made.resume()
    return made


def run_until(scrub: Scrubber, clock: Clock, until_s: float) -> None:
    """Let time pass as the scrubber asks for it."""
    while True:
        wait_s = scrub.step()
        if wait_s and clock.now_ms + wait_s * 1000 > NOW_MS + until_s * 1000:
            clock.now_ms = NOW_MS + round(until_s * 1000)
            return
        if wait_s:
            clock.sleep(wait_s)


def test_a_round_takes_the_period_and_its_reads_are_spread_evenly(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)
    names = fill(store, range(10))
    watched = Watched(store, clock, monkeypatch)
    scrub = scrubber(store, tmp_path, clock)
    run_until(scrub, clock, PERIOD_S + 1)
    assert watched.names == names
    gaps = [after - before for before, after in zip([0.0, *watched.times_s], watched.times_s, strict=False)]
    assert all(gap == pytest.approx(PERIOD_S / 11, rel=0.02) for gap in gaps)
    assert scrub.progress.number == 2
    assert scrub.progress.completed_ms == pytest.approx(NOW_MS + PERIOD_S * 1000, abs=5)
    run_until(scrub, clock, 2 * PERIOD_S)
    assert watched.names == 2 * names


def test_progress_tells_what_is_done_and_when_the_end_is_expected(tmp_path: Path, clock: Clock) -> None:
    store = open_store(tmp_path)
    fill(store, range(4), size_bytes=500)
    scrub = scrubber(store, tmp_path, clock)
    assert scrub.step() > 0
    assert scrub.progress.fraction == 0.0
    run_until(scrub, clock, PERIOD_S * 0.6)
    progress = scrub.progress
    assert (progress.number, progress.blobs, progress.blobs_left, progress.size_bytes) == (1, 3, 1, 1500)
    assert progress.fraction == 0.75
    assert progress.started_ms == NOW_MS
    assert progress.expected_end_ms == NOW_MS + PERIOD_S * 1000


def test_blobs_written_during_a_round_are_read_in_it(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)
    first = fill(store, range(2))
    watched = Watched(store, clock, monkeypatch)
    scrub = scrubber(store, tmp_path, clock)
    run_until(scrub, clock, PERIOD_S * 0.6)
    late = fill(store, range(100, 106))
    run_until(scrub, clock, PERIOD_S + 1)
    assert watched.names == first + late


def test_an_empty_node_waits_without_reading_and_goes_on_to_the_next_round(tmp_path: Path, clock: Clock) -> None:
    scrub = scrubber(open_store(tmp_path), tmp_path, clock)
    run_until(scrub, clock, 3 * PERIOD_S + 10)
    assert scrub.progress.number == 4
    assert scrub.progress.fraction == 1.0


def test_damage_is_found_quarantined_and_listed_and_whole_blobs_stay(tmp_path: Path, clock: Clock) -> None:
    store = open_store(tmp_path)
    names = fill(store, range(6))
    files = blob_files(tmp_path)
    for number in (1, 4):
        flip_bit(files[number], 300)
    scrub = scrubber(store, tmp_path, clock)
    run_until(scrub, clock, PERIOD_S - 1)
    assert [found.blob_id for found in store.quarantine.list("", 10)] == [names[1], names[4]]
    found = store.quarantine.list("", 10)[0]
    assert (found.found_by, found.origin, found.size_bytes) == ("scrub", ORIGIN, FILE_BYTES)
    assert found.reason == "block-0-of-1"
    assert list(store.ids("", 10)) == [names[0], names[2], names[3], names[5]]
    assert (scrub.progress.damaged, scrub.progress.blobs) == (2, 6)


def test_a_round_goes_on_after_a_restart(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path)
    names = fill(store, range(10))
    run_until(scrubber(store, tmp_path, clock), clock, PERIOD_S * 0.55)
    clock.sleep(60)
    watched = Watched(store, clock, monkeypatch)
    scrub = scrubber(store, tmp_path, clock)  # as after a crash: the first one was not stopped
    run_until(scrub, clock, PERIOD_S + 1)
    # What was read within a minute before the crash may be read again, nothing is left out.
    assert watched.names in (names[6:], names[5:])
    assert scrub.progress.number == 2
    assert scrub.progress.completed_ms == pytest.approx(NOW_MS + PERIOD_S * 1000, abs=5)


def test_after_a_long_stop_it_catches_up_at_twice_the_speed_at_most(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)
    fill(store, range(10))
    run_until(scrubber(store, tmp_path, clock), clock, PERIOD_S * 0.25)
    clock.sleep(PERIOD_S * 10)
    back_s = (clock.now_ms - NOW_MS) / 1000
    watched = Watched(store, clock, monkeypatch)
    run_until(scrubber(store, tmp_path, clock), clock, back_s + PERIOD_S / 2)
    assert len(watched.names) in (7, 8, 9)
    assert watched.times_s[0] - back_s == pytest.approx(PERIOD_S / 20, rel=0.15)
    assert watched.times_s[-1] - back_s == pytest.approx(PERIOD_S * len(watched.names) / 20, rel=0.15)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": 2}', b'{"format": 1, "number": 1, "cursor"'.ljust(50)]
)
def test_an_unintelligible_place_means_to_begin_anew(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    store = open_store(tmp_path)
    names = fill(store, range(2))
    (tmp_path / "scrub.json").write_bytes(text)
    watched = Watched(store, clock, monkeypatch)
    run_until(scrubber(store, tmp_path, clock), clock, PERIOD_S)
    assert watched.names == names


def test_the_place_is_saved_durably_before_it_replaces_the_last_one(tmp_path: Path, clock: Clock) -> None:
    disk = FaultyDisk()
    store = open_store(tmp_path)
    fill(store, range(3))
    scrub = scrubber(store, tmp_path, clock, disk=disk)
    run_until(scrub, clock, PERIOD_S * 0.9)
    written = disk.calls[-5:]
    assert written == ["create", "write", "fsync", "rename", "fsync_directory"]
    state = json.loads((tmp_path / "scrub.json").read_text())
    assert (state["format"], state["blobs"]) == (1, 3)
    disk.fail("fsync", OSError(errno.EIO, "no"))
    clock.sleep(60)
    scrub.step()
    assert disk.calls[-3:] == ["create", "write", "fsync"]
    assert json.loads((tmp_path / "scrub.json").read_text()) == state
    run_until(scrub, clock, PERIOD_S * 0.99)  # and it goes on


def test_requests_go_first_but_cannot_stop_it(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path)
    names = fill(store, range(10))
    watched = Watched(store, clock, monkeypatch)
    run_until(scrubber(store, tmp_path, clock, busy=True), clock, PERIOD_S)
    assert watched.names == names
    assert watched.times_s[0] == pytest.approx(PERIOD_S / 11 + 10, abs=1)  # it waited ten seconds for them to end
    assert watched.times_s[-1] <= PERIOD_S


def test_a_run_of_large_blobs_is_no_burst(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path)
    pretend(store, range(2000), monkeypatch)
    large = [blob_id(number, at_ms=NOW_MS + number) for number in range(500, 520)]
    monkeypatch.setattr(store, "verify", lambda name: 64 * 1024 * 1024 if name in large else 1000)
    times: dict[str, int] = {}
    verify = store.verify

    def watch(name: str) -> int:
        times[name] = clock.now_ms
        return verify(name)

    monkeypatch.setattr(store, "verify", watch)
    scrub = scrubber(store, tmp_path, clock)
    run_until(scrub, clock, PERIOD_S + 1)
    assert len(times) == 2000
    spent_s = (times[large[-1]] - times[large[0]]) / 1000
    rate = 19 * 64 * 1024 * 1024 / spent_s
    assert rate <= RATE_LIMIT_BYTES * 1.05
    assert scrub.progress.number == 2  # in time nevertheless


def test_the_rate_limit_gives_way_to_a_short_period(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)
    pretend(store, range(1000), monkeypatch)
    monkeypatch.setattr(store, "verify", lambda name: 2 * int(PERIOD_S) * RATE_LIMIT_BYTES // 1000)
    scrub = scrubber(store, tmp_path, clock)
    run_until(scrub, clock, PERIOD_S + 1)
    assert scrub.progress.number == 2


def test_a_clock_set_back_does_not_stop_it(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path)
    names = fill(store, range(10))
    watched = Watched(store, clock, monkeypatch)
    scrub = scrubber(store, tmp_path, clock)
    run_until(scrub, clock, PERIOD_S * 0.55)
    clock.now_ms -= 1_000_000_000
    for _ in range(200):
        clock.sleep(scrub.step() or 0.001)
        if len(watched.names) == len(names):
            break
    assert watched.names == names
    assert clock.now_ms - (NOW_MS - 1_000_000_000) <= PERIOD_S * 1060


def test_a_blob_that_the_disk_refuses_stays_and_is_listed_once(tmp_path: Path, clock: Clock) -> None:
    disk = FaultyDisk()
    store = open_store(tmp_path, disk)
    (name,) = fill(store, [1])
    scrub = scrubber(store, tmp_path, clock)

    def refuse(call: str) -> None:
        if call == "read":
            raise OSError(errno.EIO, "medium error")

    disk.script = refuse
    run_until(scrub, clock, 2 * PERIOD_S + 1)
    assert [(found.blob_id, found.reason) for found in store.quarantine.list("", 10)] == [(name, "unreadable")]
    assert len(blob_files(tmp_path)) == 1
    disk.script = None
    assert store.verify(name) == FILE_BYTES


def test_a_disk_that_takes_no_writes_is_scrubbed_to_the_end(tmp_path: Path, clock: Clock) -> None:
    disk = FaultyDisk()
    store = open_store(tmp_path, disk)
    names = fill(store, range(5))
    scrub = scrubber(store, tmp_path, clock, disk=disk)
    refused = [names[2]]

    def fail(call: str) -> None:
        if call == "create":
            raise OSError(errno.EROFS, "read-only")

    disk.script = fail
    with pytest.MonkeyPatch.context() as patch:
        verify = store.verify

        def refuse(name: str) -> int:
            if name in refused:
                raise NodeFailed("no") from OSError(errno.EIO, "medium error")
            return verify(name)

        patch.setattr(store, "verify", refuse)
        run_until(scrub, clock, PERIOD_S + 1)
        assert scrub.progress.number == 2
        assert not store.quarantine.list("", 10)
        disk.script = None  # it was mounted again
        run_until(scrub, clock, 2 * PERIOD_S + 1)
    assert [found.blob_id for found in store.quarantine.list("", 10)] == refused


def test_a_passing_failure_of_the_disk_is_no_damage(tmp_path: Path, clock: Clock) -> None:
    disk = FaultyDisk()
    store = open_store(tmp_path, disk)
    fill(store, [1])
    disk.fail("read", OSError(errno.EIO, "passing"))
    scrub = scrubber(store, tmp_path, clock)
    run_until(scrub, clock, PERIOD_S - 1)
    assert scrub.progress.blobs == 1
    assert not quarantined(tmp_path)


def test_a_blob_deleted_meanwhile_is_no_damage(tmp_path: Path, clock: Clock) -> None:
    store = open_store(tmp_path)
    names = fill(store, range(3))
    scrub = scrubber(store, tmp_path, clock)
    scrub.step()
    store.delete(names[0])
    run_until(scrub, clock, PERIOD_S - 1)
    assert (scrub.progress.blobs, scrub.progress.damaged) == (2, 0)
    assert not quarantined(tmp_path)


def test_verifying_asks_the_device_and_leaves_nothing_in_memory(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = open_store(tmp_path, disk)
    (name,) = fill(store, [1], size_bytes=1_000_000)
    disk.calls.clear()
    assert store.verify(name) == 1_000_000
    asked = [call for call in disk.calls if call in ("read", "drop_cache")]
    first_drop = asked.index("drop_cache")
    assert "read" in asked[first_drop:]
    assert asked[-1] == "drop_cache"


def test_the_thread_goes_round_and_saves_its_place_when_stopped(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    names = fill(store, range(5))
    flip_bit(blob_files(tmp_path)[2], 300)
    second_round = threading.Event()
    clock = Clock()

    def ticking() -> int:
        clock.now_ms += 100
        return clock.now_ms

    def others() -> int:
        second_round.set()
        return 0

    scrub = Scrubber(store, ScrubFile(Disk(), str(tmp_path)), period_s=1.0, clock_ms=ticking, verify_others=others)
    scrub.start()
    assert second_round.wait(20)
    scrub.stop()
    assert [found.blob_id for found in store.quarantine.list("", 10)] == [names[2]]
    assert json.loads((tmp_path / "scrub.json").read_text())["number"] >= 1

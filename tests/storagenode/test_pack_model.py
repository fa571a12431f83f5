"""Any order of puts, deletes, compactions, failures and crashes, against a dictionary."""

import contextlib
import random
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storagenode.blobstore import BlobStore
from storagenode.errors import BlobNotFound, NodeError
from storagenode.packedblob import PackedWriter
from storagenode.packstore import PackLimits
from tests.storagenode.simulated_disk import Crash, SimulatedDisk
from tests.storagenode.support import NOW_MS, ORIGIN, blob_id, content, read_all

LIMITS = PackLimits(small_blob_bytes=2000, pack_bytes=1500, pack_entries=8)
NUMBERS = st.integers(0, 11)


def blob(number: int) -> bytes:
    return content((40, 0, 300, 3000)[number % 4], bytes([number]))


class PackMachine(RuleBasedStateMachine):
    """`possible` holds for each id whether it may be there: after an operation of unknown outcome, both."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = SimulatedDisk()
        self.salts = random.Random(1)
        self.possible = {number: {False} for number in range(12)}
        self.store: BlobStore | None = None

    @initialize()
    def start(self) -> None:
        self.open()

    def open(self) -> None:
        self.store = BlobStore(
            self.disk,
            "/d/node",
            clock_ms=lambda: NOW_MS,
            reserve_bytes=0,
            pack_limits=LIMITS,
            random_bytes=self.salts.randbytes,
            background=False,
        )

    def stop(self) -> None:
        if self.store is not None:
            with contextlib.suppress(Crash):
                self.store.close()
            self.store = None

    def run(self, numbers: list[int], there: bool, operation: Callable[[BlobStore], object]) -> None:
        """What was acknowledged is so; what was not may be either."""
        assert self.store is not None
        for number in numbers:
            self.possible[number] = self.possible[number] | {there}
        try:
            operation(self.store)
            self.store._packs.delete(blob_id(999))  # the writer is done, with sealing too
        except NodeError:
            return
        except Crash:
            self.stop()
            self.disk.crash()
            self.open()
            return
        for number in numbers:
            self.possible[number] = {there}

    @rule(number=NUMBERS)
    def put(self, number: int) -> None:
        self.run([number], True, lambda store: store.put(blob_id(number), ORIGIN, [blob(number)]))

    @rule(numbers=st.sets(NUMBERS.filter(lambda number: number % 4 != 3), min_size=2, max_size=5))
    def put_together(self, numbers: set[int]) -> None:
        def operation(store: BlobStore) -> None:
            puts = []
            for number in sorted(numbers):
                writer = store.begin(blob_id(number), ORIGIN, len(blob(number)))
                assert isinstance(writer, PackedWriter)
                writer.write([blob(number)])
                puts.append(writer.finish())
            store._packs._writer.submit(*puts)
            for put in puts:
                put.future.result()

        self.run(sorted(numbers), True, operation)

    @rule(number=NUMBERS)
    def delete(self, number: int) -> None:
        self.run([number], False, lambda store: store.delete(blob_id(number)))

    @rule()
    def maintain(self) -> None:
        self.run([], False, lambda store: store.maintain())

    @rule(after=st.integers(0, 12))
    def crash_soon(self, after: int) -> None:
        self.disk.crash_at = self.disk.changes + after

    @rule(after=st.integers(0, 12))
    def fail_soon(self, after: int) -> None:
        self.disk.fail_at = self.disk.changes + after

    @rule(
        seed=st.integers(0, 1000),
        power=st.booleans(),
        scattered=st.booleans(),
        closed=st.booleans(),
        again=st.integers(0, 8),
    )
    def restart(self, seed: int, power: bool, scattered: bool, closed: bool, again: int) -> None:
        """Of the process, closed or killed, or of the machine; and once more while it starts."""
        for crash_at in (again, None):
            if not closed:
                self.disk.crash_at = self.disk.changes
            self.stop()
            if power:
                self.disk.crash(random.Random(seed), scattered=scattered)
            else:
                self.disk.stop()
            self.disk.crash_at = None if crash_at is None else self.disk.changes + crash_at
            with contextlib.suppress(Crash):
                self.open()
        assert self.store is not None

    @invariant()
    @precondition(lambda self: self.store is not None)
    def agrees_with_the_model(self) -> None:
        assert self.store is not None
        self.disk.crash_at, crash_at = None, self.disk.crash_at
        self.disk.fail_at, fail_at = None, self.disk.fail_at
        infos = {info.blob_id: info for info in self.store.list(after="", before_ms=1 << 48, limit=100)}
        for number, possible in self.possible.items():
            name = blob_id(number)
            assert (name in infos) in possible, (number, possible)
            try:
                assert read_all(self.store, name) == blob(number)
            except BlobNotFound:
                assert name not in infos
            else:
                assert infos[name].size_bytes == len(blob(number))
        assert self.store.quarantined == 0
        self.disk.crash_at, self.disk.fail_at = crash_at, fail_at

    def teardown(self) -> None:
        self.disk.crash_at = self.disk.fail_at = None
        self.stop()


PackMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestPacks = PackMachine.TestCase

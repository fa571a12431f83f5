"""A store over a simulated disk, and one segment in it."""

import pytest

from storagenode.journal.store import JournalStore
from storagenode.journal_protocol import SegmentHeader
from tests.storagenode.journal.support import E1, HEADER, open_journal
from tests.storagenode.simulated_disk import SimulatedDisk


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk()


@pytest.fixture
def store(disk: SimulatedDisk) -> JournalStore:
    return open_journal(disk)


@pytest.fixture
def segment(store: JournalStore) -> SegmentHeader:
    store.promise(E1)
    store.create(HEADER)
    return HEADER

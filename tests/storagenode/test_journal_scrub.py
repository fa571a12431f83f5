"""Scrubbing finds what is damaged in the journal's files; what is whole, or gone meanwhile, is no damage."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storagenode.disk import Disk
from storagenode.journal.manifests import ManifestStore
from storagenode.journal.store import JournalStore
from storagenode.journal_scrub import JournalScrub
from storagenode.space import SpaceLedger
from tests.storagenode.journal.support import E1, FIRST, append, header, open_journal, segment_status
from tests.storagenode.support import flip_bit

FIRSTS = (FIRST, FIRST + 1000)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[JournalStore]:
    """Two segments of 100 entries each."""
    store = open_journal(Disk(), str(tmp_path))
    for first in FIRSTS:
        made = header(E1, first)
        store.create(made)
        store.append(append(first, first + 99, segment_id=made.segment_id))
    yield store
    store.close()


def scrub(journal: JournalStore, tmp_path: Path) -> JournalScrub:
    manifests = ManifestStore(journal.files, SpaceLedger(Disk(), str(tmp_path), 0))
    if not manifests.list():
        manifests.put("snapshot-1", b"x" * 10_000)
    return JournalScrub(journal, manifests, sleep=lambda _: None)


def test_whole_files_are_no_damage(journal: JournalStore, tmp_path: Path) -> None:
    assert scrub(journal, tmp_path)() == 0


def test_a_flipped_bit_in_a_segment_marks_that_segment_alone(journal: JournalStore, tmp_path: Path) -> None:
    damaged, whole = (header(E1, first).segment_id for first in FIRSTS)
    path = Path(journal.files.log_path(damaged))
    flip_bit(path, path.stat().st_size // 2)
    assert not segment_status(journal, damaged).damaged
    assert scrub(journal, tmp_path)() == 1
    assert segment_status(journal, damaged).damaged
    assert not segment_status(journal, whole).damaged


def test_a_damaged_manifest_is_counted(journal: JournalStore, tmp_path: Path) -> None:
    verify = scrub(journal, tmp_path)
    path = tmp_path / "journal" / "manifests" / "snapshot-1"
    for offset in range(0, path.stat().st_size, 1000):
        flip_bit(path, offset)
    assert verify() == 1


def test_a_segment_that_is_trimmed_meanwhile_is_no_damage(
    journal: JournalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify, read = scrub(journal, tmp_path), journal.read

    def drop_and_read(segment_id: str, after: int, limit_bytes: int) -> object:
        journal.drop(segment_id)
        return read(segment_id, after, limit_bytes)

    monkeypatch.setattr(journal, "read", drop_and_read)
    assert verify() == 0


def test_a_segment_whose_file_is_gone_is_damage(journal: JournalStore, tmp_path: Path) -> None:
    Path(journal.files.log_path(header(E1, FIRSTS[1]).segment_id)).unlink()
    assert scrub(journal, tmp_path)() == 1

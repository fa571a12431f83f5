"""Manifests: there whole or not at all, the newest of each name."""

import pytest

from storagenode.errors import InvalidRequest, NodeFailed, NodeFull
from storagenode.journal.manifests import ManifestStore
from storagenode.journal_protocol import MANIFEST_LIMIT_BYTES
from storagenode.space import SpaceLedger
from tests.storagenode.journal.support import open_journal
from tests.storagenode.simulated_disk import SimulatedDisk


def open_manifests(disk: SimulatedDisk, *, reserve_bytes: int = 0) -> ManifestStore:
    return ManifestStore(open_journal(disk).files, SpaceLedger(disk, "/d", reserve_bytes))


def test_the_newest_manifest_of_each_name_is_listed_until_it_is_dropped(disk: SimulatedDisk) -> None:
    manifests = open_manifests(disk)
    long = bytes(range(256)) * 64
    for name, body in (("b", b"old"), ("a", b""), ("b", long)):
        manifests.put(name, body)
    disk.crash()
    manifests = open_manifests(disk)
    assert manifests.list() == [("a", b""), ("b", long)]
    assert manifests.drop("a")
    assert not manifests.drop("a")
    disk.crash()
    assert open_manifests(disk).list() == [("b", long)]


@pytest.mark.parametrize("name", ["", ".", "..", "../promise", "a/b", "a" * 129])
def test_a_name_that_is_not_safe_is_refused(disk: SimulatedDisk, name: str) -> None:
    manifests = open_manifests(disk)
    with pytest.raises(InvalidRequest):
        manifests.put(name, b"x")
    with pytest.raises(InvalidRequest):
        manifests.drop(name)


def test_a_manifest_has_a_limit_and_needs_room(disk: SimulatedDisk) -> None:
    manifests = open_manifests(disk, reserve_bytes=1 << 20)
    with pytest.raises(InvalidRequest):
        manifests.put("a", bytes(MANIFEST_LIMIT_BYTES + 1))
    disk.free_bytes = (1 << 19) + 8192
    manifests.put("a", b"x")
    disk.free_bytes = 1 << 19
    with pytest.raises(NodeFull):
        manifests.put("a", b"y")
    assert manifests.list() == [("a", b"x")]


def test_a_manifest_that_could_not_be_stored_leaves_the_old_one(disk: SimulatedDisk) -> None:
    manifests = open_manifests(disk)
    manifests.put("a", b"old")
    for failing in range(4):
        disk.fail_at = disk.changes + failing
        with pytest.raises(NodeFailed):
            manifests.put("a", b"new")
        assert manifests.list() == [("a", b"old")]
    assert disk.names("/d/journal/tmp") == []


def test_damage_to_one_copy_is_made_up_for_and_to_both_hides_the_manifest(disk: SimulatedDisk) -> None:
    manifests = open_manifests(disk)
    manifests.put("a", b"body")
    manifests.put("b", b"body")
    path = "/d/journal/manifests/a"
    whole = disk.content(path)
    for at in range(0, len(whole), 11):
        changed = bytearray(whole)
        changed[at] ^= 1
        disk.set_content(path, bytes(changed))
        assert manifests.list() == [("a", b"body"), ("b", b"body")]
    disk.set_content(path, bytes(len(whole)))
    assert manifests.list() == [("b", b"body")]
    disk.set_content(path, disk.content("/d/journal/manifests/b"))  # whole in itself, but another's
    assert manifests.list() == [("b", b"body")]

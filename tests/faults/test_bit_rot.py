"""Bits flipped in every kind of file of one node after the other: every read is right, everything is mended, and the
index can still be lost behind it.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.index.errors import IndexFailure
from storagenode.client import NodeError
from tests.cluster.content import content
from tests.faults.bit_rot import audit, rot
from tests.faults.cluster import FaultCluster, wait_until
from tests.faults.ledger import SMALL_BYTES, Ledger
from tests.harness.cluster import ClusterPlan
from tests.harness.role_process import RoleProcess

MIB = 1024**2
SEGMENTED_BYTES = 65 * MIB  # the data path cuts at 64 MiB
SETTINGS = {"CAIRN_SCRUB_PERIOD": "3", "CAIRN_SNAPSHOT_ENTRIES": "15", "CAIRN_REPAIR_GRACE_S": "600"}

Read = Callable[[], bytes]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultCluster]:
    plan = ClusterPlan(nodes=3, gateways=1, workers=1, replicas=3, redis_fsync="everysec", environment=SETTINGS)
    with FaultCluster(plan, tmp_path_factory.mktemp("rot")) as running:
        yield running


class Objects:
    """One of every kind, and what each reads as."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.ledger = Ledger(client, "plain")
        for number in range(12):
            assert self.ledger.put(f"packed {number}", SMALL_BYTES + 3000 * number)
        for number in range(6):
            assert self.ledger.put(f"file {number}", 100_000 + 150_000 * number)
        self.bodies: dict[str, tuple[dict[str, Any], bytes]] = {}
        self._put_segmented()
        self._put_versions()
        self._put_parts()

    def check(self) -> None:
        self.ledger.check()
        for name, (call, body) in self.bodies.items():
            assert self.client.get_object(**call)["Body"].read() == body, name
        named = {"Bucket": "parts", "Key": "unfinished", "UploadId": self.upload_id}
        assert [part["Size"] for part in self.client.list_parts(**named)["Parts"]] == [MIB]

    def _put_segmented(self) -> None:
        body = content(SEGMENTED_BYTES)
        self.client.put_object(Bucket="plain", Key="segmented", Body=body)
        self.bodies["segmented"] = {"Bucket": "plain", "Key": "segmented"}, body
        self.ledger.expect("segmented", body)

    def _put_versions(self) -> None:
        self.client.create_bucket(Bucket="versioned")
        enabled = {"Status": "Enabled"}
        self.client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration=enabled)
        for number, size_bytes in enumerate((5_000, 200_000, 7_000)):
            body = content(size_bytes, bytes([number]))
            made = self.client.put_object(Bucket="versioned", Key="key", Body=body)["VersionId"]
            self.bodies[f"version {number}"] = {"Bucket": "versioned", "Key": "key", "VersionId": made}, body

    def _put_parts(self) -> None:
        self.client.create_bucket(Bucket="parts")
        bodies = [content(5 * MIB, b"1"), content(10_000, b"2")]
        named = {"Bucket": "parts", "Key": "whole"}
        named["UploadId"] = self.client.create_multipart_upload(**named)["UploadId"]
        parts = [
            {"PartNumber": number, "ETag": self.client.upload_part(**named, PartNumber=number, Body=body)["ETag"]}
            for number, body in enumerate(bodies, 1)
        ]
        self.client.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
        self.bodies["parts"] = {"Bucket": "parts", "Key": "whole"}, b"".join(bodies)
        unfinished = {"Bucket": "parts", "Key": "unfinished"}
        self.upload_id = self.client.create_multipart_upload(**unfinished)["UploadId"]
        self.client.upload_part(**unfinished, UploadId=self.upload_id, PartNumber=1, Body=bytes(MIB))


def mended(cluster: FaultCluster) -> str:
    """What is still missing or damaged in blobs and packs, "" for nothing. Chunks of snapshots are not mended: other
    snapshots take their place.
    """
    try:
        books, broken = asyncio.run(audit(cluster))
    except (NodeError, IndexFailure) as error:
        return repr(error)
    lost = [name for place in books.missing if "snapshot" not in (name := books.descriptions[place])]
    return "; ".join([*lost, *broken, *(books.explain() for _ in books.other_size[:1])])


def damage_found(cluster: FaultCluster, node: RoleProcess) -> int:
    """How long a node's list of damage is."""
    return len(list((cluster.node_directory(node) / "quarantine").iterdir()))


def journal_is_sound(cluster: FaultCluster) -> bool:
    return not any(segment.damaged for node in cluster.nodes for segment in cluster.journal(node).segments)


def test_every_read_is_right_and_everything_is_mended(cluster: FaultCluster) -> None:
    client = cluster.client(read_timeout=60)
    objects = Objects(client)
    source, numbers = random.Random(7), itertools.count()
    for node in cluster.nodes[:2]:
        node.terminate()
        hit = rot(cluster.node_directory(node), source)
        assert all(hit.values()), hit
        found = damage_found(cluster, node)
        node.start()
        cluster.await_answer(node)
        objects.check()
        with contextlib.suppress(pytest.fail.Exception):  # what is left says more
            wait_until(lambda: not mended(cluster), "every copy of every blob is whole again", timeout_s=25)
        assert not mended(cluster)
        assert damage_found(cluster, node) - found >= hit["blobs/**/*"] + hit["packs/*.pack"]
        wait_until(
            lambda: objects.ledger.put(f"later {next(numbers)}", SMALL_BYTES) and journal_is_sound(cluster),
            "damaged segments of the journal are trimmed behind new snapshots",
        )
        objects.check()
    cluster.wipe_redis()
    cluster.await_ready()
    objects.check()
    assert not mended(cluster)
    client.close()

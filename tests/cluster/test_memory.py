"""Five gibibytes in and out: memory stays flat in every process."""

import hashlib
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

import psutil
import pytest
from boto3.s3.transfer import TransferConfig

from tests.cluster.content import blocks, sha256_of
from tests.cluster.support import MIB, start
from tests.harness.cairn import CairnServer
from tests.interop.signer import UNSIGNED
from tests.interop.wire import connect, signed_request

SIZE_BYTES = 5 * 1024**3
LIMIT_BYTES = 200 * MIB
_SAMPLE_S = 0.1

pytestmark = [pytest.mark.large, pytest.mark.timeout(1800)]


class PeakMemory:
    """Samples the resident memory of every process of a server while a block runs."""

    def __init__(self, server: CairnServer) -> None:
        self.peaks: dict[str, int] = {}
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        supervisor = psutil.Process(self._server.pid)
        while not self._stop.wait(_SAMPLE_S):
            for process in (supervisor, *supervisor.children(recursive=True)):
                try:
                    name = " ".join(process.cmdline()[-4:])[-60:] + f" ({process.pid})"
                    used = process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
                self.peaks[name] = max(used, self.peaks.get(name, 0))

    def check(self) -> None:
        """No process ever had more than the limit."""
        assert self.peaks
        shown = {name: f"{peak / MIB:.0f} MiB" for name, peak in sorted(self.peaks.items())}
        print(shown)
        assert max(self.peaks.values()) < LIMIT_BYTES, shown


class Stream:
    """Generated content as a file that can only be read, which boto3 uploads in parts."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while size >= 0 and len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        content, self._rest = self._rest[:size], self._rest[size:]
        return content


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CairnServer]:
    with start(tmp_path_factory.mktemp("large"), nodes=2, replicas=2) as running:
        yield running


@pytest.fixture
def s3(server: CairnServer) -> Iterator[Any]:
    client = server.client()
    client.create_bucket(Bucket="bucket")
    yield client
    client.close()


def get_whole(s3: Any, key: str) -> str:
    """Hex SHA-256 of an object that is read as a stream."""
    body = s3.get_object(Bucket="bucket", Key=key)["Body"]
    return sha256_of(iter(lambda: body.read(MIB), b""))


def report(what: str, started: float) -> None:
    print(f"{what}: {SIZE_BYTES / MIB / (time.monotonic() - started):.0f} MiB/s")


def test_one_put_and_one_get_of_five_gibibytes(server: CairnServer, s3: Any) -> None:
    digest = hashlib.sha256()
    with PeakMemory(server) as memory:
        started = time.monotonic()
        with connect(server) as connection:
            headers = {"Content-Length": str(SIZE_BYTES)}
            connection.send(signed_request(server, "PUT", "/bucket/whole", b"", headers, payload_hash=UNSIGNED))
            for block in blocks(SIZE_BYTES):
                digest.update(block)
                connection.send(block)
            assert connection.answer().status == 200
        report("PUT", started)
        started = time.monotonic()
        assert get_whole(s3, "whole") == digest.hexdigest()
        report("GET", started)
    memory.check()
    assert s3.head_object(Bucket="bucket", Key="whole")["ContentLength"] == SIZE_BYTES
    s3.delete_object(Bucket="bucket", Key="whole")


def test_multipart_upload_of_five_gibibytes(server: CairnServer, s3: Any) -> None:
    config = TransferConfig(multipart_chunksize=16 * MIB, max_concurrency=8)
    with PeakMemory(server) as memory:
        started = time.monotonic()
        s3.upload_fileobj(Stream(blocks(SIZE_BYTES, b"parts")), "bucket", "parts", Config=config)
        report("multipart PUT", started)
        assert get_whole(s3, "parts") == sha256_of(blocks(SIZE_BYTES, b"parts"))
        s3.copy({"Bucket": "bucket", "Key": "parts"}, "bucket", "copy", Config=TransferConfig(max_concurrency=8))
    memory.check()
    assert s3.head_object(Bucket="bucket", Key="copy")["ContentLength"] == SIZE_BYTES


def test_slow_readers_cost_no_memory(server: CairnServer, s3: Any) -> None:
    """Clients that stop to read must hold back the nodes, and not fill the gateway."""
    s3.put_object(Bucket="bucket", Key="slow", Body=b"".join(blocks(256 * MIB, b"slow")))
    with PeakMemory(server) as memory:
        bodies = [s3.get_object(Bucket="bucket", Key="slow")["Body"] for _ in range(8)]
        for body in bodies:
            assert len(body.read(MIB)) == MIB
        time.sleep(5)  # nobody reads: whatever could be read ahead has been
        for body in bodies:
            body.close()
    memory.check()

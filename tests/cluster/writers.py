"""Clients that write all the time while something is killed, and what must be true afterwards. No test lives here.

Each key belongs to one thread, which writes it again and again with a rising number. What is acknowledged must
be there; a number above the last acknowledged one may be there, if it was tried; nothing else may, nor half of it.
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tests.cluster.support import wait_until
from tests.harness.cairn import CairnServer

KEYS_PER_THREAD = 5
THREADS = 4
#: Around the sizes at which a storage engine changes its mind.
SIZES_BYTES = (0, 1, 4096, 70_000, 300_000)


def value_of(key: str, number: int) -> bytes:
    """What the write of this number puts under the key."""
    size = SIZES_BYTES[(number + len(key)) % len(SIZES_BYTES)]
    head = f"{key} {number}\n".encode()
    return head + hashlib.shake_128(head).digest(size)


class Writers:
    """Counts for every key what was tried and what was acknowledged."""

    def __init__(self, server: CairnServer, bucket: str) -> None:
        self.tried: dict[str, int] = {}
        self.acknowledged: dict[str, int] = {}
        self.failures: list[str] = []
        self._server = server
        self._bucket = bucket
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(THREADS)]

    @property
    def acknowledgements(self) -> int:
        """How many writes have been acknowledged in all; every key is numbered from 1."""
        return sum(self.acknowledged.values())

    def await_more(self, count: int = 60) -> None:
        """Wait until so many more writes are acknowledged."""
        wanted = self.acknowledgements + count
        wait_until(lambda: self.acknowledgements >= wanted, f"{count} more acknowledged writes: {self.failures[-3:]}")

    def _write(self, thread: int) -> None:
        client = self._server.client(connect_timeout=5, read_timeout=10)
        try:
            while not self._stop.is_set():
                for number in range(KEYS_PER_THREAD):
                    self._write_once(client, f"{thread}/{'x' * number}")
        finally:
            client.close()

    def _write_once(self, client: Any, key: str) -> None:
        number = self.tried.get(key, 0) + 1
        self.tried[key] = number
        try:
            client.put_object(Bucket=self._bucket, Key=key, Body=value_of(key, number))
        except (ClientError, BotoCoreError) as error:
            self.failures.append(repr(error))
            self._stop.wait(0.02)
        else:
            self.acknowledged[key] = number

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def check(self, client: Any) -> None:
        """Hold what is stored against what was acknowledged and tried."""
        assert self.acknowledged
        listed = client.list_objects_v2(Bucket=self._bucket)
        assert not listed["IsTruncated"]
        keys = {entry["Key"]: entry for entry in listed.get("Contents", ())}
        assert set(self.acknowledged) <= set(keys) <= set(self.tried)
        for key, entry in keys.items():
            body = client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            possible = range(self.acknowledged.get(key, 1), self.tried[key] + 1)
            assert body in [value_of(key, number) for number in possible], f"{key}: {body[:40]!r}, {possible}"
            assert entry["Size"] == len(body)


@contextlib.contextmanager
def writing(server: CairnServer, bucket: str) -> Iterator[Writers]:
    """Writers at work while the block runs."""
    writers = Writers(server, bucket)
    writers.start()
    try:
        writers.await_more()
        yield writers
    finally:
        writers.stop()


def stop_and_check(writers: Writers, client: Callable[[], Any]) -> None:
    """End them and look."""
    writers.stop()
    made = client()
    writers.check(made)
    made.close()

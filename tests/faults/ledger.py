"""Keeps what was acknowledged and what was tried, and holds what is stored against it. No test lives here."""

import hashlib
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tests.faults.cluster import wait_until

REFUSALS = {"SlowDown", "ServiceUnavailable"}
SMALL_BYTES, LARGE_BYTES = 3_000, 100_000
"""Of a blob that shares a file with others, and of one that has its own."""


def body_of(key: str, number: int, size_bytes: int) -> bytes:
    head = f"{key} {number} ".encode()
    return head + hashlib.shake_128(head).digest(size_bytes - len(head))


class Ledger:
    """Of one bucket. A write counts as acknowledged when the client heard so, and as possible when it was tried."""

    def __init__(self, client: Any, bucket: str) -> None:
        self.client = client
        self.bucket = bucket
        self.refused: list[str] = []
        self._possible: dict[str, list[bytes | None]] = {}  # None: not there; all but the last of them is certain
        self._number = 0
        wait_until(lambda: self._try(lambda: client.create_bucket(Bucket=bucket)), "a bucket is made")

    def put(self, key: str, size_bytes: int) -> bool:
        """Whether it was acknowledged. Any answer but success and a 503 with its reason fails the test."""
        self._number += 1
        body = body_of(key, self._number, size_bytes)
        if self._try(lambda: self.client.put_object(Bucket=self.bucket, Key=key, Body=body)):
            self._possible[key] = [body]
            return True
        self._possible.setdefault(key, [None]).append(body)
        return False

    def delete(self, key: str) -> bool:
        """Whether it was acknowledged."""
        if self._try(lambda: self.client.delete_object(Bucket=self.bucket, Key=key)):
            self._possible[key] = [None]
            return True
        self._possible.setdefault(key, [None]).append(None)
        return False

    def expect(self, key: str, body: bytes) -> None:
        """Something else has put this, and was acknowledged."""
        self._possible[key] = [body]

    def check(self) -> None:
        """Everything acknowledged is there, right, and listed; nothing else but what was tried."""
        found = self.check_bodies()
        listed = {one["Key"] for one in self.client.list_objects_v2(Bucket=self.bucket).get("Contents", ())}
        assert listed == {key for key, body in found.items() if body is not None}

    def check_bodies(self) -> dict[str, bytes | None]:
        """Every key reads as what was acknowledged, or as what was tried since; what was read."""
        found = {key: self.read(key) for key in self._possible}
        for key, body in found.items():
            possible = self._possible[key]
            assert body in possible, f"{key}: {body and body[:40]!r}, one of {[one and one[:40] for one in possible]}"
        return found

    def check_eventually(self) -> None:
        """The same, once reads are possible again."""
        wait_until(self.is_readable, "everything can be read")
        self.check()

    def is_readable(self) -> bool:
        """Whether no read is refused."""
        try:
            for key in self._possible:
                self.read(key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (500, 503):
                raise
            return False
        return True

    def read(self, key: str) -> bytes | None:
        """None where there is no such object."""
        try:
            body: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None
        return body

    def _try(self, call: Callable[[], Any]) -> bool:
        try:
            call()
        except ClientError as error:
            if not is_refusal(error):
                raise
            self.refused.append(f"{error.response['Error']['Code']}: {error.response['Error']['Message']}")
            return False
        except BotoCoreError as error:  # no answer at all: neither yes nor no
            self.refused.append(repr(error))
            return False
        return True


def is_refusal(error: ClientError) -> bool:
    """A 503 of S3's that says when to come again."""
    answer = error.response["ResponseMetadata"]
    is_named = error.response["Error"]["Code"] in REFUSALS
    return is_named and answer["HTTPStatusCode"] == 503 and "retry-after" in answer["HTTPHeaders"]

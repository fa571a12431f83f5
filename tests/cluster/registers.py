"""Things whose state is a number that only rises, as clients of S3 see them, written and read all the time. No test
lives here.

What was acknowledged, or read by anyone, must be seen by every read that begins afterwards. A write whose outcome is
not known may come into force at any time, or never.
"""

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tests.cluster.support import wait_until
from tests.harness.cluster import Cluster

#: A gateway gives up waiting for the journal after 10 s, and for a silent index before that.
CLIENT = {"connect_timeout": 5, "read_timeout": 30}
_PADDING = (b"", b"." * 5_000, b"." * 100_000)
_PAUSE_S = 0.01


class Register:
    """An object that is overwritten; absent before the first write."""

    def __init__(self, bucket: str, name: str) -> None:
        self.bucket = bucket
        self.name = name
        self.tried = self.acknowledged = self.seen = 0
        self.doubtful: set[int] = set()

    def write(self, client: Any, number: int) -> None:
        client.put_object(Bucket=self.bucket, Key=self.name, Body=body_of(number))

    def read(self, client: Any) -> int | None:
        """The number, or None for nothing. Raises ClientError, BotoCoreError."""
        try:
            body: bytes = client.get_object(Bucket=self.bucket, Key=self.name)["Body"].read()
        except ClientError as error:
            _require(error, "NoSuchKey")
            return None
        number = int(body.split(b"\n", 1)[0])
        assert body == body_of(number), f"{self.name}: torn"
        return number

    def numbers_of_nothing(self) -> Iterator[int]:
        """After which writes there is nothing."""
        yield 0

    def judge(self, observed: int | None, floor: int) -> str | None:
        """What is wrong with an answer to a read that began when the state was at `floor`."""
        possible = [*self.numbers_of_nothing()] if observed is None else [observed]
        sound = [number for number in possible if floor <= number <= self.tried]
        if sound:
            self.seen = max(self.seen, sound[0])
            return None
        if self.doubtful.intersection(possible):
            return None
        return f"{self.name}: {observed} was read, {floor} had been acknowledged or read before"


class Coming(Register):
    """An object that odd writes put and even ones delete."""

    def write(self, client: Any, number: int) -> None:
        if number % 2:
            super().write(client, number)
        else:
            client.delete_object(Bucket=self.bucket, Key=self.name)

    def numbers_of_nothing(self) -> Iterator[int]:
        yield from range(0, self.tried + 1, 2)


class InParts(Register):
    """An object that is uploaded in parts."""

    def write(self, client: Any, number: int) -> None:
        place = {"Bucket": self.bucket, "Key": self.name}
        place["UploadId"] = client.create_multipart_upload(**place)["UploadId"]
        tag = client.upload_part(PartNumber=1, Body=body_of(number), **place)["ETag"]
        client.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]}, **place)


class Tags(Register):
    """A configuration of the bucket."""

    def write(self, client: Any, number: int) -> None:
        client.put_bucket_tagging(Bucket=self.bucket, Tagging={"TagSet": [{"Key": "number", "Value": str(number)}]})

    def read(self, client: Any) -> int | None:
        try:
            return int(client.get_bucket_tagging(Bucket=self.bucket)["TagSet"][0]["Value"])
        except ClientError as error:
            _require(error, "NoSuchTagSet")
            return None


class Traffic:
    """A writer and a reader at each gateway. Every register belongs to one writer; all are read by all readers."""

    def __init__(self, cluster: Cluster) -> None:
        self.violations: list[str] = []
        self.refusals: list[float] = []
        """How many seconds each answer took that said 503."""
        self.registers: list[Register] = []
        self._cluster = cluster
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self.bucket = f"traffic-{time.monotonic_ns()}"
        for gateway in range(len(cluster.endpoints)):
            kinds = (Register, Coming, InParts)
            own = [kind(self.bucket, f"{kind.__name__}/{gateway}") for kind in kinds]
            own += [Tags(self.bucket, "tags")] if gateway == 0 else []
            self.registers += own
            self._threads += [
                threading.Thread(target=self._write, args=(gateway, own)),
                threading.Thread(target=self._read, args=(gateway,)),
            ]

    @property
    def acknowledgements(self) -> int:
        return sum(register.acknowledged for register in self.registers)

    def await_more(self, rounds: int = 5) -> None:
        """Wait until every register took so many more writes."""
        wanted = {register: register.acknowledged + rounds for register in self.registers}
        wait_until(
            lambda: (
                all(register.acknowledged >= number for register, number in wanted.items()) or bool(self.violations)
            ),
            f"{rounds} more writes of each register",
            timeout_s=60,
        )
        assert not self.violations, self.violations

    def check(self) -> None:
        """End it; look at everything through every gateway once more."""
        self.stop()
        for gateway in range(len(self._cluster.endpoints)):
            with closing_client(self._cluster, gateway) as client:
                for register in self.registers:
                    self._look(register, client)
                listed = {found["Key"] for found in client.list_objects_v2(Bucket=self.bucket).get("Contents", ())}
                for register in self.registers:
                    if type(register) in (Register, InParts):
                        assert register.name in listed
        assert not self.violations, self.violations

    def start(self) -> None:
        with closing_client(self._cluster) as client:
            client.create_bucket(Bucket=self.bucket)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, gateway: int, registers: Sequence[Register]) -> None:
        with closing_client(self._cluster, gateway) as client:
            while not self._stop.is_set():
                for register in registers:
                    self._write_once(client, register)

    def _write_once(self, client: Any, register: Register) -> None:
        number = register.tried + 1
        register.tried = number
        began = time.monotonic()
        try:
            register.write(client, number)
        except (ClientError, BotoCoreError) as error:
            register.doubtful.add(number)
            self._note(f"write {number} of {register.name}", error, time.monotonic() - began)
        else:
            register.acknowledged = number

    def _read(self, gateway: int) -> None:
        with closing_client(self._cluster, gateway) as client:
            while not self._stop.is_set():
                for register in self.registers:
                    self._look(register, client)
                self._stop.wait(_PAUSE_S)

    def _look(self, register: Register, client: Any) -> None:
        floor, began = max(register.acknowledged, register.seen), time.monotonic()
        try:
            observed = register.read(client)
        except (ClientError, BotoCoreError) as error:
            self._note(f"read of {register.name}", error, time.monotonic() - began)
            return
        if (wrong := register.judge(observed, floor)) is not None:
            self.violations.append(wrong)

    def _note(self, what: str, error: Exception, took_s: float) -> None:
        if (wrong := not_a_clear_refusal(error)) is not None:
            self.violations.append(f"{what}: {wrong}")
        self.refusals.append(took_s)
        self._stop.wait(5 * _PAUSE_S)


class Readiness:
    """Asks every gateway all the time whether it is ready, and keeps the reasons why not."""

    def __init__(self, cluster: Cluster) -> None:
        self.reasons: list[list[str]] = [[] for _ in cluster.endpoints]
        self._ports = [int(endpoint.rpartition(":")[2]) for endpoint in cluster.endpoints]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(len(self._ports))]

    def __enter__(self) -> "Readiness":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._ports[number], timeout=20)
        with contextlib.closing(connection):
            while not self._stop.is_set():
                connection.request("GET", "/-/health/ready")
                answer = connection.getresponse()
                body = answer.read().decode()
                if answer.status != 200:
                    self.reasons[number].append(body)
                self._stop.wait(_PAUSE_S)


def body_of(number: int) -> bytes:
    return f"{number}\n".encode() + _PADDING[number % len(_PADDING)]


def not_a_clear_refusal(error: Exception) -> str | None:
    """What is wrong with an answer that should tell the client to come again."""
    if not isinstance(error, ClientError):
        return repr(error)
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    headers = error.response["ResponseMetadata"]["HTTPHeaders"]
    code = error.response["Error"]["Code"]
    if status == 503 and code in ("SlowDown", "ServiceUnavailable") and int(headers.get("retry-after", 0)) > 0:
        return None
    return f"{status} {code} {error} {headers}"


@contextlib.contextmanager
def traffic(cluster: Cluster) -> Iterator[Traffic]:
    """Traffic that runs while the block does, and has begun."""
    work = Traffic(cluster)
    work.start()
    try:
        work.await_more(2)
        yield work
    finally:
        work.stop()


@contextlib.contextmanager
def closing_client(cluster: Cluster, gateway: int = 0) -> Iterator[Any]:
    client = cluster.client(gateway, **CLIENT)
    try:
        yield client
    finally:
        client.close()


def _require(error: ClientError, code: str) -> None:
    if error.response["Error"]["Code"] != code:
        raise error

"""A real `cairn serve` for tests: started on free ports, waited for, and never left behind.

Nothing here knows S3 beyond handing out a boto3 client.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
import botocore.config
import psutil
import trustme

from gateway.supervisor import attach

PROJECT = Path(__file__).resolve().parents[2]
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
#: How the line begins that `cairn serve` prints once a gateway answers; the endpoint follows.
READY_PREFIX = "Cairn serves S3 at "

_OURS = ("CAIRN_", "REDIS_", "NODE_", "AWS_")
_OURS_EXACTLY = ("BASE_STORAGE_PATH", "DEBUG")


class ServerFailed(Exception):
    """`cairn serve` ended, or did not become ready in time; the message ends with its log."""


@dataclass(slots=True, kw_only=True)
class CairnServer:
    """One running `cairn serve`; a context manager that leaves no process behind."""

    data_dir: Path
    log: Path
    process: subprocess.Popen[bytes]
    endpoint: str = ""
    access_key: str = ""
    secret_key: str = ""
    region: str = "us-east-1"
    ca_certificate: Path | None = None
    _banner: bytearray = field(default_factory=bytearray)

    @classmethod
    def start(cls, data_dir: Path, *arguments: str, env: Mapping[str, str] | None = None, tls: bool = False) -> Self:
        """Start it on `data_dir` and wait until it serves. Raises ServerFailed.

        A port may be fixed with `"--port", "9001"`; otherwise any free one is taken.
        """
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        ca_certificate, tls_arguments = _make_certificates(data_dir) if tls else (None, ())
        log = data_dir.with_name(data_dir.name + ".log")
        environment = clean_environment() | dict(env or {})
        # Tied to this process (its thread, strictly), so that a killed test run leaves no server behind.
        tie = [sys.executable, "-I", "-S", attach.__file__, str(os.getpid())]
        command = [*tie, sys.executable, "-m", "gateway.cli", "serve", "--data", str(data_dir), "--port", "0"]
        with log.open("ab") as log_file:
            process = subprocess.Popen(
                [*command, *tls_arguments, *arguments],
                cwd=PROJECT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log_file,
                start_new_session=True,
            )
        server = cls(data_dir=data_dir, log=log, process=process, ca_certificate=ca_certificate)
        try:
            server._wait_until_ready()
            server._read_keys(environment)
        except BaseException:
            server.kill()
            raise
        return server

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self.process.pid

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    @property
    def banner(self) -> str:
        """What it printed on standard output up to now."""
        return self._banner.decode()

    def client(self, service: str = "s3", **config: Any) -> Any:
        """A boto3 client for the root user; keywords go to botocore's Config."""
        return self.client_for(self.access_key, self.secret_key, service, **config)

    def client_for(self, access_key: str, secret_key: str, service: str = "s3", **config: Any) -> Any:
        """A boto3 client for any user; keywords go to botocore's Config."""
        settings = {"retries": {"max_attempts": 0}, "s3": {"addressing_style": "path"}} | config
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name=self.region,
            verify=str(self.ca_certificate) if self.ca_certificate else None,
            config=botocore.config.Config(**settings),
        )

    def client_environment(self) -> dict[str, str]:
        """The environment in which aws, boto3 and s5cmd reach this server as the root user."""
        environment = clean_environment() | {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_MAX_ATTEMPTS": "1",
            "S3_ENDPOINT_URL": self.endpoint,
        }
        if self.ca_certificate:
            environment |= {
                "AWS_CA_BUNDLE": str(self.ca_certificate),
                "SSL_CERT_FILE": str(self.ca_certificate),
            }
        return environment

    def processes(self, role: str) -> list[psutil.Process]:
        """The running processes of a role: gateway, node, worker or index, oldest first."""
        found = [child for child in self._descendants() if _role_of(child) == role]
        return sorted(found, key=lambda child: child.create_time())

    def stop(self) -> int:
        """SIGTERM, wait for the orderly end and return the exit status."""
        descendants = self._descendants()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_TIMEOUT_S)
        finally:
            self._finish(descendants)
        return status

    def kill(self) -> None:
        """SIGKILL the supervisor and whatever still runs beneath it."""
        descendants = self._descendants()
        self.process.kill()
        self._finish(descendants)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None and kind is None:
            self.stop()
        else:
            self.kill()

    def _descendants(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _finish(self, descendants: list[psutil.Process]) -> None:
        self.process.kill()
        for descendant in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                descendant.kill()
        psutil.wait_procs(descendants, timeout=STOP_TIMEOUT_S)
        self.process.wait(STOP_TIMEOUT_S)
        if self.process.stdout:
            self.process.stdout.close()

    def _wait_until_ready(self) -> None:
        for line in self._lines(time.monotonic() + READY_TIMEOUT_S):
            if line.startswith(READY_PREFIX):
                self.endpoint = line.removeprefix(READY_PREFIX).split()[0]
            if self.endpoint and not line:
                return  # the banner ends with an empty line
        raise ServerFailed(f"cairn serve was not ready after {READY_TIMEOUT_S} s or ended:\n{self.read_log()}")

    def _lines(self, deadline: float) -> Iterator[str]:
        """Lines of standard output as they come, until its end or the deadline (monotonic seconds)."""
        assert self.process.stdout
        descriptor = self.process.stdout.fileno()
        pending = bytearray()
        while (left_s := deadline - time.monotonic()) > 0:
            if not select.select([descriptor], [], [], left_s)[0]:
                return
            if not (block := os.read(descriptor, 65536)):
                return
            self._banner += block
            pending += block
            *lines, rest = pending.split(b"\n")
            pending = bytearray(rest)
            yield from (line.decode() for line in lines)

    def _read_keys(self, environment: Mapping[str, str]) -> None:
        self.region = environment.get("CAIRN_REGION", self.region)
        if "CAIRN_ROOT_ACCESS_KEY" in environment:
            self.access_key = environment["CAIRN_ROOT_ACCESS_KEY"]
            self.secret_key = environment["CAIRN_ROOT_SECRET_KEY"]
            return
        root = json.loads((self.data_dir / "keys" / "root.json").read_text())
        self.access_key, self.secret_key = root["access_key"], root["secret_key"]

    def read_log(self) -> str:
        """Everything the server and its children wrote on standard error."""
        return self.log.read_text(errors="replace")


def clean_environment() -> dict[str, str]:
    """This process's environment without anything that would configure Cairn or an S3 client."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(_OURS) and name not in _OURS_EXACTLY
    }


def _role_of(process: psutil.Process) -> str:
    try:
        command = process.cmdline()
    except psutil.NoSuchProcess:
        return ""
    if "gateway.cli" in command:
        return command[command.index("gateway.cli") + 1]
    return "index" if any("valkey" in word for word in command[:1]) else ""


def _make_certificates(data_dir: Path) -> tuple[Path, tuple[str, ...]]:
    """A throw-away authority beside `data_dir` and a certificate for loopback names from it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1", "*.localhost")
    ca_path, chain_path, key_path = (data_dir.with_name(data_dir.name + end) for end in (".ca", ".crt", ".key"))
    authority.cert_pem.write_to_path(str(ca_path))
    certificate.private_key_pem.write_to_path(str(key_path))
    for number, pem in enumerate(certificate.cert_chain_pems):
        pem.write_to_path(str(chain_path), append=number > 0)
    return ca_path, ("--tls-cert", str(chain_path), "--tls-key", str(key_path))

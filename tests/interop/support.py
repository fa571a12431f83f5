"""What the tests of all clients share: users, sample files, the shape of a refusal. No test lives here."""

import base64
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.harness.cairn import PROJECT, CairnServer, clean_environment

MIB = 1024**2
#: Around nothing, and around the smallest part of a multipart upload.
SIZES_BYTES = (0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1)
LARGE_BYTES = 64 * MIB

_COMMAND_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who may sign requests."""

    name: str
    access_key: str
    secret_key: str
    canonical_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What boto3 made of an error answer."""

    code: str
    status: int
    message: str
    elements: Mapping[str, Any]
    headers: Mapping[str, str]


def refusal(call: Callable[..., Any], **parameters: Any) -> Refusal:
    """Call an operation of a boto3 client that must fail, and give its error."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response: Any = caught.value.response
    error = response["Error"]
    return Refusal(
        code=error["Code"],
        status=response["ResponseMetadata"]["HTTPStatusCode"],
        message=error.get("Message", ""),
        elements=error,
        headers=response["ResponseMetadata"]["HTTPHeaders"],
    )


def md5(content: bytes) -> str:
    """The ETag, without quotes, of an object that was put in one piece."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def content_md5(content: bytes) -> str:
    """The value of a Content-MD5 header."""
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def digest_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests_of(directory: Path) -> dict[str, str]:
    """Hex SHA-256 of every file below a directory, by relative name."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): digest_of(path) for path in files}


def write_random_file(path: Path, size_bytes: int) -> Path:
    """A file that no compression and no coincidence can stand in for."""
    with path.open("wb") as file:
        for offset in range(0, size_bytes, MIB):
            file.write(os.urandom(min(MIB, size_bytes - offset)))
    return path


def run_cairn(server: CairnServer, *words: str, expect: int = 0) -> str:
    """Run a `cairn` command on the data directory of a running server and return what it printed."""
    command = [sys.executable, "-m", "gateway.cli", *words, "--data", str(server.data_dir)]
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=_COMMAND_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


def add_user(server: CairnServer, name: str, *options: str) -> User:
    """`cairn user add`, with the keys it made up."""
    lines = run_cairn(server, "user", "add", name, *options).splitlines()
    printed = {label.strip(): value.strip() for label, _, value in (line.partition("  ") for line in lines)}
    return User(
        name=name,
        access_key=printed["access key"],
        secret_key=printed["secret key"],
        canonical_id=printed["id"],
    )

"""The two servers, each with the client that plays cases on it."""

import select
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.differential.replay import make_client
from tests.harness.cairn import CairnServer, clean_environment

_MOTO_START_TIMEOUT_S = 60.0
_RUNNING = "Running on "


@pytest.fixture(scope="session")
def cairn_client(cairn: CairnServer) -> Any:
    return make_client(cairn.endpoint, cairn.access_key, cairn.secret_key)


@pytest.fixture(scope="session")
def moto_client() -> Iterator[Any]:
    """A client of moto's server, in a process of its own: what it warns of is not ours to fail for."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield make_client(_wait_for_endpoint(process), "testing", "testing")
    finally:
        process.kill()
        process.wait()
        assert process.stderr
        process.stderr.close()


def _wait_for_endpoint(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr
    deadline = time.monotonic() + _MOTO_START_TIMEOUT_S
    while (left_s := deadline - time.monotonic()) > 0 and select.select([process.stderr], [], [], left_s)[0]:
        line = process.stderr.readline().decode()
        if _RUNNING in line:
            return line.partition(_RUNNING)[2].strip()
        if not line:
            break
    raise TimeoutError("moto's server did not start")

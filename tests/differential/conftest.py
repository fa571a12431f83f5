"""The two servers, each with the client that plays cases on it."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.differential.replay import make_client
from tests.harness.cairn import PROJECT, CairnServer, clean_environment


@pytest.fixture(scope="session")
def cairn_client(cairn: CairnServer) -> Any:
    return make_client(cairn.endpoint, cairn.access_key, cairn.secret_key)


@pytest.fixture(scope="session")
def moto_client() -> Iterator[Any]:
    """A client of moto's server, in a process of its own: what it warns of is not ours to fail for."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.differential.moto_server"],
        cwd=PROJECT,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        yield make_client(f"http://127.0.0.1:{port}", "testing", "testing")
        process.kill()

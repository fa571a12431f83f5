"""Fixtures of the gateway's tests."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A temporary directory whose path leaves room for a unix socket's name, as tmp_path may not."""
    path = Path(tempfile.mkdtemp(prefix="cairn-"))
    yield path
    shutil.rmtree(path)

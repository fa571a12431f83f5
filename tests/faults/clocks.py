"""Processes with a clock of their own, and clients that sign by it. No test lives here."""

import datetime
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import botocore.auth
import botocore.crt.auth
import pytest
from botocore.compat import get_current_datetime

from tests.harness.redis_server import server_binary
from tests.harness.tools import faketime_library


def clock(ahead_s: int) -> Mapping[str, str]:
    """The environment of a process whose clock is ahead by so much, or behind; time passes at its usual pace."""
    return {
        "LD_PRELOAD": str(faketime_library()),
        "FAKETIME": f"{ahead_s:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def skewed_index_server(path: Path, ahead_s: int) -> Path:
    """A program that starts the index server with such a clock; written again, it gives the next start another."""
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in clock(ahead_s).items())
    path.write_text(f'#!/bin/sh\nexec env {settings} {shlex.quote(str(server_binary()))} "$@"\n')
    path.chmod(0o700)
    return path


def sign_by(client: Any, ahead_s: int, patch: pytest.MonkeyPatch) -> None:
    """Have a boto3 client sign by the clock of its gateway, as it would on the same machine."""
    moved = datetime.timedelta(seconds=ahead_s)

    def set_clock(**_: object) -> None:
        for module in (botocore.auth, botocore.crt.auth):
            patch.setattr(module, "get_current_datetime", lambda **given: get_current_datetime(**given) + moved)

    client.meta.events.register("before-sign.s3", set_clock)

"""Fixtures that every test may use: one running Cairn a session."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.harness.cairn import CairnServer

# The same examples on every run, however slow the machine is at the moment.
settings.register_profile("cairn", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cairn")

#: Buckets of the shared server may also be addressed as BUCKET.DOMAIN.
DOMAIN = "s3.test"


@pytest.fixture(scope="session")
def cairn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CairnServer]:
    """A `cairn serve` shared by the session's tests; use buckets of your own and do not stop it."""
    with CairnServer.start(tmp_path_factory.mktemp("cairn") / "data", env={"CAIRN_DOMAIN": DOMAIN}) as server:
        yield server


@pytest.fixture(scope="session")
def cairn_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CairnServer]:
    """The same over HTTPS, and closed to strangers; `.ca_certificate` is what clients must trust."""
    closed = {"CAIRN_LEGACY_ANONYMOUS": "off"}
    with CairnServer.start(tmp_path_factory.mktemp("cairn-tls") / "data", env=closed, tls=True) as server:
        yield server

"""What log lines must never show."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from gateway.logs import configure_logging


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, configuration = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**configuration)


def fail_with(secret: str) -> None:
    """Raises with the secret among its local variables, which the message does not name."""
    assert secret
    raise ValueError("it failed")


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_traceback_shows_no_local_variables(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(debug=False, form=form)
    secret = "sEcReT" * 3
    try:
        fail_with(secret)
    except ValueError:
        structlog.get_logger("test").exception("pass failed", job="audit")
        logging.getLogger("of a library").exception("broken")
    text = capsys.readouterr().err
    assert secret not in text
    for word in ("pass failed", "broken", "fail_with", "it failed"):
        assert word in text

"""The committed table of operations says what the code does."""

from pathlib import Path

from gateway.operation_table import operation_table
from gateway.operations import HANDLERS
from s3compat.service_model import load


def test_committed_table_is_the_generated_one() -> None:
    committed = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
    assert committed.read_text() == operation_table(), "run `make docs`"


def test_every_handler_is_an_operation_of_the_model() -> None:
    assert HANDLERS.keys() <= load().operations.keys()

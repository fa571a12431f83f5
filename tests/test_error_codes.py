"""Every S3 error that the code can raise is in the one table of errors."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.translation import _CODES
from s3compat.errors import ERRORS

PROJECT = Path(__file__).resolve().parents[1]


def raised_codes() -> Iterator[tuple[str, str]]:
    for package in ("gateway", "s3compat"):
        for path in sorted((PROJECT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "S3Error":
                    first = node.args[0] if node.args else None
                    if isinstance(first, ast.Constant):
                        yield f"{path.relative_to(PROJECT)}:{node.lineno}", str(first.value)


CODES = list(raised_codes())


@pytest.mark.parametrize(("place", "code"), CODES, ids=[place for place, _ in CODES])
def test_raised_code_is_in_the_table(place: str, code: str) -> None:
    assert code in ERRORS


def test_translated_codes_are_in_the_table() -> None:
    assert set(_CODES.values()) <= ERRORS.keys()

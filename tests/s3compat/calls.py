"""Parsing a request written in one line."""

from typing import Any

import pytest

from s3compat.errors import S3Error
from s3compat.parsing import parse_input
from s3compat.routing import find_operation
from tests.s3compat.oracle import build


def parse(
    method: str, target: str, headers: dict[str, str] | None = None, body: str | bytes | None = None
) -> dict[str, Any]:
    path, _, query = target.partition("?")
    request = build(method, path.encode(), query.encode(), list((headers or {}).items()))
    raw = body.encode() if isinstance(body, str) else body
    return parse_input(find_operation(request), request, raw)


def error_of(
    method: str, target: str, headers: dict[str, str] | None = None, body: str | bytes | None = None
) -> S3Error:
    with pytest.raises(S3Error) as caught:
        parse(method, target, headers, body)
    return caught.value

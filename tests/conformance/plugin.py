"""A pytest plugin that runs inside the suite's own environment: each test gets buckets and a clean-up of ours.

The suite uses one bucket prefix for a whole run and fails a test whose clean-up fails, which hides what the test
itself found (a server without ListObjectVersions passes nothing). Here every test has a fresh prefix, and a
clean-up that does what it can and never fails. It imports nothing that the suite's environment does not have.
"""

import contextlib
import importlib
import itertools
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

#: What a clean-up may meet: any answer and any broken connection, in any shape.
_ANYTHING = (Exception,)
_DELETE_BATCH = 500


def pytest_configure(config: pytest.Config) -> None:
    """Point the suite at this worker's accounts before it is imported."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    own = Path(os.environ["S3TEST_CONF"]).with_name(f"{worker}.conf")
    os.environ["S3TEST_CONF"] = str(own)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Put our start and end of a test in the place of the suite's."""
    functional: Any = importlib.import_module("s3tests.functional")
    functional.setup = lambda: _begin(functional)
    functional.teardown = lambda: _end(functional)


def _begin(functional: Any) -> None:
    functional.prefix = f"conf-{secrets.token_hex(6)}-"
    functional.bucket_counter = itertools.count(1)


def _end(functional: Any) -> None:
    for make in (functional.get_client, functional.get_alt_client, functional.get_tenant_client):
        with contextlib.suppress(*_ANYTHING):
            client = make()
            for bucket in client.list_buckets()["Buckets"]:
                _remove_bucket(client, bucket["Name"])


def _remove_bucket(client: Any, bucket: str) -> None:
    for batch in _batches(client, bucket):
        with contextlib.suppress(*_ANYTHING):
            client.delete_objects(
                Bucket=bucket, Delete={"Objects": batch, "Quiet": True}, BypassGovernanceRetention=True
            )
    with contextlib.suppress(*_ANYTHING):
        client.delete_bucket(Bucket=bucket)


def _batches(client: Any, bucket: str) -> Iterator[list[dict[str, str]]]:
    """What is in the bucket, for DeleteObjects: versions, or keys where the server has no versions."""
    try:
        found = _versions(client, bucket)
    except _ANYTHING:
        found = _keys(client, bucket)
    for start in range(0, len(found), _DELETE_BATCH):
        yield found[start : start + _DELETE_BATCH]


def _versions(client: Any, bucket: str) -> list[dict[str, str]]:
    pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket)
    return [
        {"Key": entry["Key"], "VersionId": entry["VersionId"]}
        for page in pages
        for entry in page.get("Versions", []) + page.get("DeleteMarkers", [])
    ]


def _keys(client: Any, bucket: str) -> list[dict[str, str]]:
    with contextlib.suppress(*_ANYTHING):
        pages = client.get_paginator("list_objects").paginate(Bucket=bucket)
        return [{"Key": entry["Key"]} for page in pages for entry in page.get("Contents", [])]
    return []

"""Fixtures for the tests of clients: boto3 clients, buckets of one's own, a second user, sample files."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.harness.cairn import CairnServer
from tests.interop.place import Place
from tests.interop.support import LARGE_BYTES, SIZES_BYTES, User, add_user, write_random_file

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def s3(cairn: CairnServer) -> Iterator[Any]:
    """A boto3 client for the root user."""
    client = cairn.client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def s3_tls(cairn_tls: CairnServer) -> Iterator[Any]:
    """The same over HTTPS, where boto3 sends its checksums as trailers."""
    client = cairn_tls.client()
    yield client
    client.close()


@pytest.fixture
def bucket_name() -> str:
    """A name that no other test uses; the bucket does not exist."""
    return f"interop-{next(_numbers)}"


@pytest.fixture
def bucket(s3: Any, bucket_name: str) -> str:
    """An empty bucket of the root user."""
    s3.create_bucket(Bucket=bucket_name)
    return bucket_name


@pytest.fixture
def bucket_tls(s3_tls: Any, bucket_name: str) -> str:
    """An empty bucket on the HTTPS server."""
    s3_tls.create_bucket(Bucket=bucket_name)
    return bucket_name


@pytest.fixture(scope="session")
def user(cairn: CairnServer) -> User:
    """A user beside root, made by `cairn user add`."""
    return add_user(cairn, "paula", "--display-name", "Paula", "--email", "paula@example.com")


@pytest.fixture(scope="session")
def user_s3(cairn: CairnServer, user: User) -> Iterator[Any]:
    """A boto3 client for the second user."""
    client = cairn.client_for(user.access_key, user.secret_key)
    yield client
    client.close()


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of random files of the sizes that matter, one of them in a subdirectory; not to be changed."""
    directory = tmp_path_factory.mktemp("samples")
    for size_bytes in SIZES_BYTES:
        write_random_file(directory / f"{size_bytes}.bin", size_bytes)
    (directory / "deep" / "er").mkdir(parents=True)
    write_random_file(directory / "deep" / "er" / "a name with + and ü.txt", 1000)
    return directory


@pytest.fixture(scope="session")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 MiB of random bytes; not to be changed."""
    return write_random_file(tmp_path_factory.mktemp("large") / "large.bin", LARGE_BYTES)


@pytest.fixture(scope="session")
def sample_sizes(samples: Path) -> Mapping[str, int]:
    """Size in bytes of each sample by its relative name."""
    return {str(path.relative_to(samples)): path.stat().st_size for path in samples.rglob("*") if path.is_file()}


@pytest.fixture
def place(cairn: CairnServer, s3: Any, bucket: str) -> Iterator[Place]:
    """A bucket for bad requests: it must be as empty after the test as before, and the server must answer."""
    found = Place(cairn, s3, bucket)
    yield found
    found.check()

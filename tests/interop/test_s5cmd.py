"""s5cmd: parallel copies, and everything its run files do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.harness import tools
from tests.harness.cairn import CairnServer
from tests.interop.support import digest_of, digests_of


@pytest.fixture(scope="module")
def environment(cairn: CairnServer) -> Mapping[str, str]:
    return cairn.client_environment()


def s5cmd(environment: Mapping[str, str], *words: str | Path, **options: Any) -> str:
    """Standard output of one run."""
    return tools.run(tools.s5cmd(), *words, env=environment, **options).stdout.decode()


def test_directory_is_copied_listed_synced_and_removed(
    environment: Mapping[str, str],
    s3: Any,
    bucket_name: str,
    samples: Path,
    sample_sizes: Mapping[str, int],
    tmp_path: Path,
) -> None:
    place = f"s3://{bucket_name}"
    s5cmd(environment, "mb", place)
    s5cmd(environment, "cp", f"{samples}/", f"{place}/dir/")
    listed = s5cmd(environment, "ls", f"{place}/dir/*").splitlines()
    sizes = {line.split(maxsplit=3)[3]: line.split(maxsplit=3)[2] for line in listed}
    assert sizes == {name: str(size) for name, size in sample_sizes.items()}
    assert s5cmd(environment, "sync", "--size-only", f"{samples}/", f"{place}/dir/") == ""
    s5cmd(environment, "cp", f"{place}/dir/*", tmp_path)
    assert digests_of(tmp_path) == digests_of(samples)
    assert f"{sum(sample_sizes.values())} bytes" in s5cmd(environment, "du", f"{place}/*")
    s5cmd(environment, "rm", f"{place}/*")
    assert s3.list_objects_v2(Bucket=bucket_name)["KeyCount"] == 0
    s5cmd(environment, "rb", place)
    assert bucket_name not in s5cmd(environment, "ls")


def test_large_file_goes_in_parts(
    environment: Mapping[str, str], s3: Any, bucket: str, large_file: Path, tmp_path: Path
) -> None:
    s5cmd(environment, "cp", "--part-size", "10", large_file, f"s3://{bucket}/large")
    assert s3.head_object(Bucket=bucket, Key="large")["ETag"].endswith('-7"')
    s5cmd(environment, "cp", "--part-size", "7", f"s3://{bucket}/large", tmp_path / "back")
    assert digest_of(tmp_path / "back") == digest_of(large_file)


def test_odd_keys_and_streams(environment: Mapping[str, str], s3: Any, bucket: str) -> None:
    key = "a b/ü+&%.txt"
    s5cmd(environment, "pipe", f"s3://{bucket}/{key}", input=b"piped")
    assert s5cmd(environment, "cat", f"s3://{bucket}/{key}") == "piped"
    s5cmd(environment, "cp", f"s3://{bucket}/{key}", f"s3://{bucket}/copy + {key}")
    s5cmd(environment, "mv", f"s3://{bucket}/{key}", f"s3://{bucket}/moved")
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == [f"copy + {key}", "moved"]
    missing = tools.run(tools.s5cmd(), "cat", f"s3://{bucket}/none", env=environment, expect=1)
    assert b"not found" in missing.stderr


def test_many_commands_of_one_run(environment: Mapping[str, str], s3: Any, bucket: str, samples: Path) -> None:
    lines = [f"cp {samples}/1.bin s3://{bucket}/many/{number:03}" for number in range(100)]
    s5cmd(environment, "run", input="\n".join(lines).encode())
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 100
    s5cmd(environment, "rm", f"s3://{bucket}/many/*")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0

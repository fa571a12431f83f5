"""s3cmd: the oldest client still in use."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness import tools
from tests.harness.cairn import CairnServer, clean_environment
from tests.interop.support import MIB, digest_of, digests_of, md5

S3cmd = Callable[..., str]

#: Otherwise s3cmd sets on the copy the ACL that it has read, which S3 refuses for buckets without ACLs, as they are by
#: default (github.com/s3tools/s3cmd issue 1304).
KEEP_NO_ACL = "--acl-private"


@pytest.fixture(scope="module")
def s3cmd(cairn: CairnServer, tmp_path_factory: pytest.TempPathFactory) -> S3cmd:
    """Runs s3cmd against the shared server and returns its standard output."""
    program = tools.s3cmd()
    config = tmp_path_factory.mktemp("s3cmd") / "config"
    address = f"127.0.0.1:{cairn.port}"
    config.write_text(
        f"[default]\naccess_key = {cairn.access_key}\nsecret_key = {cairn.secret_key}\nhost_base = {address}\n"
        f"host_bucket = {address}\nbucket_location = us-east-1\nuse_https = False\nmax_retries = 1\n"
        "progress_meter = False\n"
    )

    def run(*words: str | Path, **options: Any) -> str:
        return tools.run(program, "-c", config, *words, env=clean_environment(), **options).stdout.decode()

    return run


def test_directory_is_put_listed_synced_and_removed(
    s3cmd: S3cmd, s3: Any, bucket_name: str, samples: Path, tmp_path: Path
) -> None:
    place = f"s3://{bucket_name}"
    s3cmd("mb", place)
    assert place in s3cmd("ls")
    s3cmd("sync", f"{samples}/", f"{place}/dir/")
    listed = s3cmd("ls", "--recursive", place).splitlines()
    assert sorted(line.split(maxsplit=3)[3] for line in listed) == [
        f"{place}/dir/{name}" for name in digests_of(samples)
    ]
    assert "DIR" in s3cmd("ls", place)
    again = s3cmd("sync", f"{samples}/", f"{place}/dir/")
    assert "upload:" not in again
    s3cmd("sync", f"{place}/dir/", f"{tmp_path}/")
    assert digests_of(tmp_path) == digests_of(samples)
    s3cmd("del", "--recursive", "--force", place)
    assert s3.list_objects_v2(Bucket=bucket_name)["KeyCount"] == 0
    s3cmd("rb", place)
    assert place not in s3cmd("ls")


def test_large_file_goes_in_parts(s3cmd: S3cmd, s3: Any, bucket: str, large_file: Path, tmp_path: Path) -> None:
    s3cmd("put", "--multipart-chunk-size-mb=15", large_file, f"s3://{bucket}/large")
    assert s3.head_object(Bucket=bucket, Key="large")["ETag"].endswith('-5"')
    s3cmd("get", f"s3://{bucket}/large", tmp_path / "back")
    assert digest_of(tmp_path / "back") == digest_of(large_file)


def test_single_objects(s3cmd: S3cmd, s3: Any, bucket: str, samples: Path, tmp_path: Path) -> None:
    source = samples / f"{5 * MIB - 1}.bin"
    place = f"s3://{bucket}/a b/ü+c"
    s3cmd("put", "--mime-type=text/x-test", "--add-header=x-amz-meta-colour:grey", source, place)
    head = s3.head_object(Bucket=bucket, Key="a b/ü+c")
    assert (head["ContentType"], head["Metadata"]["colour"]) == ("text/x-test", "grey")
    shown = s3cmd("info", place)
    assert md5(source.read_bytes()) in shown
    s3cmd("cp", KEEP_NO_ACL, place, f"s3://{bucket}/copy")
    s3cmd("mv", KEEP_NO_ACL, f"s3://{bucket}/copy", f"s3://{bucket}/moved")
    s3cmd("get", f"s3://{bucket}/moved", tmp_path / "moved")
    assert digest_of(tmp_path / "moved") == digest_of(source)
    s3cmd("modify", KEEP_NO_ACL, "--add-header=Cache-Control:no-cache", f"s3://{bucket}/moved")
    assert s3.head_object(Bucket=bucket, Key="moved")["CacheControl"] == "no-cache"
    s3cmd("del", place)
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["moved"]
    s3cmd("get", f"s3://{bucket}/none", tmp_path / "none", expect=64)

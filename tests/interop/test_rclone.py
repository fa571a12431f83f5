"""rclone: whole directories, single objects, and a mounted bucket."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.harness import tools
from tests.harness.cairn import CairnServer, clean_environment
from tests.interop.support import digest_of, digests_of

MOUNT_TIMEOUT_S = 30.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Rclone:
    """The program, with the server as its remote "cairn"."""

    program: Path
    environment: Mapping[str, str]

    def run(self, *words: str | Path, **options: Any) -> str:
        """Standard output. A failed transfer is tried once: what fails shall be seen."""
        command = (self.program, "--retries", "1", "--low-level-retries", "1", *words)
        return tools.run(*command, env=self.environment, **options).stdout.decode()


@pytest.fixture(scope="module")
def rclone(cairn: CairnServer) -> Rclone:
    environment = clean_environment() | {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_CAIRN_TYPE": "s3",
        "RCLONE_CONFIG_CAIRN_PROVIDER": "Other",
        "RCLONE_CONFIG_CAIRN_ENDPOINT": cairn.endpoint,
        "RCLONE_CONFIG_CAIRN_ACCESS_KEY_ID": cairn.access_key,
        "RCLONE_CONFIG_CAIRN_SECRET_ACCESS_KEY": cairn.secret_key,
        "RCLONE_CONFIG_CAIRN_REGION": cairn.region,
    }
    return Rclone(program=tools.rclone(), environment=environment)


def test_directory_is_copied_checked_and_synced(
    rclone: Rclone, s3: Any, bucket_name: str, samples: Path, tmp_path: Path
) -> None:
    place = f"cairn:{bucket_name}/dir"
    rclone.run("mkdir", f"cairn:{bucket_name}")
    rclone.run("copy", samples, place)
    rclone.run("check", "--download", samples, place)
    rclone.run("check", samples, place)
    listed = rclone.run("lsf", "--recursive", "--files-only", place).splitlines()
    assert sorted(listed) == sorted(digests_of(samples))
    assert "deep/" in rclone.run("lsf", place).splitlines()
    changed = tmp_path / "changed"
    shutil.copytree(samples, changed)
    (changed / "1.bin").unlink()
    (changed / "deep" / "new").write_text("new")
    rclone.run("sync", changed, place)
    rclone.run("sync", place, tmp_path / "back")
    assert digests_of(tmp_path / "back") == digests_of(changed)
    rclone.run("purge", place)
    assert s3.list_objects_v2(Bucket=bucket_name)["KeyCount"] == 0
    rclone.run("rmdir", f"cairn:{bucket_name}")


def test_large_file_is_copied_in_parts_and_on_the_server(
    rclone: Rclone, bucket: str, large_file: Path, tmp_path: Path
) -> None:
    cutoffs = ("--s3-upload-cutoff", "8M", "--s3-copy-cutoff", "20M", "--s3-chunk-size", "8M")
    rclone.run("copyto", *cutoffs, large_file, f"cairn:{bucket}/large")
    rclone.run("copyto", *cutoffs, f"cairn:{bucket}/large", f"cairn:{bucket}/copied here")
    rclone.run("copyto", "--multi-thread-cutoff", "16M", f"cairn:{bucket}/copied here", tmp_path / "back")
    assert digest_of(tmp_path / "back") == digest_of(large_file)


def test_single_objects(rclone: Rclone, s3: Any, bucket: str) -> None:
    key = "odd/ näme + 100%.txt"
    rclone.run("rcat", f"cairn:{bucket}/{key}", input=b"written by rcat")
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"written by rcat"
    assert rclone.run("cat", "--offset", "8", "--count", "2", f"cairn:{bucket}/{key}") == "by"
    link = rclone.run("link", f"cairn:{bucket}/{key}").strip()
    assert "X-Amz-Signature=" in link
    rclone.run("deletefile", f"cairn:{bucket}/{key}")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.fixture
def mounted(rclone: Rclone, bucket: str, tmp_path: Path) -> Iterator[Path]:
    """The bucket as a directory, written back without delay."""
    fusermount = tools.fusermount()
    directory = tmp_path / "mounted"
    directory.mkdir()
    command: list[str | Path] = [rclone.program, "mount", f"cairn:{bucket}", directory]
    options = ["--vfs-cache-mode", "writes", "--vfs-write-back", "0s", "--dir-cache-time", "0s"]
    options += ["--cache-dir", str(tmp_path / "cache")]
    with (tmp_path / "mount.log").open("wb") as log:
        process = subprocess.Popen([*command, *options], env=rclone.environment, stderr=log)
    try:
        deadline = time.monotonic() + MOUNT_TIMEOUT_S
        while not os.path.ismount(directory):
            if process.poll() is not None or time.monotonic() > deadline:
                said = (tmp_path / "mount.log").read_text(errors="replace")
                if "fusermount" in said or "permitted" in said:
                    pytest.skip(f"this machine does not let rclone mount: {said.strip()[-200:]}")
                pytest.fail(f"rclone did not mount:\n{said}")
            time.sleep(_POLL_S)
        yield directory
    finally:
        subprocess.run([fusermount, "-u", "-z", directory], check=False, capture_output=True, timeout=30)
        process.terminate()
        process.wait(30)


def wait_for_object(s3: Any, bucket: str, key: str, content: bytes) -> None:
    """rclone uploads after the file was closed: wait until the object holds the content."""
    deadline = time.monotonic() + MOUNT_TIMEOUT_S
    seen = None
    while time.monotonic() < deadline:
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", ())
        if key in [entry["Key"] for entry in listed]:
            seen = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            if seen == content:
                return
        time.sleep(_POLL_S)
    pytest.fail(f"{key} holds {seen!r:.100} after {MOUNT_TIMEOUT_S} s")


def test_mounted_bucket_is_a_directory(s3: Any, bucket: str, samples: Path, mounted: Path) -> None:
    s3.put_object(Bucket=bucket, Key="from/s3.txt", Body=b"put over S3")
    assert (mounted / "from" / "s3.txt").read_bytes() == b"put over S3"
    tools.run("cp", "-r", samples, mounted / "copied")
    for name in digests_of(samples):
        wait_for_object(s3, bucket, f"copied/{name}", (samples / name).read_bytes())
    assert digests_of(mounted / "copied") == digests_of(samples)
    assert sorted(entry.name for entry in mounted.iterdir()) == ["copied", "from"]
    notes = mounted / "notes.txt"
    notes.write_bytes(b"one\n")
    with notes.open("ab") as file:
        file.write(b"two\n")
    wait_for_object(s3, bucket, "notes.txt", b"one\ntwo\n")
    notes.write_bytes(b"over")
    wait_for_object(s3, bucket, "notes.txt", b"over")
    notes.rename(mounted / "renamed.txt")
    wait_for_object(s3, bucket, "renamed.txt", b"over")
    (mounted / "renamed.txt").unlink()
    (mounted / "from" / "s3.txt").unlink()
    keys = {entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert keys == {f"copied/{name}" for name in digests_of(samples)}


def test_files_under_a_key_of_the_client_come_back_with_it_alone(
    rclone: Rclone, s3: Any, bucket: str, samples: Path, tmp_path: Path
) -> None:
    place = f"cairn:{bucket}/secret"
    key = ("--s3-sse-customer-algorithm", "AES256", "--s3-sse-customer-key", "0123456789abcdef0123456789abcdef")
    # Parts of 5 MiB: the largest sample is an upload of two.
    rclone.run("copy", samples, place, *key, "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M")
    rclone.run("copy", place, tmp_path, *key)
    assert digests_of(tmp_path) == digests_of(samples)
    with pytest.raises(ClientError, match="400"):
        s3.head_object(Bucket=bucket, Key="secret/1.bin")

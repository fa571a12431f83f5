"""The aws command line, versions 1 and 2: `aws s3` and some of `aws s3api`, over HTTP and HTTPS."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import urllib3

from tests.harness import tools
from tests.harness.cairn import CairnServer
from tests.interop.support import MIB, digest_of, digests_of

PROGRAMS: Mapping[str, Callable[[], Path]] = {"v1": tools.aws_v1, "v2": tools.aws_v2}
#: What aws exits with after an error of the service: v1 255, v2 254.
SERVICE_ERRORS = (254, 255)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aws:
    """One version of the program, talking to one server."""

    program: Path
    environment: Mapping[str, str]
    arguments: tuple[str, ...] = ()

    def run(self, *words: str | Path, **options: Any) -> CompletedProcess[bytes]:
        return tools.run(self.program, *self.arguments, *words, env=self.environment, **options)

    def s3(self, *words: str | Path, **options: Any) -> str:
        """Standard output of `aws s3 …`."""
        return self.run("s3", *words, **options).stdout.decode()

    def s3api(self, *words: str | Path) -> Any:
        """The parsed answer of `aws s3api …`, None where it prints nothing."""
        printed = self.run("s3api", *words, "--output", "json").stdout
        return json.loads(printed) if printed.strip() else None


@pytest.fixture(params=PROGRAMS)
def aws(request: pytest.FixtureRequest, cairn: CairnServer) -> Aws:
    """Each version over HTTP."""
    return Aws(program=PROGRAMS[request.param](), environment=cairn.client_environment())


def test_directory_is_synced_there_and_back(
    aws: Aws, s3: Any, bucket_name: str, samples: Path, sample_sizes: Mapping[str, int], tmp_path: Path
) -> None:
    place = f"s3://{bucket_name}"
    assert bucket_name in aws.s3("mb", place)
    assert aws.s3("sync", samples, f"{place}/in", "--only-show-errors") == ""
    assert aws.s3("sync", samples, f"{place}/in") == "", "a second sync finds nothing to do"
    listed = aws.s3("ls", "--recursive", f"{place}/in/")
    sizes = {line.split(maxsplit=3)[3]: line.split(maxsplit=3)[2] for line in listed.splitlines()}
    assert sizes == {f"in/{name}": str(size) for name, size in sample_sizes.items()}
    aws.s3("sync", f"{place}/in", tmp_path, "--only-show-errors")
    assert digests_of(tmp_path) == digests_of(samples)
    (tmp_path / "1.bin").unlink()
    (tmp_path / "new").write_text("new")
    done = aws.s3("sync", "--delete", tmp_path, f"{place}/in")
    actions = sorted(
        line.split(":")[0] for line in done.replace("\r", "\n").splitlines() if " to s3" in line or "delete" in line
    )
    assert actions == ["delete", "upload"]
    aws.s3("rm", "--recursive", "--only-show-errors", place)
    assert s3.list_objects_v2(Bucket=bucket_name)["KeyCount"] == 0
    assert bucket_name in aws.s3("rb", place)
    aws.s3("ls", place, expect=None)
    assert bucket_name not in aws.s3("ls")


def test_large_file_goes_in_parts(aws: Aws, s3: Any, bucket: str, large_file: Path, tmp_path: Path) -> None:
    place = f"s3://{bucket}/dir/large.bin"
    aws.s3("cp", large_file, place, "--only-show-errors")
    head = s3.head_object(Bucket=bucket, Key="dir/large.bin")
    assert head["ETag"].endswith('-8"')
    aws.s3("cp", place, tmp_path / "back", "--only-show-errors")
    assert digest_of(tmp_path / "back") == digest_of(large_file)
    aws.s3("mv", place, f"s3://{bucket}/moved", "--only-show-errors")
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["moved"]
    assert aws.run("s3", "cp", f"s3://{bucket}/moved", "-").stdout == large_file.read_bytes()


def test_streams_listings_and_presigned_urls(aws: Aws, s3: Any, bucket: str) -> None:
    content = bytes(range(256)) * 4 * 1024 * 9  # 9 MiB: two parts
    aws.s3("cp", "-", f"s3://{bucket}/a b/ü+c", input=content)
    assert aws.run("s3", "cp", f"s3://{bucket}/a b/ü+c", "-").stdout == content
    s3.put_object(Bucket=bucket, Key="a b", Body=b"x")
    listed = aws.s3("ls", f"s3://{bucket}").splitlines()
    assert [line.split(maxsplit=1)[-1] for line in listed][:1] == ["a b/"]
    assert listed[1].endswith(" 1 a b")
    url = aws.s3("presign", f"s3://{bucket}/a b/ü+c", "--expires-in", "60").strip()
    answer = urllib3.request("GET", url)
    assert (answer.status, answer.data) == (200, content)


def test_s3api_calls(aws: Aws, bucket: str, samples: Path, tmp_path: Path) -> None:
    source = samples / f"{5 * MIB + 1}.bin"
    named = ("--bucket", bucket, "--key", "k")
    put = aws.s3api("put-object", *named, "--body", source, "--checksum-algorithm", "SHA256", "--metadata", "a=1")
    assert put["ChecksumSHA256"]
    head = aws.s3api("head-object", *named, "--checksum-mode", "ENABLED")
    assert (head["ContentLength"], head["Metadata"]) == (5 * MIB + 1, {"a": "1"})
    assert head["ChecksumSHA256"] == put["ChecksumSHA256"]
    part = tmp_path / "part"
    got = aws.s3api("get-object", *named, "--range", "bytes=5-1000004", part)
    assert got["ContentRange"] == f"bytes 5-1000004/{5 * MIB + 1}"
    assert part.read_bytes() == source.read_bytes()[5:1000005]
    listed = aws.s3api("list-objects-v2", "--bucket", bucket, "--query", "Contents[].{Key: Key, Size: Size}")
    assert listed == [{"Key": "k", "Size": 5 * MIB + 1}]
    missing = aws.run("s3api", "get-object", "--bucket", bucket, "--key", "none", part, expect=None)
    assert missing.returncode in SERVICE_ERRORS
    assert b"(NoSuchKey)" in missing.stderr


@pytest.mark.parametrize("version", PROGRAMS)
def test_files_go_over_https_with_trailers(
    cairn_tls: CairnServer, s3_tls: Any, bucket_tls: str, large_file: Path, tmp_path: Path, version: str
) -> None:
    environment = cairn_tls.client_environment()
    for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE"):
        del environment[name]
    aws = Aws(
        program=PROGRAMS[version](),
        environment=environment,
        arguments=("--ca-bundle", str(cairn_tls.ca_certificate)),
    )
    aws.s3("cp", large_file, f"s3://{bucket_tls}/large", "--only-show-errors")
    aws.s3("cp", f"s3://{bucket_tls}/large", tmp_path / "back", "--only-show-errors")
    assert digest_of(tmp_path / "back") == digest_of(large_file)
    aws.s3("cp", "-", f"s3://{bucket_tls}/small", input=b"small")
    head = s3_tls.head_object(Bucket=bucket_tls, Key="small", ChecksumMode="ENABLED")
    assert any(name.startswith("ChecksumCRC") for name in head)
    assert "ContentEncoding" not in head


def test_a_file_under_a_key_of_the_client_is_copied_there_between_and_back(
    aws: Aws, bucket: str, large_file: Path, tmp_path: Path
) -> None:
    key, other, back = tmp_path / "key", tmp_path / "other", tmp_path / "back"
    key.write_bytes(bytes(range(32)))
    other.write_bytes(bytes(range(1, 33)))
    place, copy = f"s3://{bucket}/large", f"s3://{bucket}/copy"
    aws.s3("cp", large_file, place, "--only-show-errors", "--sse-c", "--sse-c-key", f"fileb://{key}")
    between = ("--sse-c-copy-source", "--sse-c-copy-source-key", f"fileb://{key}")
    aws.s3("cp", place, copy, "--only-show-errors", *between, "--sse-c", "--sse-c-key", f"fileb://{other}")
    aws.s3("cp", copy, back, "--only-show-errors", "--sse-c", "--sse-c-key", f"fileb://{other}")
    assert digest_of(back) == digest_of(large_file)
    aws.s3("cp", copy, back, "--sse-c", "--sse-c-key", f"fileb://{key}", expect=1)

"""curl: the two original routes, with and without credentials, and S3 by `--aws-sigv4`."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from urllib.parse import quote

import pytest

from tests.harness import tools
from tests.harness.cairn import CairnServer, clean_environment
from tests.interop.support import LARGE_BYTES, SIZES_BYTES, User, add_user, digest_of, md5

Curl = Callable[..., CompletedProcess[bytes]]

#: Name in the form -> name of the object.
UNSAFE_NAMES = {
    "../../etc/passwd": "passwd",
    "/absolute/path.txt": "path.txt",
    "C:\\\\Users\\\\me\\\\letter.doc": "letter.doc",
    "a b ü.txt": "a b ü.txt",
    "100%.txt": "100%.txt",
    "semi;colon.txt": "semi;colon.txt",
}


def curl(*words: str | Path, **options: Any) -> CompletedProcess[bytes]:
    """One run without a progress meter; `-w` and `-i` are the caller's."""
    return tools.run(tools.curl(), "--silent", "--show-error", *words, env=clean_environment(), **options)


def status_of(*words: str | Path) -> int:
    """The status of an answer whose body nobody wants."""
    return int(curl("-o", "/dev/null", "-w", "%{http_code}", *words).stdout)


def headers_of(*words: str | Path) -> dict[str, str]:
    """The headers of the answer to a HEAD, names in lower case."""
    lines = curl("--head", *words).stdout.decode("latin-1").splitlines()[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.lower(): value.strip() for name, _, value in pairs}


@pytest.mark.parametrize("size_bytes", SIZES_BYTES)
def test_file_is_uploaded_by_form_and_downloaded_by_name(
    cairn: CairnServer, samples: Path, tmp_path: Path, size_bytes: int
) -> None:
    source = samples / f"{size_bytes}.bin"
    form = ("-F", f"file=@{source};type=text/x-test", f"{cairn.endpoint}/upload")
    body, _, status = curl("-w", "\n%{http_code}", *form).stdout.rpartition(b"\n")
    assert status == b"201"
    answer = json.loads(body)
    assert (answer["name"], answer["size"]) == (source.name, size_bytes)
    assert answer["etag"].strip('"') == md5(source.read_bytes())
    assert answer["url"].endswith(f"/blob/{source.name}")
    curl("-O", "-J", f"{cairn.endpoint}/blob/{source.name}", cwd=tmp_path)
    assert digest_of(tmp_path / source.name) == digest_of(source)
    headers = headers_of(f"{cairn.endpoint}/blob/{source.name}")
    assert headers["content-length"] == str(size_bytes)
    assert headers["content-type"] == "text/x-test"
    assert headers["content-disposition"].startswith(f'attachment; filename="{source.name}"')


def test_large_form_upload(cairn: CairnServer, s3: Any, large_file: Path, tmp_path: Path) -> None:
    curl("--fail", "-F", f"file=@{large_file}", f"{cairn.endpoint}/upload")
    curl("--fail", "-o", tmp_path / "back", f"{cairn.endpoint}/blob/large.bin")
    assert digest_of(tmp_path / "back") == digest_of(large_file)
    assert s3.head_object(Bucket="blobs", Key="large.bin")["ContentLength"] == LARGE_BYTES
    s3.delete_object(Bucket="blobs", Key="large.bin")


def test_blob_has_ranges_conditions_and_an_end(cairn: CairnServer, s3: Any, tmp_path: Path) -> None:
    (tmp_path / "ten.txt").write_bytes(b"0123456789")
    url = f"{cairn.endpoint}/blob/ten.txt"
    curl("--fail", "-F", f"file=@{tmp_path / 'ten.txt'}", f"{cairn.endpoint}/upload")
    assert curl("-r", "2-4", url).stdout == b"234"
    assert status_of("-r", "2-4", url) == 206
    assert status_of("-r", "10-", url) == 416
    etag = headers_of(url)["etag"]
    assert status_of("-H", f"If-None-Match: {etag}", url) == 304
    assert s3.get_object(Bucket="blobs", Key="ten.txt")["Body"].read() == b"0123456789"
    assert status_of("-X", "DELETE", url) == 204
    for method in ("GET", "DELETE"):
        assert status_of("-X", method, url) == 404
    assert status_of("--head", url) == 404


def test_object_put_over_s3_is_a_blob(cairn: CairnServer, s3: Any, tmp_path: Path) -> None:
    curl("-F", "file=@-;filename=first", f"{cairn.endpoint}/upload", input=b"makes the bucket")
    s3.put_object(Bucket="blobs", Key="dir/über.txt", Body=b"x", ContentType="text/plain")
    assert curl(f"{cairn.endpoint}/blob/dir/{quote('über.txt')}").stdout == b"x"
    s3.delete_object(Bucket="blobs", Key="dir/über.txt")


@pytest.mark.parametrize("given", UNSAFE_NAMES)
def test_unsafe_names_are_made_safe(cairn: CairnServer, s3: Any, given: str) -> None:
    name = UNSAFE_NAMES[given]
    form = f'file=@-;filename="{given}"'
    answer = json.loads(curl("--fail", "-F", form, f"{cairn.endpoint}/upload", input=b"x").stdout)
    assert answer["name"] == name
    assert s3.head_object(Bucket="blobs", Key=name)["ContentLength"] == 1
    assert curl(f"{cairn.endpoint}{answer['url']}").stdout == b"x"


def test_bad_forms_are_refused(cairn: CairnServer, s3: Any) -> None:
    url = f"{cairn.endpoint}/upload"
    assert status_of("-F", "other=@/dev/null;filename=x", url) == 400
    assert status_of("-F", "file=text without a name", url) == 400
    assert status_of("-F", "file=@/dev/null;filename=", url) == 400
    assert status_of("-F", "file=@/dev/null;filename=..", url) == 400
    assert status_of("-d", "file=x", url) == 400
    assert status_of("-X", "POST", "-H", "Content-Type: multipart/form-data", "-d", "x", url) == 400
    malformed = "Content-Type: multipart/form-data; boundary=x"
    assert status_of("-X", "POST", "-H", malformed, "-d", "--x\r\nrubbish", url) == 400
    assert status_of(url) in (400, 403, 405)


def test_closed_routes_want_an_access_key_by_http_basic(cairn_tls: CairnServer, tmp_path: Path) -> None:
    trust = ("--cacert", str(cairn_tls.ca_certificate))
    upload, blob = f"{cairn_tls.endpoint}/upload", f"{cairn_tls.endpoint}/blob/note.txt"
    (tmp_path / "note.txt").write_text("note")
    form = ("-F", f"file=@{tmp_path / 'note.txt'}")
    root = ("--user", f"{cairn_tls.access_key}:{cairn_tls.secret_key}")
    for wrong in ((), ("--user", f"{cairn_tls.access_key}:wrong"), ("--user", "nobody:x")):
        assert status_of(*trust, *wrong, *form, upload) in (401, 403)
        assert status_of(*trust, *wrong, blob) in (401, 403)
    challenge = curl(*trust, "-i", blob).stdout.decode("latin-1").lower()
    assert "www-authenticate: basic" in challenge
    assert status_of(*trust, *root, *form, upload) == 201
    assert curl(*trust, *root, blob).stdout == b"note"
    stranger: User = add_user(cairn_tls, "stranger")
    other = ("--user", f"{stranger.access_key}:{stranger.secret_key}")
    assert status_of(*trust, *other, blob) in (401, 403)
    assert status_of(*trust, *root, "-X", "DELETE", blob) == 204


def test_s3_by_aws_sigv4(cairn: CairnServer, bucket_name: str, samples: Path, tmp_path: Path) -> None:
    signed = ("--aws-sigv4", "aws:amz:us-east-1:s3", "--user", f"{cairn.access_key}:{cairn.secret_key}")
    place = f"{cairn.endpoint}/{bucket_name}"
    source = samples / "5242881.bin"
    # curl before version 8 computes no x-amz-content-sha256, which S3 wants of a body.
    unsigned = ("-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD")
    assert status_of(*signed, "-X", "PUT", place) == 200
    assert status_of(*signed, *unsigned, "-T", source, f"{place}/dir/k") == 200
    curl("--fail", *signed, "-o", tmp_path / "back", f"{place}/dir/k")
    assert digest_of(tmp_path / "back") == digest_of(source)
    assert b"<Key>dir/k</Key>" in curl("--fail", *signed, f"{place}?list-type=2&prefix=dir").stdout
    assert headers_of(*signed, f"{place}/dir/k")["content-length"] == "5242881"
    assert status_of(*signed, "-X", "DELETE", f"{place}/dir/k") == 204
    assert status_of(*signed, "-X", "DELETE", place) == 204
    wrong = ("--aws-sigv4", "aws:amz:us-east-1:s3", "--user", f"{cairn.access_key}:wrong")
    assert b"SignatureDoesNotMatch" in curl(*wrong, cairn.endpoint).stdout


def test_health_answers_everybody(cairn: CairnServer) -> None:
    for path in ("/-/health/live", "/-/health/ready"):
        assert status_of(f"{cairn.endpoint}{path}") == 200

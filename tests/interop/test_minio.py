"""minio-py: another SDK, with streaming uploads of unknown length and objects composed on the server."""

import datetime
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from minio import Minio
from minio.commonconfig import ComposeSource, CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from tests.harness.cairn import CairnServer
from tests.interop.support import MIB, SIZES_BYTES, digest_of


@pytest.fixture(scope="module")
def minio(cairn: CairnServer) -> Iterator[Any]:
    with urllib3.PoolManager(retries=False) as pool:
        yield Minio(
            f"127.0.0.1:{cairn.port}",
            access_key=cairn.access_key,
            secret_key=cairn.secret_key,
            secure=False,
            http_client=pool,
        )


def read(minio: Any, bucket: str, key: str, **options: Any) -> bytes:
    answer = minio.get_object(bucket, key, **options)
    try:
        content: bytes = answer.read()
        return content
    finally:
        answer.close()
        answer.release_conn()


def test_bucket_lives_from_make_to_remove(minio: Any, bucket_name: str) -> None:
    assert not minio.bucket_exists(bucket_name)
    minio.make_bucket(bucket_name)
    assert minio.bucket_exists(bucket_name)
    assert bucket_name in [bucket.name for bucket in minio.list_buckets()]
    minio.remove_bucket(bucket_name)
    with pytest.raises(S3Error) as caught:
        minio.stat_object(bucket_name, "k")
    assert caught.value.code in ("NoSuchBucket", "NoSuchKey")


def test_files_of_all_sizes(minio: Any, bucket: str, samples: Path, tmp_path: Path) -> None:
    for size_bytes in SIZES_BYTES:
        source = samples / f"{size_bytes}.bin"
        minio.fput_object(bucket, f"dir/{size_bytes}", str(source), metadata={"Colour": "grey"})
        minio.fget_object(bucket, f"dir/{size_bytes}", str(tmp_path / "back"))
        assert digest_of(tmp_path / "back") == digest_of(source)
        found = minio.stat_object(bucket, f"dir/{size_bytes}")
        assert (found.size, found.metadata["x-amz-meta-colour"]) == (size_bytes, "grey")
    listed = [entry.object_name for entry in minio.list_objects(bucket, prefix="dir/")]
    assert listed == sorted(f"dir/{size}" for size in SIZES_BYTES)
    assert [entry.is_dir for entry in minio.list_objects(bucket)] == [True]


def test_large_file_goes_in_parts(minio: Any, bucket: str, large_file: Path, tmp_path: Path) -> None:
    minio.fput_object(bucket, "large", str(large_file), part_size=10 * MIB)
    minio.fget_object(bucket, "large", str(tmp_path / "back"))
    assert digest_of(tmp_path / "back") == digest_of(large_file)


def test_stream_of_unknown_length_and_ranges(minio: Any, bucket: str) -> None:
    content = bytes(range(256)) * 4096 * 11
    minio.put_object(bucket, "stream", io.BytesIO(content), length=-1, part_size=5 * MIB)
    assert read(minio, bucket, "stream") == content
    assert read(minio, bucket, "stream", offset=5 * MIB - 3, length=6) == content[5 * MIB - 3 : 5 * MIB + 3]


def test_copy_and_compose_on_the_server(minio: Any, bucket: str) -> None:
    first, second = b"a" * 5 * MIB, b"b" * 10
    minio.put_object(bucket, "dir/first ü+", io.BytesIO(first), len(first))
    minio.put_object(bucket, "second", io.BytesIO(second), len(second))
    minio.copy_object(bucket, "copy", CopySource(bucket, "dir/first ü+"))
    assert read(minio, bucket, "copy") == first
    sources = [ComposeSource(bucket, "dir/first ü+"), ComposeSource(bucket, "second", offset=1, length=4)]
    minio.compose_object(bucket, "composed", sources)
    assert read(minio, bucket, "composed") == first + b"bbbb"


def test_presigned_urls(minio: Any, bucket: str) -> None:
    lifetime = datetime.timedelta(minutes=1)
    put = urllib3.request("PUT", minio.presigned_put_object(bucket, "a b", expires=lifetime), body=b"x")
    assert put.status == 200
    got = urllib3.request("GET", minio.presigned_get_object(bucket, "a b", expires=lifetime))
    assert got.data == b"x"


def test_many_objects_are_removed_at_once(minio: Any, bucket: str) -> None:
    keys = [f"k{number}/ü <&>" for number in range(20)]
    for key in keys:
        minio.put_object(bucket, key, io.BytesIO(b"x"), 1)
    assert list(minio.remove_objects(bucket, [DeleteObject(key) for key in keys])) == []
    assert list(minio.list_objects(bucket, recursive=True)) == []
    with pytest.raises(S3Error) as caught:
        minio.get_object(bucket, "k0")
    assert caught.value.code == "NoSuchKey"

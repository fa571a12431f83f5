"""boto3: buckets made, looked at, listed in pages, deleted; and who owns them."""

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.harness.cairn import CairnServer
from tests.interop.support import User, add_user, refusal, run_cairn

BAD_NAMES = ("ab", "x" * 64, "Upper", "under_score", "-start", "end-", "a..b", "192.168.5.4", "xn--x", "a-s3alias")
#: Seconds after which a removed user can sign nothing any more.
REMOVAL_SHOWS_WITHIN_S = 5.0


def test_bucket_lives_from_create_to_delete(s3: Any, bucket_name: str) -> None:
    assert refusal(s3.head_bucket, Bucket=bucket_name).status == 404
    created = s3.create_bucket(Bucket=bucket_name)
    assert created["Location"] == f"/{bucket_name}"
    head = s3.head_bucket(Bucket=bucket_name)
    assert head["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=bucket_name)["LocationConstraint"] is None
    assert bucket_name in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]
    s3.put_object(Bucket=bucket_name, Key="k", Body=b"x")
    refused = refusal(s3.delete_bucket, Bucket=bucket_name)
    assert (refused.code, refused.status) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=bucket_name, Key="k")
    assert s3.delete_bucket(Bucket=bucket_name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    for call in (s3.delete_bucket, s3.get_bucket_location):
        gone = refusal(call, Bucket=bucket_name)
        assert (gone.code, gone.status) == ("NoSuchBucket", 404)


def test_own_bucket_may_be_created_again_in_us_east_1(s3: Any, bucket: str) -> None:
    # "If you re-create an existing bucket that you already own in us-east-1, Amazon S3 returns 200 OK":
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.create_bucket(Bucket=bucket)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_location_constraint_of_another_region_is_refused(s3: Any, bucket_name: str) -> None:
    refused = refusal(
        s3.create_bucket,
        Bucket=bucket_name,
        CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
    )
    assert refused.code in ("InvalidLocationConstraint", "IllegalLocationConstraintException")
    assert refused.status == 400


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_bucket_name_is_refused(s3: Any, name: str) -> None:
    refused = refusal(s3.create_bucket, Bucket=name)
    assert (refused.code, refused.status) == ("InvalidBucketName", 400)


@pytest.mark.parametrize("name", ["upload", "blob"])
def test_names_of_the_original_routes_are_no_buckets(s3: Any, name: str) -> None:
    # Not with boto3's own path /upload?…: `PUT /upload` belongs to S3, `POST /upload` does not.
    assert refusal(s3.create_bucket, Bucket=name).status in (400, 405)


def test_buckets_are_listed_in_pages(cairn: CairnServer) -> None:
    lister = add_user(cairn, "lister")
    client = cairn.client_for(lister.access_key, lister.secret_key)
    names = [f"lister-{letter}" for letter in "abcde"] + ["other-lister"]
    for name in names:
        client.create_bucket(Bucket=name)
    pages = list(client.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["Buckets"]) for page in pages] == [2, 2, 2]
    assert [entry["Name"] for page in pages for entry in page["Buckets"]] == names
    with_prefix = client.list_buckets(Prefix="lister-", MaxBuckets=10)
    assert [entry["Name"] for entry in with_prefix["Buckets"]] == names[:-1]
    assert with_prefix["Prefix"] == "lister-"
    assert "ContinuationToken" not in with_prefix
    whole = client.list_buckets()
    assert [entry["Name"] for entry in whole["Buckets"]] == names
    assert whole["Owner"]["ID"] == lister.canonical_id
    assert all(entry["CreationDate"].year >= 2024 for entry in whole["Buckets"])
    assert client.list_buckets(MaxBuckets=1, BucketRegion="us-east-1")["Buckets"]
    assert refusal(client.list_buckets, ContinuationToken="not one of ours").code == "InvalidArgument"
    client.close()


def test_foreign_bucket_is_closed(s3: Any, user_s3: Any, user: User, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"secret")
    own = f"{bucket}-of-{user.name}"
    user_s3.create_bucket(Bucket=own)
    assert bucket not in [entry["Name"] for entry in user_s3.list_buckets()["Buckets"]]
    assert own not in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]
    exists = refusal(user_s3.create_bucket, Bucket=bucket)
    assert (exists.code, exists.status) == ("BucketAlreadyExists", 409)
    assert refusal(user_s3.head_bucket, Bucket=bucket).status == 403
    assert refusal(user_s3.head_object, Bucket=bucket, Key="k").status == 403
    named = {"Bucket": bucket, "Key": "k"}
    for call, parameters in (
        (user_s3.get_object, named),
        (user_s3.put_object, {**named, "Body": b"x"}),
        (user_s3.delete_object, named),
        (user_s3.create_multipart_upload, named),
        (user_s3.copy_object, {"Bucket": own, "Key": "stolen", "CopySource": named}),
        (user_s3.list_objects_v2, {"Bucket": bucket}),
        (user_s3.list_multipart_uploads, {"Bucket": bucket}),
        (user_s3.get_bucket_location, {"Bucket": bucket}),
        (user_s3.delete_bucket, {"Bucket": bucket}),
    ):
        refused = refusal(call, **parameters)
        assert (refused.code, refused.status) == ("AccessDenied", 403), call
    # As at AWS, each key of a DeleteObjects is refused for itself.
    several = user_s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]})
    assert [error["Code"] for error in several["Errors"]] == ["AccessDenied"]
    assert "Deleted" not in several
    assert s3.get_object(**named)["Body"].read() == b"secret"
    assert user_s3.list_objects_v2(Bucket=own)["KeyCount"] == 0


def test_expected_bucket_owner_is_held_against_the_owner(s3: Any, user: User, bucket: str) -> None:
    owner = s3.list_buckets()["Owner"]["ID"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ExpectedBucketOwner=owner)
    for call in (s3.get_object, s3.delete_object):
        refused = refusal(call, Bucket=bucket, Key="k", ExpectedBucketOwner=user.canonical_id)
        assert (refused.code, refused.status) == ("AccessDenied", 403)


def test_removed_user_is_unknown(cairn: CairnServer) -> None:
    leaver = add_user(cairn, "leaver")
    client = cairn.client_for(leaver.access_key, leaver.secret_key)
    client.list_buckets()
    assert "leaver" in run_cairn(cairn, "user", "list")
    run_cairn(cairn, "user", "remove", "leaver")
    # A gateway keeps what it has looked up for a short while.
    deadline = time.monotonic() + REMOVAL_SHOWS_WITHIN_S
    refused = None
    while refused is None and time.monotonic() < deadline:
        try:
            client.list_buckets()
        except ClientError:
            refused = refusal(client.list_buckets)
        time.sleep(0.05)
    assert refused is not None
    assert (refused.code, refused.status) == ("InvalidAccessKeyId", 403)
    client.close()

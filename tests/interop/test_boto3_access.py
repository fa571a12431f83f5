"""ACLs, ownership, public access block and bucket policies as boto3 sees them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import botocore
import pytest

from gateway.credentials import ROOT_CANONICAL_ID
from s3compat.acl import ALL_USERS, ANONYMOUS_ID
from tests.harness.cairn import CairnServer
from tests.interop.support import User, refusal

OWNERSHIPS = ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")


@pytest.fixture(scope="module")
def anonymous(cairn: CairnServer) -> Iterator[Any]:
    """A boto3 client that signs nothing."""
    client = cairn.client(signature_version=botocore.UNSIGNED)
    yield client
    client.close()


@pytest.fixture
def open_bucket(user_s3: Any, bucket_name: str) -> str:
    """A bucket of the second user in which ACLs count."""
    user_s3.create_bucket(Bucket=bucket_name, ObjectOwnership="ObjectWriter")
    return bucket_name


@pytest.fixture
def user_bucket(user_s3: Any, bucket_name: str) -> str:
    """A bucket of the second user with the ownership of new buckets."""
    user_s3.create_bucket(Bucket=bucket_name)
    return bucket_name


def allow(bucket: str, *actions: str, principal: Any = "*", effect: str = "Allow", **more: Any) -> str:
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    statement = {"Effect": effect, "Principal": principal, "Action": list(actions), "Resource": resources} | more
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def granted(answer: dict[str, Any]) -> set[tuple[str, str]]:
    """Name of the grantee and permission of each grant."""
    return {(one["Grantee"].get("ID") or one["Grantee"]["URI"], one["Permission"]) for one in answer["Grants"]}


def test_new_bucket_disables_acls(user_s3: Any, user: User, user_bucket: str) -> None:
    rules = user_s3.get_bucket_ownership_controls(Bucket=user_bucket)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    shown = user_s3.get_bucket_acl(Bucket=user_bucket)
    assert shown["Owner"] == {"ID": user.canonical_id, "DisplayName": "Paula"}
    assert granted(shown) == {(user.canonical_id, "FULL_CONTROL")}
    user_s3.put_object(Bucket=user_bucket, Key="k", Body=b"x", ACL="bucket-owner-full-control")
    user_s3.put_object(Bucket=user_bucket, Key="k", Body=b"x", GrantFullControl=f"id={user.canonical_id}")
    named = {"Bucket": user_bucket, "Key": "k"}
    source = {"CopySource": named}
    calls: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (user_s3.put_object, named),
        (user_s3.put_object_acl, named),
        (user_s3.create_multipart_upload, named),
        (user_s3.copy_object, {**named, **source, "MetadataDirective": "REPLACE"}),
        (user_s3.put_bucket_acl, {"Bucket": user_bucket}),
    ]
    for call, parameters in calls:
        refused = refusal(call, **parameters, ACL="public-read")
        assert (refused.code, refused.status) == ("AccessControlListNotSupported", 400), call


@pytest.mark.parametrize("ownership", [None, "BucketOwnerEnforced"])
def test_bucket_without_acls_is_not_made_with_one(user_s3: Any, bucket_name: str, ownership: str | None) -> None:
    stated = {} if ownership is None else {"ObjectOwnership": ownership}
    refused = refusal(user_s3.create_bucket, Bucket=bucket_name, ACL="public-read", **stated)
    assert (refused.code, refused.status) == ("InvalidBucketAclWithObjectOwnership", 400)
    user_s3.create_bucket(Bucket=bucket_name, ACL="private", **stated)


def test_ownership_controls_are_set_and_removed(user_s3: Any, open_bucket: str) -> None:
    for wanted in OWNERSHIPS:
        controls = {"Rules": [{"ObjectOwnership": wanted}]}
        user_s3.put_bucket_ownership_controls(Bucket=open_bucket, OwnershipControls=controls)
        assert user_s3.get_bucket_ownership_controls(Bucket=open_bucket)["OwnershipControls"] == controls
    user_s3.delete_bucket_ownership_controls(Bucket=open_bucket)
    assert refusal(user_s3.get_bucket_ownership_controls, Bucket=open_bucket).code == "OwnershipControlsNotFoundError"
    user_s3.put_bucket_acl(Bucket=open_bucket, ACL="public-read")
    refused = refusal(
        user_s3.put_bucket_ownership_controls,
        Bucket=open_bucket,
        OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
    )
    assert refused.code == "InvalidBucketAclWithObjectOwnership"


@pytest.mark.parametrize(
    ("ownership", "canned", "owned_by_bucket_owner"),
    [
        ("BucketOwnerEnforced", None, True),
        ("BucketOwnerEnforced", "bucket-owner-full-control", True),
        ("BucketOwnerPreferred", None, False),
        ("BucketOwnerPreferred", "bucket-owner-full-control", True),
        ("BucketOwnerPreferred", "private", False),
        ("ObjectWriter", None, False),
        ("ObjectWriter", "bucket-owner-full-control", False),
    ],
)
def test_who_owns_what_another_writes(
    s3: Any, user_s3: Any, user: User, bucket_name: str, ownership: str, canned: str | None, owned_by_bucket_owner: bool
) -> None:
    s3.create_bucket(Bucket=bucket_name, ObjectOwnership=ownership)
    s3.put_bucket_policy(Bucket=bucket_name, Policy=allow(bucket_name, "s3:*"))
    stated = {} if canned is None else {"ACL": canned}
    owner = ROOT_CANONICAL_ID if owned_by_bucket_owner else user.canonical_id
    user_s3.put_object(Bucket=bucket_name, Key="put", Body=b"x", **stated)
    user_s3.copy_object(Bucket=bucket_name, Key="copy", CopySource={"Bucket": bucket_name, "Key": "put"}, **stated)
    upload = user_s3.create_multipart_upload(Bucket=bucket_name, Key="parts", **stated)["UploadId"]
    listed = user_s3.list_parts(Bucket=bucket_name, Key="parts", UploadId=upload)
    assert (listed["Owner"]["ID"], listed["Initiator"]["ID"]) == (owner, user.canonical_id)
    etag = user_s3.upload_part(Bucket=bucket_name, Key="parts", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    user_s3.complete_multipart_upload(
        Bucket=bucket_name, Key="parts", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}
    )
    for key in ("put", "copy", "parts"):
        assert s3.get_object_acl(Bucket=bucket_name, Key=key)["Owner"]["ID"] == owner, key


def test_object_acl_opens_one_object_to_the_world(user_s3: Any, anonymous: Any, open_bucket: str) -> None:
    for key, stated in (("open", {"ACL": "public-read"}), ("closed", {}), ("later", {})):
        user_s3.put_object(Bucket=open_bucket, Key=key, Body=key.encode(), **stated)
    assert anonymous.get_object(Bucket=open_bucket, Key="open")["Body"].read() == b"open"
    assert anonymous.head_object(Bucket=open_bucket, Key="open")["ContentLength"] == 4
    for key in ("closed", "later", "missing"):
        assert refusal(anonymous.get_object, Bucket=open_bucket, Key=key).status == 403
    before = user_s3.head_object(Bucket=open_bucket, Key="later")
    user_s3.put_object_acl(Bucket=open_bucket, Key="later", ACL="public-read")
    after = anonymous.head_object(Bucket=open_bucket, Key="later")
    assert (after["LastModified"], after["ETag"]) == (before["LastModified"], before["ETag"])
    assert refusal(anonymous.get_object_acl, Bucket=open_bucket, Key="later").code == "AccessDenied"
    assert refusal(anonymous.put_object, Bucket=open_bucket, Key="later", Body=b"").code == "AccessDenied"
    user_s3.put_object(Bucket=open_bucket, Key="open", Body=b"overwritten")
    assert refusal(anonymous.get_object, Bucket=open_bucket, Key="open").code == "AccessDenied"


def test_grants_by_id_address_and_group(s3: Any, user_s3: Any, user: User, anonymous: Any, bucket_name: str) -> None:
    s3.create_bucket(
        Bucket=bucket_name,
        ObjectOwnership="ObjectWriter",
        GrantRead=f'uri="{ALL_USERS}", emailAddress="PAULA@example.com"',
        GrantFullControl=f"id={ROOT_CANONICAL_ID}",
    )
    shown = s3.get_bucket_acl(Bucket=bucket_name)
    assert granted(shown) == {
        (ROOT_CANONICAL_ID, "FULL_CONTROL"),
        (ALL_USERS, "READ"),
        (user.canonical_id, "READ"),
    }
    assert anonymous.list_objects_v2(Bucket=bucket_name)["KeyCount"] == 0
    missing = refusal(anonymous.get_object, Bucket=bucket_name, Key="missing")
    assert (missing.code, missing.status) == ("NoSuchKey", 404)
    shown["Grants"].append({"Grantee": {"Type": "CanonicalUser", "ID": user.canonical_id}, "Permission": "WRITE_ACP"})
    policy = {"Owner": shown["Owner"], "Grants": shown["Grants"]}
    s3.put_bucket_acl(Bucket=bucket_name, AccessControlPolicy=policy)
    user_s3.put_bucket_acl(Bucket=bucket_name, ACL="private")
    assert granted(s3.get_bucket_acl(Bucket=bucket_name)) == {(ROOT_CANONICAL_ID, "FULL_CONTROL")}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "MissingSecurityHeader"),
        ({"ACL": "public-everything"}, "InvalidArgument"),
        ({"ACL": "private", "GrantRead": "id=x"}, "InvalidRequest"),
        ({"GrantRead": "id=nobody-of-this-name"}, "InvalidArgument"),
        ({"GrantRead": f"id={ANONYMOUS_ID}"}, "InvalidArgument"),
        ({"GrantRead": "emailAddress=nobody@example.com"}, "UnresolvableGrantByEmailAddress"),
        ({"AccessControlPolicy": {"Owner": {"ID": "x"}, "Grants": []}}, "AccessDenied"),
        ({"AccessControlPolicy": {"Grants": []}}, "MalformedACLError"),
        ({"ACL": "private", "AccessControlPolicy": {"Owner": {"ID": "x"}, "Grants": []}}, "UnexpectedContent"),
    ],
)
def test_malformed_acls_have_their_errors(user_s3: Any, open_bucket: str, changes: dict[str, Any], code: str) -> None:
    user_s3.put_object(Bucket=open_bucket, Key="k", Body=b"x")
    assert refusal(user_s3.put_bucket_acl, Bucket=open_bucket, **changes).code == code
    assert refusal(user_s3.put_object_acl, Bucket=open_bucket, Key="k", **changes).code == code


def test_acl_of_a_version(user_s3: Any, anonymous: Any, open_bucket: str) -> None:
    user_s3.put_bucket_versioning(Bucket=open_bucket, VersioningConfiguration={"Status": "Enabled"})
    first = user_s3.put_object(Bucket=open_bucket, Key="k", Body=b"1")["VersionId"]
    user_s3.put_object(Bucket=open_bucket, Key="k", Body=b"2")
    user_s3.put_object_acl(Bucket=open_bucket, Key="k", VersionId=first, ACL="public-read")
    assert anonymous.get_object(Bucket=open_bucket, Key="k", VersionId=first)["Body"].read() == b"1"
    assert refusal(anonymous.get_object, Bucket=open_bucket, Key="k").code == "AccessDenied"


def test_public_access_block_is_kept_and_obeyed(user_s3: Any, anonymous: Any, open_bucket: str) -> None:
    missing = refusal(user_s3.get_public_access_block, Bucket=open_bucket)
    assert (missing.code, missing.status) == ("NoSuchPublicAccessBlockConfiguration", 404)
    user_s3.put_object(Bucket=open_bucket, Key="k", Body=b"x", ACL="public-read")
    settings = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True}
    user_s3.put_public_access_block(Bucket=open_bucket, PublicAccessBlockConfiguration=settings)
    kept = user_s3.get_public_access_block(Bucket=open_bucket)["PublicAccessBlockConfiguration"]
    assert kept == settings | {"RestrictPublicBuckets": False}
    assert refusal(anonymous.get_object, Bucket=open_bucket, Key="k").code == "AccessDenied"
    for call, parameters in (
        (user_s3.put_object, {"Key": "k", "ACL": "public-read"}),
        (user_s3.put_object_acl, {"Key": "k", "ACL": "authenticated-read"}),
        (user_s3.put_bucket_acl, {"GrantRead": f"uri={ALL_USERS}"}),
        (user_s3.put_bucket_policy, {"Policy": allow(open_bucket, "s3:GetObject")}),
    ):
        assert refusal(call, Bucket=open_bucket, **parameters).code == "AccessDenied", call
    user_s3.delete_public_access_block(Bucket=open_bucket)
    assert anonymous.get_object(Bucket=open_bucket, Key="k")["Body"].read() == b"x"


def test_policy_is_kept_as_it_was_put(user_s3: Any, user_bucket: str) -> None:
    missing = refusal(user_s3.get_bucket_policy, Bucket=user_bucket)
    assert (missing.code, missing.status) == ("NoSuchBucketPolicy", 404)
    assert user_s3.get_bucket_policy_status(Bucket=user_bucket)["PolicyStatus"] == {"IsPublic": False}
    text = allow(user_bucket, "s3:GetObject", Sid="ümlaut").replace(", ", ",\n  ")
    assert user_s3.put_bucket_policy(Bucket=user_bucket, Policy=text)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert user_s3.get_bucket_policy(Bucket=user_bucket)["Policy"] == text
    assert user_s3.get_bucket_policy_status(Bucket=user_bucket)["PolicyStatus"] == {"IsPublic": True}
    refused = refusal(user_s3.put_bucket_policy, Bucket=user_bucket, Policy=allow("elsewhere", "s3:GetObject"))
    assert (refused.code, refused.status) == ("MalformedPolicy", 400)
    for _ in range(2):
        user_s3.delete_bucket_policy(Bucket=user_bucket)
    assert refusal(user_s3.get_bucket_policy, Bucket=user_bucket).code == "NoSuchBucketPolicy"


def test_policy_opens_a_bucket_and_denies_again(user_s3: Any, anonymous: Any, user_bucket: str) -> None:
    user_s3.put_object(Bucket=user_bucket, Key="public/a", Body=b"x", Tagging="class=open")
    user_s3.put_object(Bucket=user_bucket, Key="public/b", Body=b"x")
    condition = {"StringEquals": {"s3:ExistingObjectTag/class": "open"}}
    user_s3.put_bucket_policy(Bucket=user_bucket, Policy=allow(user_bucket, "s3:GetObject", Condition=condition))
    assert anonymous.get_object(Bucket=user_bucket, Key="public/a")["Body"].read() == b"x"
    assert refusal(anonymous.get_object, Bucket=user_bucket, Key="public/b").code == "AccessDenied"
    assert refusal(anonymous.list_objects_v2, Bucket=user_bucket).code == "AccessDenied"
    user_s3.put_bucket_policy(Bucket=user_bucket, Policy=allow(user_bucket, "s3:*", effect="Deny"))
    assert refusal(user_s3.get_object, Bucket=user_bucket, Key="public/a").code == "AccessDenied"
    assert refusal(user_s3.list_objects_v2, Bucket=user_bucket).code == "AccessDenied"
    user_s3.delete_bucket_policy(Bucket=user_bucket)
    assert user_s3.list_objects_v2(Bucket=user_bucket)["KeyCount"] == 2


def test_tags_in_the_body_are_seen_by_policies(s3: Any, user_s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    condition = {"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["colour"]}}
    s3.put_bucket_policy(Bucket=bucket, Policy=allow(bucket, "s3:PutObjectTagging", Condition=condition))
    tagging = {"TagSet": [{"Key": "colour", "Value": "red"}]}
    user_s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tagging)
    tagging["TagSet"].append({"Key": "owner", "Value": "me"})
    refused = refusal(user_s3.put_object_tagging, Bucket=bucket, Key="k", Tagging=tagging)
    assert refused.code == "AccessDenied"


def test_each_key_of_a_multiple_delete_is_decided(s3: Any, user_s3: Any, bucket: str) -> None:
    for key in ("mine/a", "theirs/a"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    mine = f"arn:aws:s3:::{bucket}/mine/*"
    s3.put_bucket_policy(Bucket=bucket, Policy=allow(bucket, "s3:DeleteObject", Resource=mine))
    both = [{"Key": "mine/a"}, {"Key": "theirs/a"}]
    answer = user_s3.delete_objects(Bucket=bucket, Delete={"Objects": both})
    assert [one["Key"] for one in answer["Deleted"]] == ["mine/a"]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("theirs/a", "AccessDenied")]
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_source_of_a_copy_must_be_readable(s3: Any, user_s3: Any, bucket: str, user: User) -> None:
    own = f"{bucket}-copies"
    user_s3.create_bucket(Bucket=own)
    source = {"Bucket": bucket, "Key": "k"}
    s3.put_object(**source, Body=b"x", Tagging="a=b")
    copy = {"Bucket": own, "Key": "copy", "CopySource": source}
    assert refusal(user_s3.copy_object, **copy).code == "AccessDenied"
    s3.put_bucket_policy(Bucket=bucket, Policy=allow(bucket, "s3:GetObject"))
    assert refusal(user_s3.copy_object, **copy).code == "AccessDenied"  # the tags go along
    user_s3.copy_object(**copy, TaggingDirective="REPLACE")
    s3.put_bucket_policy(Bucket=bucket, Policy=allow(bucket, "s3:GetObject", "s3:GetObjectTagging"))
    user_s3.copy_object(**copy)
    gone = refusal(user_s3.copy_object, **copy | {"CopySource": {"Bucket": bucket, "Key": "missing"}})
    assert (gone.code, gone.status) == ("AccessDenied", 403)


def test_whoever_began_an_upload_may_give_it_up(s3: Any, user_s3: Any, anonymous: Any, bucket: str) -> None:
    s3.put_bucket_policy(Bucket=bucket, Policy=allow(bucket, "s3:PutObject"))
    mine = user_s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    roots = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    assert refusal(user_s3.abort_multipart_upload, Bucket=bucket, Key="k", UploadId=roots).code == "AccessDenied"
    assert refusal(anonymous.abort_multipart_upload, Bucket=bucket, Key="k", UploadId=mine).code == "AccessDenied"
    assert user_s3.list_parts(Bucket=bucket, Key="k", UploadId=mine)["UploadId"] == mine
    user_s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=mine)


def test_request_payment(s3: Any, user_s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_bucket_policy(Bucket=bucket, Policy=allow(bucket, "s3:GetObject"))
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "Requester"
    assert refusal(user_s3.get_object, Bucket=bucket, Key="k").code == "AccessDenied"
    assert user_s3.get_object(Bucket=bucket, Key="k", RequestPayer="requester")["Body"].read() == b"x"

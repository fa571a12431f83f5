"""Who and what decides about encryption: defaults of buckets, the key ring, policies, links and forms."""

import base64
import json
import os
from collections.abc import Mapping
from typing import Any

import pytest
import urllib3

from tests.harness.cairn import CairnServer
from tests.interop.encrypting import MODES, READS, said, sse_c, upload
from tests.interop.support import MIB, refusal, run_cairn


class TestDefaults:
    """What a bucket says of objects whose writers say nothing."""

    @staticmethod
    def set_default(s3: Any, bucket: str, **rule: Any) -> None:
        configuration = {"Rules": [rule]}
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=configuration)

    def test_there_is_none_at_first_and_none_after_deletion(self, s3: Any, bucket: str) -> None:
        code = "ServerSideEncryptionConfigurationNotFoundError"
        assert refusal(s3.get_bucket_encryption, Bucket=bucket).code == code
        self.set_default(s3, bucket, ApplyServerSideEncryptionByDefault={"SSEAlgorithm": "AES256"})
        stated = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        assert stated == [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]
        for _ in range(2):
            s3.delete_bucket_encryption(Bucket=bucket)
        assert refusal(s3.get_bucket_encryption, Bucket=bucket).code == code
        assert said(s3.put_object(Bucket=bucket, Key="k", Body=b"x")) == "none"

    def test_puts_copies_and_uploads_follow_it_unless_they_say_otherwise(self, s3: Any, bucket: str) -> None:
        s3.put_object(Bucket=bucket, Key="before", Body=b"x")
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "interop-key"}
        self.set_default(s3, bucket, ApplyServerSideEncryptionByDefault=default, BucketKeyEnabled=True)

        put = s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        assert (said(put), put["BucketKeyEnabled"]) == ("kms", True)
        assert said(s3.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/before")) == "kms"
        assert said(s3.head_object(Bucket=bucket, Key="before")) == "none"
        begun = s3.create_multipart_upload(Bucket=bucket, Key="u")
        assert (said(begun), begun["BucketKeyEnabled"]) == ("kms", True)
        for mode in ("s3", "c"):
            assert said(s3.put_object(Bucket=bucket, Key="k", Body=b"x", **MODES[mode])) == mode
        plain = s3.put_object(Bucket=bucket, Key="k", Body=b"x", BucketKeyEnabled=False)
        assert "BucketKeyEnabled" not in plain
        assert s3.copy_object(Bucket=bucket, Key="before", CopySource=f"{bucket}/before")["SSEKMSKeyId"]

    def test_a_bucket_can_block_keys_of_clients(self, s3: Any, bucket: str) -> None:
        s3.put_object(Bucket=bucket, Key="old", Body=b"x", **sse_c())
        self.set_default(s3, bucket, BlockedEncryptionTypes={"EncryptionType": ["SSE-C"]})
        (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["BlockedEncryptionTypes"] == {"EncryptionType": ["SSE-C"]}
        place = {"Bucket": bucket, "Key": "k"}
        assert refusal(s3.put_object, **place, Body=b"x", **sse_c()).code == "AccessDenied"
        assert refusal(s3.create_multipart_upload, **place, **sse_c()).code == "AccessDenied"
        assert s3.get_object(Bucket=bucket, Key="old", **sse_c())["Body"].read() == b"x"
        self.set_default(s3, bucket, BlockedEncryptionTypes={"EncryptionType": ["NONE"]})
        s3.put_object(**place, Body=b"x", **sse_c())

    def test_the_old_upload_route_follows_it(self, cairn: CairnServer, s3: Any) -> None:
        send = {"file": ("old-route.txt", b"through the old route")}
        urllib3.request("POST", f"{cairn.endpoint}/upload", fields=send)
        default = {"SSEAlgorithm": "AES256"}
        self.set_default(s3, "blobs", ApplyServerSideEncryptionByDefault=default)
        try:
            urllib3.request("POST", f"{cairn.endpoint}/upload", fields=send)
            assert said(s3.head_object(Bucket="blobs", Key="old-route.txt")) == "s3"
            got = urllib3.request("GET", f"{cairn.endpoint}/blob/old-route.txt")
            assert got.data == b"through the old route"
        finally:
            s3.delete_bucket_encryption(Bucket="blobs")


class TestKms:
    """Keys of the ring."""

    def test_the_context_is_kept_and_repeated_to_the_writer_alone(self, s3: Any, bucket: str) -> None:
        context = base64.b64encode(json.dumps({"department": "payroll"}).encode()).decode()
        put = s3.put_object(Bucket=bucket, Key="k", Body=b"x", SSEKMSEncryptionContext=context, **MODES["kms"])
        assert put["SSEKMSEncryptionContext"] == context
        got = s3.get_object(Bucket=bucket, Key="k")
        assert "x-amz-server-side-encryption-context" not in got["ResponseMetadata"]["HTTPHeaders"]
        assert got["Body"].read() == b"x"

    def test_without_a_name_it_is_the_default_key(self, s3: Any, bucket: str) -> None:
        put = s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms")
        assert put["SSEKMSKeyId"] == "aws/s3"
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"

    def test_what_was_written_before_a_rotation_is_readable_after_it(
        self, cairn: CairnServer, s3: Any, bucket: str
    ) -> None:
        assert run_cairn(cairn, "key", "create", "rotated").split() == ["rotated", "version", "1"]
        wanted = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "arn:aws:kms:us-east-1:1:key/rotated"}
        put = s3.put_object(Bucket=bucket, Key="before", Body=b"before", **wanted)
        assert put["SSEKMSKeyId"] == wanted["SSEKMSKeyId"]
        assert run_cairn(cairn, "key", "rotate", "rotated").split() == ["rotated", "version", "2"]
        s3.put_object(Bucket=bucket, Key="after", Body=b"after", **wanted)
        for name in ("before", "after"):
            assert s3.get_object(Bucket=bucket, Key=name)["Body"].read() == name.encode()
        listed = {key["name"]: key for key in json.loads(run_cairn(cairn, "key", "list", "--json"))}
        assert [one["version"] for one in listed["rotated"]["versions"]] == [1, 2]
        assert "rotated\t2\t" in run_cairn(cairn, "key", "list")
        run_cairn(cairn, "key", "create", "rotated", expect=1)
        run_cairn(cairn, "key", "rotate", "nobody-made-this", expect=1)

    def test_what_is_no_name_of_a_key_is_unknown(self, s3: Any, bucket: str) -> None:
        place = {"Bucket": bucket, "Key": "k", "Body": b"x", "ServerSideEncryption": "aws:kms"}
        unknown = refusal(s3.put_object, **place, SSEKMSKeyId="no key!")
        assert (unknown.code, unknown.status) == ("KMS.NotFoundException", 400)
        assert refusal(s3.head_object, Bucket=bucket, Key="k").status == 404

    def test_what_is_public_is_not_so_under_a_key_of_the_ring(self, cairn: CairnServer, s3: Any, bucket: str) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{bucket}/*",
        }
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        for name, status in (("s3", 200), ("kms", 400)):
            s3.put_object(Bucket=bucket, Key=name, Body=b"x", **MODES[name])
            answer = urllib3.request("GET", f"{cairn.endpoint}/{bucket}/{name}")
            assert answer.status == status
            assert status == 200 or b"require AWS Signature Version 4" in answer.data


class TestChangingTheKey:
    """UpdateObjectEncryption."""

    ARN = "arn:aws:kms:us-east-1:111122223333:key/newer"

    def wanted(self, **kms: Any) -> dict[str, Any]:
        return {"ObjectEncryption": {"SSEKMS": {"KMSKeyArn": self.ARN, **kms}}}

    @pytest.mark.parametrize("mode", ["s3", "kms"])
    def test_the_bytes_and_all_that_is_said_of_them_stay(self, s3: Any, bucket: str, mode: str) -> None:
        body = os.urandom(200_000)
        before = s3.put_object(Bucket=bucket, Key="k", Body=body, **MODES[mode])
        s3.update_object_encryption(Bucket=bucket, Key="k", **self.wanted(BucketKeyEnabled=True))
        got = s3.get_object(Bucket=bucket, Key="k")

        assert (got["ServerSideEncryption"], got["SSEKMSKeyId"]) == ("aws:kms", self.ARN)
        assert got["BucketKeyEnabled"]
        assert got["ETag"] == before["ETag"]
        assert got["Body"].read() == body

    def test_what_is_not_encrypted_or_under_its_writers_key_is_refused(self, s3: Any, bucket: str) -> None:
        for mode in ("none", "c"):
            s3.put_object(Bucket=bucket, Key="k", Body=b"x", **MODES[mode])
            refused = refusal(s3.update_object_encryption, Bucket=bucket, Key="k", **self.wanted())
            assert refused.code == "InvalidRequest"
        assert refusal(s3.update_object_encryption, Bucket=bucket, Key="none", **self.wanted()).code == "NoSuchKey"

    def test_a_key_that_is_no_arn_is_refused(self, s3: Any, bucket: str) -> None:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", **MODES["s3"])
        wanted = self.wanted(KMSKeyArn="a-name-of-more-than-20-letters")
        assert refusal(s3.update_object_encryption, Bucket=bucket, Key="k", **wanted).code == "InvalidRequest"

    def test_what_is_locked_is_refused(self, s3: Any, bucket_name: str) -> None:
        s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
        place = {"Bucket": bucket_name, "Key": "k"}
        s3.put_object(**place, Body=b"x", **MODES["s3"], ObjectLockLegalHoldStatus="ON")
        assert refusal(s3.update_object_encryption, **place, **self.wanted()).code == "AccessDenied"
        s3.put_object_legal_hold(**place, LegalHold={"Status": "OFF"})
        s3.update_object_encryption(**place, **self.wanted())

    def test_an_object_of_many_parts_too(self, s3: Any, bucket: str) -> None:
        bodies = [os.urandom(5 * MIB), os.urandom(10)]
        upload(s3, bucket, "s3", bodies)
        s3.update_object_encryption(Bucket=bucket, Key="k", **self.wanted())
        got = s3.get_object(Bucket=bucket, Key="k")
        assert got["SSEKMSKeyId"] == self.ARN
        assert got["Body"].read() == b"".join(bodies)


class TestPolicies:
    """Buckets that take only what is encrypted."""

    @staticmethod
    def deny(s3: Any, bucket: str, condition: Mapping[str, Any]) -> None:
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{bucket}/*",
            "Condition": condition,
        }
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    def test_parts_are_encrypted_as_their_upload_is(self, s3: Any, bucket: str) -> None:
        self.deny(s3, bucket, {"Null": {"s3:x-amz-server-side-encryption": "true"}})
        assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"x").code == "AccessDenied"
        assert refusal(s3.create_multipart_upload, Bucket=bucket, Key="k").code == "AccessDenied"
        upload(s3, bucket, "kms", [b"x"])
        upload(s3, bucket, "s3", [b"x"])
        TestDefaults.set_default(s3, bucket, ApplyServerSideEncryptionByDefault={"SSEAlgorithm": "AES256"})
        assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"x").code == "AccessDenied"

    def test_the_key_can_be_asked_for(self, s3: Any, bucket: str) -> None:
        name = "s3:x-amz-server-side-encryption-aws-kms-key-id"
        self.deny(s3, bucket, {"StringNotEquals": {name: "interop-key"}})
        upload(s3, bucket, "kms", [b"x"])
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", **MODES["kms"])
        other = {**MODES["kms"], "SSEKMSKeyId": "other"}
        assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"x", **other).code == "AccessDenied"

    def test_keys_of_clients_can_be_asked_for(self, s3: Any, bucket: str) -> None:
        self.deny(s3, bucket, {"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "true"}})
        upload(s3, bucket, "c", [b"x"])
        assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"x", **MODES["s3"]).code == "AccessDenied"


def test_a_presigned_url_carries_its_headers_signed(cairn: CairnServer, bucket: str) -> None:
    client = cairn.client(signature_version="s3v4")
    place = {"Bucket": bucket, "Key": "k"}
    headers = {
        "x-amz-server-side-encryption-customer-algorithm": "AES256",
        "x-amz-server-side-encryption-customer-key": sse_c()["SSECustomerKey"],
        "x-amz-server-side-encryption-customer-key-md5": sse_c()["SSECustomerKeyMD5"],
    }
    put = client.generate_presigned_url("put_object", Params={**place, **sse_c()})
    get = client.generate_presigned_url("get_object", Params={**place, **sse_c()})
    assert urllib3.request("PUT", put, body=b"signed", headers=headers).status == 200
    assert urllib3.request("PUT", put, body=b"signed").status == 403, "the headers are part of what was signed"
    assert urllib3.request("GET", get, headers=headers).data == b"signed"
    managed = client.generate_presigned_url("put_object", Params={**place, "ServerSideEncryption": "AES256"})
    answer = urllib3.request("PUT", managed, body=b"x", headers={"x-amz-server-side-encryption": "AES256"})
    assert (answer.status, answer.headers["x-amz-server-side-encryption"]) == (200, "AES256")
    client.close()


@pytest.mark.parametrize("mode", ["s3", "kms", "c"])
def test_a_form_says_how_its_file_is_encrypted(cairn: CairnServer, s3: Any, bucket: str, mode: str) -> None:
    client = cairn.client(signature_version="s3v4")
    fields = {
        "s3": {"x-amz-server-side-encryption": "AES256"},
        "kms": {
            "x-amz-server-side-encryption": "aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id": "interop-key",
        },
        "c": {
            "x-amz-server-side-encryption-customer-algorithm": "AES256",
            "x-amz-server-side-encryption-customer-key": sse_c()["SSECustomerKey"],
            "x-amz-server-side-encryption-customer-key-md5": sse_c()["SSECustomerKeyMD5"],
        },
    }[mode]
    conditions = [{name: value} for name, value in fields.items()]
    form = client.generate_presigned_post(bucket, "k", Fields=dict(fields), Conditions=conditions)
    sent = {**form["fields"], "file": ("f", b"from a form")}
    assert urllib3.request("POST", form["url"], fields=sent).status == 204
    got = s3.get_object(Bucket=bucket, Key="k", **READS[mode])
    assert said(got) == mode
    assert got["Body"].read() == b"from a form"
    client.close()

"""CORS: configuration by boto3, preflights and actual requests as browsers send them."""

from typing import Any

import pytest
import urllib3

from tests.harness.cairn import CairnServer
from tests.interop.support import refusal

ORIGIN = "https://app.example.com"
RULES = [
    {
        "ID": "app",
        "AllowedMethods": ["GET", "PUT", "POST"],
        "AllowedOrigins": ["https://*.example.com"],
        "AllowedHeaders": ["content-*", "x-amz-*"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 600,
    },
    {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]},
]


def send(method: str, url: str, **headers: str) -> urllib3.BaseHTTPResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return urllib3.request(method, url, headers=named, retries=False, timeout=30.0)


def put_rules(s3: Any, bucket: str) -> None:
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES})


def test_configuration_is_kept_replaced_and_deleted(s3: Any, bucket: str) -> None:
    missing = refusal(s3.get_bucket_cors, Bucket=bucket)
    assert (missing.code, missing.status) == ("NoSuchCORSConfiguration", 404)
    put_rules(s3, bucket)
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES[1:]})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES[1:]
    for _ in range(2):
        assert s3.delete_bucket_cors(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refusal(s3.get_bucket_cors, Bucket=bucket).code == "NoSuchCORSConfiguration"


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([], "MalformedXML"),
        ([{"AllowedMethods": ["PATCH"], "AllowedOrigins": ["*"]}], "InvalidRequest"),
        ([{"AllowedMethods": ["GET"], "AllowedOrigins": ["*.*"]}], "InvalidRequest"),
        (RULES[1:] * 101, "MalformedXML"),
    ],
)
def test_wrong_configuration_is_refused_and_the_old_one_kept(
    s3: Any, bucket: str, rules: list[dict[str, Any]], code: str
) -> None:
    put_rules(s3, bucket)
    refused = refusal(s3.put_bucket_cors, Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    assert (refused.code, refused.status) == (code, 400)
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES


def test_preflight_of_a_presigned_put(s3: Any, bucket: str) -> None:
    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"})
    asked = {
        "origin": ORIGIN,
        "access_control_request_method": "PUT",
        "access_control_request_headers": "Content-Type, x-amz-meta-a",
    }
    off = send("OPTIONS", url, **asked)
    assert (off.status, b"CORS is not enabled for this bucket" in off.data) == (403, True)
    put_rules(s3, bucket)
    answer = send("OPTIONS", url, **asked)
    assert (answer.status, answer.data) == (200, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, PUT, POST"
    assert answer.headers["Access-Control-Allow-Headers"] == "content-type, x-amz-meta-a"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Access-Control-Max-Age"] == "600"
    assert answer.headers["Vary"].startswith("Origin")
    for changed in (
        {"access_control_request_method": "DELETE"},
        {"access_control_request_headers": "authorization"},
        {"origin": "https://example.org"},
    ):
        refused = send("OPTIONS", url, **{**asked, **changed})
        assert (refused.status, b"AccessForbidden" in refused.data) == (403, True)
        assert "Access-Control-Allow-Origin" not in refused.headers


def test_preflight_says_too_little_or_names_no_bucket(cairn: CairnServer, bucket: str) -> None:
    assert send("OPTIONS", f"{cairn.endpoint}/{bucket}/k").status == 400
    assert send("OPTIONS", f"{cairn.endpoint}/{bucket}/k", origin=ORIGIN).status == 400
    asked = {"origin": ORIGIN, "access_control_request_method": "GET"}
    missing = send("OPTIONS", f"{cairn.endpoint}/{bucket}-missing/k", **asked)
    assert (missing.status, b"Bucket not found" in missing.data) == (403, True)
    assert send("OPTIONS", f"{cairn.endpoint}/", **asked).status == 403


def test_answers_to_actual_requests_have_the_headers_too_and_so_have_errors(s3: Any, bucket: str) -> None:
    put_rules(s3, bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for key, status in (("k", 200), ("missing", 404)):
        url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
        answer = send("GET", url, origin=ORIGIN)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (status, ORIGIN)
        assert answer.headers["Access-Control-Expose-Headers"] == "ETag"
        anyone = send("GET", url, origin="https://example.org")
        assert anyone.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in anyone.headers
        assert "Access-Control-Allow-Origin" not in send("GET", url).headers
    forged = send("GET", f"{s3.meta.endpoint_url}/{bucket}/k?X-Amz-Signature=x", origin=ORIGIN)
    assert (forged.status, forged.headers["Access-Control-Allow-Origin"]) == (400, ORIGIN)
    assert (
        "Access-Control-Allow-Origin" not in send("DELETE", f"{s3.meta.endpoint_url}/{bucket}/k", origin=ORIGIN).headers
    )


def test_form_upload_from_another_origin_can_read_its_answer(s3: Any, cairn: CairnServer, bucket: str) -> None:
    put_rules(s3, bucket)
    presigner = cairn.client(signature_version="s3v4")
    form = presigner.generate_presigned_post(bucket, "k")
    body, content_type = urllib3.encode_multipart_formdata({**form["fields"], "file": ("f", b"x")})
    headers = {"Content-Type": content_type, "Origin": ORIGIN}
    answer = urllib3.request("POST", form["url"], body=body, headers=headers, retries=False, timeout=30.0)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, ORIGIN)
    presigner.close()

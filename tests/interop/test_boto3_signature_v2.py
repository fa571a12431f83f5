"""boto3 with Signature Version 2, where CAIRN_SIGV2 is on; presigned URLs of it need no switch."""

from pathlib import Path

import urllib3

from tests.harness.cairn import CairnServer
from tests.interop.support import refusal


def test_headers_and_forms_of_version_2_are_taken_where_that_is_switched_on(tmp_path: Path) -> None:
    with CairnServer.start(tmp_path / "data", env={"CAIRN_SIGV2": "on"}) as server:
        s3 = server.client(signature_version="s3")
        s3.create_bucket(Bucket="old")
        s3.put_object(Bucket="old", Key="a b/ü", Body=b"x", Metadata={"m": "1"}, ContentType="text/plain")
        assert s3.get_object(Bucket="old", Key="a b/ü", ResponseContentType="a/b")["Body"].read() == b"x"
        form = s3.generate_presigned_post("old", "form")
        fields = {**form["fields"], "file": ("f", b"y")}
        assert urllib3.request("POST", form["url"], fields=fields, retries=False, timeout=30.0).status == 204
        listed = s3.list_objects_v2(Bucket="old")["Contents"]
        assert [entry["Key"] for entry in listed] == ["a b/ü", "form"]
        wrong = server.client_for(server.access_key, "x" * 40, signature_version="s3")
        assert refusal(wrong.list_objects_v2, Bucket="old").code == "SignatureDoesNotMatch"
        forged = {**fields, "signature": "x" * 28}
        assert urllib3.request("POST", form["url"], fields=forged, retries=False, timeout=30.0).status == 403


def test_headers_of_version_2_are_refused_elsewhere(cairn: CairnServer, bucket: str) -> None:
    refused = refusal(cairn.client(signature_version="s3").list_objects_v2, Bucket=bucket)
    assert (refused.code, refused.status) == ("InvalidRequest", 400)

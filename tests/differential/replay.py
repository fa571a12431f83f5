"""Plays a case on one server and writes down what it answered, without what may differ between two servers."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import boto3
import botocore.config
from botocore.exceptions import ClientError

from tests.differential.case import Call, Case, resolve

#: A whole case as flat paths: "2:get_object.Body" -> what was found there.
Transcript = dict[str, object]

#: Members whose value is the server's own business; that they are there is compared.
_OPAQUE = frozenset(
    {
        "ContinuationToken",
        "DisplayName",
        "ID",
        "Initiator",
        "NextContinuationToken",
        "NextUploadIdMarker",
        "Owner",
        "UploadId",
        "UploadIdMarker",
        "VersionId",
    }
)


def make_client(endpoint: str, access_key: str, secret_key: str) -> Any:
    """A client that sends what it is told: no validation, no retries, no checksum unless asked for."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=botocore.config.Config(
            parameter_validation=False,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"max_attempts": 0},
            s3={"addressing_style": "path"},
        ),
    )
    client.meta.events.unregister("before-parameter-build.s3", botocore.handlers.validate_bucket_name)
    return client


def bucket_for(case_name: str) -> str:
    """The bucket of a case: the same on both servers, another for every case."""
    return "case-" + hashlib.sha256(case_name.encode()).hexdigest()[:16]


def play(client: Any, name: str, played: Case) -> Transcript:
    """Make the calls of a case. Whatever the server answers is in the transcript, nothing is raised for it."""
    bucket = bucket_for(name)
    if played.bucket:
        client.create_bucket(Bucket=bucket)
    answers: list[Mapping[str, Any]] = []
    transcript: Transcript = {}
    for number, call in enumerate(played.calls):
        answer = _make(client, bucket, call, answers)
        answers.append(answer)
        transcript.update(_flatten(f"{number}:{call.operation}", _comparable(answer, client.meta.endpoint_url)))
    return transcript


def _make(client: Any, bucket: str, call: Call, answers: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    try:
        arguments = {name: resolve(value, bucket, answers) for name, value in call.arguments.items()}
    except LookupError as missing:
        return {"NotMade": f"an earlier answer lacks {missing}"}
    if call.operation != "list_buckets":
        arguments.setdefault("Bucket", bucket)

    def add_headers(request: Any, **_: Any) -> None:
        for name, value in call.headers.items():
            del request.headers[name]
            request.headers[name] = value

    client.meta.events.register("before-sign.s3", add_headers)
    try:
        answer: dict[str, Any] = getattr(client, call.operation)(**arguments)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return {"Error": error.response["Error"]["Code"], "Status": status}
    finally:
        client.meta.events.unregister("before-sign.s3", add_headers)
    if "Body" in answer:
        answer["Body"] = answer["Body"].read()
    return answer


def _comparable(answer: Mapping[str, Any], endpoint: str) -> dict[str, Any]:
    shown = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    if "ResponseMetadata" in answer:
        shown["Status"] = answer["ResponseMetadata"]["HTTPStatusCode"]
    return {name: _neutral(name, value, endpoint) for name, value in shown.items()}


def _neutral(name: str, value: Any, endpoint: str) -> Any:
    if name in _OPAQUE:
        return f"<{name}>" if value else value
    if isinstance(value, datetime):
        return "<time>"
    if isinstance(value, str):
        return value.replace(endpoint, "<endpoint>")
    if isinstance(value, dict):
        return {member: _neutral(member, inner, endpoint) for member, inner in value.items()}
    if isinstance(value, list):
        return [_neutral(name, inner, endpoint) for inner in value]
    return value


def _flatten(path: str, value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flatten(f"{path}.{name}", inner)
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _flatten(f"{path}[{number}]", inner)
    else:
        yield path, value

"""The error table agrees with the service model, and an S3Error cannot be changed."""

import copy
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from s3compat.errors import ERRORS, S3Error
from s3compat.service_model import load
from tests.s3compat import oracle


def test_every_error_that_the_model_declares_is_in_the_table_with_its_status() -> None:
    statuses = load().error_statuses
    assert {code: ERRORS[code].status for code in statuses} == dict(statuses)


def test_every_code_that_the_model_documents_is_in_the_table_with_its_status() -> None:
    text = re.sub(r"<[^>]+>", " ", oracle.service().shape_for("Error").members["Code"].documentation)
    documented = re.findall(r"Code: +([A-Za-z]+) .*?(?:HTTP Status Code|Code): +(N/A|\d+)", text, re.DOTALL)
    assert len(documented) > 60
    # The page has an entry for each use of InvalidRequest, and none of the N/A is sent by REST.
    wrong = [(code, status) for code, status in documented if status != "N/A" and ERRORS[code].status != int(status)]
    assert wrong == []


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("NotModified", 304),
        ("AccessDenied", 403),
        ("NoSuchKey", 404),
        ("MethodNotAllowed", 405),
        ("ConditionalRequestConflict", 409),
        ("MissingContentLength", 411),
        ("PreconditionFailed", 412),
        ("InvalidRange", 416),
        ("RequestHeaderSectionTooLarge", 431),
        ("InternalError", 500),
        ("NotImplemented", 501),
        ("SlowDown", 503),
    ],
)
def test_statuses(code: str, status: int) -> None:
    assert S3Error(code).status == status


def test_an_error_takes_its_message_from_the_table_unless_told_otherwise() -> None:
    assert S3Error("NoSuchKey").message == "The specified key does not exist."
    assert S3Error("InvalidArgument", "No.").message == "No."
    assert str(S3Error("InvalidArgument", "No.")) == "InvalidArgument: No."


def test_an_unknown_code_is_refused_at_construction() -> None:
    with pytest.raises(KeyError):
        S3Error("NoSuchCode")


@pytest.mark.parametrize("name", ["code", "status", "message", "elements", "headers", "args", "other"])
def test_no_attribute_can_be_set_or_deleted(name: str) -> None:
    error = S3Error("NoSuchKey", Key="a")
    with pytest.raises(AttributeError):
        setattr(error, name, "x")
    with pytest.raises(AttributeError):
        delattr(error, name)


def test_elements_and_headers_are_read_only_copies() -> None:
    headers = {"Allow": "GET"}
    error = S3Error("MethodNotAllowed", headers=headers, Method="PUT")
    headers["Allow"] = "PUT"
    assert dict(error.headers) == {"Allow": "GET"}
    with pytest.raises(TypeError):
        error.elements["Method"] = "GET"  # type: ignore[index]
    with pytest.raises(TypeError):
        error.headers["Allow"] = "PUT"  # type: ignore[index]


def test_an_error_passes_through_context_managers_and_takes_notes() -> None:
    @contextmanager
    def wrapper() -> Iterator[None]:
        yield

    with pytest.raises(S3Error) as caught, wrapper():
        raise S3Error("NoSuchKey") from ValueError("cause")
    caught.value.add_note("seen")
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_error_survives_copying_and_pickling() -> None:
    error = S3Error("NoSuchKey", "gone", headers={"A": "b"}, Key="k")
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (again.code, again.message, dict(again.headers), dict(again.elements)) == (
            "NoSuchKey",
            "gone",
            {"A": "b"},
            {"Key": "k"},
        )

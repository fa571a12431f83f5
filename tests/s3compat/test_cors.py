"""CORS: which rule a request meets, what a preflight hears, and documents that are refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3compat.cors import (
    CorsRule,
    Rules,
    check_preflight,
    decode_rules,
    encode_rules,
    preflight_headers,
    response_headers,
    rules_from_document,
    rules_to_document,
)
from s3compat.errors import S3Error
from s3compat.request import Headers, S3Request

ORIGIN = "https://example.com"


def rule(*origins: str, methods: tuple[str, ...] = ("GET",), **more: Any) -> CorsRule:
    return CorsRule(methods=methods, origins=origins or ("*",), **more)


def request(method: str = "GET", path: str = "/b/k", **headers: str) -> S3Request:
    named = Headers([(name.replace("_", "-"), value) for name, value in headers.items()])
    return S3Request.build(method, path.encode(), b"", named, False, ())


def preflight(origin: str = ORIGIN, method: str = "GET", headers: str | None = None) -> S3Request:
    asked = {} if headers is None else {"access_control_request_headers": headers}
    return request("OPTIONS", origin=origin, access_control_request_method=method, **asked)


@pytest.mark.parametrize(
    ("pattern", "origin", "met"),
    [
        ("*", ORIGIN, True),
        (ORIGIN, ORIGIN, True),
        (ORIGIN, "https://EXAMPLE.com", False),
        (ORIGIN, "http://example.com", False),
        (ORIGIN, "https://example.com:8443", False),
        ("https://*.example.com", "https://a.b.example.com", True),
        ("https://*.example.com", "https://.example.com", True),
        ("https://*.example.com", ORIGIN, False),
        ("*suffix", "foo.suffix", True),
        ("*suffix", "foo.suffix.get", False),
        ("start*end", "startend", True),
        ("start*end", "start12end", True),
        ("start*end", "0start12end", False),
        ("start*tend", "startend", False),
        ("prefix*", "prefix.suffix", True),
        ("prefix*", "bla.prefix", False),
        ("a.b", "axb", False),
        ("null", "null", True),
    ],
)
def test_origin_is_matched_as_a_whole(pattern: str, origin: str, met: bool) -> None:
    found = dict(response_headers(request(origin=origin), (rule(pattern),)))
    assert bool(found) is met
    if met:
        assert found["Access-Control-Allow-Origin"] == ("*" if pattern == "*" else origin)
        assert ("Access-Control-Allow-Credentials" in found) is (pattern != "*")


def test_first_rule_that_fits_answers() -> None:
    rules: Rules = (
        rule("https://other.example"),
        rule(ORIGIN, methods=("PUT",)),
        rule(ORIGIN, methods=("GET", "HEAD"), exposed=("ETag", "x-amz-meta-a"), max_age_s=0),
        rule(),
    )
    assert response_headers(request(origin=ORIGIN), rules) == (
        ("Access-Control-Allow-Origin", ORIGIN),
        ("Access-Control-Allow-Methods", "GET, HEAD"),
        ("Access-Control-Expose-Headers", "ETag, x-amz-meta-a"),
        ("Access-Control-Max-Age", "0"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"),
    )
    assert response_headers(request("DELETE", origin=ORIGIN), rules) == ()
    assert response_headers(request(), rules) == ()


def test_actual_request_may_name_another_method_in_its_header() -> None:
    rules = (rule(ORIGIN, methods=("GET",)),)
    assert response_headers(request("PUT", origin=ORIGIN, access_control_request_method="GET"), rules)
    assert not response_headers(request("GET", origin=ORIGIN, access_control_request_method="PUT"), rules)


@pytest.mark.parametrize(
    ("allowed", "asked", "met"),
    [
        ((), None, True),
        ((), "", True),
        ((), "x-amz-date", False),
        (("*",), "x-amz-date, Content-Type,X-Anything", True),
        (("X-Amz-*",), "x-amz-date", True),
        (("x-amz-*",), "X-AMZ-DATE", True),
        (("x-amz-*",), "x-amz-date,content-type", False),
        (("x-amz-*", "Content-Type"), "x-amz-date,content-type", True),
    ],
)
def test_preflight_names_headers_that_must_all_be_allowed(
    allowed: tuple[str, ...], asked: str | None, met: bool
) -> None:
    rules = (rule(headers=allowed),)
    if not met:
        with pytest.raises(S3Error, match="AccessForbidden"):
            preflight_headers(preflight(headers=asked), rules)
        return
    found = dict(preflight_headers(preflight(headers=asked), rules))
    wanted = [name.strip().lower() for name in (asked or "").split(",") if name]
    assert found.get("Access-Control-Allow-Headers") == (", ".join(wanted) or None)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "Insufficient information. Origin request header needed."),
        ({"access_control_request_method": "GET"}, "Insufficient information. Origin request header needed."),
        ({"origin": ORIGIN}, "Invalid Access-Control-Request-Method: null"),
        ({"origin": ORIGIN, "access_control_request_method": "PATCH"}, "Invalid Access-Control-Request-Method: PATCH"),
    ],
)
def test_preflight_that_says_too_little_is_a_bad_request(headers: dict[str, str], message: str) -> None:
    with pytest.raises(S3Error) as caught:
        check_preflight(request("OPTIONS", **headers))
    assert (caught.value.code, caught.value.status, caught.value.message) == ("BadRequest", 400, message)


@pytest.mark.parametrize(("path", "kind"), [("/b", "BUCKET"), ("/b/k", "OBJECT")])
def test_refused_preflight_tells_what_was_asked(path: str, kind: str) -> None:
    asked = request("OPTIONS", path, origin=ORIGIN, access_control_request_method="PUT")
    for rules, words in ((None, "CORS is not enabled for this bucket."), ((rule(),), "This CORS request is not")):
        with pytest.raises(S3Error, match=words) as caught:
            preflight_headers(asked, rules)
        assert (caught.value.code, caught.value.status) == ("AccessForbidden", 403)
        assert caught.value.elements == {"Method": "PUT", "ResourceType": kind}


def document(**changed: Any) -> dict[str, Any]:
    one = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], **changed}
    return {"CORSRules": [{name: value for name, value in one.items() if value is not None}]}


@pytest.mark.parametrize(
    ("configuration", "code"),
    [
        ({}, "MalformedXML"),
        ({"CORSRules": []}, "MalformedXML"),
        ({"CORSRules": document()["CORSRules"] * 101}, "MalformedXML"),
        (document(AllowedMethods=None), "MalformedXML"),
        (document(AllowedOrigins=None), "MalformedXML"),
        (document(ID="x" * 256), "MalformedXML"),
        (document(MaxAgeSeconds=-1), "MalformedXML"),
        (document(ExposeHeaders=["a\r\nSet-Cookie: x"]), "MalformedXML"),
        (document(ExposeHeaders=["é"]), "MalformedXML"),
        (document(AllowedMethods=["GET", "PATCH"]), "InvalidRequest"),
        (document(AllowedMethods=["get"]), "InvalidRequest"),
        (document(AllowedMethods=["OPTIONS"]), "InvalidRequest"),
        (document(AllowedMethods=[""]), "InvalidRequest"),
        (document(AllowedOrigins=["http://*.*"]), "InvalidRequest"),
        (document(AllowedHeaders=["*-*"]), "InvalidRequest"),
        (document(ExposeHeaders=["x-amz-*"]), "InvalidRequest"),
    ],
)
def test_wrong_configuration_is_refused(configuration: dict[str, Any], code: str) -> None:
    with pytest.raises(S3Error) as caught:
        rules_from_document(configuration)
    assert (caught.value.code, caught.value.status) == (code, 400)


def test_rules_come_back_as_they_were_given() -> None:
    given_rules = {
        "CORSRules": [
            {
                "ID": "é",
                "AllowedHeaders": ["*"],
                "AllowedMethods": ["GET", "PUT"],
                "AllowedOrigins": ["https://*.example.com", "http://x"],
                "ExposeHeaders": ["ETag"],
                "MaxAgeSeconds": 0,
            },
            {"AllowedMethods": ["DELETE"], "AllowedOrigins": ["*"]},
        ]
    }
    rules = rules_from_document(given_rules)
    assert decode_rules(encode_rules(rules)) == rules
    assert rules_to_document(rules) == given_rules["CORSRules"]


_TEXTS = st.lists(st.text(max_size=6) | st.sampled_from(["*", "GET", "PUT", "a*b"]), max_size=3)
_DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "ID": st.text(),
        "AllowedHeaders": _TEXTS,
        "AllowedMethods": _TEXTS,
        "AllowedOrigins": _TEXTS,
        "ExposeHeaders": _TEXTS,
        "MaxAgeSeconds": st.integers(),
    },
)


@given(st.lists(_DOCUMENTS, max_size=3), st.text(st.characters(min_codepoint=32, max_codepoint=255)))
def test_any_rules_are_decided_or_refused(documents: list[dict[str, Any]], origin: str) -> None:
    try:
        rules = rules_from_document({"CORSRules": documents})
    except S3Error:
        return
    assert decode_rules(encode_rules(rules)) == rules
    for _, value in response_headers(request(origin=origin), rules):
        value.encode("latin-1")

"""Website configurations: what is refused, which rule applies, where it leads; and the pages for errors."""

from typing import Any

import pytest

from s3compat.errors import S3Error
from s3compat.website import (
    Redirect,
    Website,
    decode_document,
    encode_document,
    error_page,
    location,
    parse_website,
)

INDEX = {"IndexDocument": {"Suffix": "index.html"}}


def with_rule(redirect: dict[str, str], condition: dict[str, str] | None = None) -> dict[str, Any]:
    rule: dict[str, Any] = {"Redirect": redirect}
    if condition is not None:
        rule["Condition"] = condition
    return {**INDEX, "RoutingRules": [rule]}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "InvalidArgument"),
    "no suffix": ({"IndexDocument": {"Suffix": ""}}, "InvalidArgument"),
    "a slash in the suffix": ({"IndexDocument": {"Suffix": "a/index.html"}}, "InvalidArgument"),
    "an empty error document": ({**INDEX, "ErrorDocument": {"Key": ""}}, "InvalidArgument"),
    "all redirected, and more": ({**INDEX, "RedirectAllRequestsTo": {"HostName": "h"}}, "MalformedXML"),
    "a host with a line end": ({"RedirectAllRequestsTo": {"HostName": "h\r\nx: y"}}, "InvalidArgument"),
    "a host with a path": (with_rule({"HostName": "h/p"}), "InvalidArgument"),
    "an empty redirect": (with_rule({}), "MalformedXML"),
    "an empty condition": (with_rule({"HostName": "h"}, {}), "InvalidRequest"),
    "no error code": (with_rule({"HostName": "h"}, {"HttpErrorCodeReturnedEquals": "200"}), "InvalidRequest"),
    "no redirect code": (with_rule({"HttpRedirectCode": "300"}), "InvalidRequest"),
    "two replacements": (with_rule({"ReplaceKeyWith": "a", "ReplaceKeyPrefixWith": "b"}), "InvalidRequest"),
    "too many rules": ({**INDEX, "RoutingRules": [{"Redirect": {"HostName": "h"}}] * 51}, "InvalidRequest"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_refused(name: str) -> None:
    document, code = REFUSED[name]
    with pytest.raises(S3Error) as refused:
        parse_website(document)
    assert refused.value.code == code


def test_a_document_is_stored_and_read_back() -> None:
    document = with_rule({"ReplaceKeyWith": "ü"}, {"KeyPrefixEquals": "a"})
    assert decode_document(encode_document(document)) == document


def test_directories_have_an_index_document() -> None:
    website = parse_website(INDEX)
    assert [website.page_key(key) for key in ("", "a/", "a")] == ["index.html", "a/index.html", "a"]
    assert [website.directory_key(key) for key in ("", "a/", "a")] == [None, None, "a/index.html"]


def test_rules_about_errors_apply_after_and_others_before() -> None:
    rules = [
        {"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "new/"}},
        {
            "Condition": {"KeyPrefixEquals": "img/", "HttpErrorCodeReturnedEquals": "404"},
            "Redirect": {"HostName": "images.example"},
        },
        {"Condition": {"HttpErrorCodeReturnedEquals": "404"}, "Redirect": {"ReplaceKeyWith": "lost.html"}},
    ]
    website = parse_website({**INDEX, "RoutingRules": rules})

    def which(key: str, status: int | None = None) -> int | None:
        rule = website.rule_for(key, status)
        return None if rule is None else website.rules.index(rule)

    assert which("old/a") == 0
    assert which("img/a") is None
    assert which("img/a", 404) == 1
    assert which("b", 404) == 2
    assert which("b", 403) is None
    assert which("old/a", 404) == 2


LOCATIONS: list[tuple[dict[str, str], str, str, str]] = [
    ({"HostName": "other.example"}, "a b", "", "http://other.example/a%20b"),
    ({"Protocol": "https"}, "a", "", "https://site.test:80/a"),
    ({"ReplaceKeyWith": "x?y"}, "a", "a", "http://site.test:80/x%3Fy"),
    ({"ReplaceKeyPrefixWith": "new/"}, "old/p/ü", "old/", "http://site.test:80/new/p/%C3%BC"),
    ({"ReplaceKeyPrefixWith": ""}, "old/p", "old/", "http://site.test:80/p"),
    ({"ReplaceKeyPrefixWith": "in/"}, "a", "", "http://site.test:80/in/a"),
    ({"ReplaceKeyWith": "a\r\nset-cookie: x"}, "a", "", "http://site.test:80/a%0D%0Aset-cookie:%20x"),
]


@pytest.mark.parametrize(("stated", "key", "prefix", "expected"), LOCATIONS)
def test_a_redirect_changes_what_it_names(stated: dict[str, str], key: str, prefix: str, expected: str) -> None:
    redirect = parse_website(with_rule(stated)).rules[0].redirect
    assert location(redirect, secure=False, host="site.test:80", key=key, prefix=prefix) == expected


def test_the_code_of_a_redirect_is_301_unless_it_is_stated() -> None:
    assert parse_website(with_rule({"HostName": "h"})).rules[0].redirect.status == 301
    assert parse_website(with_rule({"HttpRedirectCode": "307"})).rules[0].redirect.status == 307


def test_all_requests_may_go_elsewhere() -> None:
    website = parse_website({"RedirectAllRequestsTo": {"HostName": "h.example", "Protocol": "https"}})
    assert website == Website(redirect_all=Redirect(host="h.example", protocol="https"))


def test_an_error_page_tells_the_error_and_no_markup_of_the_request() -> None:
    error = S3Error("NoSuchKey", Key="<script>")
    page = error_page(error, request_id="R", host_id="H", unreadable=S3Error("AccessDenied")).decode()

    assert "<h1>404 Not Found</h1>" in page
    assert "<li>Code: NoSuchKey</li>" in page
    assert "<li>Key: &lt;script&gt;</li>" in page
    assert "<li>RequestId: R</li>" in page
    assert page.index("Attempting to Retrieve a Custom Error Document") < page.index("AccessDenied")

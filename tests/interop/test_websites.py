"""Websites as a browser gets them: pages, directories, redirects, error documents, and nothing that is not public."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from botocore.exceptions import ClientError

from tests.harness.cairn import CairnServer
from tests.interop.support import refusal

PUBLIC = "pages"
SITE: dict[str, Any] = {
    "IndexDocument": {"Suffix": "index.html"},
    "ErrorDocument": {"Key": "error.html"},
    "RoutingRules": [
        {"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "new/"}},
        {
            "Condition": {"KeyPrefixEquals": "shop/", "HttpErrorCodeReturnedEquals": "404"},
            "Redirect": {"HostName": "shop.example", "HttpRedirectCode": "307"},
        },
    ],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CairnServer]:
    directory: Path = tmp_path_factory.mktemp("websites") / "cairn"
    with CairnServer.start(directory, env={"CAIRN_WEBSITE_DOMAIN": "web.test"}) as running:
        yield running


@pytest.fixture(scope="module")
def site(server: CairnServer) -> Iterator[Any]:
    """A client, and the bucket PUBLIC with a website that everybody may read and list."""
    s3 = server.client()
    s3.create_bucket(Bucket=PUBLIC)
    statements = [
        {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{PUBLIC}/*"},
        {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{PUBLIC}"},
    ]
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", **statement} for statement in statements],
    }
    s3.put_bucket_policy(Bucket=PUBLIC, Policy=json.dumps(policy))
    s3.put_bucket_website(Bucket=PUBLIC, WebsiteConfiguration=SITE)
    for key in ("index.html", "docs/index.html", "a page.txt", "error.html"):
        s3.put_object(Bucket=PUBLIC, Key=key, Body=f"this is {key}", ContentType="text/html")
    s3.put_object(Bucket=PUBLIC, Key="moved", WebsiteRedirectLocation="/index.html")
    yield s3
    s3.close()


def get(
    server: CairnServer, path: str, *, host: str = f"{PUBLIC}.web.test", method: str = "GET", **headers: str
) -> Any:
    return urllib3.request(
        method, server.endpoint + path, headers={"host": host, **headers}, redirect=False, retries=False, timeout=30.0
    )


PAGES = {
    "/": (200, "this is index.html"),
    "/docs/": (200, "this is docs/index.html"),
    "/a%20page.txt?x=1": (200, "this is a page.txt"),
    "/missing": (404, "this is error.html"),
    "/missing/": (404, "this is error.html"),
}
REDIRECTS = {
    "/docs": (302, "/docs/"),
    "/old/x?y": (301, f"http://{PUBLIC}.web.test/new/x"),
    "/shop/a": (307, "http://shop.example/shop/a"),
    "/moved": (301, "/index.html"),
}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_served(server: CairnServer, site: Any, path: str) -> None:
    answer = get(server, path)
    assert (answer.status, answer.data.decode()) == PAGES[path]
    assert answer.headers["content-type"] == "text/html"


@pytest.mark.parametrize("path", REDIRECTS)
def test_a_redirect_is_answered(server: CairnServer, site: Any, path: str) -> None:
    answer = get(server, path)
    assert (answer.status, answer.headers["location"]) == REDIRECTS[path]


def test_head_tells_the_same_without_the_page(server: CairnServer, site: Any) -> None:
    answer = get(server, "/", method="HEAD")
    assert (answer.status, answer.data, answer.headers["content-length"]) == (200, b"", str(len("this is index.html")))


def test_a_browser_asks_whether_its_copy_is_still_good(server: CairnServer, site: Any) -> None:
    etag = get(server, "/").headers["etag"]
    assert get(server, "/", **{"if-none-match": etag}).status == 304
    part = get(server, "/", range="bytes=0-3")
    assert (part.status, part.data) == (206, b"this")


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "OPTIONS"])
def test_nothing_but_get_and_head_is_allowed(server: CairnServer, site: Any, method: str) -> None:
    answer = get(server, "/index.html", method=method)
    assert answer.status == 405
    assert b"<li>Code: MethodNotAllowed</li>" in answer.data
    assert get(server, "/index.html").status == 200


def test_a_bucket_without_a_website_has_a_page_that_says_so(server: CairnServer, site: Any) -> None:
    site.create_bucket(Bucket="plain")
    answer = get(server, "/x", host="plain.web.test")
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert b"<li>Code: NoSuchWebsiteConfiguration</li>" in answer.data
    assert b"<li>Code: NoSuchBucket</li>" in get(server, "/x", host="nobody.web.test").data


def test_what_is_not_public_is_no_page(server: CairnServer, site: Any) -> None:
    site.create_bucket(Bucket="private")
    site.put_bucket_website(Bucket="private", WebsiteConfiguration={"IndexDocument": {"Suffix": "i"}})
    site.put_object(Bucket="private", Key="i", Body=b"secret")
    signed = site.generate_presigned_url("get_object", Params={"Bucket": "private", "Key": "i"}).partition("?")[2]

    for path in ("/", "/i", "/missing", f"/i?{signed}"):
        answer = get(server, path, host="private.web.test")
        assert answer.status == 403
        assert b"<li>Code: AccessDenied</li>" in answer.data


def test_all_requests_may_be_sent_elsewhere(server: CairnServer, site: Any) -> None:
    site.create_bucket(Bucket="gone")
    everything = {"RedirectAllRequestsTo": {"HostName": "new.example", "Protocol": "https"}}
    site.put_bucket_website(Bucket="gone", WebsiteConfiguration=everything)

    answer = get(server, "/a/b?c=d", host="gone.web.test")

    assert (answer.status, answer.headers["location"]) == (301, "https://new.example/a/b?c=d")


def test_the_configuration_is_kept_given_back_and_removed(site: Any) -> None:
    site.create_bucket(Bucket="kept")
    assert refusal(site.get_bucket_website, Bucket="kept").code == "NoSuchWebsiteConfiguration"
    site.put_bucket_website(Bucket="kept", WebsiteConfiguration=SITE)
    answer = site.get_bucket_website(Bucket="kept")
    assert {name: answer[name] for name in SITE} == SITE
    site.delete_bucket_website(Bucket="kept")
    with pytest.raises(ClientError, match="NoSuchWebsiteConfiguration"):
        site.get_bucket_website(Bucket="kept")

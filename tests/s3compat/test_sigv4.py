"""SigV4 in the Authorization header: whose signatures verify (AWS's, botocore's, curl's) and whose do not."""

from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3compat.errors import S3Error
from s3compat.request import Headers, S3Request
from s3compat.sigv4 import parse_claim, verify
from tests.s3compat.signing_cases import (
    ACCESS_KEY,
    CREDENTIAL,
    EMPTY_SHA256,
    ODD_HEADERS,
    ODD_KEYS,
    ODD_QUERIES,
    SECRET_KEY,
    authenticate,
    authorization,
    botocore_sign,
    build,
    key_url,
    signed_headers_of,
)

AWS_HOST = "https://examplebucket.s3.amazonaws.com"

# AWS: "Examples: Signature Calculations" of sig-v4-header-based-auth, and the seeds of the two pages on chunks.
AWS_EXAMPLES = {
    "GET Object": (
        "GET",
        f"{AWS_HOST}/test.txt",
        [("Range", "bytes=0-9"), ("x-amz-content-sha256", EMPTY_SHA256), ("x-amz-date", "20130524T000000Z")],
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    "PUT Object": (
        "PUT",
        f"{AWS_HOST}/test$file.text",
        [
            ("Date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("x-amz-content-sha256", "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"),
        ],
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    "GET Bucket Lifecycle": (
        "GET",
        f"{AWS_HOST}/?lifecycle",
        [("x-amz-date", "20130524T000000Z"), ("x-amz-content-sha256", EMPTY_SHA256)],
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    "Get Bucket (List Objects)": (
        "GET",
        f"{AWS_HOST}/?max-keys=2&prefix=J",
        [("x-amz-date", "20130524T000000Z"), ("x-amz-content-sha256", EMPTY_SHA256)],
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
    "PUT Object, chunked": (
        "PUT",
        "https://s3.amazonaws.com/examplebucket/chunkObject.txt",
        [
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            ("Content-Encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", "66560"),
            ("Content-Length", "66824"),
        ],
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    ),
    "PUT Object, chunked with a trailer": (
        "PUT",
        "https://s3.amazonaws.com/examplebucket/chunkObject.txt",
        [
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"),
            ("Content-Encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", "66560"),
            ("x-amz-trailer", "x-amz-checksum-crc32c"),
        ],
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    ),
}


@pytest.mark.parametrize("example", AWS_EXAMPLES)
def test_aws_documented_examples(example: str) -> None:
    method, url, headers, signature = AWS_EXAMPLES[example]
    names = ";".join(sorted(["host", *(name.lower() for name, _ in headers)]))
    signed = [*headers, authorization(names, signature)]
    context = authenticate(build(method, url, signed, domains=("s3.amazonaws.com",)))
    assert context.seed_signature == signature
    assert (context.timestamp, context.scope) == ("20130524T000000Z", CREDENTIAL.partition("/")[2])
    assert context.signing_key.hex() == "dbb893acc010964918f1fd433add87c70e8b0db6be30c1fbeafefa5ec6ba8378"
    # Our client side signs the same, given the same headers.
    timeless = [(name, value) for name, value in headers if name not in {"x-amz-date", "x-amz-content-sha256"}]
    payload_hash = dict(headers)["x-amz-content-sha256"]
    assert signed_headers_of(method, url, timeless, payload_hash)[-1][1].endswith(signature)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_botocore_signatures_of_odd_keys(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    signed = botocore_sign(monkeypatch, "GET", key_url(key), [])
    request = build("GET", signed.url, list(signed.headers.items()))
    assert request.key == key
    authenticate(request)
    assert signed_headers_of("GET", key_url(key), [])[-1][1] == signed.headers["Authorization"]


@pytest.mark.parametrize("query", ODD_QUERIES)
def test_botocore_signatures_of_odd_queries(monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    # botocore signs a query as it stands, so it must stand there in canonical form ("acl=").
    url = key_url("key", "&".join(pair if "=" in pair else pair + "=" for pair in query.split("&") if pair))
    signed = botocore_sign(monkeypatch, "GET", url, [])
    authenticate(build("GET", signed.url, list(signed.headers.items())))
    # However it is spelt on the wire.
    authenticate(build("GET", key_url("key", query), list(signed.headers.items())))
    shuffled = "&".join(reversed(query.replace("%20", "+").split("&")))
    authenticate(build("GET", key_url("key", shuffled), list(signed.headers.items())))


@pytest.mark.parametrize("headers", ODD_HEADERS)
def test_botocore_signatures_of_odd_headers(monkeypatch: pytest.MonkeyPatch, headers: list[tuple[str, str]]) -> None:
    signed = botocore_sign(monkeypatch, "PUT", key_url("key"), headers, body=b"bar")
    authenticate(build("PUT", signed.url, list(signed.headers.items())))


def test_botocore_signature_of_a_repeated_header(monkeypatch: pytest.MonkeyPatch) -> None:
    signed = botocore_sign(monkeypatch, "GET", key_url("key"), [("x-amz-meta-a", "1"), ("x-amz-meta-a", " 2 ")])
    authenticate(build("GET", signed.url, list(signed.headers.items())))
    joined = [(name, value) for name, value in signed.headers.items() if name != "x-amz-meta-a"]
    authenticate(build("GET", signed.url, [*joined, ("X-Amz-Meta-A", "1,2")]))


def test_utf_8_in_a_header_is_signed_byte_for_byte() -> None:
    # "à" is C3 A0 on the wire: read as latin-1 its second byte is a no-break space, which is no white space here.
    value = "à  b".encode().decode("latin-1")
    headers = signed_headers_of("GET", key_url("key"), [("x-amz-meta-a", value)])
    authenticate(build("GET", key_url("key"), headers))


@pytest.mark.parametrize(
    ("canonical", "on_the_wire"),
    [
        ("/b/a%20b", "/b/a b"),
        ("/b/a%2Bb", "/b/a+b"),
        ("/b/~", "/b/%7E"),
        ("/b/%F0%9F%98%80", "/b/%f0%9f%98%80"),
        ("/b/%21%2A%27%28%29", "/b/!*'()"),
        ("/b/a/b", "/b/a%2Fb"),
        ("/b/%24%26%2C%3A%3B%3D%40", "/b/$&,:;=@"),
        ("/b/a%252Fb", "/b/%61%252Fb"),
    ],
)
def test_path_is_verified_however_the_client_spelt_it(canonical: str, on_the_wire: str) -> None:
    host = "http://127.0.0.1:8000"
    headers = signed_headers_of("GET", host + canonical, [])
    request = S3Request.build("GET", on_the_wire.encode(), b"", Headers(headers), False, ())
    authenticate(request)


# Captured from curl 7.88.1 --aws-sigv4 aws:amz:us-east-1:s3 --path-as-is: it signs the target as it sends it
# and only trims header values.
CURL_REQUESTS = [
    ("GET", "/b/a+b", "uploads", "20261122T234018Z", EMPTY_SHA256, [],
     "624080566f9f16634378b02bd063706a5301a1299f0786894af99a653972f1ce"),
    ("GET", "/b", "prefix=a%2fb+c&list-type=2", "20261122T234019Z", EMPTY_SHA256, [],
     "6c8c3f7cb34fa2a33710b26d330e354dc8d2deb79543df48cb0a5eb35a09a294"),
    ("GET", "/b/a~%2Fc//x/../y(1)", "", "20261122T234019Z", EMPTY_SHA256,
     [("x-amz-meta-a", "  x   y "), ("X-Amz-Acl", "private")],
     "1e45bb886ccb6f496213d65aff56413c2c9976ec1d6f14f018a462bdb66e56e8"),
    ("PUT", "/b/put2", "", "20261122T234020Z", "UNSIGNED-PAYLOAD", [("content-type", "text/plain")],
     "0be11c25f8d3e528979259e9eae63aab3dbc650199e6761e1cbc555d5395dcb3"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "query", "date", "payload_hash", "extra", "signature"), CURL_REQUESTS)
def test_curl_signatures(
    method: str,
    path: str,
    query: str,
    date: str,
    payload_hash: str,
    extra: list[tuple[str, str]],
    signature: str,
) -> None:
    headers = [("Host", "127.0.0.1:18765"), ("X-Amz-Date", date), ("x-amz-content-sha256", payload_hash), *extra]
    names = ";".join(sorted(name.lower() for name, _ in headers))
    credential = "AKIDEXAMPLE/20261122/us-east-1/s3/aws4_request"
    lines = Headers([*headers, authorization(names, signature, credential=credential), ("Accept", "*/*")])
    request = S3Request.build(method, path.encode(), query.encode(), lines, False, ())
    claim = parse_claim(request, datetime(2026, 11, 22, 23, 40, tzinfo=UTC))
    assert claim is not None
    verify(claim, request, "SECRETEXAMPLE")


@pytest.mark.parametrize(
    ("signed", "sent"),
    [
        ("s3.example.com", "s3.example.com"),
        ("s3.example.com:8000", "s3.example.com:8000"),
        ("s3.example.com", "s3.example.com:80"),
        ("s3.example.com", "s3.example.com:443"),
        ("s3.example.com:80", "s3.example.com"),
        ("s3.example.com:443", "s3.example.com"),
        ("[::1]", "[::1]:443"),
    ],
)
def test_host_with_and_without_the_default_port(signed: str, sent: str) -> None:
    headers = signed_headers_of("GET", "http://x/b/k", [("Host", signed)])
    sent_headers = [("Host", sent), *headers[1:]]
    authenticate(build("GET", "http://x/b/k", sent_headers))


@pytest.mark.parametrize("sent", ["other.example.com", "s3.example.com:8000", ""])
def test_another_host_does_not_verify(sent: str) -> None:
    headers = signed_headers_of("GET", "http://x/b/k", [("Host", "s3.example.com")])
    with pytest.raises(S3Error) as caught:
        authenticate(build("GET", "http://x/b/k", [("Host", sent), *headers[1:]]))
    assert caught.value.code == "SignatureDoesNotMatch"


def test_expect_header_that_a_proxy_took_out() -> None:
    headers = signed_headers_of("PUT", key_url("key"), [("Expect", "100-continue")])
    authenticate(build("PUT", key_url("key"), [pair for pair in headers if pair[0] != "expect"]))


def test_virtual_host_addressing_signs_the_path_without_the_bucket() -> None:
    url = "http://bucket.s3.example.com/key"
    request = build("GET", url, signed_headers_of("GET", url, []), domains=("s3.example.com",))
    assert (request.bucket, request.key) == ("bucket", "key")
    authenticate(request)


ALTERATIONS = {
    "method": ("DELETE", "http://h/b/k?a=1", [], SECRET_KEY),
    "path": ("GET", "http://h/b/j?a=1", [], SECRET_KEY),
    "query": ("GET", "http://h/b/k?a=2", [], SECRET_KEY),
    "added parameter": ("GET", "http://h/b/k?a=1&acl", [], SECRET_KEY),
    "header": ("GET", "http://h/b/k?a=1", [("x-amz-meta-a", "other")], SECRET_KEY),
    "payload hash": ("GET", "http://h/b/k?a=1", [("x-amz-content-sha256", "0" * 64)], SECRET_KEY),
    "date": ("GET", "http://h/b/k?a=1", [("x-amz-date", "20130524T000100Z")], SECRET_KEY),
    "secret": ("GET", "http://h/b/k?a=1", [], SECRET_KEY + "x"),
}


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_altered_requests_do_not_verify(alteration: str) -> None:
    method, url, changes, secret_key = ALTERATIONS[alteration]
    headers = signed_headers_of("GET", "http://h/b/k?a=1", [("x-amz-meta-a", "value")])
    altered = {**dict(headers), **dict(changes)}
    with pytest.raises(S3Error) as caught:
        authenticate(build(method, url, list(altered.items())), secret_key=secret_key)
    assert caught.value.code == "SignatureDoesNotMatch"


def test_mismatch_shows_what_the_server_computed() -> None:
    headers = signed_headers_of("GET", "http://h/b/a b?acl", [])
    with pytest.raises(S3Error) as caught:
        authenticate(build("GET", "http://h/b/a%20b?acl", headers), secret_key="wrong")
    elements = caught.value.elements
    names = "host;x-amz-content-sha256;x-amz-date"
    canonical = (
        f"GET\n/b/a%20b\nacl=\nhost:h\nx-amz-content-sha256:{EMPTY_SHA256}\nx-amz-date:20130524T000000Z\n\n"
        f"{names}\n{EMPTY_SHA256}"
    )
    assert caught.value.status == 403
    assert elements["AWSAccessKeyId"] == ACCESS_KEY
    assert elements["CanonicalRequest"] == canonical
    assert bytes.fromhex(elements["CanonicalRequestBytes"]) == canonical.encode()
    assert elements["StringToSign"].startswith(
        "AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n"
    )
    assert bytes.fromhex(elements["StringToSignBytes"]).decode() == elements["StringToSign"]
    assert headers[-1][1].endswith(elements["SignatureProvided"])


def test_signature_of_other_characters_is_a_mismatch() -> None:
    headers = signed_headers_of("GET", key_url("key"), [])
    for bad in ("", "é", "0" * 63, "0" * 65):
        value = headers[-1][1][:-64] + bad
        with pytest.raises(S3Error):
            authenticate(build("GET", key_url("key"), [*headers[:-1], ("authorization", value)]))


KEYS = st.text(min_size=1, max_size=40).filter(lambda key: "\0" not in key)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    KEYS,
    st.lists(st.tuples(st.text(min_size=1, max_size=8), st.text(max_size=8)), max_size=4),
    st.lists(
        st.tuples(
            st.sampled_from(["x-amz-meta-a", "x-amz-meta-b", "range"]), st.text(st.characters(max_codepoint=255))
        ),
        max_size=3,
    ),
)
def test_what_is_signed_verifies(key: str, params: list[tuple[str, str]], headers: list[tuple[str, str]]) -> None:
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in params)
    request_headers = signed_headers_of("GET", key_url(key, query), headers)
    request = S3Request.build(
        "GET",
        b"/bucket/" + quote(key, safe="/~").encode(),
        query.encode(),
        Headers(request_headers),
        False,
        (),
    )
    assert request.key == key
    if not {"X-Amz-Algorithm", "X-Amz-Signature", "X-Amz-Credential"} & set(request.query):
        authenticate(request)

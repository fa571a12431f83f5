"""A POST form as the PutObject that it stands for, and the answer that a form gets. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, quote_from_bytes, urlencode, urlsplit

from s3compat.errors import S3Error
from s3compat.form_data import Field
from s3compat.post_policy import Fields
from s3compat.request import Headers, S3Request
from s3compat.serialization import RenderedResponse
from s3compat.service_model import load
from s3compat.xml_input import read_document
from s3compat.xml_output import escape

_FILENAME: Final = "${filename}"
#: Fields that are base64 and never text of the user's.
_VERBATIM: Final = frozenset({"policy", "signature", "x-amz-signature"})

#: Field -> header of PutObject, where they are not called the same.
_RENAMED: Final[Mapping[str, str]] = {"acl": "x-amz-acl"}
_SAME_NAME: Final = frozenset(
    {
        *(
            "cache-control",
            "content-md5",
            "content-disposition",
            "content-encoding",
            "content-language",
            "content-type",
            "expires",
        ),
        *("x-amz-storage-class", "x-amz-website-redirect-location", "x-amz-sdk-checksum-algorithm"),
    }
)
_SAME_PREFIX: Final = (
    "x-amz-meta-",
    "x-amz-checksum-",
    "x-amz-grant-",
    "x-amz-object-lock-",
    "x-amz-server-side-encryption",
)
#: What policies of buckets ask of the request itself.
_KEPT_OF_REQUEST: Final = ("host", "referer", "user-agent", "origin", "x-forwarded-for", "x-amz-expected-bucket-owner")

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+\Z")
_STATUSES: Final = {"200": 200, "201": 201}
_DEFAULT_STATUS: Final = 204


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of a form's file. `headers` are those of PutObject's answer, `etag` has its quotes."""

    bucket: str
    key: str
    etag: str
    headers: tuple[tuple[str, str], ...]


def form_fields(given: Iterable[Field], filename: str, bucket: str) -> Fields:
    """The fields by their names in lower case, `${filename}` replaced; repeated ones are joined by commas.

    The bucket is the one that the request addresses, whatever the form says of it.
    """
    fields: dict[str, str] = {}
    # A browser may send the whole path; AWS takes what follows the last slash or backslash.
    name_of_file = re.split(r"[/\\]", filename)[-1]
    for field in given:
        name = field.name.lower()
        value = field.value if name in _VERBATIM else field.value.replace(_FILENAME, name_of_file)
        fields[name] = f"{fields[name]},{value}" if name in fields else value
    fields["bucket"] = bucket
    return fields


def put_request(request: S3Request, fields: Fields) -> S3Request:
    """The PutObject that a form stands for, without a body.

    Raises InvalidArgument (no key, or a value that no header can hold), KeyTooLongError, MalformedXML (tagging).
    """
    key = fields.get("key")
    if key is None:
        raise S3Error(
            "InvalidArgument",
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.",
            ArgumentName="key",
            ArgumentValue="",
        )
    if not key:
        raise S3Error(
            "InvalidArgument",
            "User key must have a length greater than 0.",
            ArgumentName="key",
            ArgumentValue="",
        )
    headers = [(name, request.headers.get(name) or "") for name in _KEPT_OF_REQUEST if name in request.headers]
    headers.extend(_header(name, value) for name, value in fields.items() if _is_header(name))
    if fields.get("tagging"):
        headers.append(("x-amz-tagging", _tagging_header(fields["tagging"])))
    path = f"/{quote(request.bucket or '')}/{quote(key)}".encode()
    return S3Request.build("PUT", path, b"", Headers(headers), request.secure, ())


def render_stored(request: S3Request, fields: Fields, stored: Stored) -> RenderedResponse:
    """The answer to a form whose file was stored: a redirect, or the status that the form wants."""
    headers = [*stored.headers]
    redirect = _redirect(fields, stored)
    if redirect is not None:
        return RenderedResponse(status=303, headers=[*headers, ("Location", redirect)], body=b"")
    location = _location(request, stored)
    headers.append(("Location", location))
    status = _STATUSES.get(fields.get("success_action_status", ""), _DEFAULT_STATUS)
    if status != 201:
        return RenderedResponse(status=status, headers=headers, body=b"")
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<PostResponse><Location>{escape(location)}</Location>'
        f"<Bucket>{escape(stored.bucket)}</Bucket><Key>{escape(stored.key)}</Key>"
        f"<ETag>{escape(stored.etag)}</ETag></PostResponse>"
    )
    headers.append(("Content-Type", "application/xml"))
    return RenderedResponse(status=status, headers=headers, body=body.encode("utf-8", "xmlcharrefreplace"))


def _is_header(name: str) -> bool:
    return name in _SAME_NAME or name in _RENAMED or name.startswith(_SAME_PREFIX)


def _header(name: str, value: str) -> tuple[str, str]:
    if not _TOKEN.match(name) or _CONTROL.search(value):
        # A line end here would be one in the headers of every answer that gives the object.
        raise S3Error("InvalidArgument", "Header value cannot be represented.", ArgumentName=name, ArgumentValue=value)
    return _RENAMED.get(name, name), value.encode().decode("latin-1")


def _tagging_header(document: str) -> str:
    """The XML of a tagging field as the header that PutObject takes. Raises MalformedXML."""
    payload = load().operations["PutObjectTagging"].input_payload
    assert payload is not None, "the service model gives PutObjectTagging a document"
    tagging = read_document(document.encode(), payload.shape, payload.wire_name, "MalformedXML")
    return urlencode([(tag["Key"], tag["Value"]) for tag in tagging["TagSet"]])


def _redirect(fields: Fields, stored: Stored) -> str | None:
    """Where success_action_redirect leads, with what was stored; None without one that is a URL."""
    url = fields.get("success_action_redirect") or fields.get("redirect") or ""
    if not _VISIBLE.match(url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not parts.netloc:
        return None
    added = urlencode({"bucket": stored.bucket, "key": stored.key, "etag": stored.etag}, quote_via=quote, safe="")
    query = f"{parts.query}&{added}" if parts.query else added
    return parts._replace(query=query, fragment="").geturl()


def _location(request: S3Request, stored: Stored) -> str:
    scheme = "https" if request.secure else "http"
    # The bucket stands in the host name where the path has none.
    bucket = quote_from_bytes(stored.bucket.encode()) + "/" if request.raw_path.strip(b"/") else ""
    return f"{scheme}://{request.headers.get('host') or ''}/{bucket}{quote(stored.key, safe='')}"

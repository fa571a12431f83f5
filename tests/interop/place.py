"""An empty bucket that bad requests are sent to, and the look at it afterwards. No test lives here."""

from typing import Any

from tests.harness.cairn import CairnServer
from tests.interop.signer import Signed
from tests.interop.wire import Answer, connect, head_of, host, signed_request, signer

KEY = "k"


class Place:
    """The bucket, and ways to send something to it on a connection of its own."""

    def __init__(self, server: CairnServer, s3: Any, bucket: str) -> None:
        self.server = server
        self.bucket = bucket
        self._s3 = s3

    @property
    def target(self) -> str:
        """The path of the object that must not come to be."""
        return f"/{self.bucket}/{KEY}"

    def send(self, request: bytes, *, head: bool = False) -> Answer:
        """Send one request and read its answer."""
        with connect(self.server) as connection:
            connection.send(request)
            return connection.answer(head=head)

    def signed(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        """A request that is signed and whole, whatever it says; `_` in header names stands for `-`."""
        return self.send(signed_request(self.server, method, target, body, dashed(headers)))

    def streamed(self, kind: str, body_size: int, decoded_size: int, **headers: str) -> tuple[Signed, bytes]:
        """What signs the chunks of an aws-chunked PUT, and the head of the request."""
        given = {
            "Host": host(self.server),
            "Content-Encoding": "aws-chunked",
            "Content-Length": str(body_size),
            "x-amz-decoded-content-length": str(decoded_size),
            **dashed(headers),
        }
        signed = signer(self.server).headers("PUT", self.target, given, kind)
        return signed, head_of("PUT", self.target, signed.headers)

    def stored(self) -> bytes | None:
        """What the object holds, None without an object."""
        if not self._s3.list_objects_v2(Bucket=self.bucket)["KeyCount"]:
            return None
        content: bytes = self._s3.get_object(Bucket=self.bucket, Key=KEY)["Body"].read()
        return content

    def check(self) -> None:
        """The server answers, and there is neither an object nor a part of one."""
        assert self._s3.list_objects_v2(Bucket=self.bucket)["KeyCount"] == 0
        assert "Uploads" not in self._s3.list_multipart_uploads(Bucket=self.bucket)


def dashed(headers: dict[str, str]) -> dict[str, str]:
    """Keyword arguments as header names."""
    return {name.replace("_", "-"): value for name, value in headers.items()}


def delete_document(inside: str) -> bytes:
    """The body of DeleteObjects."""
    return f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inside}</Delete>'.encode()

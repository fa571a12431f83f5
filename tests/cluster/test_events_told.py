"""Events reach their webhook whatever happens to the worker, the target, and the index's own copy of the journal."""

import asyncio
import json
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.index import keys
from gateway.index.connection import connect
from gateway.user_commands import find_index
from tests.harness.cairn import CairnServer
from tests.interop.support import run_cairn

PATIENCE_S = 90.0
KEYS = [f"k{number:03d}" for number in range(120)]


@dataclass(slots=True)
class Webhook:
    """Takes events, once it is told to."""

    url: str = ""
    up: bool = False
    told: list[str] = field(default_factory=list)
    refused: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, document: dict[str, Any]) -> int:
        if not self.up:
            self.refused.set()
            return 503
        with self.changed:
            self.told += [record["s3"]["object"]["key"] for record in document.get("Records", [])]
            self.changed.notify_all()
        return 200

    def wait_for(self, wanted: set[str]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: wanted <= set(self.told), PATIENCE_S), sorted(wanted - set(self.told))


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    made = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            document = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(made.take(document))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


async def forget_stream(server: CairnServer) -> None:
    """Take from the index its copy of the journal: what is durable is on the nodes."""
    connection = connect(find_index({}, str(server.data_dir)).redis_host)
    try:
        await connection.command("XTRIM", keys.journal_stream(), "MAXLEN", 0)
    finally:
        await connection.close()


def test_all_that_happened_is_told_in_order_after_target_and_worker_were_down(tmp_path: Path, webhook: Webhook) -> None:
    with CairnServer.start(tmp_path / "cairn") as server:
        arn = run_cairn(server, "target", "add", "hook", "--webhook", webhook.url).strip()
        s3 = server.client()
        s3.create_bucket(Bucket="events")
        rule = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
        s3.put_bucket_notification_configuration(
            Bucket="events", NotificationConfiguration={"QueueConfigurations": [rule]}
        )
        for key in KEYS[:40]:
            s3.put_object(Bucket="events", Key=key, Body=b"x")
        assert webhook.refused.wait(PATIENCE_S)
        assert "503" in run_cairn(server, "target", "list")
        (worker,) = server.processes("worker")
        worker.send_signal(signal.SIGSTOP)
        for key in KEYS[40:80]:
            s3.put_object(Bucket="events", Key=key, Body=b"x")
        asyncio.run(forget_stream(server))
        worker.kill()
        webhook.up = True
        webhook.wait_for(set(KEYS[:80]))
        server.processes("worker")[0].kill()
        for key in KEYS[80:]:
            s3.put_object(Bucket="events", Key=key, Body=b"x")
        webhook.wait_for(set(KEYS))
        s3.close()

    assert list(dict.fromkeys(webhook.told)) == KEYS

"""Finding the server: what REDIS_HOST may say, and going on after a fail-over."""

import asyncio

import pytest

from gateway.index.connection import connect
from gateway.index.discovery import locator, parse_places
from gateway.index.errors import IndexNotOpen, IndexUnavailable
from gateway.index.journal_feed import JournalFeed
from gateway.index.store import Index
from tests.gateway.index.making import make_bucket
from tests.harness.opened_index import open_as_it_is, open_new
from tests.harness.redis_topologies import Clustered, Replicated


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("a:1,b:2", [("a", 1), ("b", 2)]),
        ("a, b:2,", [("a", 26379), ("b", 2)]),
        ("[::1]:7,[::2]", [("::1", 7), ("::2", 26379)]),
        ("", []),
    ],
)
def test_places_are_parsed(text: str, places: list[tuple[str, int]]) -> None:
    assert parse_places(text, 26379) == places


@pytest.mark.parametrize("host", ["sentinel:", "sentinel:name", "sentinel:@a:1", "cluster:", "cluster:a:x"])
def test_a_host_that_names_no_server_is_refused(host: str) -> None:
    with pytest.raises(ValueError):
        locator(host, 6379, password="", timeout_s=1)


@pytest.mark.parametrize("host", ["sentinel:cairn@127.0.0.1:1", "cluster:127.0.0.1:1,127.0.0.1:2"])
async def test_nobody_to_ask_is_an_index_that_is_away(host: str) -> None:
    nowhere = connect(host)
    with pytest.raises(IndexUnavailable, match=r"127\.0\.0\.1|no Sentinel"):
        await nowhere.command("PING")
    await nowhere.close()


async def test_after_a_fail_over_the_new_master_is_found_and_must_be_opened_first(replicated: Replicated) -> None:
    raw, guarded = connect(replicated.address), connect(replicated.address, guarded=True)
    index = Index(guarded)
    await open_new(raw)
    await make_bucket(index)
    old = await JournalFeed(raw).read_state()
    await raw.command("WAIT", 1, 5000)

    await asyncio.to_thread(replicated.fail_over)

    with pytest.raises(IndexNotOpen):
        await index.get_bucket("photos")
    new = await JournalFeed(raw).read_state()
    assert (new.is_master, new.opened, new.sequence) == (True, old.identity, 1)
    assert new.identity != old.identity
    await open_as_it_is(raw)
    assert (await index.get_bucket("photos")).name == "photos"
    for opened in (raw, guarded):
        await opened.close()


async def test_a_cluster_is_entered_through_any_member_that_lives(clustered: Clustered) -> None:
    places = clustered.address.removeprefix("cluster:")
    raw = connect(f"cluster:127.0.0.1:1,{places}")
    await open_new(raw)
    await make_bucket(Index(raw))
    assert (await raw.command("INFO", "server")).find(f"tcp_port:{clustered.owner().port}".encode()) > 0
    await raw.close()

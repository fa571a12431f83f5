"""What happens to a call when the connection or the server fails: changes are sent once, reads twice."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from gateway.index import keys
from gateway.index.connection import Connection, check_durability, connect
from gateway.index.errors import IndexFault, IndexUnavailable
from gateway.index.records import Deletion
from gateway.index.scripts import Script, load_script
from gateway.index.store import Index
from tests.gateway.index.making import NOW_MS, OWNER, make_bucket, put, stored_object
from tests.harness.opened_index import open_new
from tests.harness.redis_server import RedisServer
from tests.harness.tcp_proxy import TcpProxy

INCREMENT = Script(
    name="increment", text="return {redis.call('INCR', KEYS[1]), 0}", digest="464add0ae9923c75bfe518b2d940f720e2a231fe"
)


@pytest.fixture
async def proxy(server: RedisServer, connection: Connection) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(unix_path=str(server.socket_path)) as running:
        yield running


@pytest.fixture
async def proxied(proxy: TcpProxy) -> AsyncIterator[Connection]:
    opened = connect("127.0.0.1", proxy.port, timeout_s=5)
    await opened.command("PING")
    yield opened
    await opened.close()


async def eventually_counted(connection: Connection, key: str, expected: bytes) -> None:
    async with asyncio.timeout(10):
        while await connection.command("GET", key) != expected:
            pass


async def test_a_change_whose_answer_is_lost_is_sent_once_and_reported_as_uncertain(
    proxy: TcpProxy, proxied: Connection, connection: Connection
) -> None:
    await proxied.change(INCREMENT, ["counter"])
    proxy.drop_after = lambda chunk: b"EVALSHA" in chunk
    sent_before, connections_before = len(proxy.sent), proxy.connections

    with pytest.raises(IndexUnavailable) as failed:
        await proxied.change(INCREMENT, ["counter"])

    assert failed.value.maybe_applied
    assert len(proxy.sent) == sent_before + 1
    assert proxy.connections == connections_before
    await eventually_counted(connection, "counter", b"2")
    proxy.drop_after = None
    assert await proxied.change(INCREMENT, ["counter"]) == 3


async def test_a_put_whose_answer_is_lost_is_applied_at_most_once(
    proxy: TcpProxy, proxied: Connection, connection: Connection
) -> None:
    through_proxy, direct = Index(proxied), Index(connection)
    await make_bucket(direct)
    await put(through_proxy, "warm")
    before = (await direct.get_bucket("photos")).object_count
    proxy.drop_after = lambda chunk: b"EVALSHA" in chunk

    with pytest.raises(IndexUnavailable) as failed:
        await put(through_proxy, "k")

    assert failed.value.maybe_applied
    async with asyncio.timeout(10):
        while (await direct.get_object("photos", "k"))[1] is None:
            pass
    assert (await direct.get_bucket("photos")).object_count == before + 1


async def test_a_read_whose_answer_is_lost_is_sent_again(proxy: TcpProxy, proxied: Connection) -> None:
    dropped = []

    def drop_first(chunk: bytes) -> bool:
        dropped.append(chunk)
        return len(dropped) == 1

    proxy.drop_after = drop_first

    assert await proxied.command("ECHO", "still here") == b"still here"
    assert len(dropped) == 2


async def test_a_read_is_not_sent_a_third_time(proxy: TcpProxy, proxied: Connection) -> None:
    sent_before = len(proxy.sent)
    proxy.drop_after = lambda chunk: True

    with pytest.raises(IndexUnavailable) as failed:
        await proxied.read(INCREMENT, ["counter"])

    assert not failed.value.maybe_applied
    assert len(proxy.sent) == sent_before + 2


async def test_a_connection_cut_while_idle_is_opened_again(proxy: TcpProxy, proxied: Connection) -> None:
    proxy.drop_all()
    async with asyncio.timeout(10):
        while proxied._pipe is not None and proxied._pipe.is_open:
            await asyncio.sleep(0)

    assert await proxied.change(INCREMENT, ["counter"]) == 1


async def test_every_caller_in_flight_is_told(proxy: TcpProxy, proxied: Connection) -> None:
    proxy.hold_replies = True
    changes = [asyncio.create_task(proxied.change(INCREMENT, ["counter"])) for _ in range(10)]
    async with asyncio.timeout(10):
        while not any(b"EVALSHA" in chunk for chunk in proxy.sent):
            await asyncio.sleep(0)
    proxy.drop_all()

    results = await asyncio.gather(*changes, return_exceptions=True)

    assert all(isinstance(result, IndexUnavailable) and result.maybe_applied for result in results)


async def test_an_unreachable_server_leaves_nothing_applied() -> None:
    for host, port in (("unix:/nonexistent/redis.sock", 0), ("127.0.0.1", 1)):
        nowhere = connect(host, port)
        with pytest.raises(IndexUnavailable) as failed:
            await nowhere.change(INCREMENT, ["counter"])
        assert not failed.value.maybe_applied
        with pytest.raises(IndexUnavailable):
            await nowhere.command("PING")
        await nowhere.close()


async def test_a_silent_server_is_given_up_after_the_timeout(server: RedisServer, connection: Connection) -> None:
    impatient = connect(server.address, timeout_s=0.1)
    await impatient.command("PING")
    server.pause()
    try:
        results = await asyncio.gather(
            impatient.change(INCREMENT, ["counter"]), impatient.command("PING"), return_exceptions=True
        )
    finally:
        server.resume()

    assert [isinstance(result, IndexUnavailable) and result.maybe_applied for result in results] == [True, False]
    assert await impatient.command("PING") == b"PONG"
    await impatient.close()


async def test_a_loop_that_was_blocked_itself_does_not_blame_the_server(server: RedisServer) -> None:
    impatient = connect(server.address, timeout_s=0.04)
    await impatient.command("PING")
    call = asyncio.create_task(impatient.change(INCREMENT, ["counter"]))
    await asyncio.sleep(0)
    time.sleep(0.2)

    assert await call > 0
    await impatient.close()


async def test_cancelled_callers_leave_the_answers_of_others_alone(connection: Connection) -> None:
    calls = [asyncio.create_task(connection.command("ECHO", str(number))) for number in range(100)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()

    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert answers[1::2] == [str(number).encode() for number in range(1, 100, 2)]
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
    assert await connection.command("ECHO", "next") == b"next"


async def test_a_caller_cancelled_while_connecting_does_not_stop_the_others(server: RedisServer) -> None:
    fresh = connect(server.address)
    first, second = (asyncio.create_task(fresh.command("ECHO", text)) for text in ("1", "2"))
    await asyncio.sleep(0)
    first.cancel()

    assert await second == b"2"
    with suppress(asyncio.CancelledError):
        await first
    await fresh.close()


async def test_a_failure_to_connect_that_nobody_waits_for_is_not_reported_later() -> None:
    nowhere = connect("unix:/nonexistent/redis.sock")
    call = asyncio.create_task(nowhere.command("PING"))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await asyncio.sleep(0)
    await nowhere.close()
    gc.collect()


async def test_a_script_the_server_has_forgotten_is_sent_whole(connection: Connection) -> None:
    await connection.change(INCREMENT, ["counter"])
    await connection.command("SCRIPT", "FLUSH")

    assert await connection.change(INCREMENT, ["counter"]) == 2


async def test_a_script_that_fails_is_a_fault_and_writes_nothing(connection: Connection) -> None:
    index = Index(connection)
    await make_bucket(index)
    await connection.command("SET", "cairn:{0}:objects:photos", "not a sorted set")

    with pytest.raises(IndexFault, match="put_object"):
        await put(index, "k")
    assert (await index.get_bucket("photos")).object_count == 0


async def test_a_full_server_refuses_to_grow_and_still_deletes() -> None:
    with RedisServer(arguments=("--maxmemory", "4mb")) as small:
        connection = connect(small.address)
        await open_new(connection)
        index = Index(connection)
        await make_bucket(index)
        stored = []
        with pytest.raises(IndexUnavailable, match="OOM") as failed:
            for number in range(100_000):
                await index.put_object("photos", f"{number}", stored_object())
                stored.append(f"{number}")
        assert not failed.value.maybe_applied
        assert (await index.get_bucket("photos")).object_count == len(stored)

        deletions = [Deletion(key=key) for key in stored[:1000]]
        await index.delete_objects("photos", deletions, owner_id=OWNER, now_ms=NOW_MS)
        for entry in await index.due_reclaims(grace_ms=0, limit=1000):
            await index.finish_reclaim(entry)
        await connection.command("XTRIM", keys.journal_stream(), "MAXLEN", 0)  # as behind a journal that got on
        await put(index, "there is room again")
        await connection.close()


async def test_passwords() -> None:
    with RedisServer(password="sesame") as guarded:
        knowing, wrong, silent = (connect(guarded.address, password=text) for text in ("sesame", "wrong", ""))
        assert await knowing.command("PING") == b"PONG"
        for refused in (wrong, silent):
            with pytest.raises(IndexUnavailable) as failed:
                await refused.change(INCREMENT, ["counter"])
            assert not failed.value.maybe_applied
        for opened in (knowing, wrong, silent):
            await opened.close()


@pytest.mark.parametrize(
    ("appendonly", "policy", "expected"),
    [(True, "always", None), (True, "everysec", None), (False, "always", "appendonly no")],
)
async def test_what_a_server_may_lose_is_told(appendonly: bool, policy: str, expected: str | None) -> None:
    with RedisServer(appendonly=appendonly, appendfsync=policy) as running:
        connection = connect(running.address)
        told = await check_durability(connection)
        await connection.close()

    assert told is None if expected is None else expected in (told or "")


async def test_a_server_that_hides_its_configuration_is_told() -> None:
    with RedisServer(arguments=("--rename-command", "CONFIG", "")) as closed:
        connection = connect(closed.address)
        assert "does not tell" in (await check_durability(connection) or "")
        await connection.close()


async def test_what_was_answered_survives_a_kill() -> None:
    running = RedisServer(appendonly=True).start()
    connection = connect(running.address)
    await open_new(connection)
    index = Index(connection)
    await make_bucket(index)
    results = [await index.put_object("photos", f"{number}", stored_object()) for number in range(50)]

    running.kill()
    running.start()

    assert (await index.get_bucket("photos")).object_count == 50
    after = await index.put_object("photos", "next", stored_object())
    assert after.sequence == results[-1].sequence + 1
    await connection.close()
    running.stop()


def test_every_script_is_assembled_with_its_parts() -> None:
    script = load_script("delete_objects")

    assert script.text.startswith("#!lua flags=allow-oom\n")
    assert "commit_change" in script.text
    assert "-- uses:" not in script.text
    with pytest.raises(ValueError, match="uses"):
        load_script("prelude")
    with pytest.raises(FileNotFoundError):
        load_script("missing")

"""An index opened on a server by hand, as a recovery would, for tests that have no journal."""

from gateway.index.connection import Connection
from gateway.index.journal_feed import JournalFeed


async def open_new(connection: Connection) -> None:
    """Empty the server and open a new index on it, at change 0."""
    await connection.command("FLUSHALL")
    await open_as_it_is(connection)


async def open_as_it_is(connection: Connection) -> None:
    """Open the index that the server holds; where there is none, a new one."""
    feed = JournalFeed(connection)
    state = await feed.read_state()
    watermark = state.sequence or 0
    incarnation = f"{state.identity}:0"
    await feed.open(identity=state.identity, incarnation=incarnation, epoch=0, segment=b"", watermark=watermark)

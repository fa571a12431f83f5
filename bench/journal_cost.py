"""`python -m bench.journal_cost`: what the journal costs 4 KiB writes, with and without it in turn.

One process, as a gateway without HTTP: bytes to the nodes, then the change of the index. Without the journal an
acknowledgement waits for the index server alone, which then is given `appendfsync always`, and with it `everysec`.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from gateway.datapath import DataPath, Origin
from gateway.index.records import ObjectRecord
from gateway.journal.opening import OpenIndex, open_index
from gateway.settings import GatewaySettings
from tests.gateway.datapath.cluster import SECRET, NodeProcess
from tests.harness.redis_server import RedisServer

_BUCKET = "bench"
_BODY = bytes(range(256)) * 16
_OPEN_TIMEOUT_S = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.journal_cost", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--writers", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="cairn-journal-cost-") as directory,
        RedisServer(appendonly=True, appendfsync="everysec") as redis,
    ):
        nodes = [NodeProcess(Path(directory) / f"{number}", redis.address) for number in range(options.nodes)]
        try:
            for node in nodes:
                node.start()
            asyncio.run(_measure(options, redis))
        finally:
            for node in nodes:
                node.kill()


async def _measure(options: argparse.Namespace, redis: RedisServer) -> None:
    console = Console()
    settings = replace(GatewaySettings(), redis_host=redis.address, cluster_secret=SECRET, expected_nodes=options.nodes)
    async with open_index(settings) as opened:
        await opened.journal.wait_until_open(_OPEN_TIMEOUT_S)
        await opened.membership.refresh()
        await opened.index.create_bucket(_BUCKET, "owner", "us-east-1", now_ms=0, limit=1)
        datapath = DataPath(
            client=opened.client,
            membership=opened.membership,
            replicas_for=settings.replicas_for,
            keep_lease=lambda write_id, seconds: opened.index.keep_lease(write_id, ttl_ms=int(seconds * 1000)),
            orphan_grace_s=3600.0,
        )
        for writers in dict.fromkeys((1, options.writers)):
            ratios = []
            for number in range(options.rounds):
                rates = {}
                for journaled in (True, False) if number % 2 else (False, True):
                    rates[journaled] = await _rate(opened, datapath, writers, options.seconds, journaled=journaled)
                ratios.append(rates[True] / rates[False])
                console.print(
                    f"{writers} writers: {rates[False]:.0f} writes/s without, {rates[True]:.0f} with the journal"
                )
            console.print(f"{writers} writers: with/without {statistics.median(ratios):.2f} (median)")
        await datapath.aclose()


async def _rate(opened: OpenIndex, datapath: DataPath, writers: int, seconds: float, *, journaled: bool) -> float:
    """Writes a second by so many at once."""
    opened.connection.attach(opened.journal if journaled else None)
    await opened.raw.command("CONFIG", "SET", "appendfsync", "everysec" if journaled else "always")
    ends_at = time.perf_counter() + seconds
    done = 0

    async def write(writer: int) -> None:
        nonlocal done
        number = 0
        while time.perf_counter() < ends_at:
            key = f"{writer}/{number}"
            async with datapath.open_write(origin=Origin(bucket=_BUCKET, key=key), size_bytes=len(_BODY)) as sink:
                await sink.write(_BODY)
                extent = await sink.finish()
            record = ObjectRecord(
                etag="0" * 32, size_bytes=len(_BODY), modified_ms=1, owner_id="owner", extents=(extent,)
            )
            await opened.index.put_object(_BUCKET, key, record)
            number += 1
            done += 1

    await asyncio.gather(*[write(writer) for writer in range(writers)])
    return done / seconds


if __name__ == "__main__":
    main()

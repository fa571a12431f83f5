"""`python -m bench`: start Cairn and the yardsticks, measure, print. Arguments behind `--` go to `cairn serve`."""

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from rich.console import Console

from bench import measures
from bench.measures import Bench
from bench.report import Measurement, as_json, print_table
from bench.signed import Signer
from bench.yardsticks import bare_server
from tests.harness.cairn import CairnServer

_MIB = 1024 * 1024
_CONNECTIONS = (1, 8, 32)

#: What there is to measure, by the name that --only takes.
MEASURES: dict[str, Callable[[Bench], Measurement]] = {
    "large-get": measures.large_get,
    "parallel-get": measures.parallel_get,
    "large-put": measures.large_put,
    **{f"small-get-{n}": partial(measures.small_gets, connections=n) for n in _CONNECTIONS},
    **{f"small-put-{n}": partial(measures.small_puts, connections=n) for n in _CONNECTIONS},
    "list": measures.lists,
}


def main() -> int:
    options = _parse_arguments()
    console = Console(stderr=options.json)
    found: list[Measurement] = []
    with _bench(options) as bench:
        measures.prepare(bench)
        for name in options.only or MEASURES:
            with console.status(f"measuring {name}"):
                found.append(MEASURES[name](bench))
    if options.json:
        print(as_json(found))
    else:
        print_table(found, Console(width=160) if not sys.stdout.isatty() else console)
    missed = [measurement for measurement in found if measurement.is_met is False]
    return 1 if options.check and missed else 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement, alternating")
    parser.add_argument("--size-mib", type=int, default=256, help="size of the large object")
    parser.add_argument("--requests", type=int, default=2000, help="small requests a round")
    parser.add_argument("--only", action="append", choices=MEASURES, help="measure this (repeatable)")
    parser.add_argument("--data", type=Path, help="parent of the data directory: choose the disk to measure")
    parser.add_argument("--json", action="store_true", help="all rounds as JSON on standard output")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument("serve", nargs="*", help="flags of `cairn serve`, behind --")
    return parser.parse_args()


@contextlib.contextmanager
def _bench(options: argparse.Namespace) -> Iterator[Bench]:
    large = os.urandom(options.size_mib * _MIB)
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cairn-bench-", dir=options.data)))
        (scratch / "large").write_bytes(large)
        server = stack.enter_context(CairnServer.start(scratch / "data", *options.serve))
        yield Bench(
            server=server,
            signer=Signer(
                host="127.0.0.1",
                port=server.port,
                access_key=server.access_key,
                secret_key=server.secret_key,
                region=server.region,
            ),
            sendfile_port=stack.enter_context(bare_server("bench.sendfile_server", str(scratch / "large"))),
            hello_port=stack.enter_context(bare_server("bench.hello_app")),
            scratch=scratch,
            rounds=options.rounds,
            large=large,
            small_requests=options.requests,
        )


if __name__ == "__main__":
    sys.exit(main())

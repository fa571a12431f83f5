"""`python -m tests.conformance CHECKOUT`: start Cairn, run ceph/s3-tests against it, compare, report.

Exit status: 0 when every test of the committed list that ran has passed, 1 when one broke, 2 when nothing ran.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.conformance.accounts import (
    SHARED_ROLES,
    WORKER_ROLES,
    Account,
    accounts_for,
    make_account,
    worker_names,
    write_configuration,
)
from tests.conformance.results import Outcome, compare, passed, read_expected, read_outcomes, write_expected
from tests.conformance.suite import PROJECT, SuiteError, SuiteRun, check_checkout, prepare_environment, run
from tests.harness.cairn import CairnServer, clean_environment

JUNIT = PROJECT / ".tools" / "conformance" / "junit.xml"
DEFAULT_WORKERS = 4


def main() -> int:
    options = _parse_arguments()
    try:
        check_checkout(options.checkout)
        python = prepare_environment(options.checkout)
    except SuiteError as error:
        print(error, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="cairn-conformance-") as scratch, _server(options, Path(scratch)) as url:
        _write_configurations(Path(scratch), url, options.workers)
        run(
            python,
            SuiteRun(
                checkout=options.checkout,
                configuration=Path(scratch),
                junit=options.junit,
                workers=options.workers,
                only=options.only,
            ),
        )
    if not options.junit.exists():
        print(f"nothing ran; see {options.junit.with_suffix('.log')}", file=sys.stderr)
        return 2
    return _report(options)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("checkout", type=lambda path: Path(path).resolve(), help="checkout of ceph/s3-tests")
    parser.add_argument("--update", action="store_true", help="write what passed into the committed list")
    parser.add_argument("--only", metavar="EXPRESSION", default="", help="choose tests as pytest's -k does")
    parser.add_argument("--endpoint", metavar="URL", help="test this server, which takes any key, instead of Cairn")
    parser.add_argument("--workers", type=int, default=DEFAULT_WORKERS, help="processes; 0 is one without xdist")
    parser.add_argument("--junit", type=Path, default=JUNIT, help=f"default {JUNIT.relative_to(PROJECT)}")
    options = parser.parse_args()
    if options.update and (options.only or options.endpoint):
        parser.error("--update needs a whole run against Cairn")
    return options


@contextlib.contextmanager
def _server(options: argparse.Namespace, scratch: Path) -> Iterator[str]:
    if options.endpoint:
        yield options.endpoint
        return
    # The suite predates BucketOwnerEnforced as the ownership of new buckets.
    with CairnServer.start(
        scratch / "data", env={"CAIRN_OBJECT_OWNERSHIP": "ObjectWriter", "CAIRN_SIGV2": "on"}
    ) as server:
        for worker in worker_names(options.workers):
            for role in WORKER_ROLES:
                _add_user(server, make_account(role, worker))
        for role in SHARED_ROLES:
            _add_user(server, make_account(role, "all"))
        yield server.endpoint


def _add_user(server: CairnServer, account: Account) -> None:
    command = [sys.executable, "-m", "gateway.cli", "user", "add", account.name, "--data", str(server.data_dir)]
    details = {
        "--access-key": account.access_key,
        "--secret-key": account.secret_key,
        "--id": account.canonical_id,
        "--display-name": account.display_name,
        "--email": account.email,
    }
    flags = [word for pair in details.items() for word in pair]
    subprocess.run(command + flags, cwd=PROJECT, env=clean_environment(), stdout=subprocess.DEVNULL, check=True)


def _write_configurations(directory: Path, endpoint: str, workers: int) -> None:
    address = urlsplit(endpoint)
    assert address.hostname
    # The controlling process of xdist reads "main.conf" while it collects.
    for worker in {"main", *worker_names(workers)}:
        path = directory / f"{worker}.conf"
        write_configuration(path, address.hostname, address.port or 80, accounts_for(worker))


def _report(options: argparse.Namespace) -> int:
    outcomes = read_outcomes(options.junit)
    counts = Counter(outcomes.values())
    print(", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome) + f" of {len(outcomes)}")
    print(f"details: {options.junit} and {options.junit.with_suffix('.log').name} beside it")
    if options.endpoint:
        return 0
    comparison = compare(outcomes, read_expected())
    for title, names in (("newly passing", comparison.newly_passing), ("BROKEN", comparison.broken)):
        if names:
            print(f"\n{title}: {len(names)}", *names, sep="\n  ")
    if options.update:
        write_expected(passed(outcomes))
        return 0
    return 1 if comparison.broken else 0


if __name__ == "__main__":
    sys.exit(main())

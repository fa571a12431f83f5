"""`python -m tests.storm`: the storm in its long form. Ends with status 1 when anything was wrong."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.harness.cluster import ClusterPlan
from tests.storm.journal import has_journal
from tests.storm.schedule import Switches
from tests.storm.storm import StormPlan, run_storm


def main() -> int:
    """Run one storm by the flags and print its report."""
    flags = _parser().parse_args()
    plan = StormPlan(
        seed=flags.seed,
        seconds=flags.seconds,
        kills=flags.kills,
        clients=flags.clients,
        cluster=ClusterPlan(
            nodes=flags.nodes,
            gateways=flags.gateways,
            redis_fsync="everysec" if flags.forgetful_redis else flags.redis_fsync,
            redis_binary=flags.redis_binary,
        ),
        switches=Switches(
            forgetful_redis=flags.forgetful_redis,
            wipes=flags.wipes,
            lost_nodes=flags.lost_nodes,
            network=not flags.no_network,
            pauses=not flags.no_pauses,
        ),
    )
    directory = Path(flags.directory or tempfile.mkdtemp(prefix="cairn-storm-"))
    print(f"seed {flags.seed}: {flags.kills} kills in {flags.seconds:g} s; files in {directory}", flush=True)
    report = run_storm(plan, directory, say=lambda text: print(text, flush=True))
    print(report)
    if report.is_clean and not flags.directory:
        shutil.rmtree(directory)
    return 0 if report.is_clean else 1


def _parser() -> argparse.ArgumentParser:
    journal = has_journal()  # without it Redis must not be lost
    parser = argparse.ArgumentParser(
        prog="python -m tests.storm", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--wipes", type=int, default=8 * journal, help="how often Redis is emptied")
    parser.add_argument("--lost-nodes", type=int, default=1, help="how many nodes lose their directory")
    parser.add_argument(
        "--forgetful-redis",
        action=argparse.BooleanOptionalAction,
        default=journal,
        help="appendfsync everysec, and every other kill of Redis takes back its last second or so",
    )
    parser.add_argument("--redis-fsync", default="always", choices=("always", "everysec"))
    parser.add_argument("--redis-binary", type=Path, help="another server than the embedded one")
    parser.add_argument("--no-network", action="store_true", help="leave the links whole")
    parser.add_argument("--no-pauses", action="store_true", help="pause no process")
    parser.add_argument("--directory", help="keep every file there")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""The worker's job that keeps snapshots of the index and trims the journal behind them."""

import secrets

from gateway.index.journal_feed import JournalFeed
from gateway.journal.change_segment import SegmentChanger
from gateway.journal.cut import SegmentCutter
from gateway.journal.opening import MembershipRoster, OpenIndex
from gateway.journal.placing import Placing
from gateway.journal.snapshot import SnapshotKeeper, SnapshotPolicy
from gateway.journal.snapshot_writer import SnapshotWriter
from gateway.settings import GatewaySettings
from gateway.workers.notification import needed_from


def snapshot_keeper(settings: GatewaySettings, opened: OpenIndex) -> SnapshotKeeper:
    """One for the lifetime of the process; `run_once` is the job."""
    raw_feed = JournalFeed(opened.raw)
    changer = SegmentChanger(
        opened.client.journal,
        MembershipRoster(opened.membership),
        Placing(replicas=settings.journal_replicas),
        random_bits=secrets.randbits,
    )
    writer = SnapshotWriter(
        *(raw_feed, opened.raw, opened.client, opened.membership),
        durability=opened.journal,
        replicas=settings.replicas_for,
    )
    policy = SnapshotPolicy(
        entries=settings.snapshot_entries,
        interval_s=settings.snapshot_interval_s,
        leftover_grace_s=settings.orphan_grace_s,
    )
    return SnapshotKeeper(
        *(writer, raw_feed, opened.client, opened.membership),
        policy=policy,
        roll=SegmentCutter(feed=opened.feed, changer=changer),
        needed_from=lambda sequence: needed_from(opened.index, sequence=sequence, now_ms=opened.membership.now_ms()),
    )

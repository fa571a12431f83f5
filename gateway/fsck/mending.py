"""What `cairn fsck --repair` does about findings. It deletes nothing: bytes that it cannot explain go to quarantine.

Copies are mended by the repair queue. Damage to the journal or to a snapshot is mended by new snapshots: with two of
them sound, older ones and the journal behind are given back. An index that differs from its journal is not touched:
which of the two is right, an administrator must decide; `cairn rebuild` takes the journal's word.
"""

from collections import defaultdict
from collections.abc import Callable

from gateway.fsck.findings import Finding, FindingKind, Report
from gateway.fsck.surroundings import Surroundings
from gateway.index.errors import NoSuchBucket
from gateway.index.repair_records import RepairReason, RepairReport, SegmentRef, class_of
from gateway.journal.snapshot import SNAPSHOTS_KEPT, SnapshotKeeper
from gateway.journal.snapshot_writer import SnapshotFailed
from storagenode.client import NodeError

OF_COPIES = {
    FindingKind.COPY_MISSING: RepairReason.MISSING,
    FindingKind.COPY_SIZE: RepairReason.CORRUPT,
    FindingKind.BLOB_SURPLUS: RepairReason.SURPLUS,
}

OF_JOURNAL = (
    FindingKind.JOURNAL_GAP,
    FindingKind.JOURNAL_ENTRY_SHORT,
    FindingKind.JOURNAL_ENTRIES_DIFFER,
    FindingKind.JOURNAL_DAMAGED,
    FindingKind.SNAPSHOT_CHUNK,
    FindingKind.SNAPSHOT_LOST,
    FindingKind.SNAPSHOT_MANIFEST,
)

OF_INDEX = (FindingKind.INDEX_MISSING, FindingKind.INDEX_UNEXPLAINED, FindingKind.INDEX_DIFFERS)

_WRITE_ID_DIGITS = 32


async def mend(around: Surroundings, report: Report, keeper: SnapshotKeeper, say: Callable[[str], None]) -> None:
    """Do what can be done; `say` takes a sentence for each kind of thing done. Raises IndexUnavailable, IndexFault."""
    await _correct_counters(around, report, say)
    await _quarantine(around, report, say)
    await _queue_repairs(around, report, say)
    if not report.of(*OF_INDEX):
        await _renew_snapshots(report, keeper, say)
    else:
        # A snapshot would make the index's word the journal's.
        say("the index differs from its journal: left as it is; cairn rebuild makes it what the journal says")


async def _correct_counters(around: Surroundings, report: Report, say: Callable[[str], None]) -> None:
    corrected = 0
    for finding in report.of(FindingKind.COUNTER):
        try:
            await around.index.correct_counters(finding.bucket, bucket_id=finding.bucket_id, excess=finding.excess)
        except NoSuchBucket:
            continue  # removed, or another one by now
        corrected += 1
    if corrected:
        say(f"corrected the counters of {corrected} buckets")


async def _quarantine(around: Surroundings, report: Report, say: Callable[[str], None]) -> None:
    """What nothing explains, and copies of a wrong size, which the repair queue then replaces."""
    moved = failed = 0
    for finding in report.of(FindingKind.BLOB_UNEXPLAINED, FindingKind.COPY_SIZE):
        address = around.addresses.get(finding.node_id)
        try:
            if address is None:
                raise NodeError("the node is away")
            moved += await around.client.quarantine(address, finding.blob_id)
        except NodeError:
            failed += 1
    if moved or failed:
        say(f"moved {moved} blobs to quarantine on their nodes" + (f", {failed} could not be moved" if failed else ""))


async def _queue_repairs(around: Surroundings, report: Report, say: Callable[[str], None]) -> None:
    by_blob: dict[str, list[Finding]] = defaultdict(list)
    for finding in report.of(*OF_COPIES):
        by_blob[finding.blob_id].append(finding)
    reports = [_repair_report(name, findings) for name, findings in by_blob.items()]
    if reports:
        await around.index.queue_repairs(reports)
        say(f"queued {len(reports)} segments for repair")
    if lost := len(report.of(FindingKind.SEGMENT_LOST)):
        say(f"{lost} segments are lost unless a node comes back that has them")


def _repair_report(name: str, findings: list[Finding]) -> RepairReport:
    first = findings[0]
    if first.origin is None:
        raise ValueError(f"nobody knows whose {name} is")
    bad = sum(finding.kind is not FindingKind.BLOB_SURPLUS for finding in findings)
    copies_left = max(0, first.copies - bad)
    reasons = RepairReason(0)
    for finding in findings:
        reasons |= OF_COPIES[finding.kind]
    return RepairReport(
        segment=SegmentRef(write_id=name[:_WRITE_ID_DIGITS], number=int(name[_WRITE_ID_DIGITS + 1 :], 16)),
        origin=first.origin,
        reasons=reasons,
        repair_class=class_of(copies_left=copies_left, wanted=first.copies),
        copies_left=copies_left,
        size_bytes=first.size_bytes,
    )


async def _renew_snapshots(report: Report, keeper: SnapshotKeeper, say: Callable[[str], None]) -> None:
    if not report.of(*OF_JOURNAL):
        return
    try:
        for _ in range(SNAPSHOTS_KEPT):
            await keeper.take()
        result = await keeper.run_once()
    except SnapshotFailed as error:
        say(f"no new snapshot could be taken: {error}")
        return
    say(
        f"took {SNAPSHOTS_KEPT} new snapshots, removed {len(result.removed)} older ones and"
        f" {result.segments_dropped} copies of journal segments behind them"
    )

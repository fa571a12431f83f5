"""What a check finds: one sentence for each difference, of a kind that repair can act on."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from gateway.index.records import Origin


class FindingKind(Enum):
    """What differs. The values are what `--json` prints."""

    NOT_CHECKED = "not-checked"
    """Something could not be looked at: a node that is away, a journal that cannot be read."""

    # The journal and its snapshots.
    JOURNAL_GAP = "journal-gap"
    """Entries that no node has, between the oldest kept snapshot and the watermark."""
    JOURNAL_ENTRY_SHORT = "journal-entry-short"
    """Entries on fewer nodes than their segment's quorum."""
    JOURNAL_ENTRIES_DIFFER = "journal-entries-differ"
    JOURNAL_DAMAGED = "journal-damaged"
    """A node says that its copy of a segment is damaged, or lacks the segment."""
    SNAPSHOT_CHUNK = "snapshot-chunk"
    """A chunk is missing or other bytes on one of its nodes."""
    SNAPSHOT_LOST = "snapshot-lost"
    """A chunk that no node has."""
    SNAPSHOT_MANIFEST = "snapshot-manifest"
    """A node lacks a manifest."""

    # The index against the journal, and against itself.
    INDEX_MISSING = "index-missing"
    """The journal leads to something that the index does not have."""
    INDEX_UNEXPLAINED = "index-unexplained"
    """The index has something to which the journal does not lead."""
    INDEX_DIFFERS = "index-differs"
    COUNTER = "counter"
    LAYOUT_MISSING = "layout-missing"
    RECORD_DAMAGED = "record-damaged"
    BUCKET_TABLE = "bucket-table"
    NAME_TABLE = "name-table"
    TRASH_QUEUE = "trash-queue"

    # The index against the nodes.
    COPY_MISSING = "copy-missing"
    COPY_SIZE = "copy-size"
    SEGMENT_LOST = "segment-lost"
    """No node that its record names has it."""
    BLOB_SURPLUS = "blob-surplus"
    """A copy of something that the index refers to, on a node that the record does not name."""
    BLOB_UNEXPLAINED = "blob-unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One difference, with what repair needs to know of it."""

    kind: FindingKind
    text: str
    bucket: str = ""
    bucket_id: int = 0
    node_id: str = ""
    blob_id: str = ""
    origin: Origin | None = None
    size_bytes: int = 0
    copies: int = 0
    """How many nodes the record names for the segment."""
    excess: tuple[int, int] = (0, 0)
    """Of COUNTER: by how many objects and bytes the bucket counts too many."""


class Report:
    """Hands findings on as they come, and counts. Findings are kept only up to `kept`, for repair."""

    def __init__(self, tell: Callable[[Finding], None] = lambda _: None, *, kept: int = 100_000) -> None:
        self._tell = tell
        self._kept = kept
        self.counts: Counter[FindingKind] = Counter()
        self.findings: list[Finding] = []
        self.looked_at: Counter[str] = Counter()
        """How many of what was compared, for the totals."""

    def add(self, finding: Finding) -> None:
        """One more difference."""
        self.counts[finding.kind] += 1
        if len(self.findings) < self._kept:
            self.findings.append(finding)
        self._tell(finding)

    def of(self, *kinds: FindingKind) -> list[Finding]:
        """The findings of these kinds."""
        return [finding for finding in self.findings if finding.kind in kinds]

    @property
    def is_clean(self) -> bool:
        return not self.counts

"""Ending the journal's open segment after a snapshot: what lies wholly behind a snapshot can be given back.

Without this a segment would last as long as its nodes do.

Whoever ships entries notices that its segment has ended, and goes on in the next one.
"""

from dataclasses import dataclass

import structlog

from gateway.index.journal_feed import JournalFeed
from gateway.journal.change_segment import SegmentChanger
from gateway.journal.failures import JournalBlocked, RaceLost, Superseded
from storagenode.journal_protocol import pack_header, unpack_header

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentCutter:
    """Called after a snapshot. `feed` is over a guarded connection."""

    feed: JournalFeed
    changer: SegmentChanger

    async def __call__(self) -> None:
        """Roll, unless the open segment is empty. Raises IndexUnavailable; where the journal refuses, it stays."""
        state = await self.feed.read_state()
        if not state.segment or state.opened != state.identity:
            return
        header = unpack_header(state.segment)
        if state.watermark < header.first_sequence:
            return
        try:
            changed = await self.changer.roll(header)
        except (JournalBlocked, RaceLost, Superseded) as error:
            _log.warning("journal segment not ended", segment=header.segment_id, reason=str(error))
            return
        await self.feed.set_segment(
            old_epoch=header.epoch, epoch=changed.header.epoch, segment=pack_header(changed.header)
        )

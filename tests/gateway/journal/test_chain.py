"""What is taken for the journal's end, and what is not."""

import pytest

from gateway.journal import incarnation
from gateway.journal.chain import (
    SegmentView,
    chain_up_to,
    end_of_incarnation,
    may_be_founded,
    newest_member,
    views_of,
    visible_end,
)
from storagenode.journal_protocol import JournalStatus, Seal, SegmentHeader, SegmentStatus, segment_id


def epoch(counter: int) -> int:
    return counter << 32 | 7


def header(
    counter: int, first: int, *, nodes: str = "abc", name: str | None = None, opened_at: int | None = None
) -> SegmentHeader:
    return SegmentHeader(
        segment_id=segment_id(epoch(counter), first),
        epoch=epoch(counter),
        first_sequence=first,
        nodes=tuple(nodes),
        quorum=len(nodes) // 2 + 1,
        incarnation=name or incarnation.opened("r", epoch(counter), "j"),
        opened_at=first - 1 if opened_at is None else opened_at,
    )


def held(of: SegmentHeader, last: int, *, watermark: int = 0, seal: Seal | None = None) -> SegmentStatus:
    return SegmentStatus(header=of, last_sequence=last, watermark=watermark, seal=seal, damaged=False)


def node(*segments: SegmentStatus, promised: int = 1) -> JournalStatus:
    return JournalStatus(promised_epoch=epoch(promised), segments=segments)


FIRST, SECOND, THIRD = header(1, 1), header(2, 11), header(3, 16, name="r/opened/j/other")


def sealed(of: SegmentHeader, last: int, end: int, following: SegmentHeader, by: int) -> SegmentStatus:
    return held(of, last, seal=Seal(epoch=epoch(by), end_sequence=end, next=following))


def view_of(*statuses: SegmentStatus) -> SegmentView:
    found = views_of({name: node(status) for name, status in zip("abc", statuses, strict=False)})
    return found[statuses[0].header.segment_id]


def test_segment_that_nobody_names_and_nobody_used_is_no_end() -> None:
    orphan = header(5, 11, opened_at=12)
    views = views_of({"a": node(held(FIRST, 12, watermark=10), held(orphan, 12)), "b": node(held(FIRST, 12))})
    newest = newest_member(views, None)
    assert newest is not None
    assert newest.header == FIRST


def test_orphan_alone_is_not_taken_for_the_journal() -> None:
    views = views_of({"a": node(held(header(5, 11, opened_at=12), 12))})
    assert newest_member(views, None) is None


@pytest.mark.parametrize(
    "status",
    [held(SECOND, 11, watermark=11), held(SECOND, 12, watermark=0), sealed(SECOND, 10, 10, THIRD, 3)],
    ids=["told a watermark within", "written behind its opening", "sealed"],
)
def test_segment_in_use_is_an_end_though_what_named_it_is_gone(status: SegmentStatus) -> None:
    newest = newest_member(views_of({"b": node(status)}), None)
    assert newest is not None
    assert newest.header == SECOND


def test_segment_that_redis_names_is_an_end() -> None:
    views = views_of({"a": node(held(SECOND, 10))})
    newest = newest_member(views, SECOND)
    assert newest is not None
    assert newest.header == SECOND


def test_seal_of_the_highest_epoch_counts() -> None:
    loser, winner = header(4, 11), header(5, 11)
    view = view_of(sealed(FIRST, 11, 11, loser, 4), sealed(FIRST, 10, 10, winner, 5), held(FIRST, 10))
    assert view.seal is not None
    assert view.seal.next == winner


def test_end_and_watermark_are_the_highest_of_any_holder() -> None:
    view = view_of(held(FIRST, 9, watermark=3), held(FIRST, 12, watermark=8))
    assert (view.end, view.durable) == (12, 8)
    assert view.is_readable
    assert not view_of(held(FIRST, 9)).is_readable


def test_segment_on_a_node_that_it_does_not_name_does_not_count() -> None:
    views = views_of({"z": node(held(FIRST, 9))})
    assert not views[FIRST.segment_id].holders


def test_chain_is_followed_back_by_its_seals() -> None:
    views = views_of(
        {
            "a": node(sealed(FIRST, 12, 12, SECOND, 2), sealed(SECOND, 17, 15, THIRD, 3), held(THIRD, 20)),
            "b": node(held(header(4, 11, opened_at=99), 10)),
        }
    )
    chain = chain_up_to(views, THIRD, 20)
    assert [(link.header, link.end_sequence) for link in chain] == [(FIRST, 12), (SECOND, 15), (THIRD, 20)]
    end = visible_end(views, None)
    assert end is not None
    assert end.header == THIRD
    assert end_of_incarnation(chain, SECOND.incarnation) == THIRD.opened_at
    assert end_of_incarnation(chain, THIRD.incarnation) is None
    with pytest.raises(LookupError):
        end_of_incarnation(chain, "unheard of")


def test_journal_is_founded_only_where_nothing_tells_of_one() -> None:
    unused = header(0, 1, name=incarnation.founded("r", epoch(0), "j"))
    assert may_be_founded({})
    assert may_be_founded({"a": JournalStatus(promised_epoch=5, segments=())})
    assert may_be_founded({"a": node(held(unused, 0), promised=0), "b": node(promised=0)})
    assert not may_be_founded({"a": node(held(unused, 0), promised=0), "b": node(held(unused, 0), promised=0)})
    assert not may_be_founded({"a": node(promised=1)})
    assert not may_be_founded({"a": node(held(FIRST, 0))})

"""Sorting through temporary files gives what sorting in memory gives."""

import random

import pytest

from gateway.fsck.sorting import SortedRows


@pytest.mark.parametrize("run_rows", [1, 7, 100, 10_000])
def test_rows_come_out_in_order_whatever_the_length_of_a_run(run_rows: int) -> None:
    draw = random.Random(run_rows)
    rows = [(draw.choice("abc"), draw.randbytes(3).hex(), draw.randrange(9)) for _ in range(500)]
    with SortedRows(run_rows=run_rows) as sorter:
        for row in rows:
            sorter.add(row)
        assert list(sorter) == sorted(rows)


def test_no_rows_are_no_rows() -> None:
    with SortedRows() as sorter:
        assert list(sorter) == []

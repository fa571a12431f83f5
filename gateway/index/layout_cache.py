"""Layouts of large objects that were read lately. A layout never changes under its id, so nothing goes stale."""

from collections import OrderedDict

from gateway.index.layout_encoding import piece_count
from gateway.index.records import Extent, ObjectPart

# About 100 bytes a segment or part, so 10 MB; a single object of 5 TiB alone may have 90,000.
CAPACITY_PIECES = 100_000

Layout = tuple[tuple[Extent, ...], tuple[ObjectPart, ...]]


class LayoutCache:
    """The layouts used last, up to a number of segments and parts together (but at least one layout)."""

    def __init__(self, capacity_pieces: int = CAPACITY_PIECES) -> None:
        self._capacity_pieces = capacity_pieces
        self._layouts: OrderedDict[str, tuple[Layout, int]] = OrderedDict()
        self._held_pieces = 0

    def get(self, layout_ref: str) -> Layout | None:
        """The layout of this id, if it is held."""
        found = self._layouts.get(layout_ref)
        if found is None:
            return None
        self._layouts.move_to_end(layout_ref)
        return found[0]

    def put(self, layout_ref: str, layout: Layout) -> None:
        """Hold a layout, and let go of those that were not used for the longest time."""
        if layout_ref in self._layouts:
            return
        pieces = piece_count(*layout)
        self._layouts[layout_ref] = layout, pieces
        self._held_pieces += pieces
        while self._held_pieces > self._capacity_pieces and len(self._layouts) > 1:
            _, (_, dropped) = self._layouts.popitem(last=False)
            self._held_pieces -= dropped

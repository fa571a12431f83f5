"""Whether the journal stands, so that Redis may be lost; until then the storm leaves Redis its memory."""

import pytest

import gateway.server


def has_journal() -> bool:
    """Whether gateways open their index through the journal."""
    return hasattr(gateway.server, "open_index")


needs_journal = pytest.mark.skipif(
    not has_journal(), reason="gateways do not open their index through the journal yet: Redis must not be lost"
)

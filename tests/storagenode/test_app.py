"""Small decisions of the node process."""

import pytest

from storagenode.app import advertised_address


@pytest.mark.parametrize(
    ("advertise", "host", "expected"),
    [
        ("", "127.0.0.1", "127.0.0.1:70"),
        ("", "::1", "[::1]:70"),
        ("node1", "0.0.0.0", "node1:70"),
        ("node1:80", "0.0.0.0", "node1:80"),
        ("fd00::1", "::", "[fd00::1]:70"),
        ("[fd00::1]", "::", "[fd00::1]:70"),
        ("[fd00::1]:80", "::", "[fd00::1]:80"),
    ],
)
def test_what_gateways_are_told(advertise: str, host: str, expected: str) -> None:
    assert advertised_address(advertise, host, 70) == expected


def test_a_node_listening_everywhere_goes_by_the_name_of_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "machine")
    assert advertised_address("", "0.0.0.0", 70) == "machine:70"

"""Every case answered by Cairn as by moto's server, but for the accepted differences."""

from typing import Any

import pytest

from tests.differential.accepted import ACCEPTED, applying, covers, error_of
from tests.differential.cases import CASES
from tests.differential.replay import Transcript, play

_ABSENT = "<absent>"


@pytest.mark.parametrize("name", CASES)
def test_cairn_answers_as_moto_does(name: str, cairn_client: Any, moto_client: Any) -> None:
    cairn = play(cairn_client, name, CASES[name])
    differences = _differences(cairn, play(moto_client, name, CASES[name]))
    unexplained = set(differences)
    for accepted in applying(name):
        explained = covers(accepted, differences)
        assert explained or accepted.is_general, f"no longer a difference: {accepted.paths}"
        assert not accepted.error or error_of(accepted, cairn) == accepted.error
        unexplained -= explained
    assert not unexplained, "\n".join(
        f"{path}: cairn {differences[path][0]!r}, moto {differences[path][1]!r}" for path in sorted(unexplained)
    )


def test_every_accepted_difference_names_a_case_and_a_page_of_aws() -> None:
    for accepted in ACCEPTED:
        assert any(accepted in applying(name) for name in CASES), accepted.case
        assert accepted.page.startswith("https://docs.aws.amazon.com/"), accepted.case
        assert accepted.why, accepted.case


def _differences(cairn: Transcript, moto: Transcript) -> dict[str, tuple[object, object]]:
    return {
        path: (cairn.get(path, _ABSENT), moto.get(path, _ABSENT))
        for path in cairn.keys() | moto.keys()
        if cairn.get(path, _ABSENT) != moto.get(path, _ABSENT)
    }

"""The table of cases, by family of operations."""

from collections.abc import Mapping

from tests.differential.case import Case
from tests.differential.cases.buckets import BUCKETS
from tests.differential.cases.conditions import CONDITIONS
from tests.differential.cases.copying import COPYING
from tests.differential.cases.deleting import DELETING
from tests.differential.cases.listing import LISTING
from tests.differential.cases.multipart import MULTIPART
from tests.differential.cases.reading import READING
from tests.differential.cases.tagging import TAGGING
from tests.differential.cases.writing import WRITING

_FAMILIES: Mapping[str, Mapping[str, Case]] = {
    "buckets": BUCKETS,
    "writing": WRITING,
    "reading": READING,
    "conditions": CONDITIONS,
    "listing": LISTING,
    "deleting": DELETING,
    "copying": COPYING,
    "multipart": MULTIPART,
    "tagging": TAGGING,
}

#: Every case under "family/name".
CASES: dict[str, Case] = {
    f"{family}/{name}": case for family, cases in _FAMILIES.items() for name, case in cases.items()
}

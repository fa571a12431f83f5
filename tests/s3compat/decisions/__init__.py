"""The table of decisions: what AWS's documents say that policies decide, one row for each decision."""

from tests.s3compat.decisions import combinations, conditions, elements, keys, principals, variables
from tests.s3compat.decisions.case import Case

TABLE: tuple[Case, ...] = (
    *principals.CASES,
    *elements.cases(),
    *combinations.CASES,
    *conditions.cases(),
    *variables.CASES,
    *keys.cases(),
)

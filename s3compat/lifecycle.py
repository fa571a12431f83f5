"""Lifecycle rules: what they ask of one version at one moment. How a document states them is lifecycle_document.py's.

Pure functions of (version, rules, now). How long a day is, is passed in: tests have short ones.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

DAY_S: Final = 86_400.0

Tags = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which objects a rule is about; all parts must hold. Sizes are bytes, both bounds exclusive."""

    prefix: str = ""
    tags: Tags = ()
    larger_than: int | None = None
    smaller_than: int | None = None

    def matches(self, key: str, size_bytes: int, tags: Tags) -> bool:
        return (
            key.startswith(self.prefix)
            and set(self.tags) <= set(tags)
            and (self.larger_than is None or size_bytes > self.larger_than)
            and (self.smaller_than is None or size_bytes < self.smaller_than)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When something is due: at a date, or so many days after its beginning."""

    date: datetime | None = None
    days: int | None = None

    def due(self, begun: datetime, day_s: float) -> datetime:
        """The moment for what began then. S3 counts whole days and acts at the midnight (UTC) that follows."""
        if self.date is not None:
            return self.date
        assert self.days is not None
        elapsed = begun + timedelta(seconds=self.days * day_s)
        if day_s != DAY_S:
            return elapsed
        midnight = elapsed.replace(hour=0, minute=0, second=0, microsecond=0)
        return elapsed if elapsed == midnight else midnight + timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A change of storage class; `kept` newer noncurrent versions stay as they are."""

    moment: Moment
    storage_class: str
    kept: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule."""

    id: str
    enabled: bool
    filter: Filter
    expiration: Moment | None = None
    removes_lone_markers: bool = False
    noncurrent_expiration: Moment | None = None
    noncurrent_kept: int = 0
    abort_uploads_after_days: int | None = None
    transitions: tuple[Transition, ...] = ()
    noncurrent_transitions: tuple[Transition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What a rule looks at: one version of an object, or a delete marker."""

    key: str
    size_bytes: int
    modified: datetime
    tags: Tags = ()
    storage_class: str = "STANDARD"
    is_current: bool = True
    is_marker: bool = False
    noncurrent_since: datetime | None = None
    """When the next newer version was written; of noncurrent ones."""
    newer_noncurrent: int = 0
    """How many noncurrent versions are newer than this one."""
    is_alone: bool = False
    """The key has no other version."""


class Verb(Enum):
    """What a rule asks for."""

    EXPIRE = "expire"  # the current version: a delete marker over it, or in an unversioned bucket its removal
    REMOVE = "remove"  # exactly this version or marker
    TRANSITION = "transition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What is to be done with a version, and the rule that asks for it."""

    verb: Verb
    rule_id: str
    storage_class: str = ""


def action_for(rules: Sequence[Rule], version: Version, *, now: datetime, day_s: float = DAY_S) -> Action | None:
    """What the enabled rules ask of this version now; expiration goes before transition."""
    matching = [
        rule for rule in rules if rule.enabled and rule.filter.matches(version.key, version.size_bytes, version.tags)
    ]
    for rule in matching:
        verb = _expiration(rule, version, now, day_s)
        if verb is not None:
            return Action(verb=verb, rule_id=rule.id)
    return _transition(matching, version, now, day_s)


def _expiration(rule: Rule, version: Version, now: datetime, day_s: float) -> Verb | None:
    if not version.is_current:
        moment, since = rule.noncurrent_expiration, version.noncurrent_since
        if moment is None or since is None or version.newer_noncurrent < rule.noncurrent_kept:
            return None
        return Verb.REMOVE if moment.due(since, day_s) <= now else None
    if version.is_marker:
        return Verb.REMOVE if version.is_alone and _marker_is_due(rule, version, now, day_s) else None
    if rule.expiration is None or rule.expiration.due(version.modified, day_s) > now:
        return None
    return Verb.EXPIRE


def _marker_is_due(rule: Rule, version: Version, now: datetime, day_s: float) -> bool:
    """AWS: with Days or Date a lone marker goes when its own age reaches them."""
    if rule.removes_lone_markers:
        return True
    return rule.expiration is not None and rule.expiration.due(version.modified, day_s) <= now


def _transition(rules: Sequence[Rule], version: Version, now: datetime, day_s: float) -> Action | None:
    """The transition that became due last."""
    if version.is_marker:
        return None
    begun = version.modified if version.is_current else version.noncurrent_since
    due: list[tuple[datetime, Action]] = []
    for rule in rules:
        for one in rule.transitions if version.is_current else rule.noncurrent_transitions:
            moment = one.moment.due(begun, day_s) if begun is not None else None
            if moment is not None and moment <= now and version.newer_noncurrent >= one.kept:
                action = Action(verb=Verb.TRANSITION, rule_id=rule.id, storage_class=one.storage_class)
                due.append((moment, action))
    if not due:
        return None
    _, last = max(due, key=lambda pair: pair[0])
    return last if last.storage_class != version.storage_class else None


def upload_is_due(rules: Sequence[Rule], key: str, initiated: datetime, *, now: datetime, day_s: float = DAY_S) -> bool:
    """Whether a rule asks for the end of an unfinished upload. Rules on tags or sizes cannot (AWS)."""
    for rule in rules:
        days = rule.abort_uploads_after_days
        if not rule.enabled or days is None or not key.startswith(rule.filter.prefix):
            continue
        if Moment(days=days).due(initiated, day_s) <= now:
            return True
    return False


def expiration_of(rules: Sequence[Rule], version: Version, *, day_s: float = DAY_S) -> tuple[datetime, str] | None:
    """When the current version expires, and by which rule: what x-amz-expiration tells."""
    found = [
        (rule.expiration.due(version.modified, day_s), rule.id)
        for rule in rules
        if rule.enabled
        and rule.expiration is not None
        and rule.filter.matches(version.key, version.size_bytes, version.tags)
    ]
    return min(found, default=None)

"""Which rules hold for a bucket, as one reader of the journal comes to know it, and what of a change they take."""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.events.derivation import NOTIFICATION, configured_buckets, event_bucket, event_of
from gateway.index.cause import Cause
from gateway.index.errors import NoSuchBucket
from gateway.index.event_targets import EventTarget
from gateway.index.journal_entries import Change
from gateway.index.store import Index
from s3compat.event_message import event_record, probe_message
from s3compat.notification import Destination, NotificationRule, decode_document, parse_rules

BUCKETS_KEPT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriptions:
    """The notification configuration of a bucket and what messages tell of the bucket."""

    owner_id: str
    rules: tuple[NotificationRule, ...]


_NOTHING = Subscriptions(owner_id="", rules=())


def names_target(destination: Destination, target: EventTarget) -> bool:
    """Whether an ARN means this target."""
    return destination.name == target.name and destination.kind in ("", target.kind)


class Subscriber:
    """Makes the messages for one target, out of changes that it is given in their order.

    What a bucket's configuration is, is read when a change of the bucket comes first, and again when a change of the
    configuration has come by. Of a bucket that is gone the last one known holds, for what happened before it went.
    """

    def __init__(self, index: Index, target: EventTarget, *, region: str) -> None:
        self._index = index
        self._target = target
        self._region = region
        self._known: dict[str, Subscriptions] = {}
        self._stale: set[str] = set()

    async def messages(self, change: Change) -> list[dict[str, object]]:
        """What the target is to hear of a change: records of events, or a probe. Raises IndexUnavailable."""
        told: list[dict[str, object]] = []
        for bucket, stored in configured_buckets(change):
            self._stale.add(bucket)
            if stored and await self._concerns_target(bucket):
                cause = change.cause or Cause(operation="")
                probe = probe_message(bucket, at_ms=change.at_ms, request_id=cause.request_id, host_id=cause.host_id)
                told.append(dict(probe))
        bucket_name = event_bucket(change)
        if bucket_name is None:
            return told
        subscriptions = await self._subscriptions(bucket_name)
        if not subscriptions.rules:
            return told
        return told + list(self._records(change, subscriptions))

    def _records(self, change: Change, subscriptions: Subscriptions) -> Iterator[dict[str, object]]:
        event = event_of(change)
        if event is None:
            return
        for rule in subscriptions.rules:
            if names_target(rule.destination, self._target) and rule.takes(event.full_name, event.key):
                yield event_record(
                    event, region=self._region, owner_id=subscriptions.owner_id, configuration_id=rule.id
                )

    async def _concerns_target(self, bucket: str) -> bool:
        subscriptions = await self._subscriptions(bucket)
        return any(names_target(rule.destination, self._target) for rule in subscriptions.rules)

    async def _subscriptions(self, bucket: str) -> Subscriptions:
        known = self._known.get(bucket)
        if known is not None and bucket not in self._stale:
            return known
        try:
            found = await self._read(bucket)
        except NoSuchBucket:
            found = known or _NOTHING
        self._stale.discard(bucket)
        while len(self._known) >= BUCKETS_KEPT:
            del self._known[next(iter(self._known))]
        self._known[bucket] = found
        return found

    async def _read(self, bucket: str) -> Subscriptions:
        document = await self._index.get_bucket_config(bucket, NOTIFICATION)
        if document is None:
            return _NOTHING
        record = await self._index.get_bucket(bucket)
        return Subscriptions(owner_id=record.owner_id, rules=parse_rules(decode_document(document)))

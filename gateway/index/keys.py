"""The name of every Redis key of the index. Nothing else in the project spells one out.

All keys of a partition carry the same hash tag (`{0}`), and so lie in one slot of a Redis Cluster: a script may
touch any of them. `partition_of` is the one place that would spread buckets over more partitions.
"""

_PREFIX = "cairn:"


def partition_of(bucket: str) -> int:
    """The partition that holds a bucket. Users, nodes and leases live in partition 0."""
    del bucket  # there is one partition
    return 0


def _name(partition: int, suffix: str) -> str:
    return f"{_PREFIX}{{{partition}}}:{suffix}"


def _of_bucket(bucket: str, suffix: str) -> str:
    return _name(partition_of(bucket), suffix)


def nodes(partition: int = 0) -> str:
    """Hash: node id -> JSON of its last heartbeat. Written by the storage nodes."""
    return _name(partition, "nodes")


def sequence(partition: int = 0) -> str:
    """String: the number of the last change. Also the order of versions."""
    return _name(partition, "sequence")


def journal_stream(partition: int = 0) -> str:
    """Stream: the journal's entries, each under `<number of the change>-0`, until they are durable and some longer.

    Its name and that of `pending` are also made in prelude.lua, from that of the sequence.
    """
    return _name(partition, "journal-stream")


def pending(partition: int = 0) -> str:
    """Sorted set: what was changed, by the number of its last change that is not durable yet; '' is everything."""
    return _name(partition, "pending")


def journal(partition: int = 0) -> str:
    """Hash: for which server the index was opened, and how its journal stands, see `journal_feed.JournalState`."""
    return _name(partition, "journal")


def restored(partition: int = 0) -> str:
    """Hash: `sequence`, the number of the last change restored, and `token`, who alone may write meanwhile.

    Exists in place of the sequence while an index is restored.
    """
    return _name(partition, "restored")


def recovery_lease(partition: int = 0) -> str:
    """String with a time to live: which process recovers the index."""
    return _name(partition, "recovery-lease")


def everything(partition: int = 0) -> str:
    """Glob pattern of every key of a partition."""
    return _name(partition, "*")


def reclaim(partition: int = 0) -> str:
    """Sorted set: reference to an entry of `trash` by the time (ms) it was put there."""
    return _name(partition, "reclaim")


def reclaiming(partition: int = 0) -> str:
    """Sorted set: references handed to a worker, by the time (ms) of that. No longer undeletable."""
    return _name(partition, "reclaiming")


def trash(partition: int = 0) -> str:
    """Sorted set, score 0: what became unreferenced, whole: `bucket 00 key 00 order kind record`."""
    return _name(partition, "trash")


def condemned(partition: int = 0) -> str:
    """Sorted set: write ids (16 raw bytes) that may no longer be committed, by the time (ms) they expire."""
    return _name(partition, "condemned")


def write_leases(partition: int = 0) -> str:
    """Sorted set: write ids (16 raw bytes) of writes under way, by the time (ms) they expire."""
    return _name(partition, "write-leases")


def orphan_sweep(partition: int = 0) -> str:
    """Hash: how far the orphan worker has come."""
    return _name(partition, "orphan-sweep")


def born(partition: int = 0) -> str:
    """String: milliseconds at which this index got its first bucket."""
    return _name(partition, "born")


def buckets(partition: int = 0) -> str:
    """Sorted set, score 0: the names of all buckets."""
    return _name(partition, "buckets")


def owned_buckets(partition: int = 0) -> str:
    """Sorted set, score 0: `owner id 00 bucket name`."""
    return _name(partition, "owned-buckets")


def bucket(name: str) -> str:
    """Hash: one bucket's attributes and counters, see `records.BucketRecord`."""
    return _of_bucket(name, f"bucket:{name}")


def objects(bucket: str) -> str:
    """Sorted set, score 0: every version of every object of a bucket: `key 00 order record`."""
    return _of_bucket(bucket, f"objects:{bucket}")


def uploads(bucket: str) -> str:
    """Sorted set, score 0: the multipart uploads under way: `key 00 upload-id record`."""
    return _of_bucket(bucket, f"uploads:{bucket}")


def parts(bucket: str, upload_id: str) -> str:
    """Sorted set: the parts of an upload, by part number."""
    return _of_bucket(bucket, f"parts:{upload_id}")


def parts_revision(bucket: str, upload_id: str) -> str:
    """String: the number of the change that last touched the parts of an upload."""
    return _of_bucket(bucket, f"parts-revision:{upload_id}")


def completed_upload(bucket: str, upload_id: str) -> str:
    """String with a time to live: the object that an upload became."""
    return _of_bucket(bucket, f"completed:{upload_id}")


def layout(bucket: str, layout_ref: str) -> str:
    """String: the extents and parts of an object whose record would be too large with them."""
    return _of_bucket(bucket, f"layout:{layout_ref}")


def node_states(partition: int = 0) -> str:
    """Hash: node id -> what an administrator said of it, see `node_states.NodeState`."""
    return _name(partition, "node-states")


def repairs(partition: int = 0) -> str:
    """Hash: the segments to be repaired, see `repair_records.RepairItem`."""
    return _name(partition, "repairs")


def repairs_due(repair_class: int, partition: int = 0) -> str:
    """Sorted set: names of `repairs` of one class, by the time (ms) of their next attempt."""
    return _name(partition, f"repairs-due:{int(repair_class)}")


def repairs_taken(partition: int = 0) -> str:
    """Sorted set: names of `repairs` that a worker is at work on, by the time (ms) its lease ends."""
    return _name(partition, "repairs-taken")


def repair_state(partition: int = 0) -> str:
    """Hash: census, orders of an administrator; see `repairs.RepairIndex`."""
    return _name(partition, "repair-state")


def repair_progress(partition: int = 0) -> str:
    """Hash: how far audit, rebalance and the sweep for surplus copies have come."""
    return _name(partition, "repair-progress")


def released(partition: int = 0) -> str:
    """Sorted set: copies that no record names any more, by the time (ms) of that; see `repair_records.Copy`."""
    return _name(partition, "released")


def releasing(partition: int = 0) -> str:
    """Sorted set: copies whose deletion has begun, by the time (ms) of that."""
    return _name(partition, "releasing")


def users() -> str:
    """Hash: user id -> record."""
    return _name(0, "users")


def user_names() -> str:
    """Hash: name -> user id, `e-mail address -> user id` and `access key -> user id`, told apart by a prefix."""
    return _name(0, "user-names")


def kms_keys() -> str:
    """Hash: id of a key of the key ring -> record, see `kms_keys.KmsKeyRecord`."""
    return _name(0, "kms-keys")


def event_targets() -> str:
    """Hash: name of a target of events -> record, see `event_targets.EventTarget`."""
    return _name(0, "event-targets")


def event_cursors() -> str:
    """Hash: name of a target of events -> how far it has been told, see `event_targets.EventCursor`."""
    return _name(0, "event-cursors")


def event_failures() -> str:
    """Hash: name of a target of events -> why it is not being told at the moment."""
    return _name(0, "event-failures")


def bucket_of_objects(name: bytes) -> str | None:
    """The bucket whose `objects` this is the name of, None for any other key."""
    return name[len(_OBJECTS_PREFIX) :].decode() if name.startswith(_OBJECTS_PREFIX) else None


def bucket_of_record(name: bytes) -> str | None:
    """The bucket whose `bucket` this is the name of, None for any other key."""
    return name[len(_BUCKET_PREFIX) :].decode() if name.startswith(_BUCKET_PREFIX) else None


def worker_lease(name: str) -> str:
    """String with a time to live: who runs the background work of this name."""
    return _name(0, f"worker:{name}")


def explanations(partition: int = 0) -> str:
    """Hash with a time to live: request id -> why the request was refused, see `gateway.explanations`."""
    return _name(partition, "explanations")


def explanation_times(partition: int = 0) -> str:
    """Sorted set with a time to live: request ids of `explanations` by the time (ms) of the refusal."""
    return _name(partition, "explanation-times")


_NO_STATE = frozenset(
    name().encode()
    for name in (
        nodes,
        sequence,
        journal_stream,
        pending,
        journal,
        restored,
        recovery_lease,
        write_leases,
        orphan_sweep,
        repairs_taken,
        repair_progress,
        explanations,
        explanation_times,
        event_failures,
    )
)
_OBJECTS_PREFIX = objects("").encode()
_BUCKET_PREFIX = bucket("").encode()
_WORKER_LEASES = worker_lease("").encode()
_LEXICAL = frozenset(name().encode() for name in (buckets, owned_buckets, trash))
_LEXICAL_PREFIXES = (objects("").encode(), uploads("").encode())


def is_state(name: bytes) -> bool:
    """Whether a key is part of what the journal describes: what changes by entries alone, and snapshots hold.

    Leases, the node table, the journal's own books and a sweep's cursors are not; each comes back by itself.
    """
    return name not in _NO_STATE and not name.startswith(_WORKER_LEASES)


def is_lexical(name: bytes) -> bool:
    """Whether a key is a sorted set whose scores are all 0, so that it can be read in byte order."""
    return name in _LEXICAL or name.startswith(_LEXICAL_PREFIXES)

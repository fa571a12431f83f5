"""The index as the rest of the gateway sees it: one class, whose operations lie by topic in its bases.

Every change is one script on the server; nothing is read, decided here and then written. Each change has a number,
its sequence, one greater than the change before; results and records carry it.

A call raises, beside the refusals that it names: IndexUnavailable (`maybe_applied` tells whether a change may
have happened nevertheless), IndexFault, UnsupportedFormat and CorruptRecord. A caller that is cancelled while
a change is under way knows as little of its outcome as with `maybe_applied`.
"""

from gateway.index.buckets import BucketIndex
from gateway.index.event_targets import EventTargetIndex
from gateway.index.explanations import ExplanationIndex
from gateway.index.index_walk import WalkIndex
from gateway.index.kms_keys import KmsKeyIndex
from gateway.index.listing import ListingIndex
from gateway.index.node_states import NodeStateIndex
from gateway.index.reclaim import ReclaimIndex
from gateway.index.repairs import RepairIndex
from gateway.index.replicas import ReplicaIndex
from gateway.index.undelete import UndeleteIndex
from gateway.index.uploads import UploadIndex
from gateway.index.users import UserIndex
from gateway.index.worker_leases import WorkerLeaseIndex


class Index(
    BucketIndex,
    UploadIndex,
    ListingIndex,
    ReclaimIndex,
    UserIndex,
    KmsKeyIndex,
    WorkerLeaseIndex,
    RepairIndex,
    ReplicaIndex,
    NodeStateIndex,
    WalkIndex,
    UndeleteIndex,
    ExplanationIndex,
    EventTargetIndex,
):
    """The index over one connection (`connection.connect`). Any number of tasks may use it at once."""

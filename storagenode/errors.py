"""What can go wrong at a storage node, raised on both sides of the wire.

One hierarchy for the blob store, the HTTP application and the client: a refusal travels as an HTTP status
and the name of its class, and is raised again under the same name at the caller. Nothing else may live
here.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import ClassVar


class NodeError(Exception):
    """Any failure of one operation on one node; the caller may go on with another node."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR


class BlobNotFound(NodeError):
    """The node holds no blob of this id."""

    status = HTTPStatus.NOT_FOUND


class BlobCorrupt(NodeError):
    """The node's copy is damaged; none of the damaged bytes were handed out. The file is in quarantine."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class NodeFull(NodeError):
    """Taking the blob would break into the node's free-space reserve, or the disk said so itself."""

    status = HTTPStatus.INSUFFICIENT_STORAGE


class NodeFailed(NodeError):
    """The node's disk refused an operation (an input/output error, say); nothing was acknowledged."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR


class NodeUnreachable(NodeError):
    """No connection, no progress within the idle timeout, or a connection broken midway.

    A write that ends so may or may not have been stored.
    """

    status = HTTPStatus.BAD_GATEWAY


class WrongNode(NodeUnreachable):
    """Another node answers at the address than the one that was meant; nothing was asked of it.

    Raised by the client alone: a node whose directory was lost comes back under a new id, at the same address.
    """


class NodeRefused(NodeError):
    """The node took the request for forged, replayed or malformed; it did nothing."""

    status = HTTPStatus.UNAUTHORIZED


class BlobConflict(NodeRefused):
    """The node already holds other bytes under this id, or the blob was deleted while it was written."""

    status = HTTPStatus.CONFLICT


class InvalidRequest(NodeRefused):
    """A parameter is missing, malformed or outside the blob."""

    status = HTTPStatus.BAD_REQUEST


class NumberedError(NodeError):
    """A refusal that tells a number, without which its caller could not go on."""

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message or f"{type(self).__name__} {number}")
        self.number = number


class JournalFenced(NumberedError):
    """The node promised a higher epoch: whoever asked has been superseded."""

    status = HTTPStatus.CONFLICT

    @property
    def promised_epoch(self) -> int:
        return self.number


class SegmentGap(NumberedError):
    """The node lacks the entries between what it has and the first one of the append."""

    status = HTTPStatus.CONFLICT

    @property
    def last_sequence(self) -> int:
        """The last sequence that the node has of the segment."""
        return self.number


class SegmentSealed(NodeError):
    """The segment is sealed at this node: it takes no more entries."""

    status = HTTPStatus.CONFLICT


class SegmentNotFound(NodeError):
    """The node holds no segment of this id."""

    status = HTTPStatus.NOT_FOUND


ERRORS_BY_NAME: dict[str, type[NodeError]] = {
    error.__name__: error
    for error in (
        BlobNotFound,
        BlobCorrupt,
        NodeFull,
        NodeFailed,
        NodeRefused,
        BlobConflict,
        InvalidRequest,
        JournalFenced,
        SegmentGap,
        SegmentSealed,
        SegmentNotFound,
    )
}


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn what the disk raises into NodeFull or NodeFailed. Also a decorator."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NodeFull("the disk is full") from error
        name = errno.errorcode.get(error.errno or 0, "an unknown error")
        raise NodeFailed(f"the disk failed with {name}") from error

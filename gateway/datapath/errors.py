"""What the data path raises; the operations translate it to S3 errors at one boundary."""


class DataPathError(Exception):
    """Bytes could not be stored or read now."""


class NotEnoughNodes(DataPathError):
    """Fewer nodes take new blobs than a majority of the replicas needs; nothing was written."""

    def __init__(self, *, available: int, needed: int) -> None:
        super().__init__(f"{available} storage nodes take new blobs, {needed} are needed")
        self.available = available
        self.needed = needed


class WriteFailed(DataPathError):
    """Too few replicas of a segment could be stored; nothing of the write is referenced."""


class BytesUnavailable(DataPathError):
    """No replica of a blob gave the wanted bytes."""

    def __init__(self, blob_id: str, *, offset: int, reasons: str) -> None:
        super().__init__(f"blob {blob_id} from byte {offset}: {reasons}")
        self.blob_id = blob_id

"""RestoreObject: every object is there at once, whatever class it is labelled with.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreObject.html
"""

from gateway.context import Answer, Context, Input
from gateway.operations.reading import find_object
from gateway.operations.stored_headers import STORAGE_CLASS
from s3compat.errors import S3Error

#: The classes whose objects AWS must restore before they can be read.
ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})


async def restore_object(context: Context, params: Input) -> Answer:
    """RestoreObject: 200, as for a copy that is restored already.

    Raises InvalidObjectState (a class that needs no restoring), NotImplemented (SELECT), NoSuchKey, NoSuchVersion,
    MethodNotAllowed.
    """
    record = await find_object(context, params)
    request: Input = params.get("RestoreRequest") or {}
    if request.get("Type") == "SELECT" or "SelectParameters" in request:
        raise S3Error("NotImplemented", "Restoring by SELECT is not implemented.")
    storage_class = record.header(STORAGE_CLASS) or "STANDARD"
    if storage_class not in ARCHIVED:
        raise S3Error(
            "InvalidObjectState",
            "Restore is not allowed for the object's current storage class",
            StorageClass=storage_class,
        )
    days = request.get("Days")
    if days is not None and days < 1:
        raise S3Error("InvalidArgument", "Days must be a positive integer.", ArgumentName="Days")
    return Answer()

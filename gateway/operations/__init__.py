"""The handlers of S3 operations by name, one file for each family; an operation that is not here is NotImplemented.

Handlers take parsed input under AWS's member names and return output under AWS's member names; they know the index,
the data path and nothing of transports.
"""

from gateway.context import Handler
from gateway.operations import buckets, completing, deleting, listing, multipart, reading, tagging, versioning, writing

HANDLERS: dict[str, Handler] = {
    "AbortMultipartUpload": multipart.abort_multipart_upload,
    "CompleteMultipartUpload": completing.complete_multipart_upload,
    "CopyObject": writing.copy_object,
    "CreateBucket": buckets.create_bucket,
    "CreateMultipartUpload": multipart.create_multipart_upload,
    "DeleteBucket": buckets.delete_bucket,
    "DeleteObject": deleting.delete_object,
    "DeleteObjects": deleting.delete_objects,
    "GetBucketLocation": buckets.get_bucket_location,
    "GetBucketVersioning": versioning.get_bucket_versioning,
    "GetObject": reading.get_object,
    "GetObjectTagging": tagging.get_object_tagging,
    "HeadBucket": buckets.head_bucket,
    "HeadObject": reading.head_object,
    "ListBuckets": buckets.list_buckets,
    "ListMultipartUploads": multipart.list_multipart_uploads,
    "ListObjectVersions": versioning.list_object_versions,
    "ListObjects": listing.list_objects,
    "ListObjectsV2": listing.list_objects_v2,
    "ListParts": multipart.list_parts,
    "PutBucketVersioning": versioning.put_bucket_versioning,
    "PutObject": writing.put_object,
    "UploadPart": multipart.upload_part,
    "UploadPartCopy": multipart.upload_part_copy,
}

#: Operations that name a bucket which need not exist yet.
WITHOUT_BUCKET = frozenset({"CreateBucket"})

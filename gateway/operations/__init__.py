"""The handlers of S3 operations by name, one file for each family; an operation that is not here is NotImplemented.

Handlers take parsed input under AWS's member names and return output under AWS's member names; they know the index,
the data path and nothing of transports.
"""

from gateway.context import Handler
from gateway.operations import (
    acls,
    attributes,
    buckets,
    completing,
    deleting,
    listing,
    multipart,
    ownership,
    policies,
    reading,
    tagging,
    versioning,
    writing,
)

HANDLERS: dict[str, Handler] = {
    "AbortMultipartUpload": multipart.abort_multipart_upload,
    "CompleteMultipartUpload": completing.complete_multipart_upload,
    "CopyObject": writing.copy_object,
    "CreateBucket": buckets.create_bucket,
    "CreateMultipartUpload": multipart.create_multipart_upload,
    "DeleteBucket": buckets.delete_bucket,
    "DeleteBucketOwnershipControls": ownership.delete_bucket_ownership_controls,
    "DeleteBucketPolicy": policies.delete_bucket_policy,
    "DeleteBucketTagging": tagging.delete_bucket_tagging,
    "DeleteObject": deleting.delete_object,
    "DeleteObjectTagging": tagging.delete_object_tagging,
    "DeleteObjects": deleting.delete_objects,
    "DeletePublicAccessBlock": ownership.delete_public_access_block,
    "GetBucketAcl": acls.get_bucket_acl,
    "GetBucketLocation": buckets.get_bucket_location,
    "GetBucketOwnershipControls": ownership.get_bucket_ownership_controls,
    "GetBucketPolicy": policies.get_bucket_policy,
    "GetBucketPolicyStatus": policies.get_bucket_policy_status,
    "GetBucketRequestPayment": ownership.get_bucket_request_payment,
    "GetBucketTagging": tagging.get_bucket_tagging,
    "GetBucketVersioning": versioning.get_bucket_versioning,
    "GetObject": reading.get_object,
    "GetObjectAcl": acls.get_object_acl,
    "GetObjectAttributes": attributes.get_object_attributes,
    "GetObjectTagging": tagging.get_object_tagging,
    "GetPublicAccessBlock": ownership.get_public_access_block,
    "HeadBucket": buckets.head_bucket,
    "HeadObject": reading.head_object,
    "ListBuckets": buckets.list_buckets,
    "ListMultipartUploads": multipart.list_multipart_uploads,
    "ListObjectVersions": versioning.list_object_versions,
    "ListObjects": listing.list_objects,
    "ListObjectsV2": listing.list_objects_v2,
    "ListParts": multipart.list_parts,
    "PutBucketAcl": acls.put_bucket_acl,
    "PutBucketOwnershipControls": ownership.put_bucket_ownership_controls,
    "PutBucketPolicy": policies.put_bucket_policy,
    "PutBucketRequestPayment": ownership.put_bucket_request_payment,
    "PutBucketTagging": tagging.put_bucket_tagging,
    "PutBucketVersioning": versioning.put_bucket_versioning,
    "PutObject": writing.put_object,
    "PutObjectAcl": acls.put_object_acl,
    "PutObjectTagging": tagging.put_object_tagging,
    "PutPublicAccessBlock": ownership.put_public_access_block,
    "UploadPart": multipart.upload_part,
    "UploadPartCopy": multipart.upload_part_copy,
}

#: Operations that name a bucket which need not exist yet.
WITHOUT_BUCKET = frozenset({"CreateBucket"})

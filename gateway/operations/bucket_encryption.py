"""The default encryption of a bucket: put, get, delete, and how it is stored.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketEncryption.html

A bucket for which nobody has said anything encrypts nothing by itself, and GetBucketEncryption says that there is no
configuration, as AWS's did before 2023.
"""

from functools import lru_cache

import msgpack

from gateway.context import Answer, Context, Input
from gateway.index.records import BucketRecord
from s3compat.bucket_encryption import BucketEncryption, bucket_encryption_document, parse_bucket_encryption
from s3compat.errors import S3Error

#: The name of the configuration document: msgpack [format, algorithm, KMS key id, bucket key, blocked types].
ENCRYPTION = "encryption"
_FORMAT = 1


async def put_bucket_encryption(context: Context, params: Input) -> Answer:
    """PutBucketEncryption; whether there is such a key is asked when something is written, as at AWS.

    Raises MalformedXML, InvalidArgument, NotImplemented (aws:kms:dsse).
    """
    stated = params.get("ServerSideEncryptionConfiguration")
    if stated is None:
        raise S3Error("MalformedXML")
    await _store(context, encode_bucket_encryption(parse_bucket_encryption(stated)))
    return Answer()


async def get_bucket_encryption(context: Context, params: Input) -> Answer:
    """GetBucketEncryption. Raises ServerSideEncryptionConfigurationNotFoundError."""
    default = default_encryption(context.target_bucket)
    if default is None:
        raise S3Error("ServerSideEncryptionConfigurationNotFoundError", BucketName=context.target_bucket.name)
    return Answer(output={"ServerSideEncryptionConfiguration": bucket_encryption_document(default)})


async def delete_bucket_encryption(context: Context, params: Input) -> Answer:
    """DeleteBucketEncryption, whether or not there is any."""
    await _store(context, None)
    return Answer()


def encode_bucket_encryption(encryption: BucketEncryption) -> bytes:
    """The document as it is stored."""
    packed: bytes = msgpack.packb(
        (_FORMAT, encryption.algorithm, encryption.kms_key_id, encryption.bucket_key, encryption.blocked)
    )
    return packed


def default_encryption(bucket: BucketRecord) -> BucketEncryption | None:
    """What a bucket says of the encryption of new objects, None where nothing."""
    document = bucket.configs.get(ENCRYPTION)
    return None if document is None else _decoded(document)


@lru_cache(maxsize=1024)
def _decoded(document: bytes) -> BucketEncryption:
    _, algorithm, kms_key_id, bucket_key, blocked = msgpack.unpackb(document)
    return BucketEncryption(algorithm=algorithm, kms_key_id=kms_key_id, bucket_key=bucket_key, blocked=tuple(blocked))


async def _store(context: Context, document: bytes | None) -> None:
    bucket = context.target_bucket
    await context.index.set_bucket_config(bucket.name, ENCRYPTION, document, bucket_id=bucket.bucket_id)

"""Buckets: create, look at, list, delete, and names that cannot be."""

from tests.differential.case import MISSING_BUCKET, OTHER_BUCKET, Case, case, put, s3, without_bucket


def _refused_name(name: str) -> Case:
    return without_bucket(s3("create_bucket", Bucket=name))


BUCKETS: dict[str, Case] = {
    "create answers with its location": without_bucket(s3("create_bucket")),
    "create again by the owner": case(s3("create_bucket")),
    "create, delete, create": case(s3("delete_bucket"), s3("create_bucket"), s3("head_bucket")),
    "create in an unknown region": without_bucket(
        s3("create_bucket", CreateBucketConfiguration={"LocationConstraint": "nowhere-1"})
    ),
    "head": case(s3("head_bucket")),
    "head of a missing bucket": case(s3("head_bucket", Bucket=MISSING_BUCKET)),
    "location": case(s3("get_bucket_location")),
    "location of a missing bucket": case(s3("get_bucket_location", Bucket=MISSING_BUCKET)),
    "delete": case(s3("delete_bucket"), s3("head_bucket")),
    "delete of a missing bucket": case(s3("delete_bucket", Bucket=MISSING_BUCKET)),
    "delete twice": case(s3("delete_bucket"), s3("delete_bucket")),
    "delete with an object in it": case(put("k"), s3("delete_bucket"), s3("head_bucket")),
    "delete once emptied": case(put("k"), s3("delete_object", Key="k"), s3("delete_bucket")),
    "delete with an upload in it": case(s3("create_multipart_upload", Key="k"), s3("delete_bucket")),
    "name too short": _refused_name("ab"),
    "name too long": _refused_name("a" * 64),
    "name of the greatest length": without_bucket(s3("create_bucket", Bucket="b" * 63)),
    "name with an upper-case letter": _refused_name("Capital"),
    "name with an underscore": _refused_name("under_score"),
    "name with a hyphen in front": _refused_name("-front"),
    "name with a hyphen at the end": _refused_name("behind-"),
    "name with two dots": _refused_name("two..dots"),
    "name like an address": _refused_name("192.168.5.4"),
    "name with dots": without_bucket(s3("create_bucket", Bucket="with.dots.inside")),
    "list by prefix": case(
        s3("create_bucket", Bucket=OTHER_BUCKET),
        s3("list_buckets", Prefix="case-no-such-prefix"),
    ),
    "put into a missing bucket": case(put("k", Bucket=MISSING_BUCKET)),
    "get from a missing bucket": case(s3("get_object", Key="k", Bucket=MISSING_BUCKET)),
    "list a missing bucket": case(
        s3("list_objects", Bucket=MISSING_BUCKET), s3("list_objects_v2", Bucket=MISSING_BUCKET)
    ),
}

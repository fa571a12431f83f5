"""Tags of objects and buckets, GetObjectAttributes, and CORS configuration."""

from tests.differential.case import MISSING_BUCKET, OWN_BUCKET, Case, case, head, put, s3

EVERYTHING = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]


def _tags(*pairs: tuple[str, str]) -> dict[str, object]:
    return {"TagSet": [{"Key": name, "Value": value} for name, value in pairs]}


def _rules(**rule: object) -> dict[str, object]:
    return {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], **rule}]}


TAGGING: dict[str, Case] = {
    "header": case(put("k", Tagging="a=1&b=2"), head("k"), s3("get_object_tagging", Key="k")),
    "put and get": case(
        put("k"),
        s3("put_object_tagging", Key="k", Tagging=_tags(("a", "1"), ("b", ""))),
        s3("get_object_tagging", Key="k"),
    ),
    "deleted": case(put("k", Tagging="a=1"), s3("delete_object_tagging", Key="k"), s3("get_object_tagging", Key="k")),
    "none": case(put("k"), s3("get_object_tagging", Key="k")),
    "of a missing key": case(s3("get_object_tagging", Key="k"), s3("put_object_tagging", Key="k", Tagging=_tags())),
    "a key twice": case(put("k"), s3("put_object_tagging", Key="k", Tagging=_tags(("a", "1"), ("a", "2")))),
    "a reserved key": case(put("k"), s3("put_object_tagging", Key="k", Tagging=_tags(("aws:a", "1")))),
    "copied": case(
        put("k", Tagging="a=1"),
        s3("copy_object", Key="c", CopySource={"Bucket": OWN_BUCKET, "Key": "k"}),
        s3("get_object_tagging", Key="c"),
    ),
    "of a bucket": case(
        s3("get_bucket_tagging"),
        s3("put_bucket_tagging", Tagging=_tags(("a", "1"))),
        s3("get_bucket_tagging"),
        s3("delete_bucket_tagging"),
        s3("get_bucket_tagging"),
    ),
    "of a missing bucket": case(s3("get_bucket_tagging", Bucket=MISSING_BUCKET)),
    "attributes": case(put("k"), s3("get_object_attributes", Key="k", ObjectAttributes=EVERYTHING)),
    "attributes of a missing key": case(s3("get_object_attributes", Key="k", ObjectAttributes=["ETag"])),
    "cors": case(
        s3("get_bucket_cors"),
        s3("put_bucket_cors", CORSConfiguration=_rules(ExposeHeaders=["ETag"], MaxAgeSeconds=5)),
        s3("get_bucket_cors"),
        s3("delete_bucket_cors"),
        s3("get_bucket_cors"),
    ),
    "cors of an unknown method": case(s3("put_bucket_cors", CORSConfiguration=_rules(AllowedMethods=["PATCH"]))),
    "cors without rules": case(s3("put_bucket_cors", CORSConfiguration={"CORSRules": []})),
}

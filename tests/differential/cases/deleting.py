"""DeleteObject and DeleteObjects."""

from typing import Any

from tests.differential.case import MISSING_BUCKET, Case, case, head, put, s3


def _delete_many(*keys: str, quiet: bool | None = None, **more: Any) -> dict[str, object]:
    delete: dict[str, object] = {"Objects": [{"Key": key, **more} for key in keys]}
    return delete if quiet is None else delete | {"Quiet": quiet}


DELETING: dict[str, Case] = {
    "one": case(put("k"), s3("delete_object", Key="k"), head("k"), s3("list_objects_v2")),
    "absent key": case(s3("delete_object", Key="absent")),
    "twice": case(put("k"), s3("delete_object", Key="k"), s3("delete_object", Key="k")),
    "from a missing bucket": case(s3("delete_object", Key="k", Bucket=MISSING_BUCKET)),
    "a key above others": case(put("a"), put("a/b"), s3("delete_object", Key="a"), s3("list_objects_v2")),
    "many": case(put("a"), put("b"), put("c"), s3("delete_objects", Delete=_delete_many("a", "c")), s3("list_objects")),
    "many, some absent": case(put("a"), s3("delete_objects", Delete=_delete_many("a", "absent"))),
    "many, quiet": case(put("a"), s3("delete_objects", Delete=_delete_many("a", "b", quiet=True))),
    "many, not quiet": case(put("a"), s3("delete_objects", Delete=_delete_many("a", quiet=False))),
    "many, one key twice": case(put("a"), s3("delete_objects", Delete=_delete_many("a", "a"))),
    "many, odd keys": case(
        put("a&<b>"), put(" x "), s3("delete_objects", Delete=_delete_many("a&<b>", " x ")), s3("list_objects")
    ),
    "many, none": case(s3("delete_objects", Delete={"Objects": []})),
    "1,000": case(put("k7"), s3("delete_objects", Delete=_delete_many(*(f"k{n}" for n in range(1000)), quiet=True))),
    "1,001": case(s3("delete_objects", Delete=_delete_many(*(f"k{n}" for n in range(1001)), quiet=True))),
    "many from a missing bucket": case(s3("delete_objects", Bucket=MISSING_BUCKET, Delete=_delete_many("a"))),
}

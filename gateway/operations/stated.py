"""What the body of a request sets and policies may ask for: the pipeline reads these bodies before it decides.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html ("limit retention with bucket policies")
"""

from collections.abc import Mapping

from gateway.context import Input
from gateway.operations.tagging import tag_pairs
from s3compat.tags import Tags

#: Operations whose body says what policies may ask for.
STATING = frozenset({"CreateBucket", "PutObjectLegalHold", "PutObjectRetention", "PutObjectTagging"})


def stated_tags(operation: str, params: Input) -> Tags | None:
    """The tags that an object is to have, None where the body sets none."""
    return tuple(tag_pairs(params["Tagging"])) if operation == "PutObjectTagging" else None


def stated_values(operation: str, params: Input) -> Mapping[str, str]:
    """Everything else, by the lower-case names of condition keys; what the body leaves out is empty.

    So a header that means nothing to the operation cannot stand in for what the body does not say.
    """
    if operation == "PutObjectRetention":
        retention: Input = params.get("Retention") or {}
        until = retention.get("RetainUntilDate")
        return {
            "s3:object-lock-mode": retention.get("Mode") or "",
            "s3:object-lock-retain-until-date": "" if until is None else until.isoformat(),
        }
    if operation == "PutObjectLegalHold":
        hold: Input = params.get("LegalHold") or {}
        return {"s3:object-lock-legal-hold": hold.get("Status") or ""}
    if operation == "CreateBucket":
        configuration: Input = params.get("CreateBucketConfiguration") or {}
        return {"s3:locationconstraint": configuration.get("LocationConstraint") or ""}
    return {}

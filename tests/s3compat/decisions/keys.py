"""Decisions about the condition keys that AWS documents for S3: those of its own examples, each with a value that fits
and one that does not. A table. What a request has for each key is tested where that is found out (tests/gateway).

https://docs.aws.amazon.com/AmazonS3/latest/userguide/amazon-s3-policy-keys.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
"""

from collections.abc import Iterator
from typing import Any, Final

from s3compat.policy import Outcome
from tests.s3compat.decisions.case import Case
from tests.s3compat.policy_making import BUCKET_ARN, statement

ALLOW, NONE = Outcome.ALLOW, Outcome.NONE

# Action, operator, key, value of the policy, a value that fits, one that does not (None: none)
_KEYS: Final[list[tuple[str, str, str, Any, str, str | None]]] = [
    ("PutObject", "StringEquals", "s3:x-amz-acl", ["public-read", "private"], "private", "public-read-write"),
    ("PutObject", "StringEquals", "s3:x-amz-grant-full-control", "id=ab", "id=ab", None),
    ("PutObject", "StringLike", "s3:x-amz-grant-read", "id=*", "id=cd", "uri=everybody"),
    ("PutObject", "StringEquals", "s3:x-amz-grant-read-acp", "id=ab", "id=ab", "id=cd"),
    ("PutObject", "StringEquals", "s3:x-amz-grant-write-acp", "id=ab", "id=ab", "id=cd"),
    ("PutObject", "StringLike", "s3:x-amz-copy-source", "source/public/*", "source/public/a", "source/a"),
    ("PutObject", "StringEquals", "s3:x-amz-metadata-directive", "COPY", "COPY", "REPLACE"),
    ("PutObject", "StringEquals", "s3:x-amz-server-side-encryption", "AES256", "AES256", "aws:kms"),
    ("PutObject", "Null", "s3:x-amz-server-side-encryption", "false", "AES256", None),
    ("PutObject", "StringEquals", "s3:x-amz-server-side-encryption-aws-kms-key-id", "payroll", "payroll", "other"),
    ("PutObject", "Null", "s3:x-amz-server-side-encryption-customer-algorithm", "false", "AES256", None),
    ("PutObject", "StringEquals", "s3:x-amz-storage-class", ["STANDARD_IA", "STANDARD"], "STANDARD", "GLACIER"),
    ("PutObject", "StringLike", "s3:x-amz-website-redirect-location", "/*", "/new", "https://elsewhere"),
    ("PutObject", "StringEquals", "s3:x-amz-content-sha256", "UNSIGNED-PAYLOAD", "UNSIGNED-PAYLOAD", "ab" * 32),
    ("PutObject", "Null", "s3:if-none-match", "false", "*", None),
    ("PutObject", "Null", "s3:if-match", "false", "ab" * 16, None),
    ("PutObject", "Bool", "s3:ObjectCreationOperation", "false", "false", "true"),
    ("PutObject", "StringEquals", "s3:RequestObjectTag/Project", "X", "X", "Y"),
    ("PutObject", "StringLike", "s3:RequestObjectTag/Project", "*", "anything", None),
    ("PutObjectRetention", "StringEquals", "s3:object-lock-mode", "GOVERNANCE", "GOVERNANCE", "COMPLIANCE"),
    ("PutObjectRetention", "NumericLessThanEquals", "s3:object-lock-remaining-retention-days", "10", "10", "11"),
    ("PutObjectRetention", "NumericGreaterThan", "s3:object-lock-remaining-retention-days", "10", "11", "10"),
    (
        "PutObjectRetention",
        "DateLessThan",
        "s3:object-lock-retain-until-date",
        "2027-01-01",
        "2026-06-01",
        "2028-01-01",
    ),
    ("PutObjectLegalHold", "StringEquals", "s3:object-lock-legal-hold", "ON", "ON", "OFF"),
    ("GetObject", "StringEquals", "s3:ExistingObjectTag/Security", "public", "public", "secret"),
    ("GetObject", "StringLike", "s3:ExistingObjectTag/Security", "pub*", "public", None),
    ("GetObject", "StringEquals", "s3:authType", "REST-HEADER", "REST-HEADER", "REST-QUERY-STRING"),
    ("GetObject", "StringEquals", "s3:signatureversion", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256", "AWS"),
    ("GetObject", "NumericLessThan", "s3:signatureAge", "600000", "599999", "600000"),
    ("GetObject", "NumericGreaterThanEquals", "s3:TlsVersion", "1.2", "1.3", "1.1"),
    ("GetObject", "StringEquals", "s3:ResourceAccount", "ab" * 32, "ab" * 32, "cd" * 32),
    ("GetObject", "StringEquals", "s3:BucketTag/team", "red", "red", "blue"),
    ("GetObject", "StringEquals", "s3:DataAccessPointAccount", "123456789012", "123456789012", None),
    ("GetObject", "StringEquals", "s3:AccessPointNetworkOrigin", "VPC", "VPC", "Internet"),
    ("GetObjectVersion", "StringEquals", "s3:VersionId", "3", "3", "4"),
    ("ListBucket", "StringEquals", "s3:prefix", ["", "home/"], "home/", "away/"),
    ("ListBucket", "StringLike", "s3:prefix", "home/*", "home/a", None),
    ("ListBucket", "StringEquals", "s3:delimiter", "/", "/", "-"),
    ("ListBucket", "NumericLessThanEquals", "s3:max-keys", "10", "10", "11"),
    ("CreateBucket", "StringEquals", "s3:LocationConstraint", "eu-west-1", "eu-west-1", "us-west-2"),
    ("CreateBucket", "StringEquals", "s3:x-amz-object-ownership", "BucketOwnerEnforced", "BucketOwnerEnforced", None),
    ("GetObject", "IpAddress", "aws:SourceIp", "203.0.113.0/24", "203.0.113.7", "198.51.100.1"),
    ("GetObject", "NotIpAddress", "aws:SourceIp", "203.0.113.0/24", "198.51.100.1", "203.0.113.7"),
    ("GetObject", "StringLike", "aws:Referer", ["http://www.example.com/*"], "http://www.example.com/a", None),
    ("GetObject", "StringLike", "aws:UserAgent", "Boto3/*", "Boto3/1.40", "curl/8"),
    ("GetObject", "Bool", "aws:SecureTransport", "true", "true", "false"),
    ("GetObject", "DateGreaterThan", "aws:CurrentTime", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2025-01-01"),
    ("GetObject", "NumericLessThan", "aws:EpochTime", "1767225600", "1767225599", "1767225600"),
    ("GetObject", "StringEquals", "aws:RequestedRegion", ["eu-west-1", "us-east-1"], "us-east-1", "us-west-2"),
    (
        "GetObject",
        "ArnLike",
        "aws:PrincipalArn",
        "arn:aws:iam:::user/p*",
        "arn:aws:iam:::user/paula",
        "arn:aws:iam:::user/max",
    ),
    ("GetObject", "StringEquals", "aws:PrincipalAccount", "ab" * 32, "ab" * 32, "cd" * 32),
    ("GetObject", "StringEquals", "aws:PrincipalType", ["User", "Account"], "User", "Anonymous"),
    ("GetObject", "StringEquals", "aws:PrincipalOrgID", "o-1", "o-1", None),
    ("GetObject", "StringEquals", "aws:PrincipalTag/team", "red", "red", None),
    ("GetObject", "Bool", "aws:PrincipalIsAWSService", "false", "false", "true"),
    ("GetObject", "Bool", "aws:ViaAWSService", "false", "false", "true"),
    ("GetObject", "StringLike", "aws:userid", "ab*", "ab12", "cd12"),
    ("GetObject", "StringEquals", "aws:username", ["paula", "max"], "paula", "olga"),
    ("GetObject", "StringEquals", "aws:ResourceAccount", "ab" * 32, "ab" * 32, "cd" * 32),
    ("ListBucket", "StringEquals", "aws:ResourceTag/team", "red", "red", "blue"),
    ("GetObject", "StringEquals", "aws:SourceVpc", "vpc-1", "vpc-1", None),
    ("GetObject", "StringEquals", "aws:SourceVpce", "vpce-1", "vpce-1", "vpce-2"),
    ("GetObject", "Bool", "aws:MultiFactorAuthPresent", "true", "true", None),
    ("GetObject", "NumericLessThan", "aws:MultiFactorAuthAge", "3600", "3599", None),
    ("GetObject", "ArnLike", "aws:SourceArn", "arn:aws:s3:::source*", "arn:aws:s3:::source-1", None),
    ("GetObject", "StringEquals", "aws:SourceAccount", "ab" * 32, "ab" * 32, None),
]


def cases() -> Iterator[Case]:
    """Two decisions for each key, under its own spelling in the policy and in lower case in the request."""
    for action, operator, key, expected, fitting, other in _KEYS:
        on_bucket = action in ("ListBucket", "CreateBucket")
        resource = BUCKET_ARN if on_bucket else f"{BUCKET_ARN}/a.jpg"
        made = statement(Action=f"s3:{action}", Resource=resource, Condition={operator: {key: expected}})
        for value, outcome in ((fitting, ALLOW), (other, NONE)):
            yield Case(
                name=f"{operator} {key} {expected}: {value}",
                statements=(made,),
                action=f"s3:{action}",
                resource=resource,
                values={} if value is None else {key: value},
                outcome=outcome,
            )

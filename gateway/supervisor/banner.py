"""What `cairn serve` prints when all is ready: the endpoint, the keys, and lines to paste into a shell.

The first line and the final empty line are what scripts wait for.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What there is to tell."""

    endpoint: str
    data_directory: Path
    settings: GatewaySettings = field(repr=False)
    notes: tuple[str, ...] = ()


def banner(told: Announcement) -> str:
    """The whole text; ends with an empty line."""
    settings = told.settings
    lines = [
        f"Cairn serves S3 at {told.endpoint}",
        f"  data        {told.data_directory}",
        f"  region      {settings.region}",
        f"  access key  {settings.root_access_key}",
        f"  secret key  {settings.root_secret_key}",
        *(f"  note        {note}" for note in told.notes),
    ]
    for title, commands in (
        ("aws", _aws(told)),
        ("rclone", _rclone(told)),
        ("boto3", _boto3(told)),
        ("curl", _curl(told)),
    ):
        lines += [f"# {title}", *commands]
    return "\n".join(lines) + "\n\n"


def _aws(told: Announcement) -> list[str]:
    settings = told.settings
    variables = {
        "AWS_ACCESS_KEY_ID": settings.root_access_key,
        "AWS_SECRET_ACCESS_KEY": settings.root_secret_key,
        "AWS_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_ENDPOINT_URL": told.endpoint,
    }
    if settings.tls_cert:
        variables["AWS_CA_BUNDLE"] = str(settings.tls_cert.absolute())
    exports = " ".join(f"{name}={quote(value)}" for name, value in variables.items())
    return [f"export {exports}", "aws s3 mb s3://first-bucket", "aws s3 ls"]


def _rclone(told: Announcement) -> list[str]:
    settings = told.settings
    variables = {
        "RCLONE_CONFIG_CAIRN_TYPE": "s3",
        "RCLONE_CONFIG_CAIRN_PROVIDER": "Other",
        "RCLONE_CONFIG_CAIRN_ACCESS_KEY_ID": settings.root_access_key,
        "RCLONE_CONFIG_CAIRN_SECRET_ACCESS_KEY": settings.root_secret_key,
        "RCLONE_CONFIG_CAIRN_REGION": settings.region,
        "RCLONE_CONFIG_CAIRN_ENDPOINT": told.endpoint,
    }
    if settings.tls_cert:
        variables["RCLONE_CA_CERT"] = str(settings.tls_cert.absolute())
    exports = " ".join(f"{name}={quote(value)}" for name, value in variables.items())
    return [f"export {exports}", "rclone lsd cairn:"]


def _boto3(told: Announcement) -> list[str]:
    settings = told.settings
    arguments = {
        "endpoint_url": told.endpoint,
        "aws_access_key_id": settings.root_access_key,
        "aws_secret_access_key": settings.root_secret_key,
        "region_name": settings.region,
    }
    if settings.tls_cert:
        arguments["verify"] = str(settings.tls_cert.absolute())
    written = ", ".join(f"{name}={json.dumps(value)}" for name, value in arguments.items())
    program = f'import boto3; s3 = boto3.client("s3", {written}); print(s3.list_buckets()["Buckets"])'
    return [f"python3 -c {quote(program)}"]


def _curl(told: Announcement) -> list[str]:
    settings = told.settings
    trust = f"--cacert {quote(str(settings.tls_cert.absolute()))} " if settings.tls_cert else ""
    user = quote(f"{settings.root_access_key}:{settings.root_secret_key}")
    login = "" if settings.legacy_anonymous else f"--user {user} "
    endpoint = quote(told.endpoint)
    return [
        f'curl {trust}{login}-X POST -F "file=@README.md" {endpoint}/upload',
        f"curl {trust}{login}-O -J {endpoint}/blob/README.md",
        # curl before 8.0 does not send the header by itself, and S3 wants it.
        f"curl {trust}--aws-sigv4 aws:amz:{settings.region}:s3 --user {user}"
        f" --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' {endpoint}/",
    ]

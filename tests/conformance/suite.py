"""The foreign suite: what is run of it, the environment it needs, and the command that runs it.

Nothing here knows Cairn: the server is an endpoint and the accounts are a directory of configuration files.
"""

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.harness.cairn import clean_environment

PROJECT = Path(__file__).resolve().parents[2]
ENVIRONMENT = PROJECT / ".tools" / "s3tests"
CONSTRAINTS = PROJECT / "constraints.txt"
#: Beside what the suite's requirements.txt names.
RUNNER_PACKAGES = ("pytest-timeout", "pytest-xdist")
TEST_FILES = ("test_s3.py", "test_headers.py")
TEST_TIMEOUT_S = 90

#: Marks whose tests no S3 server but Ceph's passes, or that belong to another service than S3.
EXCLUDED_MARKS = (
    # What AWS itself does not do: Ceph's dialect.
    "fails_on_aws",
    # They wait for Ceph's debug clock, where a day of lifecycle is some seconds.
    "lifecycle_expiration",
    "lifecycle_transition",
    "cloud_transition",
    "cloud_restore",
    "target_by_bucket",
    "storage_class",
    # Ceph's extensions of bucket logging.
    "bucket_logging",
    "bucket_logging_cleanup",
    "fails_without_logging_rollover",
    "s3website",
    "s3website_routing_rules",
    "s3website_redirect_location",
    # Other services: IAM, SNS, STS, S3 Select.
    "iam_account",
    "iam_cross_account",
    "iam_role",
    "iam_tenant",
    "iam_user",
    "sns",
    "s3select",
    "test_of_sts",
    "webidentity_test",
)


class SuiteError(Exception):
    """The checkout or its environment is not usable; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRun:
    """One run of the suite."""

    #: Top of the checkout.
    checkout: Path
    #: Holds one configuration file a worker, written by accounts.py.
    configuration: Path
    junit: Path
    workers: int
    #: pytest's -k; empty for all.
    only: str = ""


def check_checkout(checkout: Path) -> None:
    """Raises SuiteError unless it looks like ceph/s3-tests."""
    for name in ("requirements.txt", *(f"s3tests/functional/{file}" for file in TEST_FILES)):
        if not (checkout / name).is_file():
            raise SuiteError(f"{checkout} is no checkout of ceph/s3-tests: it has no {name}")


def prepare_environment(checkout: Path) -> Path:
    """The python of an environment with the suite's requirements; made once for each requirements.txt.

    Raises SuiteError when pip fails.
    """
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "requirements.sha256"
    requirements = checkout / "requirements.txt"
    wanted = hashlib.sha256(requirements.read_bytes() + CONSTRAINTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", str(ENVIRONMENT)],
        [*install, "-c", str(CONSTRAINTS), "-r", str(requirements), *RUNNER_PACKAGES],
    ):
        if subprocess.run(command, check=False).returncode != 0:
            raise SuiteError(f"failed: {' '.join(command)}")
    stamp.write_text(wanted)
    return python


def run(python: Path, wanted: SuiteRun) -> int:
    """Run the chosen tests and write `wanted.junit`; returns pytest's exit status."""
    files = [f"s3tests/functional/{name}" for name in TEST_FILES]
    command = [
        *(str(python), "-m", "pytest", *files),
        *("-p", "tests.conformance.plugin", "-p", "no:cacheprovider"),
        *("-m", " and ".join(f"not {mark}" for mark in EXCLUDED_MARKS)),
        *("-k", wanted.only),
        *("-n", str(wanted.workers), f"--timeout={TEST_TIMEOUT_S}"),
        *("-q", "--tb=short", "-rN", "--show-capture=no", f"--junitxml={wanted.junit}"),
    ]
    wanted.junit.parent.mkdir(parents=True, exist_ok=True)
    wanted.junit.unlink(missing_ok=True)
    log = wanted.junit.with_suffix(".log")
    with log.open("wb") as output:
        # The working directory is first on the path of `python -m`, so the suite finds itself before our tests.
        return subprocess.run(
            command, cwd=wanted.checkout, env=_environment(wanted), stdout=output, stderr=output, check=False
        ).returncode


def _environment(wanted: SuiteRun) -> dict[str, str]:
    return clean_environment() | {
        "PYTHONPATH": str(PROJECT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "S3TEST_CONF": str(wanted.configuration / "main.conf"),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }

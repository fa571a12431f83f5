"""The users that the suite wants, and its configuration files.

Some tests count all buckets of a user, so every worker has users of its own. Nothing here talks to a server.
"""

import configparser
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Roles whose users make buckets: one each for every worker.
WORKER_ROLES = ("main", "alt", "tenant")
#: Roles that the suite's start-up reads; tests that use them are left out, so all workers share them.
SHARED_ROLES = ("iam", "iam root", "iam alt root")
TENANT_NAME = "testx"
#: What xdist calls the process when there is only one.
SINGLE_WORKER = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One user of the suite, with values that depend on nothing but the role and the worker."""

    role: str
    name: str
    #: 64 hex digits, as AWS's canonical user ids are.
    canonical_id: str
    display_name: str
    email: str
    access_key: str
    secret_key: str


def worker_names(workers: int) -> tuple[str, ...]:
    """The names of the workers as xdist gives them."""
    return tuple(f"gw{number}" for number in range(workers)) if workers else (SINGLE_WORKER,)


def make_account(role: str, worker: str) -> Account:
    """The account of a role for a worker; the same every time."""
    name = f"{role.replace(' ', '-')}-{worker}"
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Account(
        role=role,
        name=name,
        canonical_id=digest,
        display_name=f"{role.title()} Tester {worker}",
        email=f"{name}@example.com",
        access_key=f"CONF{digest[:16].upper()}",
        secret_key=hashlib.sha256(b"secret of " + name.encode()).hexdigest()[:40],
    )


def accounts_for(worker: str) -> tuple[Account, ...]:
    """All accounts in the configuration of a worker."""
    own = tuple(make_account(role, worker) for role in WORKER_ROLES)
    return own + tuple(make_account(role, "all") for role in SHARED_ROLES)


def write_configuration(path: Path, host: str, port: int, accounts: Sequence[Account]) -> None:
    """Write one configuration file of the suite."""
    config = configparser.RawConfigParser()
    config["DEFAULT"] = {"host": host, "port": str(port), "is_secure": "False", "ssl_verify": "False"}
    config["fixtures"] = {"bucket prefix": "conf-{random}-"}
    for account in accounts:
        section = account.role if account.role in SHARED_ROLES else f"s3 {account.role}"
        config[section] = {
            "display_name": account.display_name,
            "user_id": account.canonical_id,
            "email": account.email,
            "access_key": account.access_key,
            "secret_key": account.secret_key,
        }
    config["s3 tenant"]["tenant"] = TENANT_NAME
    with path.open("w") as file:
        config.write(file)

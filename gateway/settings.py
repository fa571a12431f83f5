"""Settings of the gateway, the worker and `cairn serve`, each declared exactly once.

A field's metadata names its environment variable, parser and help text; the TOML key is the field's own
name. Sources by precedence: flags, the environment, the TOML file named by CAIRN_CONFIG, the key files
under `base_storage_path`, the default. Command-line parsing lives in cli.py, nothing else reads os.environ.
"""
# ruff: noqa: RUF009  (_setting makes a dataclass field; it is no default value computed once for all)

import base64
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from gateway.keys import KeyFileError, read_keys
from gateway.setting_parsers import (
    parse_count,
    parse_domains,
    parse_flag,
    parse_index_host,
    parse_log_format,
    parse_master_key,
    parse_object_ownership,
    parse_optional_path,
    parse_path,
    parse_port,
    parse_positive_count,
    parse_seconds,
    parse_text,
)

#: `replicas` 0 means as many as there are nodes, up to this.
MAXIMUM_REPLICAS_BY_DEFAULT = 3

CONFIG_VARIABLE = "CAIRN_CONFIG"

#: Tables of the TOML file that belong to other settings than the gateway's.
_TABLES = frozenset({"serve"})

_Settings = TypeVar("_Settings")
_Value = TypeVar("_Value")


class SettingsError(Exception):
    """A setting is missing, malformed or contradicts another; the message names it and where it came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What is known of one setting besides its type and default."""

    variable: str
    help: str
    parse: Callable[[str], Any]
    secret: bool = False


def _setting(
    variable: str, default: _Value, parse: Callable[[str], _Value], help: str, *, secret: bool = False
) -> _Value:
    """A dataclass field that declares a setting, typed as its value so that default and parser must agree."""
    declared = Declaration(variable=variable, help=help, parse=parse, secret=secret)
    return field(default=default, repr=not secret, metadata={"declaration": declared})


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Everything a gateway or worker process is told. Build from the outside world with `load`."""

    redis_host: str = _setting(
        "REDIS_HOST",
        "localhost",
        parse_index_host,
        "Redis host name, unix:/path/to/its.sock, sentinel:NAME@HOST:PORT,... or cluster:HOST:PORT,...",
    )
    redis_port: int = _setting("REDIS_PORT", 6379, parse_port, "Redis port")
    redis_password: str = _setting("REDIS_PASSWORD", "", parse_text, "Redis password", secret=True)
    base_storage_path: Path = _setting(
        "BASE_STORAGE_PATH", Path("cairn-data"), parse_path, "directory of this process's files"
    )
    node_heartbeat_interval_s: float = _setting(
        "NODE_HEARTBEAT_INTERVAL", 30.0, parse_seconds, "seconds between two heartbeats of a storage node"
    )
    node_timeout_s: float = _setting(
        "NODE_TIMEOUT", 90.0, parse_seconds, "seconds without a heartbeat after which a node counts as dead"
    )
    debug: bool = _setting("DEBUG", False, parse_flag, "log more")
    log_format: str = _setting("CAIRN_LOG_FORMAT", "auto", parse_log_format, "json, text, or auto: text on a terminal")
    host: str = _setting("CAIRN_HOST", "127.0.0.1", parse_text, "address to listen on")
    port: int = _setting("CAIRN_PORT", 8000, parse_port, "port to listen on, 0 for any free one")
    domains: tuple[str, ...] = _setting(
        "CAIRN_DOMAIN", (), parse_domains, "domains under which bucket.DOMAIN addresses a bucket, by commas"
    )
    website_domains: tuple[str, ...] = _setting(
        "CAIRN_WEBSITE_DOMAIN", (), parse_domains, "domains under which bucket.DOMAIN serves a website, by commas"
    )
    region: str = _setting("CAIRN_REGION", "us-east-1", parse_text, "region that clients sign for")
    root_access_key: str = _setting("CAIRN_ROOT_ACCESS_KEY", "", parse_text, "access key of the root user")
    root_secret_key: str = _setting("CAIRN_ROOT_SECRET_KEY", "", parse_text, "secret key of the root user", secret=True)
    master_key: bytes = _setting(
        "CAIRN_MASTER_KEY",
        b"",
        parse_master_key,
        "base64 of the 32-byte key that encrypts secrets in the index",
        secret=True,
    )
    cluster_secret: str = _setting(
        "CAIRN_CLUSTER_SECRET", "", parse_text, "secret shared by gateways and storage nodes", secret=True
    )
    replicas: int = _setting("CAIRN_REPLICAS", 0, parse_count, "copies kept of every byte; 0: one a node, at most 3")
    bucket_limit: int = _setting("CAIRN_BUCKET_LIMIT", 10_000, parse_count, "buckets that one user may own")
    object_ownership: str = _setting(
        "CAIRN_OBJECT_OWNERSHIP",
        "BucketOwnerEnforced",
        parse_object_ownership,
        "who owns the objects of new buckets: BucketOwnerEnforced (no ACLs), BucketOwnerPreferred, ObjectWriter",
    )
    block_public_access: bool = _setting(
        "CAIRN_BLOCK_PUBLIC_ACCESS", False, parse_flag, "new buckets block public ACLs and policies, as at AWS"
    )
    sigv2: bool = _setting(
        "CAIRN_SIGV2",
        False,
        parse_flag,
        "take Signature Version 2 in Authorization headers and POST forms too, not in presigned URLs alone",
    )
    ssec_over_http: bool = _setting(
        "CAIRN_SSEC_OVER_HTTP",
        False,
        parse_flag,
        "take clients' own encryption keys (SSE-C) over plain HTTP from everybody, not from this machine alone",
    )
    kms_create_keys: bool = _setting(
        "CAIRN_KMS_CREATE_KEYS",
        True,
        parse_flag,
        "make a key of the key ring when a writer names one that is not there",
    )
    legacy_bucket: str = _setting(
        "CAIRN_LEGACY_BUCKET", "blobs", parse_text, "bucket behind POST /upload and /blob/NAME"
    )
    legacy_anonymous: bool = _setting(
        "CAIRN_LEGACY_ANONYMOUS",
        False,
        parse_flag,
        "let POST /upload and /blob/NAME work without credentials",
    )
    reclaim_grace_s: float = _setting(
        "CAIRN_RECLAIM_GRACE_S", 3600.0, parse_seconds, "seconds that bytes outlive their last reference"
    )
    orphan_grace_s: float = _setting(
        "CAIRN_ORPHAN_GRACE_S", 3600.0, parse_seconds, "seconds after which bytes of an unfinished write go"
    )
    reclaim_interval_s: float = _setting(
        "CAIRN_RECLAIM_INTERVAL_S", 60.0, parse_seconds, "seconds between two rounds of reclaiming"
    )
    snapshot_entries: int = _setting(
        "CAIRN_SNAPSHOT_ENTRIES", 100_000, parse_positive_count, "changes after which the index is dumped to the nodes"
    )
    snapshot_interval_s: float = _setting(
        "CAIRN_SNAPSHOT_INTERVAL_S", 3600.0, parse_seconds, "seconds after which it is, if there was any change"
    )
    repair_grace_s: float = _setting(
        "CAIRN_REPAIR_GRACE_S", 900.0, parse_seconds, "seconds that a node may be dead before it is repaired around"
    )
    repair_rate_bytes_s: int = _setting(
        "CAIRN_REPAIR_RATE", 100 * 1024 * 1024, parse_positive_count, "bytes a second that repair may copy"
    )
    journal_replicas: int = _setting(
        "CAIRN_JOURNAL_REPLICAS", 0, parse_count, "nodes that keep the journal; 0: as many as there are, at most 3"
    )
    journal_timeout_s: float = _setting(
        "CAIRN_JOURNAL_TIMEOUT_S", 10.0, parse_seconds, "seconds that a change waits for the journal's nodes"
    )
    expected_nodes: int = _setting(
        "CAIRN_EXPECTED_NODES",
        0,
        parse_count,
        "storage nodes that a new cluster waits for; 0: until no more come for two heartbeats",
    )
    lifecycle_day_s: float = _setting(
        "CAIRN_LIFECYCLE_DAY_S", 86_400.0, parse_seconds, "seconds that a day of a lifecycle rule lasts"
    )
    lifecycle_interval_s: float = _setting(
        "CAIRN_LIFECYCLE_INTERVAL_S", 3600.0, parse_seconds, "seconds between two rounds of the lifecycle rules"
    )
    request_body_idle_timeout_s: float = _setting(
        "CAIRN_BODY_TIMEOUT_S",
        30.0,
        parse_seconds,
        "seconds without a byte after which an upload is given up",
    )
    access_log_interval_s: float = _setting(
        "CAIRN_ACCESS_LOG_INTERVAL_S", 300.0, parse_seconds, "seconds between two log objects of a bucket's requests"
    )
    access_log_lines: int = _setting(
        "CAIRN_ACCESS_LOG_LINES", 10_000, parse_positive_count, "lines after which a log object is written earlier"
    )
    tls_cert: Path | None = _setting("CAIRN_TLS_CERT", None, parse_optional_path, "PEM certificate chain; serves HTTPS")
    tls_key: Path | None = _setting("CAIRN_TLS_KEY", None, parse_optional_path, "PEM key of the certificate")
    parent_pid: int = _setting(
        "CAIRN_PARENT_PID", 0, parse_count, "process to die with; set by cairn serve, 0 for none"
    )

    @classmethod
    def load(cls, environment: Mapping[str, str], flags: Mapping[str, object] | None = None) -> "GatewaySettings":
        """Read every source. Raises SettingsError."""
        return cls.build(collect(cls, environment, flags or {}))

    @property
    def keys_directory(self) -> Path:
        return self.base_storage_path / "keys"

    @classmethod
    def build(cls, given: Mapping[str, "Given"]) -> "GatewaySettings":
        """Parse collected texts, fall back to the key files and defaults. Raises SettingsError."""
        settings = _with_key_files(_parse(cls, given))
        settings._check()
        return settings

    def _check(self) -> None:
        if bool(self.root_access_key) != bool(self.root_secret_key):
            raise SettingsError("CAIRN_ROOT_ACCESS_KEY and CAIRN_ROOT_SECRET_KEY are set together or not at all")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise SettingsError("a TLS certificate and its key are given together or not at all")
        if shared := set(self.domains) & set(self.website_domains):
            raise SettingsError(f"{min(shared)} cannot be both in CAIRN_DOMAIN and in CAIRN_WEBSITE_DOMAIN")
        if self.node_timeout_s <= self.node_heartbeat_interval_s:
            raise SettingsError("NODE_TIMEOUT must be longer than NODE_HEARTBEAT_INTERVAL")

    def replicas_for(self, node_count: int) -> int:
        """How many copies to keep in a cluster of `node_count` nodes."""
        return self.replicas or max(1, min(MAXIMUM_REPLICAS_BY_DEFAULT, node_count))

    def require_keys(self) -> None:
        """Raise SettingsError naming the first secret without which a gateway or worker cannot run."""
        for name in ("cluster_secret", "master_key", "root_access_key"):
            if not getattr(self, name):
                raise SettingsError(f"{declaration(type(self), name).variable} is not set")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """What only `cairn serve` is told; in the TOML file these stand in the table [serve]."""

    nodes: int = _setting(
        "CAIRN_NODES", 0, parse_count, "storage nodes to run; 0: those of the data directory, 1 in a new one"
    )
    workers: int = _setting("CAIRN_WORKERS", 1, parse_positive_count, "gateway processes to run")

    @classmethod
    def load(cls, environment: Mapping[str, str], flags: Mapping[str, object] | None = None) -> Self:
        """Read every source. Raises SettingsError."""
        return _parse(cls, collect(cls, environment, flags or {}, table="serve"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The text of a setting and the name under which somebody gave it."""

    text: str = field(repr=False)
    source: str


def declaration(settings: type, name: str) -> Declaration:
    """The declaration of one field; KeyError if there is no such setting."""
    by_name: dict[str, Field[Any]] = {one.name: one for one in fields(settings)}
    return cast(Declaration, by_name[name].metadata["declaration"])


def collect(
    settings: type, environment: Mapping[str, str], flags: Mapping[str, object], *, table: str | None = None
) -> dict[str, Given]:
    """What was given explicitly, by field name. Raises SettingsError.

    A flag that is None and a variable that is empty (as compose files pass on unset ones) are not given.
    """
    from_file = _read_file(settings, environment.get(CONFIG_VARIABLE, ""), table)
    given: dict[str, Given] = {}
    for one in fields(settings):
        variable = declaration(settings, one.name).variable
        if flags.get(one.name) is not None:
            given[one.name] = Given(text=_as_text(flags[one.name]), source=f"--{one.name.replace('_', '-')}")
        elif environment.get(variable):
            given[one.name] = Given(text=environment[variable], source=variable)
        elif one.name in from_file:
            given[one.name] = from_file[one.name]
    return given


def _with_key_files(settings: GatewaySettings) -> GatewaySettings:
    """Fill the keys that nobody gave from the files that `cairn serve` made, where there are such files."""
    try:
        keys = read_keys(settings.keys_directory)
        master_key = settings.master_key or parse_master_key(keys.master_key)
    except (KeyFileError, ValueError) as error:
        raise SettingsError(f"key files in {settings.keys_directory}: {error}") from error
    root_given = settings.root_access_key or settings.root_secret_key
    return replace(
        settings,
        master_key=master_key,
        cluster_secret=settings.cluster_secret or keys.cluster_secret,
        root_access_key=settings.root_access_key if root_given else keys.root_access_key,
        root_secret_key=settings.root_secret_key if root_given else keys.root_secret_key,
    )


def _parse(settings: type[_Settings], given: Mapping[str, Given]) -> _Settings:
    values: dict[str, Any] = {}
    for name, one in given.items():
        declared = declaration(settings, name)
        try:
            values[name] = declared.parse(one.text)
        except ValueError as error:
            shown = "" if declared.secret else f", not {one.text!r}"
            raise SettingsError(f"{one.source}: {error}{shown}") from error
    return settings(**values)


def _read_file(settings: type, path: str, table: str | None) -> dict[str, Given]:
    if not path:
        return {}
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{CONFIG_VARIABLE}={path}: {error}") from error
    entries = document.get(table, {}) if table else document
    if not isinstance(entries, dict):
        raise SettingsError(f"{path}: [{table}] is not a table")
    known = {one.name for one in fields(settings)}
    given = {}
    for name, value in entries.items():
        if table is None and isinstance(value, dict) and name in _TABLES:
            continue
        if name not in known:
            raise SettingsError(f"{path}: there is no setting {name!r}")
        given[name] = Given(text=_as_text(value), source=f"{name} in {path}")
    return given


def load_one(name: str, environment: Mapping[str, str]) -> Any:
    """One setting, for a process that has no use for the others and must not fail on them. Raises SettingsError."""
    given = collect(GatewaySettings, environment, {})
    return getattr(_parse(GatewaySettings, {name: given[name]} if name in given else {}), name)


def to_environment(settings: GatewaySettings) -> dict[str, str]:
    """Every setting as the variable that gives a child process the same value, secrets included."""
    return {
        declaration(GatewaySettings, one.name).variable: _as_text(getattr(settings, one.name))
        for one in fields(settings)
    }


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, list | tuple):
        return ",".join(str(one) for one in value)
    return str(value)

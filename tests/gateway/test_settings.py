"""gateway.settings: sources and their precedence, parsers, what is refused."""

import base64
import dataclasses
from pathlib import Path

import pytest

from gateway.keys import ensure_keys
from gateway.settings import (
    GatewaySettings,
    ServeSettings,
    SettingsError,
    collect,
    declaration,
    to_environment,
)

MASTER_KEY = base64.b64encode(bytes(range(32))).decode()


def test_defaults_are_used_when_nothing_is_given(tmp_path: Path) -> None:
    settings = GatewaySettings.load({"BASE_STORAGE_PATH": str(tmp_path)})
    assert settings == GatewaySettings(base_storage_path=tmp_path)
    assert settings.host == "127.0.0.1"


def test_original_variables_keep_their_meaning(tmp_path: Path) -> None:
    settings = GatewaySettings.load(
        {
            "REDIS_HOST": "cache",
            "REDIS_PORT": "6380",
            "BASE_STORAGE_PATH": str(tmp_path),
            "NODE_HEARTBEAT_INTERVAL": "5",
            "NODE_TIMEOUT": "15",
            "DEBUG": "true",
        }
    )
    assert (settings.redis_host, settings.redis_port) == ("cache", 6380)
    assert settings.base_storage_path == tmp_path
    assert (settings.node_heartbeat_interval_s, settings.node_timeout_s) == (5.0, 15.0)
    assert settings.debug


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    config = tmp_path / "cairn.toml"
    config.write_text('port = 1\nregion = "file-1"\nhost = "file"\n[serve]\nnodes = 3\nworkers = 2\n')
    environment = {"CAIRN_CONFIG": str(config), "CAIRN_PORT": "2", "CAIRN_REGION": "env-1"}
    settings = GatewaySettings.load(environment, {"port": "3", "region": None})
    assert (settings.port, settings.region, settings.host) == (3, "env-1", "file")
    assert settings.redis_port == 6379
    serving = ServeSettings.load(environment, {"nodes": "4"})
    assert (serving.nodes, serving.workers) == (4, 2)


def test_file_takes_toml_types(tmp_path: Path) -> None:
    config = tmp_path / "cairn.toml"
    config.write_text('debug = true\ndomains = ["s3.test", "S3.example."]\nnode_timeout_s = 120.5\nport = 9\n')
    settings = GatewaySettings.load({"CAIRN_CONFIG": str(config)})
    assert settings.debug
    assert settings.domains == ("s3.test", "s3.example")
    assert (settings.node_timeout_s, settings.port) == (120.5, 9)


def test_empty_variable_counts_as_not_given() -> None:
    assert GatewaySettings.load({"CAIRN_PORT": "", "REDIS_HOST": ""}).port == 8000
    assert "redis_host" not in collect(GatewaySettings, {"REDIS_HOST": ""}, {})


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"CAIRN_PORT": "http"}, "CAIRN_PORT: expected a whole number, not 'http'"),
        ({"CAIRN_PORT": "65536"}, "CAIRN_PORT: expected a port between 0 and 65535, not '65536'"),
        ({"CAIRN_PORT": "-1"}, "CAIRN_PORT: expected a whole number, not '-1'"),
        ({"CAIRN_PORT": "²"}, "CAIRN_PORT: expected a whole number, not '²'"),
        ({"DEBUG": "maybe"}, "DEBUG: expected on or off, not 'maybe'"),
        ({"NODE_TIMEOUT": "0"}, "NODE_TIMEOUT: expected a number of seconds above zero, not '0'"),
        ({"NODE_TIMEOUT": "nan"}, "NODE_TIMEOUT: expected a number of seconds above zero, not 'nan'"),
        ({"NODE_TIMEOUT": "1m"}, "NODE_TIMEOUT: expected a number of seconds, not '1m'"),
        ({"NODE_TIMEOUT": "30"}, "NODE_TIMEOUT must be longer than NODE_HEARTBEAT_INTERVAL"),
        ({"CAIRN_LOG_FORMAT": "xml"}, "CAIRN_LOG_FORMAT: expected json, text or auto, not 'xml'"),
        ({"CAIRN_ROOT_ACCESS_KEY": "AK"}, "CAIRN_ROOT_ACCESS_KEY and CAIRN_ROOT_SECRET_KEY"),
        ({"CAIRN_TLS_CERT": "cert.pem"}, "a TLS certificate and its key"),
        ({"CAIRN_CONFIG": "/nonexistent.toml"}, "CAIRN_CONFIG=/nonexistent.toml"),
    ],
)
def test_bad_value_is_refused_with_the_name_of_its_source(environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        GatewaySettings.load(environment)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("prot = 1", "there is no setting 'prot'"),
        ("[server]", "there is no setting 'server'"),
        ("port = ", "CAIRN_CONFIG="),
        ('port = "x"', "port in "),
    ],
)
def test_bad_file_is_refused(tmp_path: Path, toml: str, message: str) -> None:
    config = tmp_path / "cairn.toml"
    config.write_text(toml)
    with pytest.raises(SettingsError, match=message):
        GatewaySettings.load({"CAIRN_CONFIG": str(config)})


def test_file_table_that_is_no_table_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "cairn.toml"
    config.write_text("serve = 1")
    with pytest.raises(SettingsError, match=r"\[serve\] is not a table"):
        ServeSettings.load({"CAIRN_CONFIG": str(config)})


def test_bad_flag_is_named_as_the_flag() -> None:
    with pytest.raises(SettingsError, match="--port: expected a whole number"):
        GatewaySettings.load({}, {"port": "x"})
    with pytest.raises(SettingsError, match="--workers: expected a whole number above zero, not '0'"):
        ServeSettings.load({}, {"workers": "0"})


def test_bad_secret_is_not_repeated_in_the_message() -> None:
    with pytest.raises(SettingsError) as refused:
        GatewaySettings.load({"CAIRN_MASTER_KEY": "cGFzc3dvcmQ="})
    assert str(refused.value) == "CAIRN_MASTER_KEY: expected base64 of 32 bytes"


def test_secrets_are_not_in_the_repr() -> None:
    settings = GatewaySettings.load(
        {
            "REDIS_PASSWORD": "hidden-1",
            "CAIRN_ROOT_ACCESS_KEY": "shown",
            "CAIRN_ROOT_SECRET_KEY": "hidden-2",
            "CAIRN_MASTER_KEY": MASTER_KEY,
            "CAIRN_CLUSTER_SECRET": "hidden-3",
        }
    )
    assert "shown" in repr(settings)
    assert "hidden" not in repr(settings)
    assert repr(settings.master_key) not in repr(settings)


def test_key_files_fill_what_is_not_given(tmp_path: Path) -> None:
    keys = ensure_keys(tmp_path / "keys")
    settings = GatewaySettings.load({"BASE_STORAGE_PATH": str(tmp_path)})
    assert base64.b64encode(settings.master_key).decode() == keys.master_key
    assert settings.cluster_secret == keys.cluster_secret
    assert (settings.root_access_key, settings.root_secret_key) == (keys.root_access_key, keys.root_secret_key)
    settings.require_keys()


def test_given_keys_beat_key_files(tmp_path: Path) -> None:
    ensure_keys(tmp_path / "keys")
    settings = GatewaySettings.load(
        {
            "BASE_STORAGE_PATH": str(tmp_path),
            "CAIRN_MASTER_KEY": MASTER_KEY,
            "CAIRN_CLUSTER_SECRET": "shared",
            "CAIRN_ROOT_ACCESS_KEY": "root",
            "CAIRN_ROOT_SECRET_KEY": "secret",
        }
    )
    assert settings.master_key == bytes(range(32))
    assert (settings.cluster_secret, settings.root_access_key) == ("shared", "root")
    assert settings.root_secret_key == "secret"


def test_key_file_with_foreign_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "master.key").write_text("short\n")
    with pytest.raises(SettingsError, match="key files in"):
        GatewaySettings.load({"BASE_STORAGE_PATH": str(tmp_path)})


def test_missing_secrets_are_named() -> None:
    with pytest.raises(SettingsError, match="CAIRN_CLUSTER_SECRET is not set"):
        GatewaySettings().require_keys()
    with pytest.raises(SettingsError, match="CAIRN_MASTER_KEY is not set"):
        GatewaySettings(cluster_secret="x").require_keys()


@pytest.mark.parametrize(("replicas", "nodes", "expected"), [(0, 0, 1), (0, 1, 1), (0, 2, 2), (0, 9, 3), (5, 9, 5)])
def test_replicas_follow_the_number_of_nodes_unless_given(replicas: int, nodes: int, expected: int) -> None:
    assert GatewaySettings(replicas=replicas).replicas_for(nodes) == expected


def test_environment_of_a_child_gives_it_equal_settings(tmp_path: Path) -> None:
    settings = GatewaySettings(
        redis_host="unix:/run/redis.sock",
        base_storage_path=tmp_path,
        domains=("s3.test", "s3.example"),
        legacy_anonymous=True,
        root_access_key="root",
        root_secret_key="secret",
        master_key=bytes(range(32)),
        cluster_secret="shared",
        node_heartbeat_interval_s=0.25,
        tls_cert=tmp_path / "cert.pem",
        tls_key=tmp_path / "key.pem",
        parent_pid=42,
    )
    assert GatewaySettings.load(to_environment(settings)) == settings


def test_every_setting_is_declared_with_a_variable_of_its_own() -> None:
    variables = [
        declaration(settings, one.name).variable
        for settings in (GatewaySettings, ServeSettings)
        for one in dataclasses.fields(settings)
    ]
    assert len(variables) == len(set(variables))
    original = {
        "REDIS_HOST",
        "REDIS_PORT",
        "REDIS_PASSWORD",
        "BASE_STORAGE_PATH",
        "NODE_HEARTBEAT_INTERVAL",
        "NODE_TIMEOUT",
        "DEBUG",
    }
    assert {name for name in variables if not name.startswith("CAIRN_")} == original

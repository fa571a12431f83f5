"""Settings from the environment."""

import pytest

from storagenode.settings import NodeSettings, SettingsError

NEEDED = {"BASE_STORAGE_PATH": "/data", "CAIRN_CLUSTER_SECRET": "s3cret"}


def test_two_settings_are_enough() -> None:
    settings = NodeSettings.from_environment(NEEDED)
    assert settings == NodeSettings(directory="/data", secret=b"s3cret")
    assert settings.reserve_bytes is None
    assert "s3cret" not in repr(settings)


def test_every_setting_is_read() -> None:
    settings = NodeSettings.from_environment(
        {
            **NEEDED,
            "CAIRN_NODE_HOST": "0.0.0.0",
            "CAIRN_NODE_PORT": "7000",
            "CAIRN_NODE_ADVERTISE": "node1:7001",
            "CAIRN_ZONE": "rack1",
            "CAIRN_NODE_RESERVE_BYTES": "0",
            "REDIS_HOST": "unix:/run/redis.sock",
            "REDIS_PORT": "6380",
            "REDIS_PASSWORD": "pass",
            "NODE_HEARTBEAT_INTERVAL": "2.5",
            "CAIRN_SCRUB_PERIOD": "86400",
            "CAIRN_PARENT_PID": "12",
            "DEBUG": "true",
        }
    )
    assert settings == NodeSettings(
        directory="/data",
        secret=b"s3cret",
        host="0.0.0.0",
        port=7000,
        advertise="node1:7001",
        zone="rack1",
        reserve_bytes=0,
        redis_host="unix:/run/redis.sock",
        redis_port=6380,
        redis_password="pass",
        heartbeat_interval_s=2.5,
        scrub_period_s=86400.0,
        parent_pid=12,
        debug=True,
    )


def test_an_empty_variable_counts_as_unset() -> None:
    settings = NodeSettings.from_environment({**NEEDED, "CAIRN_NODE_ADVERTISE": "", "CAIRN_NODE_PORT": " "})
    assert settings == NodeSettings.from_environment(NEEDED)


@pytest.mark.parametrize("missing", ["BASE_STORAGE_PATH", "CAIRN_CLUSTER_SECRET"])
def test_without_directory_or_secret_a_node_does_not_start(missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        NodeSettings.from_environment({**NEEDED, missing: ""})


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("CAIRN_NODE_PORT", "65536"),
        ("CAIRN_NODE_PORT", "-1"),
        ("CAIRN_NODE_RESERVE_BYTES", "1G"),
        ("NODE_HEARTBEAT_INTERVAL", "0"),
        ("NODE_HEARTBEAT_INTERVAL", "nan"),
        ("CAIRN_SCRUB_PERIOD", "0"),
        ("NODE_HEARTBEAT_INTERVAL", "soon"),
        ("DEBUG", "maybe"),
    ],
)
def test_a_malformed_setting_is_named(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        NodeSettings.from_environment({**NEEDED, variable: text})

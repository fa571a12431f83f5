"""gateway.cli: what the commands refuse and how; what they do is tested where processes are (test_serve)."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import tools
from tests.harness.cairn import clean_environment

CAIRN = (sys.executable, "-m", "gateway.cli")


def cairn(
    *arguments: str, env: dict[str, str] | None = None, expect: int = 0, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    return tools.run(*CAIRN, *arguments, env=clean_environment() | (env or {}), expect=expect, cwd=cwd)


def test_version_is_the_distributions() -> None:
    assert cairn("--version").stdout.decode().startswith("cairn 0.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], ["serve", "gateway", "node", "worker", "user"]),
        (
            ["serve", "--help"],
            [
                "--data",
                "--host",
                "--port",
                "--nodes",
                "--replicas",
                "--workers",
                "--tls-cert",
                "--tls-key",
                "CAIRN_PORT",
            ],
        ),
        (["bucket", "redundancy", "--help"], ["--replicas", "--write-quorum", "--default", "--json", "--data"]),
        (["object", "show", "--help"], ["--version-id", "--quick", "--json", "--data"]),
        (["undelete", "--help"], ["--at", "--list", "--json", "--data"]),
        (["user", "policy", "--help"], ["set", "show", "remove"]),
        (["why", "--help"], ["REQUEST_ID", "--json", "--data"]),
        (["user", "add", "--help"], ["--access-key", "--secret-key", "--id", "--display-name", "--email", "--data"]),
    ],
)
def test_help_names_commands_and_flags(arguments: list[str], words: list[str]) -> None:
    text = cairn(*arguments, env={"COLUMNS": "200", "TERM": "dumb"}).stdout.decode()
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize("role", ["gateway", "worker"])
@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"CAIRN_PORT": "x"}, "cairn: CAIRN_PORT: expected a whole number, not 'x'\n"),
        ({}, "cairn: CAIRN_CLUSTER_SECRET is not set\n"),
    ],
)
def test_role_with_bad_settings_ends_with_status_1(
    role: str, env: dict[str, str], message: str, tmp_path: Path
) -> None:
    done = cairn(role, env={"BASE_STORAGE_PATH": str(tmp_path)} | env, expect=1)
    assert done.stderr.decode() == message


def test_node_with_bad_settings_ends_with_status_1() -> None:
    assert cairn("node", expect=1).stderr.startswith(b"cairn: BASE_STORAGE_PATH must be set")


def test_unknown_command_and_flag_end_with_status_2() -> None:
    assert b"No such command" in cairn("sevre", expect=2).stderr
    assert b"No such option" in cairn("serve", "--prot", "1", expect=2).stderr


def test_user_needs_an_index(tmp_path: Path) -> None:
    done = cairn("user", "list", "--data", str(tmp_path), expect=1)
    assert done.stderr.decode() == f"cairn: {tmp_path} holds no index: start cairn serve there first\n"


def test_user_tells_when_the_index_does_not_answer(tmp_path: Path) -> None:
    done = cairn("user", "list", env={"REDIS_HOST": f"unix:{tmp_path}/none.sock"}, expect=1)
    assert done.stderr.decode().startswith(f"cairn: the index is not open: index at unix:{tmp_path}/none.sock: ")
    assert done.stderr.decode().endswith("(does cairn serve, or Redis, run there?)\n")


def test_foreign_package_in_the_current_directory_is_not_run_by_children(tmp_path: Path) -> None:
    """Children are started with -P, as the console script itself is free of the current directory."""
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "__init__.py").write_text("raise SystemExit('foreign')")
    done = tools.run(tools.beside_python("cairn"), "--version", cwd=tmp_path, env=clean_environment())
    assert done.stdout.startswith(b"cairn ")
    command = [sys.executable, "-P", "-m", "gateway.cli", "--version"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout.startswith(b"cairn ")


def test_small_commands_import_little() -> None:
    program = "import sys, gateway.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"rich", "asyncio", "uvicorn", "starlette", "aiohttp", "botocore", "redis", "structlog", "cryptography"}
    assert heavy & set(loaded) == set()

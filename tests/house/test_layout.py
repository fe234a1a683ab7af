"""The house is built as CONTRIBUTING.md draws it: names, sizes, languages of the rooms."""

import ast
import configparser
import statistics
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SOURCES = sorted(p for room in ("engine", "plugin") for p in (CHECKOUT / room).rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


def relative(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


def tree(path: Path, feature_version=(3, 11)) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path), feature_version=feature_version)


def imports(path: Path):
    """Each import of a file as (level, first name); level 0 is absolute."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, (node.module or "").partition(".")[0]


def body_lines() -> dict[str, int]:
    """Lines of every function's body, its docstring left out."""
    lengths = {}
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                documented = ast.get_docstring(node) is not None and len(node.body) > 1
                first = node.body[1 if documented else 0]
                name = f"{relative(path)}:{node.name}"
                lengths[name] = (node.end_lineno or 0) - first.lineno + 1
    return lengths


def test_functions_are_short():
    lengths = body_lines()
    assert {name: n for name, n in lengths.items() if n > 50} == {}
    assert statistics.median(lengths.values()) <= 8
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= 25


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_modules_are_short_and_well_named(path):
    assert len(path.read_text("utf-8").splitlines()) <= 400
    assert not FORBIDDEN_NAMES & set(path.relative_to(CHECKOUT).with_suffix("").parts)


def test_every_room_has_tests_and_every_test_folder_a_room():
    rooms = {p.name for p in (CHECKOUT / "engine").iterdir() if (p / "__init__.py").exists()}
    folders = {p.name for p in (CHECKOUT / "tests").iterdir() if any(p.glob("test_*.py"))}
    assert folders == rooms | {"plugin", "qgis", "house"}


def test_a_package_of_the_engine_holds_code():
    rooms = [p for p in (CHECKOUT / "engine").iterdir() if (p / "__init__.py").exists()]
    assert [p.name for p in rooms if len(list(p.glob("*.py"))) < 2] == []


@pytest.mark.parametrize("path", sorted((CHECKOUT / "engine/contract").glob("*.py")), ids=relative)
def test_the_contract_needs_python_3_9_and_its_library_alone(path):
    tree(path, (3, 9))
    foreign = {name for level, name in imports(path) if level == 0} - sys.stdlib_module_names
    assert foreign == set()
    assert {level for level, _ in imports(path)} <= {0, 1}


@pytest.mark.parametrize("path", sorted((CHECKOUT / "plugin").rglob("*.py")), ids=relative)
def test_the_plugin_is_python_3_9_and_names_itself_relatively(path):
    tree(path, (3, 9))
    absolute = {name for level, name in imports(path) if level == 0}
    assert absolute <= sys.stdlib_module_names | {"processing", "qgis", "requests"}


def test_versions_agree():
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(CHECKOUT / "metadata.txt", "utf-8")
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    version = project["version"]
    assert metadata["general"]["version"] == version
    assert f'VERSION = "{version}"' in (CHECKOUT / "engine/version.py").read_text("utf-8")
    assert f"## [{version}]" in (CHECKOUT / "CHANGELOG.md").read_text("utf-8")

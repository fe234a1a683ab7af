"""The import contracts of pyproject.toml turn red when a room calls where it must not."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
CONTRACTS = {c["id"]: c["name"] for c in PROJECT["tool"]["importlinter"]["contracts"]}
PLANTED = [
    ("rooms", "engine/geo/planted.py", "from engine.io import source"),
    ("rooms", "engine/io/planted.py", "from engine.models import card"),
    ("rooms", "engine/models/planted.py", "from engine.io import source"),
    ("rooms", "engine/tasks/planted.py", "import engine.vectorize"),
    ("rooms", "engine/assess/planted.py", "def late():\n    from engine.tasks import segment"),
    ("rooms", "engine/pipeline/planted.py", "from engine import jobs"),
    ("rooms", "engine/jobs/planted.py", "from engine.server import x"),
    ("rooms", "engine/server/planted.py", "import engine.cli"),
    ("rooms", "engine/contract/planted.py", "from ..geo import window"),
    ("rooms", "engine/helpers/__init__.py", ""),
    ("engine-alone", "engine/pipeline/planted.py", "import qgis.core"),
    ("engine-alone", "engine/io/planted.py", "from osgeo import gdal"),
    ("engine-alone", "engine/cli/planted.py", "from plugin import client"),
    ("engine-alone", "engine/contract/planted.py", "from ...plugin import client"),
    ("pure-rooms", "engine/geo/planted.py", "import rasterio"),
    ("pure-rooms", "engine/tasks/planted.py", "from rasterio.windows import Window"),
    ("plugin-contract", "plugin/planted.py", "from ..engine.geo import window"),
    ("plugin-contract", "plugin/planted.py", "from ..engine import geo"),
    ("plugin-contract", "plugin/processing/planted.py", "import engine.contract"),
    ("light-plugin", "plugin/planted.py", "def late():\n    import rasterio"),
    ("light-plugin", "plugin/processing/planted.py", "import torch.nn"),
    ("light-plugin", "engine/contract/planted.py", "import pydantic"),
]


@pytest.fixture
def copy(tmp_path):
    """The sources alone, under the name that QGIS' view of them has."""
    checkout = tmp_path / "swath"
    for package in ("engine", "plugin"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / package, checkout / package, ignore=ignore)
    for file in ("__init__.py", "pyproject.toml"):
        shutil.copy(CHECKOUT / file, checkout)
    return checkout


def lint(checkout: Path, *arguments: str) -> subprocess.CompletedProcess:
    program = "from importlinter.cli import lint_imports_command as lint; lint()"
    path = os.pathsep.join((str(checkout.parent), str(checkout)))
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache", *arguments],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_the_house_as_it_stands_keeps_its_contracts(copy):
    done = lint(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in done.stdout


@pytest.mark.parametrize(("contract", "file", "code"), PLANTED)
def test_a_planted_import_turns_its_contract_red(copy, contract, file, code):
    planted = copy / file
    planted.parent.mkdir(exist_ok=True, parents=True)
    planted.write_text(f"{code}\n", "utf-8")
    done = lint(copy, "--contract", contract)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{CONTRACTS[contract]} BROKEN" in done.stdout, done.stdout + done.stderr


def test_every_contract_has_a_planted_import():
    assert {contract for contract, _, _ in PLANTED} == set(CONTRACTS)

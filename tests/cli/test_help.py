"""The grammar of the command, seen as its users see it."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.version import VERSION

GOLDEN = Path(__file__).parent / "golden"
COMMANDS = [
    "",
    "segment",
    "change",
    "update",
    "biomass",
    "calibrate",
    "totals",
    "assess",
    "sample",
    "models",
    "models list",
    "models show",
    "models install",
    "models verify",
    "models remove",
    "models bundle",
    "models import",
    "models measure",
    "models add",
    "models export",
    "models ensemble",
    "jobs",
    "jobs list",
    "jobs show",
    "jobs cancel",
    "jobs resume",
    "jobs clean",
    "serve",
    "doctor",
    "demo",
]
HEAVY = {"numpy", "rasterio", "fiona", "onnxruntime", "scipy", "shapely", "pyproj", "starlette"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_the_golden_one(swath, command):
    said = swath(*command.split(), "--help")
    golden = GOLDEN / f"{command.replace(' ', '-') or 'swath'}.txt"
    if os.environ.get("SWATH_UPDATE_GOLDEN"):
        golden.write_text(said.out, encoding="utf-8")
    assert (said.code, said.err) == (0, "")
    assert said.out == golden.read_text(encoding="utf-8")


def test_every_golden_file_is_of_a_command():
    names = {command.replace(" ", "-") or "swath" for command in COMMANDS}
    assert {path.stem for path in GOLDEN.glob("*.txt")} == names


def test_the_version_is_told(swath):
    assert swath("--version").out == f"swath {VERSION}\n"


@pytest.mark.parametrize("words", ["--version", "--help", "models list", "segment --help"])
def test_small_questions_are_answered_soon(swath, words):
    times = []
    for _ in range(5):
        began = time.perf_counter()
        swath(*words.split())
        times.append(time.perf_counter() - began)
    assert statistics.median(times) < 1.0


@pytest.mark.parametrize("words", [["--help"], ["models", "list"], ["jobs", "list"]])
def test_small_questions_load_nothing_heavy(environment, words):
    code = f"import sys\nfrom engine.cli.__main__ import main\nmain({words!r})\n"
    code += "print(*sys.modules, file=sys.stderr)"
    said = subprocess.run(
        [sys.executable, "-I", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not HEAVY & {name.split(".")[0] for name in said.stderr.split()}


@pytest.mark.parametrize(
    "words",
    [
        ["paint"],
        ["segment", "--what"],
        ["segment", "only-one"],
        ["segment", "a.tif", "b.tif", "--min-area", "-1"],
        ["segment", "a.tif", "b.tif", "--nodata", "none"],
        ["segment", "a.tif", "b.tif", "--bounds", "1,2,3"],
        ["segment", "a.tif", "b.tif", "--bounds", "1", "2", "3"],
        ["segment", "a.tif", "b.tif", "--bands", "blue"],
        ["jobs", "clean", "--older-than", "soon"],
        ["models", "show"],
    ],
)
def test_what_cannot_be_understood_is_bad_input(swath, words):
    said = swath(*words)
    assert (said.code, said.error) == (2, "REQUEST_INVALID")
    assert said.out == ""

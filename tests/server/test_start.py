"""The engine answers soon after it was started, whatever QGIS left in the environment."""

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request

import pytest

from engine.contract.places import connection_path

SERVE = [sys.executable, "-I", "-m", "engine.server"]
RUNS = 10
PROMISE = 1.5
"""Seconds on a quiet machine; a busy one gets some grace."""
GRACE = 2.0

HEAVY = {"numpy", "rasterio", "fiona", "onnxruntime", "typer", "rich", "scipy", "shapely", "torch"}


def first_answer(start, where):
    """Seconds from starting the process to its first 200, as a plugin would see it."""
    began = time.perf_counter()
    engine = start("--for-pid", str(os.getpid()), command=SERVE, where=where)
    path = connection_path(where)
    while not path.exists():
        assert engine.process.poll() is None, engine.process.stderr.read()
        time.sleep(0.005)
    connection = json.loads(path.read_text(encoding="utf-8"))
    headers = {"X-Swath-Token": connection["token"]}
    request = urllib.request.Request(f"{connection['url']}/v1/hello", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    took = time.perf_counter() - began
    engine.process.terminate()
    engine.wait()
    return took


def test_the_first_answer_comes_in_time(start, tmp_path, capsys):
    times = [first_answer(start, tmp_path / f"state {i}") for i in range(RUNS)]
    median = statistics.median(times)
    with capsys.disabled():
        sys.stdout.write(
            f"\nfirst answer: median {median:.2f} s of {RUNS}, worst {max(times):.2f} s\n"
        )
    assert median < PROMISE * GRACE


def test_nothing_heavy_is_loaded_before_the_first_answer():
    code = "import sys; import engine.server.serve, engine.server.__main__; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not HEAVY & {name.split(".")[0] for name in found}


def test_it_starts_from_a_program_with_its_own_gdal_and_python(start, tmp_path):
    wrong = tmp_path / "QGIS"
    wrong.mkdir()
    (wrong / "proj.db").write_bytes(b"of another version")
    (wrong / "json.py").write_text("raise SystemExit('the wrong json')", encoding="utf-8")
    names = ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "PYTHONPATH", "PYTHONHOME", "GDAL_DRIVER_PATH")
    variables = dict.fromkeys(names, str(wrong))
    client = start("--stay", command=SERVE, **variables).connect()
    assert client.call("GET", "/models")["models"]


@pytest.mark.parametrize("words", [["-m", "engine.cli", "serve"], ["-m", "engine.server"]])
def test_both_ways_to_start_it_are_the_same(start, words):
    client = start("--stay", command=[sys.executable, "-I", *words]).connect()
    assert client.call("GET", "/hello")["pid"] == client.connection.pid

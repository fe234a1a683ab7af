"""The plugin as QGIS sees it, and a stand-in for the engine.

Runs in QGIS' own Python (``scripts/qgis/venv``); what needs no QGIS runs in any Python from 3.9.
"""

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
QGIS_PYTHON = "/usr/bin/python3"
"""Has GDAL, with which the stand-in writes."""

_made = subprocess.run(
    [sys.executable, str(CHECKOUT / "scripts" / "link")], stdout=subprocess.PIPE, check=True
)
sys.path.insert(0, _made.stdout.decode().strip())

from swath import classFactory  # noqa: E402 - found through the link


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A state folder with a space and other letters in its name."""
    folder = tmp_path / "état of affairs"
    folder.mkdir()
    monkeypatch.setenv("SWATH_STATE", str(folder))
    yield folder
    with contextlib.suppress(OSError, ValueError):
        os.kill(json.loads((folder / "connection.json").read_text())["pid"], signal.SIGTERM)


@pytest.fixture
def stand_in(tmp_path):
    """A program that takes the engine's place where its Python would be."""
    program = tmp_path / "bin dir" / "python"
    program.parent.mkdir()
    script = Path(__file__).with_name("stand_in.py")
    program.write_text(f"#!/bin/sh\nexec {QGIS_PYTHON} '{script}' \"$@\"\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


@pytest.fixture
def no_engine(monkeypatch, tmp_path, state):
    """A plugin folder without an engine beside it, and no variable that names one."""
    monkeypatch.delenv("SWATH_ENGINE", raising=False)
    folder = tmp_path / "plugins" / "swath"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def scene(tmp_path):
    """A raster of 40 x 30 pixels of 30 m, two bands."""
    gdal = pytest.importorskip("osgeo.gdal")
    osr = pytest.importorskip("osgeo.osr")
    path = tmp_path / "schöne scene.tif"
    made = gdal.GetDriverByName("GTiff").Create(str(path), 40, 30, 2)
    made.SetGeoTransform((500000, 30, 0, 5400000, 0, -30))
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32632)
    made.SetProjection(crs.ExportToWkt())
    made.FlushCache()
    return path


@pytest.fixture
def qgis(qgis_iface, qgis_processing, qgis_new_project):
    """QGIS with Processing, an empty project, and a stand-in for its window."""
    return qgis_iface


@pytest.fixture
def plugin(qgis, state, stand_in, monkeypatch):
    """The plugin, loaded, with the stand-in as its engine."""
    monkeypatch.setenv("SWATH_ENGINE", str(stand_in))
    loaded = classFactory(qgis)
    loaded.initGui()
    yield loaded
    loaded.unload()

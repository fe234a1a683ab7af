"""A real QGIS, the real engine, a real model, and a scene whose clouds are known.

Runs in the engine's own Python; QGIS is another program. ``$SWATH_QGIS_SUITE`` names the Debian
root whose QGIS is used instead of this machine's. The engine cannot run inside such a root, so it
is started outside, and the plugin finds it as it finds any engine that runs already.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy import ndimage

from engine.models.catalogue import find_card
from engine.models.store import ModelStore

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "scripts" / "qgis"))

from desktop import Desktop  # noqa: E402 - found through the line above
from profiles import make_profile, qgis_process  # noqa: E402 - the same

SUITE = os.environ.get("SWATH_QGIS_SUITE") or None
ENGINE = os.environ.get("SWATH_TEST_ENGINE") or sys.executable
MODEL = "clouds-6band-l1c"
SIZE = 300
CLOUDS = ((90, 100, 45), (200, 210, 60), (220, 70, 28))
"""Row, column and radius in pixels."""
OF_QGIS = {
    "PROJ_LIB": "/usr/share/proj",
    "PROJ_DATA": "/usr/share/proj",
    "GDAL_DATA": "/usr/share/gdal",
    "PYTHONPATH": "/usr/lib/python3/dist-packages",
    "PYTHONHOME": "/usr",
}
"""What QGIS' launchers on Windows and macOS set, and what kills a foreign Python or its PROJ."""


@dataclass(frozen=True)
class Place:
    """Where a test keeps its things."""

    folder: Path
    state: Path
    scene: Path

    @property
    def environment(self):
        """What tells the plugin where the engine is."""
        beside = {"SWATH_STATE": str(self.state)}
        return beside if SUITE else {**beside, "SWATH_ENGINE": ENGINE}

    @property
    def engine_pid(self):
        """Of the engine that works on the state folder, 0 for none."""
        try:
            return json.loads((self.state / "connection.json").read_text("utf-8"))["pid"]
        except (OSError, ValueError):
            return 0


@pytest.fixture(scope="session")
def models():
    """The file of the model of these tests, fetched once for all checkouts of this machine."""
    chosen = os.environ.get("SWATH_TEST_MODELS")
    store = ModelStore(Path(chosen) if chosen else Path.home() / ".cache/swath/test-models")
    card = find_card(MODEL, store)
    if not store.is_installed(card):
        store.install(card, lambda _done, _total: None, lambda: False)
    return store.path(card)


@pytest.fixture
def place(tmp_path, models):
    """A folder with a state and a scene; no engine is left running there."""
    folder = tmp_path / "Übung 1"
    folder.mkdir()
    state = folder / "state"
    kept = state / "models" / models.relative_to(models.parents[3])
    shutil.copytree(models.parent, kept.parent, copy_function=link_or_copy)
    made = Place(folder, state, folder / "schöne scene.tif")
    write_scene(made.scene)
    outside = start_outside(state) if SUITE else None
    yield made
    if outside is not None:
        outside.terminate()
        outside.wait(10)
    elif made.engine_pid:
        os.kill(made.engine_pid, signal.SIGTERM)


def link_or_copy(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def start_outside(state):
    """An engine that serves a QGIS in another root."""
    command = [ENGINE, "-I", "-m", "engine.server", "--state", str(state), "--stay"]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 30
    while not (state / "connection.json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def cloud_cover():
    """How much of each pixel is cloud, 0 to 1."""
    rows, cols = np.mgrid[:SIZE, :SIZE]
    distances = [np.hypot(rows - r, cols - c) - radius for r, c, radius in CLOUDS]
    return 1 / (1 + np.exp(np.min(distances, axis=0) / 3))


def write_scene(path):
    """Top-of-atmosphere reflectance of round clouds over fields, 6 bands of 30 m."""
    rng = np.random.default_rng(7)
    texture = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 8)
    texture /= texture.std()
    ground = np.array([0.09, 0.10, 0.09, 0.30, 0.18, 0.10])[:, None, None] * (1 + 0.12 * texture)
    cloud = np.array([0.62, 0.60, 0.61, 0.66, 0.42, 0.32])[:, None, None] * (1 + 0.04 * texture)
    cover = cloud_cover()
    bands = ground * (1 - cover) + cloud * cover + rng.normal(scale=0.004, size=(6, SIZE, SIZE))
    origin = rasterio.Affine(30, 0, 600000, 0, -30, 5400000)
    profile = {"driver": "GTiff", "count": 6, "dtype": "float32", "crs": "EPSG:32632"}
    size = {"width": SIZE, "height": SIZE}
    with rasterio.open(path, "w", transform=origin, **profile, **size) as made:
        made.write(bands.astype("float32"))
        made.descriptions = ("blue", "green", "red", "nir", "swir16", "swir22")


@pytest.fixture
def truth():
    """True where the scene is cloud, and where it is certainly not."""
    cover = cloud_cover()
    return cover > 0.9, cover < 0.01


@pytest.fixture
def shots(request):
    """Where pictures are kept to be looked at."""
    name = re.sub(r"\W+", "_", request.node.name)
    return CHECKOUT / "build" / "shots" / f"{SUITE or 'here'}-{name}"


@pytest.fixture
def desktop(tmp_path, shots):
    """Starts QGIS; afterwards its log must be clean."""
    started = []

    def start(**options):
        qgis = Desktop(tmp_path / f"qgis{len(started)}", suite=SUITE, **options)
        started.append(qgis)
        qgis.wait_until_ready()
        return qgis

    yield start
    for qgis in started:
        if qgis.qgis.poll() is None:
            qgis.shot(shots / "last.png")
        qgis.stop()
        log = qgis.log.read_text("utf-8", errors="replace")
        assert not re.search(r"QGIS died|Segmentation|Fatal Python|Traceback", log), log[-3000:]


@pytest.fixture
def headless(tmp_path, place):
    """Runs ``qgis_process`` in a profile with the plugin."""
    home = make_profile(tmp_path / "home")

    def call(*arguments, **environment):
        variables = {**place.environment, **environment}
        binds = [place.folder]
        return qgis_process(home, *arguments, suite=SUITE, environment=variables, binds=binds)

    return call


@pytest.fixture
def hostile():
    """An environment full of QGIS' own paths."""
    return OF_QGIS


@pytest.fixture
def outside():
    """Whether the engine runs outside of QGIS' root, and stays."""
    return SUITE is not None


@pytest.fixture
def engine():
    """The engine's Python."""
    return ENGINE

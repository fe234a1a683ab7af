"""The cloud models on real scenes with labels of their own, through the whole engine."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

from engine.contract.messages import InputSpec, OutputSpec, SegmentRequest
from engine.models.catalogue import find_card
from engine.models.store import ModelStore
from engine.pipeline.planning import make_plan
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
CLEAR, CLOUD, SHADOW = 0, 1, 2

pytestmark = [pytest.mark.shared, pytest.mark.network]


@pytest.fixture
def tell(capsys):
    """Print a figure although the test passes."""

    def tell(text):
        with capsys.disabled():
            print(f"\n{text}")  # noqa: T201 - the figure is what the test is for

    return tell


@pytest.fixture(scope="session")
def cloud_store():
    """Models fetched once for all checkouts of this machine."""
    chosen = os.environ.get("SWATH_TEST_MODELS")
    return ModelStore(Path(chosen) if chosen else Path.home() / ".cache/swath/test-models")


@pytest.fixture
def shared():
    beside = Path(__file__).resolve().parents[3] / "shared"
    return Path(os.environ.get("SWATH_SHARED") or beside) / "data"


def segment(scene, card_id, store, tmp_path, **spec):
    card = find_card(card_id, store)
    if not store.is_installed(card):
        store.install(card, lambda _done, _total: None, lambda: False)
    output = OutputSpec(str(tmp_path / f"{card_id}.tif"))
    request = SegmentRequest(InputSpec((str(scene),), **spec), output, model=card_id)
    run_plan(make_plan(request, store), store, tmp_path / "work", Silence())
    with rasterio.open(output.raster) as source:
        return source.read(1)


def kappa(truth, found, classes=3):
    """Cohen's kappa (Cohen 1960) of two maps."""
    table = np.zeros((classes, classes))
    np.add.at(table, (truth.ravel(), found.ravel()), 1)
    table /= table.sum()
    chance = table.sum(axis=0) @ table.sum(axis=1)
    return (np.trace(table) - chance) / (1 - chance)


@pytest.mark.parametrize("bands", [6, 4])
def test_kappa_on_the_hand_labelled_chip(bands, shared, cloud_store, tmp_path, tell):
    card_id, bar = f"clouds-{bands}band-l1c", {6: 0.79, 4: 0.83}[bands]
    chip = np.load(shared / "ukis_cloud/sentinel2.npz")
    label = chip["msk"].squeeze()
    truth = np.where(label == 4, CLOUD, np.where(label == 0, SHADOW, CLEAR))
    scene = tmp_path / "chip.tif"
    image = chip["img"].transpose(2, 0, 1)
    profile = {"driver": "GTiff", "dtype": "float32", "count": 6}
    with rasterio.open(scene, "w", height=512, width=512, **profile) as target:
        target.write(image)
        target.descriptions = BANDS
    found = segment(scene, card_id, cloud_store, tmp_path)
    reached = kappa(truth, found)
    tell(f"{card_id}: Cohen's kappa {reached:.4f} (bar {bar})")
    assert reached >= bar


def test_recall_and_f1_on_landsat_8(shared, cloud_store, tmp_path, tell):
    """Against the scene's quality band: medium or high confidence of cloud or cirrus."""
    folder = shared / "landsat8_cloudy"
    scene = folder / "LC80200392015216LGN00_crop.tif"
    with rasterio.open(folder / "LC80200392015216LGN00_BQA.tif") as source:
        quality = source.read(1)
    truth = ((quality >> 14) & 3 >= 2) | ((quality >> 12) & 3 >= 2)
    profile = "landsat-c1-l1:sun_elevation=64.7436"
    found = segment(scene, "clouds-6band-l1c", cloud_store, tmp_path, profile=profile) == CLOUD
    hits = (found & truth).sum()
    recall, f1 = hits / truth.sum(), 2 * hits / (found.sum() + truth.sum())
    trivial = 2 * truth.sum() / (truth.size + truth.sum())
    tell(f"Landsat 8: recall {recall:.4f} (bar 0.95)")
    tell(f"Landsat 8: F1 {f1:.4f} (bar 0.80; a map that is all cloud has {trivial:.4f})")
    assert recall >= 0.95
    assert f1 >= 0.80
    assert f1 > trivial

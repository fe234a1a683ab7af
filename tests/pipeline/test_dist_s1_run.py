"""DIST-S1 of the catalogue on real Sentinel-1 series: nothing happened, and then something did."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from engine.contract.errors import EngineError
from engine.contract.messages import InputSpec, NamedInput, OutputSpec, SegmentRequest
from engine.geo.tiling import TileRule
from engine.models.catalogue import choose_model
from engine.pipeline.planning import make_plan

CHECKOUT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SWATH_SHARED") or CHECKOUT.parent / "shared")
GOLDEN = CHECKOUT / "tests/models/golden/dist_s1.npz"
MODELS = ("dist-s1", "dist-s1-32")
PLACE = {"crs": "EPSG:32754", "transform": from_origin(759_750, 9_407_190, 30, 30)}
SURE = 3
"""Standard deviations from which on something changed."""


def opera():
    """Ten dates of VV and VH as linear power, ``[10, 2, 100, 150]``."""
    folder = SHARED / "data/opera_rtc_s1_png"

    def read(band):
        paths = sorted(folder.glob(f"*_{band}_tv_cropped.tif"))
        return [rasterio.open(path).read(1) for path in paths]

    return np.stack([read("VV"), read("VH")], 1)


def kept():
    """The stack of the golden file, decibels."""
    with np.load(GOLDEN) as arrays:
        return arrays["decibels"].astype(np.float32), arrays["dist-s1_9"]


class Track:
    """Images of one orbit track in a lab, and the runs over them."""

    def __init__(self, lab):
        self.lab = lab

    def write(self, path, image):
        layout = {"driver": "GTiff", "dtype": "float32", "nodata": np.nan, "count": 2}
        layout |= {"height": image.shape[1], "width": image.shape[2], **PLACE}
        with rasterio.open(path, "w", **layout) as target:
            target.write(image.astype(np.float32))
            target.descriptions = ("vv", "vh")
        return str(path)

    def plan(self, model, images, name="out", profile="decibel", dated=True):
        """The last image against those before it."""
        scenes = [
            InputSpec(
                (self.write(self.lab.folder / f"{name}-{n:02}.tif", image),),
                profile=profile,
                date=f"2024-03-{n + 1:02}" if dated else None,
            )
            for n, image in enumerate(images)
        ]
        request = SegmentRequest(
            scenes[-1],
            OutputSpec(str(self.lab.folder / f"{name}.tif")),
            model=model,
            others=tuple(NamedInput("before", scene) for scene in scenes[:-1]),
        )
        return make_plan(request, self.lab.store)

    def run(self, model, images, name="out", **kwargs):
        self.lab.carry_out(self.plan(model, images, name, **kwargs))
        return self.read(name)

    def read(self, name="out"):
        with rasterio.open(self.lab.folder / f"{name}.tif") as raster:
            return raster.read()


@pytest.fixture
def track(lab):
    return Track(lab)


# --- what changed -------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize("model", MODELS)
def test_where_nothing_is_known_to_have_changed_little_is_found(track, model):
    found = track.run(model, opera(), profile="power")
    assert found.shape == (7, 100, 150)
    assert np.isfinite(found).all()
    assert (found[0] > SURE).mean() <= 0.005
    np.testing.assert_allclose(found[0], np.abs(found[1:3]).max(0), atol=1e-6)


@pytest.mark.shared
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("row", "col"), [(40, 60), (0, 130), (80, 7)])
def test_a_place_that_became_darker_by_4_db_is_found(track, model, row, col):
    images = opera()
    place = np.s_[row : row + 20, col : col + 20]
    images[-1][:, *place] *= 10**-0.4
    found = track.run(model, images, profile="power")
    assert (found[0][place] > SURE).mean() >= 0.99
    assert (found[1:3, *place] < 0).mean() >= 0.99
    rest = np.ones((100, 150), bool)
    rest[place] = False
    assert (found[0][rest] > SURE).mean() <= 0.005


def test_the_raster_is_what_the_authors_code_gives(track):
    images, wanted = kept()
    found = track.run("dist-s1", images)
    power = 10 ** (found[3:5].astype(np.float64) / 10)
    np.testing.assert_allclose(np.log(power / (1 - power)), wanted[:2], atol=1e-4, rtol=0)
    np.testing.assert_allclose(found[5:], wanted[2:], atol=1e-4, rtol=0)


def test_linear_power_gives_what_decibels_give(track):
    images, _ = kept()
    one = track.run("dist-s1", images, "decibels")
    other = track.run("dist-s1", 10 ** (images / 10), "power", profile="power")
    np.testing.assert_allclose(one, other, atol=1e-3)


# --- seams, holes, edges ------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize("model", MODELS)
def test_tiles_leave_no_seams(track, model):
    images = opera()[:, :, :, :120]
    whole = track.run(model, images, "whole", profile="power")
    plan = track.plan(model, images, "tiled", profile="power")
    rule = TileRule(96, plan.recipe.rule.margin, plan.recipe.rule.stride, fixed=False)
    plan = replace(plan, recipe=replace(plan.recipe, rule=rule, block=50))
    assert plan.recipe.tiling.count > 1
    track.lab.carry_out(plan)
    np.testing.assert_allclose(track.read("tiled"), whole, atol=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_pixels_that_are_missing_stay_missing_and_harm_nobody(track, model):
    images, _ = kept()
    intact = track.run(model, images, "intact")
    images[-1][:, 3:6, 4:9] = np.nan  # the new image
    images[:-1, :, 20:23, 30:40] = np.nan  # all before it
    images[5][:, :, 40:] = np.nan  # one date
    found = track.run(model, images, "holed")
    missing = np.zeros((32, 48), bool)
    missing[3:6, 4:9] = missing[20:23, 30:40] = True
    np.testing.assert_array_equal(np.isnan(found).all(0), missing)
    assert np.isfinite(found[:, ~missing]).all()
    assert np.abs(found - intact)[3:5, ~missing].mean() < 0.05  # decibels


@pytest.mark.parametrize("size", [(13, 45), (5, 5), (33, 17)])
def test_rasters_of_any_size_have_a_result_everywhere(track, size):
    images, _ = kept()
    large = np.tile(images, (1, 1, 2, 1))[:, :, : size[0], : size[1]]
    found = track.run("dist-s1", large)
    assert found.shape == (7, *size)
    assert np.isfinite(found).all()


# --- what is refused, and what is said ----------------------------------------------------------


def test_the_bands_say_what_they_are(track):
    images, _ = kept()
    track.run("dist-s1", images[-3:])
    with rasterio.open(track.lab.folder / "out.tif") as raster:
        assert raster.descriptions[:4] == ("max |z|", "z VV", "z VH", "expected VV")
        assert raster.units[3:5] == ("dB", "dB")


@pytest.mark.parametrize(("count", "model"), [(2, "dist-s1"), (12, "dist-s1"), (32, "dist-s1-32")])
def test_too_few_and_too_many_dates_are_refused(track, count, model):
    image = kept()[0][:1]
    with pytest.raises(EngineError, match=f"as «before», and {count - 1} are given"):
        track.plan(model, np.repeat(image, count, 0), dated=count < 32)


def test_images_without_a_date_are_refused(track):
    with pytest.raises(EngineError, match="tell no date"):
        track.plan("dist-s1", kept()[0][-4:], dated=False)


def test_auto_goes_on_taking_the_flood_model():
    assert choose_model(("vv", "vh"), "backscatter_db").id == "flood"

"""Two dates compared by the embeddings of the catalogue's encoders, from the files to the files."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import scipy.ndimage
from rasterio.transform import from_origin

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import (
    ChangeOptions,
    InputSpec,
    NamedInput,
    OutputSpec,
    SegmentRequest,
)
from engine.geo.tiling import TileRule
from engine.models.store import ModelStore
from engine.pipeline.plan import plan_from_json, plan_to_json
from engine.pipeline.planning import make_plan, settled_plan
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

SHARED = Path(os.environ.get("SWATH_SHARED") or Path(__file__).resolve().parents[3] / "shared")
ROLES = (
    *("blue", "green", "red", "rededge071", "rededge075", "rededge078"),
    *("nir", "nir08", "swir16", "swir22"),
)
"""Of Sentinel-2's bands, in the order of the encoders."""
LEVELS = np.array([0.04, 0.07, 0.06, 0.1, 0.22, 0.27, 0.3, 0.31, 0.2, 0.11])
"""Reflectance of meadows."""
BARE = np.array([0.12, 0.16, 0.2, 0.22, 0.24, 0.26, 0.27, 0.28, 0.35, 0.3])
PATCH = (slice(32, 64), slice(48, 96))
PLACE = {"crs": "EPSG:32635", "transform": from_origin(500_000, 6_800_000, 10, 10)}


def meadows(height=96, width=128, seed=0):
    """Sentinel-2 reflectance ``[10, H, W]`` that varies smoothly."""
    rng = np.random.default_rng(seed)
    noise = scipy.ndimage.gaussian_filter(rng.normal(size=(height, width)), 6)
    return (LEVELS[:, None, None] * (1 + 0.3 * noise / noise.std())).astype(np.float32)


def later(before, seed=1):
    """Under other light, with noise, and a patch laid bare."""
    rng = np.random.default_rng(seed)
    after = 1.1 * before + 0.01 + rng.normal(0, 0.003, before.shape)
    after[(slice(None), *PATCH)] = BARE[:, None, None] * rng.uniform(0.9, 1.1, (32, 48))
    return after.astype(np.float32)


def write(path, data, roles=ROLES, place=PLACE):
    """``[C, H, W]``, NaN for no data."""
    layout = {"driver": "GTiff", "dtype": "float32", "nodata": np.nan, "count": len(data), **place}
    with rasterio.open(path, "w", **layout, height=data.shape[1], width=data.shape[2]) as target:
        target.write(data.astype(np.float32))
        target.descriptions = roles
    return path


class Dates:
    """Two rasters in a lab, and the runs over them."""

    def __init__(self, lab, store):
        self.lab = lab
        self.store = store

    def write(self, before, after, roles=ROLES):
        scenes = (("a", before), ("b", after))
        self.paths = [write(self.lab.folder / f"{n}.tif", d, roles) for n, d in scenes]

    def request(self, name="out", paths=None, **known):
        options = {k: known.pop(k) for k in ("false_alarm", "threshold") if k in known}
        model, output = known.pop("model", "auto"), known.pop("output", {})
        days = known.pop("dates", ("2020-06-11", "2021-06-20"))
        known = {"profile": "custom:quantity=toa_reflectance,scale=1", **known}
        first, second = (
            InputSpec((str(path),), date=day, **known)
            for path, day in zip(paths or self.paths, days, strict=True)
        )
        return SegmentRequest(
            first,
            OutputSpec(str(self.lab.folder / f"{name}.tif"), **output),
            model=model,
            others=(NamedInput("after", second),),
            change=ChangeOptions("embedding", **options),
        )

    def plan(self, name="out", **kwargs):
        store = self.store
        request = self.request(name, **kwargs)
        return settled_plan(request, store, self.lab.folder / f"work-{name}", store.install)

    def run(self, name="out", **kwargs):
        return self.carry_out(self.plan(name, **kwargs), name)

    def carry_out(self, plan, name="out"):
        self.outcome = run_plan(plan, self.store, self.lab.folder / f"run-{name}", Silence())
        with rasterio.open(self.lab.folder / f"{name}.tif") as raster:
            return raster.read(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One for all, so that each encoder is measured once."""
    return ModelStore(tmp_path_factory.mktemp("models"))


@pytest.fixture
def dates(lab, store):
    found = Dates(lab, store)
    before = meadows()
    found.write(before, later(before))
    return found


def planted(shape=(96, 128)):
    truth = np.zeros(shape, bool)
    truth[PATCH] = True
    return truth


def overlap(found, truth):
    return (found & truth).sum() / (found | truth).sum()


# --- what is found ------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "least"), [("auto", 0.8), ("presto", 0.5)])
def test_the_patch_that_was_laid_bare_is_found(dates, model, least):
    found = dates.run(model=model) == 1
    share = overlap(found, planted())
    print(f"{model}: intersection over union {share:.3f}")  # noqa: T201 - a figure for people
    assert share > least


def test_the_encoder_that_fits_is_chosen_and_named(dates):
    plan = dates.plan()
    assert plan.recipe.card.id == "galileo-nano"
    assert plan.recipe.card.input.bands == ROLES
    notes = " ".join(plan.notes)
    assert "galileo-nano from blue, green, red" in notes
    assert "Otsu" in notes
    assert "degrees of freedom" in notes


@pytest.mark.parametrize("model", ["galileo-nano", "presto"])
def test_identical_dates_have_no_change_at_all(dates, model):
    found = dates.run(paths=[dates.paths[0]] * 2, model=model)
    assert not found.any()


def test_identical_dates_have_none_either_when_their_months_differ(dates):
    found = dates.run(paths=[dates.paths[0]] * 2, dates=("2020-01-11", "2020-07-11"))
    assert not found.any()


def test_swapped_dates_give_just_the_same_map(dates):
    days = ("2020-06-11", "2021-08-20")
    forth = dates.run("forth", dates=days)
    back = dates.run("back", dates=days[::-1], paths=dates.paths[::-1])
    assert (forth == 1).any()
    np.testing.assert_array_equal(forth, back)


def test_tiles_leave_no_seams(dates):
    whole = dates.plan("whole")
    rule = TileRule(64, whole.recipe.rule.margin, whole.recipe.rule.stride, fixed=False)
    output = replace(whole.output, raster=whole.output.raster.replace("whole", "tiled"))
    recipe = replace(whole.recipe, rule=rule, block=32)
    tiled = replace(whole, recipe=recipe, output=output)
    assert tiled.recipe.tiling.count > 3
    np.testing.assert_array_equal(dates.carry_out(tiled, "tiled"), dates.carry_out(whole, "whole"))


def test_nodata_at_either_date_is_nodata_in_the_result(dates):
    before = meadows()
    after = later(before)
    before[:, :20, :30] = np.nan
    after[:, 72:, 100:] = np.nan
    dates.write(before, after)
    lost = np.isnan(before[0]) | np.isnan(after[0])
    np.testing.assert_array_equal(dates.run() == 255, lost)


def test_polygons_and_probabilities_come_with_it(dates):
    folder = dates.lab.folder
    output = {"vector": str(folder / "p.gpkg"), "probability": str(folder / "p.tif")}
    dates.run(output=output)
    meta, _, _, fields = pyogrio.raw.read(folder / "p.gpkg", layer="p")
    named = dict(zip(meta["fields"], fields, strict=True))
    assert set(named["class_name"]) == {"change"}
    with rasterio.open(folder / "p.tif") as raster:
        assert raster.descriptions == ("probability of change", "probability of no change")
        change = raster.read(1) * raster.scales[0]
    assert change[40:56, 56:88].min() > 0.95


def test_three_bands_are_enough_for_an_encoder_that_leaves_out_what_is_missing(dates):
    before = meadows()
    dates.write(before[:3], later(before)[:3], ROLES[:3])
    plan = dates.plan()
    assert "without rededge071, rededge075" in " ".join(plan.notes)
    assert overlap(dates.carry_out(plan) == 1, planted()) > 0.5


def test_radar_alone_is_enough_too(dates):
    rng = np.random.default_rng(0)
    ground = np.array([-9.0, -15.0])[:, None, None] + np.zeros((2, 96, 128))
    cleared = ground.copy()
    cleared[(slice(None), *PATCH)] -= 6
    scenes = [d + 10 * np.log10(rng.gamma(12, 1 / 12, d.shape)) for d in (ground, cleared)]
    dates.write(*scenes, roles=("vv", "vh"))
    plan = dates.plan(profile="decibel")
    assert plan.recipe.card.input.bands == ("vv", "vh")
    assert overlap(dates.carry_out(plan) == 1, planted()) > 0.6


@pytest.mark.shared
def test_a_piece_of_forest_that_is_another_one_is_found(dates):
    """Real Sentinel-2 of Finland; later it is brighter and noisy, and shows another place once."""
    with rasterio.open(SHARED / "data/biomassters/0060c0a5_S2.tif") as raster:
        scene = raster.read(range(45, 55)) / 1e4  # June
    june = scene[:, :96, :128]
    after = 1.05 * june + np.random.default_rng(0).normal(0, 0.004, june.shape)
    driest = int(np.argmin(scene[6, 128:224, 160:].mean(axis=1)))
    after[(slice(None), *PATCH)] = scene[:, 128 + driest : 160 + driest, 160:208]
    dates.write(june, after)
    share = overlap(dates.run() == 1, planted())
    print(f"intersection over union {share:.3f}")  # noqa: T201 - a figure for people
    assert share > 0.6


# --- how much is change -------------------------------------------------------------------------


def test_a_share_of_false_alarms_or_a_threshold_is_taken(dates):
    strict, loose = (dates.plan(str(a), false_alarm=a) for a in (0.001, 0.1))
    assert strict.recipe.card.output.threshold == pytest.approx(0.001)
    assert loose.recipe.card.output.threshold == pytest.approx(0.1)
    asked = dates.plan("asked", threshold=2.5)
    assert any("begins at 2.5, as asked for" in note for note in asked.notes)


def test_a_plan_survives_its_text_and_is_fitted_once(dates):
    plan = dates.plan()
    assert plan_from_json(plan_to_json(plan)) == plan
    assert dates.plan() == plan


# --- what is refused ----------------------------------------------------------------------------


def refusal(lab_dates, **kwargs):
    with pytest.raises(EngineError) as caught:
        lab_dates.plan(**kwargs)
    assert not (lab_dates.lab.folder / "out.tif").exists()
    return caught.value


def test_pictures_fit_no_encoder_of_the_catalogue(dates):
    before = meadows()
    bright = [(d[[2, 1, 0]] * 600).clip(0, 255) for d in (before, later(before))]
    dates.write(*bright, roles=("red", "green", "blue"))
    error = refusal(dates, profile="rgb8")
    assert error.code is ErrorCode.MODEL_UNSUITABLE
    assert "galileo-nano" in error.message
    assert "as rgb" in error.message


def test_an_encoder_that_wants_bands_that_are_not_there_is_refused(dates):
    before = meadows()
    dates.write(before[:3], later(before)[:3], ROLES[:3])
    error = refusal(dates, model="presto")
    assert error.code is ErrorCode.BAND_MISSING
    assert "both dates have blue, green, red" in error.message


def test_bands_that_an_encoder_sees_nothing_in_are_refused(dates):
    before = meadows()
    dates.write(before[2:3], later(before)[2:3], ROLES[2:3])
    error = refusal(dates)
    assert error.code is ErrorCode.MODEL_UNSUITABLE
    assert "no embedding of red alone" in error.message


def test_a_model_that_gives_no_embeddings_is_refused(dates):
    assert refusal(dates, model="clouds-4band-l1c").code is ErrorCode.MODEL_UNSUITABLE


def test_a_date_that_nobody_tells_is_asked_for(dates):
    error = refusal(dates, dates=(None, None))
    assert error.code is ErrorCode.REQUEST_INVALID
    assert "neither scene tells its date" in error.message
    assert "--before-date" in error.hint


def test_one_date_alone_is_refused(dates):
    request = replace(dates.request(), others=())
    with pytest.raises(EngineError, match="needs two dates"):
        make_plan(request, dates.store)


def test_further_dates_are_for_the_log_ratio_alone(dates):
    request = dates.request()
    also = NamedInput("also", request.input)
    with pytest.raises(EngineError, match="Further dates are for the filter"):
        make_plan(replace(request, others=(*request.others, also)), dates.store)

"""Radar of two dates to floods, and further dates against speckle, from the files to the files."""

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
from engine.pipeline.planning import make_plan, settled_plan
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

SHARED = Path(os.environ.get("SWATH_SHARED") or Path(__file__).resolve().parents[3] / "shared")
LAND, WATER = (-8.0, -14.5), (-20.0, -27.0)
"""VV and VH, dB."""
SHAPE = (160, 192)
RIVER = (slice(None), slice(20, 50))
FLOODED = (slice(40, 120), slice(90, 150))
RECEDED = (slice(100, 160), slice(20, 50))
"""The river's lower part."""
PLACE = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_000_000, 10, 10)}
DRY, NEW, ALWAYS, GONE, NOTHING = 0, 1, 2, 3, 255


def radar(water, seed, looks=12):
    """``[2, H, W]`` in dB: land and water under speckle."""
    rng = np.random.default_rng(seed)
    levels = zip(LAND, WATER, strict=True)
    ground = np.stack([np.where(water, wet, dry) for dry, wet in levels])
    return (ground + 10 * np.log10(rng.gamma(looks, 1 / looks, ground.shape))).astype(np.float32)


def waters():
    """Before: a river. After: a part of it has dried up, and a field is flooded."""
    before = np.zeros(SHAPE, bool)
    before[RIVER] = True
    after = before.copy()
    after[FLOODED], after[RECEDED] = True, False
    return before, after


def write(path, data, place=PLACE, roles=("vv", "vh")):
    layout = {"driver": "GTiff", "dtype": "float32", "nodata": np.nan, "count": len(data), **place}
    with rasterio.open(path, "w", **layout, height=data.shape[1], width=data.shape[2]) as target:
        target.write(data.astype(np.float32))
        target.descriptions = roles
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One for all, so that the network is measured once."""
    return ModelStore(tmp_path_factory.mktemp("models"))


class Dates:
    """Rasters of two dates, and the runs over them."""

    def __init__(self, folder, store):
        self.folder = folder
        self.store = store
        self.paths = [
            write(folder / f"{name}.tif", radar(water, seed))
            for seed, (name, water) in enumerate(zip("ab", waters(), strict=True))
        ]

    def request(self, name="out", paths=None, also=(), **known):
        options = {k: known.pop(k) for k in ("false_alarm", "threshold") if k in known}
        method, output = known.pop("method", "flood"), known.pop("output", {})
        model = known.pop("model", "auto")
        known = {"profile": "decibel", **known}
        first, second, *more = (
            InputSpec((str(path),), **known) for path in (*(paths or self.paths), *also)
        )
        return SegmentRequest(
            first,
            OutputSpec(str(self.folder / f"{name}.tif"), **output),
            model=model,
            others=(NamedInput("after", second), *(NamedInput("also", one) for one in more)),
            change=ChangeOptions(method, **options),
        )

    def plan(self, name="out", **kwargs):
        request = self.request(name, **kwargs)
        return settled_plan(request, self.store, self.folder / f"w-{name}", self.store.install)

    def run(self, name="out", **kwargs):
        return self.carry_out(self.plan(name, **kwargs), name)

    def carry_out(self, plan, name="out"):
        self.outcome = run_plan(plan, self.store, self.folder / f"run-{name}", Silence())
        with rasterio.open(self.folder / f"{name}.tif") as raster:
            return raster.read(1)


@pytest.fixture
def dates(tmp_path, store):
    return Dates(tmp_path, store)


def truth():
    before, after = waters()
    return np.select([before & after, after & ~before, before & ~after], [ALWAYS, NEW, GONE], DRY)


# --- floods -------------------------------------------------------------------------------------


def test_flooded_permanent_receded_and_dry_are_told_apart(dates):
    output = {"vector": str(dates.folder / "p.gpkg"), "probability": str(dates.folder / "p.tif")}
    plan = dates.plan(output=output)
    assert "fell, or rose, by 3 dB or more over 7 x 7 pixels" in " ".join(plan.notes)
    found = dates.carry_out(plan)
    right = (found == truth()).mean()
    print(f"{right:.3f} of the pixels are right")  # noqa: T201 - a figure for people
    assert right > 0.97
    _check_areas(dates)
    _check_polygons(dates.folder / "p.gpkg")
    with rasterio.open(dates.folder / "p.tif") as raster:
        assert raster.descriptions[1] == "probability of flooded"
        scores = raster.read() * raster.scales[0]
    assert np.abs(scores.sum(axis=0) - 1).max() < 0.02
    style = (dates.folder / "out.qml").read_text()
    assert "#e31a1c" in style
    assert "#2b7bba" in style


def _check_areas(dates):
    areas = {area.name: area for area in dates.outcome.summary.areas}
    assert list(areas) == ["dry", "flooded", "permanent water", "receded water"]
    assert areas["flooded"].area_m2 == pytest.approx((truth() == NEW).sum() * 100, rel=0.05)
    table = (dates.folder / "out_areas.csv").read_text()
    assert "receded water" in table


def _check_polygons(path):
    meta, _, _, fields = pyogrio.raw.read(path, layer="p")
    named = dict(zip(meta["fields"], fields, strict=True))
    assert set(named["class_name"]) == {"flooded", "permanent water", "receded water"}
    flooded = named["area_m2"][named["class_name"] == "flooded"]
    assert max(flooded) == pytest.approx((truth() == NEW).sum() * 100, rel=0.05)


def test_identical_dates_have_no_flood_at_all(dates):
    found = dates.run(paths=[dates.paths[1]] * 2)
    assert set(np.unique(found)) == {DRY, ALWAYS}


def test_swapped_dates_make_of_floods_what_receded(dates):
    forth, back = dates.run("forth"), dates.run("back", paths=dates.paths[::-1])
    np.testing.assert_array_equal(forth == NEW, back == GONE)
    np.testing.assert_array_equal(forth == GONE, back == NEW)


def test_water_that_is_not_darker_than_before_is_no_flood(dates):
    before = radar(waters()[0], 0)
    before[(slice(None), *FLOODED)] = np.array([-18.0, -26.0])[:, None, None]  # as dark, but bare
    bare = write(dates.folder / "bare.tif", before)
    found = dates.run(paths=[bare, dates.paths[1]], threshold=6.0)
    assert (found[FLOODED] == NEW).mean() < 0.05


def test_tiles_leave_no_seams(dates):
    whole = dates.plan("whole")
    margin, stride = whole.recipe.rule.margin, whole.recipe.rule.stride
    rule = TileRule(2 * margin + 3 * stride, margin, stride, fixed=False)
    output = replace(whole.output, raster=whole.output.raster.replace("whole", "tiled"))
    tiled = replace(whole, recipe=replace(whole.recipe, rule=rule, block=64), output=output)
    assert tiled.recipe.tiling.count > 4
    one, other = dates.carry_out(tiled, "tiled"), dates.carry_out(whole, "whole")
    assert (one != other).mean() < 1e-3


def test_nodata_at_either_date_is_nodata_in_the_result(dates):
    holed = radar(waters()[1], 1)
    holed[:, :30, 100:] = np.nan
    path = write(dates.folder / "holed.tif", holed)
    found = dates.run(paths=[dates.paths[0], path])
    np.testing.assert_array_equal(found == NOTHING, np.isnan(holed[0]))


def dried(data, label, seed=0):
    """A scene before the flood: labelled water takes the numbers of labelled land, at random."""
    land = (label == 0) & np.isfinite(data).all(axis=0)
    pool = data[:, land]
    before = data.copy()
    count = int((label == 1).sum())
    chosen = np.random.default_rng(seed).integers(0, pool.shape[1], count)
    before[:, label == 1] = pool[:, chosen]
    return before


@pytest.mark.shared
@pytest.mark.parametrize(
    ("chip", "least"),
    [
        ("sen1floods11_s1/India_900498", 0.8),
        ("sen1floods11_spain/Spain_7370579", 0.6),
    ],
)
def test_labelled_floods_against_a_made_up_scene_before_of_land_numbers(dates, chip, least):
    """Sen1Floods11 has one date: the other one is made of it, and the network knows the chips."""
    with rasterio.open(SHARED / f"data/{chip}_S1Hand.tif") as raster:
        data, place = raster.read(), {"crs": raster.crs, "transform": raster.transform}
    with rasterio.open(SHARED / f"data/{chip}_LabelHand.tif") as raster:
        label = raster.read(1)
    paths = [
        write(dates.folder / f"{name}.tif", scene, place)
        for name, scene in (("dried", dried(data, label)), ("flooded", data))
    ]
    found = dates.run(paths=paths)
    known = (label >= 0) & (found != NOTHING)
    flooded, wet = (found == NEW) & known, (label == 1) & known
    iou = (flooded & wet).sum() / (flooded | wet).sum()
    print(  # noqa: T201 - figures for people
        f"{chip}: {flooded.sum()} pixels flooded, {wet.sum()} labelled, "
        f"intersection over union {iou:.3f}"
    )
    assert iou > least
    assert (found[known] == GONE).mean() < 0.01


# --- further dates against speckle --------------------------------------------------------------


def town(dates, count, fall=0.0):
    """Radar of as many dates of houses: 6 dB from pixel to pixel; the second one with a patch."""
    rng = np.random.default_rng(3)
    ground = -10 + 6 * rng.normal(size=(2, *SHAPE))
    paths = []
    for number in range(count):
        date = ground + 10 * np.log10(rng.gamma(4, 1 / 4, ground.shape))
        if number == 1:
            date[(slice(None), *FLOODED)] -= fall
        paths.append(write(dates.folder / f"t{number}.tif", date))
    return paths


def test_further_dates_leave_less_false_change_and_keep_the_patch(dates):
    paths = town(dates, 5, fall=4.0)
    known = {"paths": paths[:2], "method": "logratio", "false_alarm": 0.001}
    plain, filtered = dates.plan("plain", **known), dates.plan("also", also=paths[2:], **known)
    assert "averaged over 7 x 7 pixels of each date" in " ".join(plain.notes)
    assert "the mean of all 5 dates" in " ".join(filtered.notes)
    patch = np.zeros(SHAPE, bool)
    patch[FLOODED] = True
    near = scipy.ndimage.binary_dilation(patch, iterations=8)
    shares = {}
    for name, plan in (("plain", plain), ("also", filtered)):
        change = dates.carry_out(plan, name) == 1  # the class of a fall
        shares[name] = change[patch].mean(), change[~near].mean()
        print(f"{name}: {shares[name][0]:.3f} of the patch, {shares[name][1]:.4f} of the rest")  # noqa: T201
    assert shares["also"][0] > 0.9 > shares["plain"][0]
    assert shares["also"][1] < 0.5 * shares["plain"][1] + 0.001


def test_further_dates_are_seen_by_the_plan_and_leave_the_preflight_as_it_is(dates):
    paths = town(dates, 3)
    plan = dates.plan(paths=paths[:2], also=paths[2:], method="logratio")
    assert [given.name for given in plan.recipe.card.inputs] == ["before", "after", "also-1"]
    assert len(plan.recipe.files) == 3
    assert plan.preflight is not None


def test_a_further_date_may_lie_on_other_pixels_and_lack_some(dates):
    paths = town(dates, 3)
    rough = radar(waters()[0], 5)[:, ::2, ::2]
    rough[:, :20] = np.nan
    place = {**PLACE, "transform": from_origin(500_000, 5_000_000, 20, 20)}
    coarse = write(dates.folder / "coarse.tif", rough, place)
    found = dates.run(paths=paths[:2], also=[coarse], method="logratio")
    assert not (found == NOTHING).any()


@pytest.mark.shared
def test_opera_dates_without_known_change_and_a_planted_fall_by_4_db(dates):
    """Published with their speckle taken out, so further dates have little left to do."""
    folder = SHARED / "data/opera_rtc_s1_png"
    scenes = []
    for vv in sorted(folder.glob("*VV_tv_cropped.tif")):
        with rasterio.open(vv) as raster:
            place = {"crs": raster.crs, "transform": raster.transform}
            bands = [raster.read(1)]
        with rasterio.open(str(vv).replace("VV_tv", "VH_tv")) as raster:
            bands.append(raster.read(1))
        scenes.append(np.stack(bands))
    patch = np.zeros(scenes[0].shape[1:], bool)
    patch[40:60, 70:95] = True
    scenes[9] = np.where(patch, scenes[9] * 10**-0.4, scenes[9])
    paths = [write(dates.folder / f"o{n}.tif", s, place) for n, s in enumerate(scenes)]
    known = {"paths": [paths[0], paths[9]], "method": "logratio", "profile": "power"}
    for name, also in (("two", ()), ("ten", paths[1:9])):
        found = dates.run(name, also=also, false_alarm=0.001, **known)
        changed = np.isin(found, (1, 2))
        inside, outside = changed[patch].mean(), changed[~patch].mean()
        print(f"{name} dates: {inside:.3f} of the patch, {outside:.4f} of the rest")  # noqa: T201
        assert inside > 0.95
        assert outside < 0.04


# --- what is refused ----------------------------------------------------------------------------


def refusal(dates, **kwargs):
    with pytest.raises(EngineError) as caught:
        make_plan(dates.request(**kwargs), dates.store)
    assert not (dates.folder / "out.tif").exists()
    return caught.value


@pytest.mark.parametrize("method", ["flood", "logratio"])
def test_optical_scenes_are_refused(dates, method):
    error = refusal(dates, method=method, profile="reflectance")
    assert error.code is ErrorCode.MODEL_UNSUITABLE
    assert "is for radar" in error.message


@pytest.mark.parametrize("method", ["flood", "logratio"])
def test_linear_radar_that_is_called_decibel_is_refused(dates, method):
    paths = [
        write(dates.folder / f"l{n}.tif", 10 ** (radar(water, n) / 10))
        for n, water in enumerate(waters())
    ]
    error = refusal(dates, method=method, paths=paths)
    assert error.code is ErrorCode.SCALE_IMPLAUSIBLE
    assert "linear power, not decibel" in error.message
    assert "--input-profile power" in error.hint


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"false_alarm": 0.01}, "no share of false alarms"),
        ({"model": "landcover"}, "with the model flood"),
    ],
)
def test_options_of_other_methods_are_refused(dates, known, words):
    error = refusal(dates, **known)
    assert error.code is ErrorCode.REQUEST_INVALID
    assert words in error.message


def test_radar_of_one_polarisation_is_refused(dates):
    path = write(dates.folder / "vv.tif", radar(waters()[0], 0)[:1], roles=("vv",))
    assert refusal(dates, paths=[path, path]).code is ErrorCode.BAND_MISSING


def test_one_date_alone_is_refused(dates):
    request = replace(dates.request(), others=())
    with pytest.raises(EngineError, match="needs two dates"):
        make_plan(request, dates.store)


def test_further_dates_are_no_use_to_floods(dates):
    error = refusal(dates, also=dates.paths[:1])
    assert "Further dates are for the filter" in error.message
    assert "--also" in error.hint

"""Whether two dates can be compared, and how the second is laid onto the first."""

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.warp
from rasterio.transform import from_origin

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import (
    ChangeOptions,
    InputSpec,
    NamedInput,
    OutputSpec,
    SegmentRequest,
)
from engine.geo.window import Window
from engine.io.scene import open_scene
from engine.models.card import ModelInput
from engine.models.cardfile import card_from_json, card_to_json
from engine.pipeline.plan import plan_from_json, plan_to_json
from engine.pipeline.planning import make_plan, settled_plan
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

SHARED = Path(os.environ.get("SWATH_SHARED") or Path(__file__).parents[3] / "shared")
PIXEL = 10.0
PRECISE = 0.1
"""Pixels."""
PLANTED = [(0, 0), (0.3, -0.3), (1, 0), (3, -3)]
EDGE = 256


def moved(image, rows, cols):
    """Exact for what pixels can hold, see tests/change/test_shift.py."""
    height, width = image.shape[1:]
    whole = np.concatenate([image, image[:, ::-1]], axis=1)
    whole = np.concatenate([whole, whole[:, :, ::-1]], axis=2)
    turns = np.fft.fftfreq(2 * height)[:, None] * rows + np.fft.fftfreq(2 * width) * cols
    turned = np.fft.fft2(whole) * np.exp(-2j * np.pi * turns)
    return np.fft.ifft2(turned).real[:, :height, :width].astype(np.float32)


def noisy(image, seed=0):
    """Another sun, and noise of a tenth of the image's own spread."""
    noise = np.random.default_rng(seed).normal(0, 0.1, image.shape)
    return (1.1 * image + 0.02 + noise * image.std(axis=(1, 2), keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def ground():
    """Red and near infrared of a real scene, as reflectance."""
    with rasterio.open(SHARED / "data/s2_l1c_virginia/s2_l1c_20m_13b.tif") as source:
        return source.read([4, 8], window=((0, EDGE), (0, EDGE))).astype(np.float32) / 1e4


def placed(path, transform):
    """The same file elsewhere."""
    with rasterio.open(path, "r+") as target:
        target.transform = transform
    return path


def asked(lab, before, after, *, dates=(None, None), name="out", options=None, **changes):
    one, other = (
        InputSpec((str(path),), profile="reflectance", date=when)
        for path, when in zip((before, after), dates, strict=True)
    )
    return SegmentRequest(
        one,
        OutputSpec(str(lab.folder / f"{name}.tif")),
        others=(NamedInput("after", other),),
        change=options or ChangeOptions(),
        **changes,
    )


def plan_of(lab, before, after, **changes):
    return make_plan(asked(lab, before, after, **changes), lab.store)


def finding(plan, topic):
    return next(f for f in plan.preflight.findings if f.topic == topic)


def level(plan, topic):
    return finding(plan, topic).level


def refused(lab, before, after, **changes):
    with pytest.raises(EngineError) as caught:
        plan_of(lab, before, after, **changes)
    assert caught.value.hint
    return caught.value


@pytest.mark.shared
@pytest.mark.parametrize("shift", PLANTED)
def test_a_planted_shift_is_reported(shift, lab, ground):
    before = lab.scene(ground, "a.tif")
    after = lab.scene(noisy(moved(ground, *shift)), "b.tif")
    plan = plan_of(lab, before, after)
    found = plan.preflight.shift
    assert max(abs(found.rows - shift[0]), abs(found.cols - shift[1])) <= PRECISE
    length = np.hypot(*shift)
    expected = "fine" if length < 0.2 else "look" if length <= 0.9 else None
    assert expected in (None, level(plan, "shift"))
    assert finding(plan, "shift").sentence in plan.notes
    assert plan_from_json(plan_to_json(plan)) == plan


@pytest.mark.shared
@pytest.mark.parametrize("shift", PLANTED)
def test_coregistration_moves_the_second_date_and_freezes_that(shift, lab, ground):
    before = lab.scene(ground, "a.tif")
    after = lab.scene(noisy(moved(ground, *shift)), "b.tif")
    plan = plan_of(lab, before, after, coregister=True)
    assert plan.preflight.shift.length <= PRECISE
    offset = plan.recipe.others[0].input.offset
    if shift == (0, 0):
        assert offset is None
    else:
        east, north = -shift[1] * PIXEL, shift[0] * PIXEL
        np.testing.assert_allclose(offset, (east, north), atol=PRECISE * PIXEL)
    is_whole = shift[0] == round(shift[0])
    assert plan.preflight.is_resampled is not is_whole
    assert plan.recipe.input.offset is None
    assert plan_from_json(plan_to_json(plan)) == plan


@pytest.mark.shared
def test_a_moved_scene_of_another_crs_lies_on_the_first(lab, ground):
    before = lab.scene(ground, "a.tif")
    grid = from_origin(500_000 + 31, 5_000_000 - 17, PIXEL, PIXEL)  # 3.1 columns, 1.7 rows
    target, width, height = rasterio.warp.calculate_default_transform(
        "EPSG:32632", "EPSG:32633", EDGE, EDGE, left=500_000, right=502_560, bottom=4_997_440,
        top=5_000_000,
    )  # fmt: skip
    there = np.full((2, height, width), np.nan, np.float32)
    rasterio.warp.reproject(
        noisy(ground), there, src_transform=grid, src_crs="EPSG:32632", dst_transform=target,
        dst_crs="EPSG:32633", dst_nodata=np.nan, resampling=rasterio.warp.Resampling.cubic,
    )  # fmt: skip
    after = placed(lab.scene(there, "b.tif", crs="EPSG:32633", nodata=np.nan), target)
    apart = plan_of(lab, before, after)
    np.testing.assert_allclose(
        (apart.preflight.shift.rows, apart.preflight.shift.cols), (1.7, 3.1), atol=PRECISE
    )
    assert not apart.preflight.is_same_crs
    assert "another CRS" in finding(apart, "grids").sentence
    together = plan_of(lab, before, after, coregister=True)
    assert together.preflight.shift.length <= PRECISE
    assert any("moved by -1.7" in note for note in together.notes)


@pytest.mark.shared
def test_images_without_georeference_are_moved_by_pixels(lab, ground):
    before = lab.scene(ground, "a.tif", crs=None)
    after = lab.scene(noisy(moved(ground, 2.4, 0)), "b.tif", crs=None)
    plan = plan_of(lab, before, after, coregister=True)
    np.testing.assert_allclose(plan.recipe.others[0].input.offset, (0, 2.4), atol=PRECISE)
    assert plan.preflight.shift.length <= PRECISE


@pytest.mark.shared
def test_an_offset_that_the_user_knows_is_kept_and_added_to(lab, ground):
    before = lab.scene(ground, "a.tif")
    after = lab.scene(moved(ground, 0, 5), "b.tif")
    known = asked(lab, before, after)
    told = replace(known.others[0].input, offset=(-20.0, 0.0))
    known = replace(known, others=(NamedInput("after", told),))
    assert make_plan(known, lab.store).preflight.shift.cols == pytest.approx(3, abs=PRECISE)
    plan = make_plan(replace(known, coregister=True), lab.store)
    assert plan.recipe.others[0].input.offset == (-50.0, 0.0)
    assert not plan.preflight.is_resampled


@pytest.mark.shared
@pytest.mark.parametrize("method", ["irmad", "cva"])
@pytest.mark.parametrize("shift", [(0.3, 0), (1, 0), (3, -3)])
def test_coregistration_takes_false_change_away(method, shift, lab, ground, record_property):
    """All of it after whole pixels; after parts of one, the interpolation's blur is left."""
    before = lab.scene(ground, "a.tif")
    shares = {}
    for name, planted, coregister in (
        ("none", (0, 0), False),
        ("left", shift, False),
        ("moved", shift, True),
    ):
        after = lab.scene(noisy(moved(ground, *planted)), f"{name}-b.tif")
        request = asked(
            lab, before, after, name=name, coregister=coregister,
            options=ChangeOptions(method, false_alarm=0.001),
        )  # fmt: skip
        work = lab.folder / f"work-{name}"
        plan = settled_plan(request, lab.store, work, lab.store.install)
        run_plan(plan, lab.store, work, Silence())
        with rasterio.open(lab.folder / f"{name}.tif") as source:
            found = source.read(1)
        inner = found[8:-8, 8:-8]
        shares[name] = (inner == 1).mean() / (inner != 255).mean()
    record_property("false_change", str(shares))
    if shift[0] == round(shift[0]):
        assert shares["moved"] < 1.5 * shares["none"]
        assert shares["left"] > 20 * shares["moved"]
    else:
        assert shares["none"] < shares["moved"] < 0.3 * shares["left"]


def pixels_moved(lab, data, cols, rows, windows=(), **profile):
    """What a scene shows on its own grid when its georeference was moved."""
    path = str(lab.scene(data, "moved.tif", **profile))
    grid = open_scene(InputSpec((path,), profile="raw")).grid
    spec = InputSpec((path,), profile="raw", offset=(cols * PIXEL, -rows * PIXEL))
    with contextlib.closing(open_scene(spec).source((), grid)) as source:
        return [source.read(window) for window in (grid.window, *windows)]


@pytest.mark.parametrize(("rows", "cols"), [(0, 0.3), (-0.5, 1.25), (2, -3)])
def test_a_moved_scene_keeps_its_detail_and_its_bits(rows, cols, lab):
    """The cubic has every parabola as it is, from whatever window it is read."""
    y, x = np.mgrid[:40, :50].astype(np.float64)
    curve = lambda y, x: np.stack([y * y - x * y + 3 * x, 0.5 * x * x - y])  # noqa: E731
    window = Window(7, 9, 13, 11)
    whole, part = pixels_moved(lab, curve(y, x), cols, rows, [window])
    inner = (slice(None), slice(5, -5), slice(5, -5))
    np.testing.assert_allclose(whole.data[inner], curve(y - rows, x - cols)[inner], atol=1e-9)
    np.testing.assert_array_equal(part.data, whole.data[:, *window.slices])
    np.testing.assert_array_equal(part.valid, whole.valid[window.slices])


def test_nodata_of_a_moved_scene_bleed_into_nothing_and_integers_do_not_turn_over(lab):
    data = np.full((2, 40, 40), 200, np.uint8)
    data[:, 20:25, 20:25] = 7
    (chip,) = pixels_moved(lab, data, 0.3, 0, nodata=7)
    assert (~chip.valid).sum() == 25  # the nearest pixel decides
    assert set(np.unique(chip.data[:, chip.valid])) == {200}
    edge = np.zeros((2, 40, 40), np.uint8)
    edge[:, :, 20:] = 255
    (chip,) = pixels_moved(lab, edge, 0.5, 0)
    assert chip.data[0, 20, 15:25].tolist() == sorted(chip.data[0, 20, 15:25].tolist())


@pytest.mark.shared
def test_dates_that_do_not_resemble_each_other_are_not_moved(lab, ground):
    before, after = lab.scene(ground, "a.tif"), lab.scene(ground[:, ::-1], "b.tif")
    error = refused(lab, before, after, coregister=True)
    assert error.code is ErrorCode.INPUT_GRID_MISMATCH
    assert "cannot be found" in error.message
    plan = plan_of(lab, before, after)
    assert not plan.preflight.shift.is_trusted
    assert any("could not be told" in note for note in plan.notes)
    assert level(plan, "brightness") == "bad"


def test_identical_images_lie_on_each_other_and_are_fine(lab):
    data = lab.data(200, 260)
    one, same = lab.scene(data, "a.tif"), lab.scene(data, "b.tif")
    dates = ("2023-06-01", "2024-06-20T10:00:00Z")
    plan = plan_of(lab, one, same, dates=dates, options=ChangeOptions("cva"))
    seen = plan.preflight
    assert seen.shift.length < 1e-6
    assert {f.level for f in seen.findings} == {"fine"}
    assert (seen.overlap, seen.has_data, seen.dates) == (1, (1, 1, 1), dates)
    for band in seen.bands:
        assert (band.correlation, band.slope) == pytest.approx((1, 1))
        assert band.before_median == band.after_median


def test_brightness_is_compared_band_by_band(lab):
    data = lab.data(200, 260)
    after = data.copy()
    after[0] = 0.4 * data[0] + 0.1
    after[1] = 5 * data[1]
    plan = plan_of(lab, lab.scene(data, "a.tif"), lab.scene(after, "b.tif"))
    red, nir = plan.preflight.bands
    assert (red.band, nir.band) == ("red", "nir")
    assert (red.slope, nir.slope) == pytest.approx((0.4, 5), rel=1e-4)
    assert red.correlation == pytest.approx(1)
    assert red.after_median == pytest.approx(0.4 * red.before_median + 0.1, rel=1e-4)
    odd = [f for f in plan.preflight.findings if f.topic == "brightness"]
    assert [(f.level, "nir" in f.sentence) for f in odd] == [("look", True)]


@pytest.mark.parametrize(
    ("dates", "word"),
    [
        ((None, None), "first and second"),
        (("2023-06-01", None), "when the second"),
        (("2024-06-01", "2023-06-01"), "wrong order"),
        (("2024-06-01", "2024-06-01"), "the same"),
        (("2023-01-10", "2023-07-01"), "other seasons"),
    ],
)
def test_dates_are_looked_at(dates, word, lab):
    data = lab.data(100, 100)
    one, other = lab.scene(data, "a.tif"), lab.scene(noisy(data), "b.tif")
    plan = plan_of(lab, one, other, dates=dates)
    told = finding(plan, "dates")
    assert told.level == "look"
    assert word in told.sentence
    assert told.sentence in plan.notes


@pytest.mark.parametrize(
    ("pixel", "wanted", "words"),
    [(20, "look", "pixels of 20 m instead of 10 m"), (2.5, "bad", "averaged to its pixel size")],
)
def test_other_pixel_sizes_are_brought_to_the_first_and_said(pixel, wanted, words, lab):
    size = round(1000 / pixel)
    one = lab.scene(lab.data(100, 100), "a.tif")
    other = lab.scene(lab.data(size, size), "b.tif", pixel=pixel)
    plan = plan_of(lab, one, other)
    assert level(plan, "grids") == wanted
    assert words in finding(plan, "grids").sentence
    assert plan.preflight.pixel_sizes[1] == pytest.approx((pixel, pixel), rel=1e-6)


def test_the_overlap_and_data_are_counted(lab):
    data = lab.data(128, 128)
    shifted = from_origin(500_000 + 64 * PIXEL, 5_000_000, PIXEL, PIXEL)
    half = data.copy()
    half[:, :64] = np.nan
    one = lab.scene(data, "a.tif")
    apart = plan_of(lab, one, placed(lab.scene(noisy(data), "b.tif"), shifted)).preflight
    assert apart.overlap == pytest.approx(0.5)
    holes = plan_of(lab, one, lab.scene(half, "c.tif", nodata=np.nan)).preflight
    assert holes.has_data == pytest.approx((1, 0.5, 0.5), abs=0.02)
    assert {f.topic for f in holes.findings if f.level != "fine"} >= {"data"}


def test_scenes_of_other_places_are_refused(lab):
    data = lab.data(64, 64)
    far = from_origin(900_000, 5_000_000, PIXEL, PIXEL)
    one, other = lab.scene(data, "a.tif"), placed(lab.scene(data, "b.tif"), far)
    assert refused(lab, one, other).code is ErrorCode.INPUT_GRID_MISMATCH


@pytest.mark.parametrize("coregister", [False, True])
def test_a_date_without_data_is_refused(coregister, lab):
    data = lab.data(64, 64)
    one = lab.scene(data, "a.tif")
    other = lab.scene(np.full_like(data, np.nan), "b.tif", nodata=np.nan)
    error = refused(lab, one, other, coregister=coregister)
    assert error.code is ErrorCode.INPUT_GRID_MISMATCH
    assert not coregister or "second date has no data" in error.message


@pytest.fixture
def two_dates(lab):
    """The card of a model that looks at two dates, and perhaps at a map; enough to plan with."""
    card = card_from_json(json.loads(lab.card().read_text("utf-8")))
    dates = tuple(replace(card.input, name=name) for name in ("before", "after"))
    prior = ModelInput(("class",), "raw", (0, 9), (), 10, (8, 12), name="prior", is_class_map=True)
    inputs = (*dates, replace(prior, is_optional=True))
    place = lab.folder / "two.json"
    whole = replace(card, inputs=inputs, joining="separate")
    place.write_text(json.dumps(card_to_json(whole)), "utf-8")
    return place


@pytest.mark.shared
def test_a_learned_model_of_two_dates_sees_the_moved_scene(lab, two_dates, ground):
    before = lab.scene(ground, "a.tif")
    after = lab.scene(noisy(moved(ground, 0, 1)), "b.tif")
    request = replace(asked(lab, before, after), change=None, model=str(two_dates))
    assert make_plan(request, lab.store).preflight.shift.cols == pytest.approx(1, abs=PRECISE)
    plan = make_plan(replace(request, coregister=True), lab.store)
    assert plan.recipe.others[0].input.offset == (-PIXEL, 0)
    assert plan.preflight.shift.length <= PRECISE


def test_one_date_has_no_preflight_and_nothing_to_move(lab):
    scene = lab.scene(lab.data(64, 64))
    assert lab.plan(scene, lab.card()).preflight is None
    with pytest.raises(EngineError) as caught:
        lab.plan(scene, lab.card(), coregister=True)
    assert caught.value.code is ErrorCode.REQUEST_INVALID

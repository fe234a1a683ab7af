"""Two scenes to a map of change, without a trained model, from the files to the files."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pyogrio
import pytest
import rasterio
import scipy.ndimage
import shapely

from engine.change.irmad import fit_irmad
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import (
    ChangeOptions,
    InputSpec,
    NamedInput,
    OutputSpec,
    PolygonOptions,
    SegmentRequest,
)
from engine.pipeline import comparison, planning
from engine.pipeline.planning import settled_plan
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

METHODS = ("irmad", "cva")
PATCH = (slice(40, 80), slice(100, 160))


def scene_data(height=150, width=230, bands=2, seed=0):
    rng = np.random.default_rng(seed)
    noise = scipy.ndimage.gaussian_filter(rng.random((bands, height, width)), (0, 3, 3))
    return (0.1 + 0.5 * (noise - noise.min()) / np.ptp(noise)).astype(np.float32)


def later(before, noise=0.004, seed=1):
    """The same ground under another sun, with noise and one changed patch."""
    rng = np.random.default_rng(seed)
    after = 1.2 * before + 0.03 + rng.normal(0, noise, before.shape)
    after[(slice(None), *PATCH)] += 0.1
    return after.astype(np.float32)


def planted(shape):
    truth = np.zeros(shape, bool)
    truth[PATCH] = True
    return truth


def compare(lab, before, after, name="out", *, spec=None, **options):
    output = options.pop("output", {})
    polygons = options.pop("polygons", PolygonOptions())
    profile = options.pop("profile", "reflectance")
    known = {"profile": profile, **(spec or {})}
    request = SegmentRequest(
        InputSpec((str(before),), **known),
        OutputSpec(str(lab.folder / f"{name}.tif"), **output),
        others=(NamedInput("after", InputSpec((str(after),), **known)),),
        change=ChangeOptions(**options),
        polygons=polygons,
    )
    work = lab.folder / f"work-{name}"
    plan = settled_plan(request, lab.store, work, lab.store.install)
    return plan, run_plan(plan, lab.store, work, Silence())


def polygons_in(path):
    meta, _, shapes, fields = pyogrio.raw.read(path, layer=path.stem)
    return shapely.from_wkb(shapes), dict(zip(meta["fields"], fields, strict=True))


def classes(lab, name="out"):
    with rasterio.open(lab.folder / f"{name}.tif") as source:
        return source.read(1)


@pytest.mark.parametrize("method", METHODS)
def test_the_changed_patch_is_what_is_found(method, lab):
    data = scene_data()
    before, after = lab.scene(data, "a.tif"), lab.scene(later(data), "b.tif")
    plan, outcome = compare(lab, before, after, method=method)
    truth, found = planted(data.shape[1:]), classes(lab)
    assert ((found == 1) == truth).mean() > 0.995
    assert outcome.summary.areas[0].name == "change"
    assert any("Otsu" in note for note in plan.notes)


@pytest.mark.parametrize("method", METHODS)
def test_identical_dates_have_no_change_at_all(method, lab):
    scene = lab.scene(scene_data(), "a.tif")
    compare(lab, scene, scene, method=method)
    assert not classes(lab).any()


@pytest.mark.parametrize("method", METHODS)
def test_swapped_dates_give_the_same_map(method, lab):
    data = scene_data()
    before, after = lab.scene(data, "a.tif"), lab.scene(later(data), "b.tif")
    compare(lab, before, after, "forth", method=method)
    compare(lab, after, before, "back", method=method)
    np.testing.assert_array_equal(classes(lab, "forth"), classes(lab, "back"))


def test_nodata_at_either_date_is_nodata_in_the_result(lab):
    one = scene_data()
    two = later(one)
    one[:, :20, :30] = np.nan
    two[:, 100:, 200:] = np.nan
    compare(lab, lab.scene(one, "a.tif"), lab.scene(two, "b.tif"))
    lost = np.isnan(one[0]) | np.isnan(two[0])
    np.testing.assert_array_equal(classes(lab) == 255, lost)


def test_a_stated_false_alarm_is_the_share_found_where_nothing_changed(lab):
    data = scene_data(400, 500)
    rng = np.random.default_rng(5)
    noisy = (data + rng.normal(0, 0.01, data.shape)).astype(np.float32)
    compare(lab, lab.scene(data, "a.tif"), lab.scene(noisy, "b.tif"), false_alarm=0.01)
    share = (classes(lab) == 1).mean()
    print(f"false alarms asked for 0.01, found {share:.4f}")  # noqa: T201 - a figure for people
    assert 0.008 < share < 0.012


def test_polygons_and_probabilities_come_with_it(lab):
    data = scene_data()
    output = {"vector": str(lab.folder / "p.gpkg"), "probability": str(lab.folder / "p.tif")}
    wanted = PolygonOptions(classes=("change",), min_area=5000)
    before, after = lab.scene(data, "a.tif"), lab.scene(later(data), "b.tif")
    compare(lab, before, after, output=output, polygons=wanted)
    with rasterio.open(lab.folder / "p.tif") as source:
        assert source.descriptions == ("probability of change", "probability of no change")
        change = source.read(1) * source.scales[0]
    assert change[PATCH].min() > 0.99
    meta, _, _, fields = pyogrio.raw.read(lab.folder / "p.gpkg", layer="p")
    named = dict(zip(meta["fields"], fields, strict=True))
    assert list(named["class_name"]) == ["change"]
    assert named["area_m2"][0] == pytest.approx(40 * 60 * 100, rel=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_polygons_tell_all_there_is_and_cover_what_the_raster_does(method, lab, monkeypatch):
    monkeypatch.setattr(planning, "BLOCK_EDGE", 64)  # so that patches are stitched
    monkeypatch.setattr(comparison, "TILE", 64)
    data = scene_data()
    before, after = lab.scene(data, "a.tif"), lab.scene(later(data, noise=0.02), "b.tif")
    output = {"vector": str(lab.folder / "p.gpkg"), "probability": str(lab.folder / "p.tif")}
    spec = {"date": "2023-06-01"}
    plan, _ = compare(lab, before, after, output=output, method=method, threshold=3, spec=spec)
    assert len(plan.recipe.blocks) > 6
    shapes, fields = polygons_in(lab.folder / "p.gpkg")
    assert list(fields) == [
        *("class_id", "class_name", "from_class", "to_class", "probability", "area_m2"),
        *("date_from", "date_to"),
    ]
    found = classes(lab) == 1
    labels, count = scipy.ndimage.label(found)
    assert len(shapes) == count > 10
    assert shapely.area(shapes).sum() == pytest.approx(100 * found.sum(), rel=1e-12)
    assert set(fields["class_name"]) == {"change"}
    assert set(fields["from_class"]) | set(fields["to_class"]) == {None}
    assert set(fields["date_from"]) | set(fields["date_to"]) == {"2023-06-01"}
    with rasterio.open(lab.folder / "p.tif") as source:
        likely = source.read(1) * source.scales[0]
    means = scipy.ndimage.mean(likely, labels, range(1, count + 1))
    np.testing.assert_allclose(np.sort(fields["probability"]), np.sort(means), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_smallest_area_holds_for_whole_polygons(method, lab, monkeypatch):
    monkeypatch.setattr(planning, "BLOCK_EDGE", 64)
    monkeypatch.setattr(comparison, "TILE", 64)
    data = scene_data()
    before, after = lab.scene(data, "a.tif"), lab.scene(later(data, noise=0.02), "b.tif")
    areas = {}
    for least in (0, 1000):
        vector = lab.folder / f"{least}.gpkg"
        output, polygons = {"vector": str(vector)}, PolygonOptions(min_area=least)
        compare(
            lab, before, after, f"{least}", output=output, polygons=polygons, method=method,
            threshold=3,
        )  # fmt: skip
        areas[least] = np.sort(polygons_in(vector)[1]["area_m2"])
    kept = areas[0][areas[0] >= 1000]
    assert 0 < len(kept) < len(areas[0])
    np.testing.assert_array_equal(areas[1000], kept)


def test_no_change_is_see_through_and_in_the_legend(lab):
    data = scene_data()
    compare(lab, lab.scene(data, "a.tif"), lab.scene(later(data), "b.tif"))
    palette = ET.parse(lab.folder / "out.qml").findall("pipe/rasterrenderer/colorPalette/*")
    shown = [(e.get("value"), e.get("label"), e.get("alpha")) for e in palette]
    assert shown == [("1", "change", "255"), ("0", "no change", "0")]


def test_another_grid_and_resolution_are_brought_together_and_said(lab):
    data = scene_data()
    fine = later(data).repeat(2, axis=1).repeat(2, axis=2)
    plan, _ = compare(lab, lab.scene(data, "a.tif"), lab.scene(fine, "b.tif", pixel=5.0))
    found = classes(lab)
    assert found.shape == data.shape[1:]
    assert ((found == 1) == planted(found.shape)).mean() > 0.98
    assert any("linear interpolation" in note for note in plan.notes)


def test_bands_without_any_role_are_compared_in_their_order(lab):
    data = scene_data(bands=2)
    paths = []
    for name, pixels in (("a.tif", data), ("b.tif", later(data))):
        path = lab.scene(pixels, name)
        with rasterio.open(path, "r+") as target:
            target.descriptions = (None, None)
        paths.append(path)
    plan, _ = compare(lab, *paths, profile="auto")
    assert plan.recipe.card.input.bands == ("band-1", "band-2")
    assert ((classes(lab) == 1) == planted(data.shape[1:])).mean() > 0.995


def test_numbers_of_unknown_scale_are_compared_as_they_are(lab):
    data = scene_data()
    stored = [np.round(d * 3000).astype(np.uint16) for d in (data, later(data))]
    before, after = (lab.scene(d, f"{i}.tif") for i, d in enumerate(stored))
    plan, _ = compare(lab, before, after, profile="auto")
    assert plan.recipe.input.profile == "raw"
    assert ((classes(lab) == 1) == planted(data.shape[1:])).mean() > 0.99


def refusal(lab, before, after, **options):
    with pytest.raises(EngineError) as caught:
        compare(lab, before, after, **options)
    assert not (lab.folder / "out.tif").exists()
    return caught.value


def test_dates_of_different_places_are_refused(lab):
    data = scene_data()
    far = lab.scene(data, "b.tif")
    with rasterio.open(far, "r+") as target:
        target.transform = rasterio.transform.from_origin(900_000, 5_000_000, 10, 10)
    error = refusal(lab, lab.scene(data, "a.tif"), far)
    assert error.code is ErrorCode.INPUT_GRID_MISMATCH


def test_a_date_without_data_is_refused(lab):
    data = scene_data()
    error = refusal(lab, lab.scene(data, "a.tif"), lab.scene(np.full_like(data, np.nan), "b.tif"))
    assert error.code is ErrorCode.INPUT_GRID_MISMATCH
    assert "data at both dates" in error.message


def test_a_date_of_one_value_is_refused(lab):
    data = scene_data()
    error = refusal(lab, lab.scene(data, "a.tif"), lab.scene(np.full_like(data, 0.3), "b.tif"))
    assert error.code is ErrorCode.INPUT_UNREADABLE


def test_dates_of_different_bands_are_refused(lab):
    one, two = scene_data(bands=2), scene_data(bands=1)
    first = lab.scene(one, "a.tif")
    second = lab.folder / "b.tif"
    with rasterio.open(first) as source:
        profile = {**source.profile, "count": 1}
    with rasterio.open(second, "w", **profile) as target:
        target.write(two)
        target.descriptions = ("swir16",)
    assert refusal(lab, first, second).code is ErrorCode.BAND_MISSING


def test_one_date_alone_is_refused(lab):
    request = lab.request(lab.scene(scene_data(), "a.tif"), "auto")
    with pytest.raises(EngineError) as caught:
        settled_plan(
            replace(request, change=ChangeOptions()),
            lab.store,
            lab.work,
            lab.store.install,
        )
    assert caught.value.code is ErrorCode.REQUEST_INVALID


def radar(data, seed):
    """Four looks of speckle on smooth backscatter, as linear power."""
    rng = np.random.default_rng(seed)
    return (data * rng.gamma(4, 1 / 4, data.shape)).astype(np.float32)


@pytest.mark.parametrize("profile", ["power", "decibel"])
def test_the_log_ratio_finds_a_patch_under_speckle(profile, lab):
    ground = scene_data() * 0.2
    flooded = ground.copy()
    flooded[(slice(None), *PATCH)] *= 10**-0.6  # six decibels less
    dates = [radar(ground, 1), radar(flooded, 2)]
    if profile == "decibel":
        dates = [10 * np.log10(d) for d in dates]
    before, after = (lab.scene(d.astype(np.float32), f"{i}.tif") for i, d in enumerate(dates))
    bands = {"bands": {"vv": "1", "vh": "2"}}
    compare(lab, before, after, method="logratio", profile=profile, spec=bands)
    truth, found = planted(ground.shape[1:]), classes(lab) == 1  # a decrease
    overlap = (found & truth).sum() / (found | truth).sum()
    print(f"{profile}: intersection over union {overlap:.3f}")  # noqa: T201 - a figure for people
    assert overlap > 0.85


def test_the_log_ratio_tells_rise_from_fall_and_swapped_dates_mirror_it(lab):
    ground = scene_data() * 0.2
    later_on = ground.copy()
    later_on[(slice(None), *PATCH)] *= 10**-0.6
    risen = np.zeros(ground.shape[1:], bool)
    risen[100:140, 20:80] = True
    later_on[:, risen] *= 10**0.6
    before, after = (lab.scene(radar(d, i), f"{i}.tif") for i, d in enumerate((ground, later_on)))
    for name, dates in (("forth", (before, after)), ("back", (after, before))):
        vector = {"vector": str(lab.folder / f"{name}.gpkg")}
        bands = {"bands": {"vv": "1", "vh": "2"}}
        compare(lab, *dates, name, method="logratio", profile="power", spec=bands, output=vector)
    forth, back = classes(lab, "forth"), classes(lab, "back")
    truth = planted(ground.shape[1:]) + 2 * risen
    for kind in (1, 2):
        mine, wanted = forth == kind, truth == kind
        assert (mine & wanted).sum() / (mine | wanted).sum() > 0.85
    np.testing.assert_array_equal(np.array([0, 2, 1])[forth], back)
    _, fields = polygons_in(lab.folder / "forth.gpkg")
    assert set(fields["class_name"]) == {"decrease", "increase"}


def test_the_log_ratio_refuses_optical_scenes(lab):
    data = scene_data()
    before, after = lab.scene(data, "a.tif"), lab.scene(later(data), "b.tif")
    error = refusal(lab, before, after, method="logratio")
    assert error.code is ErrorCode.MODEL_UNSUITABLE


def test_a_large_raster_is_fitted_to_a_sample(lab, monkeypatch):
    monkeypatch.setattr(comparison, "MOST_NUMBERS", 4 * 3 * comparison.EDGE**2)
    data = scene_data(1000, 1100)
    plan, _ = compare(lab, lab.scene(data, "a.tif"), lab.scene(later(data), "b.tif"))
    assert any("0.15 of the pixels" in note for note in plan.notes)
    assert ((classes(lab) == 1) == planted(data.shape[1:])).mean() > 0.995


@pytest.mark.parametrize("date", ["2024-13-45", "gestern"])
def test_a_date_that_is_none_is_refused(date, lab):
    scene = lab.scene(scene_data(), "a.tif")
    error = refusal(lab, scene, scene, spec={"date": date})
    assert error.code is ErrorCode.REQUEST_INVALID
    assert date in error.message


def test_a_fit_that_does_not_settle_says_so(lab):
    rng = np.random.default_rng(0)
    dates = [rng.random((2, 40, 50)).astype(np.float32) for _ in range(2)]
    before, after = (lab.scene(d, f"{i}.tif") for i, d in enumerate(dates))
    plan, _ = compare(lab, before, after)
    told = any("did not settle" in note for note in plan.notes)
    fit = fit_irmad(*(d.reshape(2, -1) for d in dates))
    assert told != fit.is_settled

"""A whole run on real files, against arithmetic done without tiles."""

import json
import threading

import numpy as np
import pyogrio
import pytest
import rasterio
import scipy.ndimage
import shapely

from engine.contract.errors import CancelledError, EngineError, ErrorCode
from engine.contract.messages import Region
from engine.geo.tiling import TileRule
from engine.pipeline.plan import make_plan, plan_from_json, plan_to_json
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

NODATA = 255


def expected_classes(data):
    """What the network says of the whole image at once; nodata is seen as its fill, zero.

    A pixel at the image's edge sees zeros beyond it, as the network's own padding gives.
    """
    valid = np.isfinite(data).all(axis=0)
    filled = np.where(valid, data, 0)
    means = [scipy.ndimage.uniform_filter(b, 3, mode="constant") for b in filled]
    logits = np.stack([np.zeros_like(means[0]), 4 * means[0] - 2, 4 * means[1] - 2])
    return np.where(valid, logits.argmax(axis=0), NODATA), np.sort(logits, axis=0)


def run(request, store, tmp_path, report=None):
    plan = make_plan(request, store)
    return plan, run_plan(plan, store, tmp_path / "work", report or Silence())


def read(path):
    with rasterio.open(path) as source:
        return source.read(1)


def decided(logits):
    """Pixels whose winner leads by more than rounding."""
    return logits[-1] - logits[-2] > 1e-4


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (257, 3), (64, 64), (130, 517)])
def test_tiles_give_what_the_whole_image_gives(
    shape, make_card, write_scene, scene_data, make_request, store, tmp_path
):
    data = scene_data(*shape)
    scene = write_scene(data)
    _, outcome = run(make_request(scene, make_card()), store, tmp_path)
    classes, logits = expected_classes(data)
    inner = np.zeros(shape, bool)
    inner[: shape[0] - 1, : shape[1] - 1] = True  # reflection differs from zeros at two edges
    checked = decided(logits) & (inner | (np.minimum(*shape) > 64))
    found = read(outcome.artifacts[0].uri)
    assert found.shape == shape
    np.testing.assert_array_equal(found[checked & inner], classes[checked & inner])


@pytest.mark.parametrize(
    "rule", [TileRule(32, 4, 4), TileRule(64, 8, 8), TileRule(96, 0x10, 32), TileRule(48, 3, 1)]
)
def test_the_result_does_not_depend_on_the_tiling(
    rule, make_card, write_scene, scene_data, make_request, store, tmp_path
):
    data = scene_data(150, 211)
    data[:, 40:70, 100:160] = np.nan
    scene = write_scene(data, nodata=np.nan)
    _, outcome = run(make_request(scene, make_card(rule)), store, tmp_path)
    classes, logits = expected_classes(data)
    checked = decided(logits)[:-1, :-1]
    found = read(outcome.artifacts[0].uri)
    np.testing.assert_array_equal(found[:-1, :-1][checked], classes[:-1, :-1][checked])
    np.testing.assert_array_equal(found == NODATA, classes == NODATA)


def test_outputs_agree_with_each_other(
    make_card, write_scene, scene_data, make_request, store, tmp_path
):
    data = scene_data(1100, 1150)
    data[:, 100:130, 1000:1100] = np.nan
    scene = write_scene(data, nodata=np.nan)
    extra = {"vector": str(tmp_path / "o.gpkg"), "probability": str(tmp_path / "p.tif")}
    _, outcome = run(make_request(scene, make_card(), output=extra), store, tmp_path)
    by_role = {a.role: a.uri for a in outcome.artifacts}
    classes = read(by_role["raster"])
    meta, _, geometry, fields = pyogrio.raw.read(by_role["vector"])
    columns = dict(zip(meta["fields"], fields, strict=True))
    polygons = shapely.from_wkb(geometry)
    assert shapely.is_valid(polygons).all()
    for row in outcome.summary.areas:
        assert row.pixels == np.count_nonzero(classes == row.class_id)
        mine = columns["class_id"] == row.class_id
        assert shapely.area(polygons[mine]).sum() == pytest.approx(row.pixels * 100, rel=1e-12)
        assert columns["area_m2"][mine].sum() == pytest.approx(row.area_m2, rel=1e-6)
    with rasterio.open(by_role["probability"]) as source:
        stored = source.read()
        assert source.nodata == 255
        assert source.scales == (0.004,) * 3
    assert np.array_equal(stored[0] == 255, classes == NODATA)
    valid = classes != NODATA
    assert np.abs(stored[:, valid].astype(int).sum(axis=0) - 250).max() <= 2
    winner = np.take_along_axis(stored, np.where(valid, classes, 0)[None], axis=0)[0]
    assert (winner[valid] == stored.max(axis=0)[valid]).all()
    confidence = columns["confidence"] * np.round(shapely.area(polygons) / 100)
    total = winner[valid].astype(float).sum() * 0.004
    assert confidence.sum() == pytest.approx(total, rel=1e-4)


def test_equal_runs_give_equal_bytes_wherever_they_write(
    make_card, write_scene, scene_data, make_request, store, tmp_path
):
    scene, card = write_scene(scene_data(200, 180)), make_card()
    (tmp_path / "sub").mkdir()
    outputs = []
    for name in ("one", "sub/two"):
        _, outcome = run(make_request(scene, card, name), store, tmp_path)
        outputs.append(open(outcome.artifacts[0].uri, "rb").read())
    assert outputs[0] == outputs[1]


def test_an_extent_gives_exactly_a_cut_of_the_whole(
    make_card, write_scene, scene_data, make_request, store, tmp_path
):
    scene, card = write_scene(scene_data(300, 320)), make_card()
    whole = run(make_request(scene, card, "whole"), store, tmp_path)[1]
    bounds = (500_510, 4_998_015, 502_003, 4_999_333)
    part = run(
        make_request(scene, card, "part", region=Region(bounds=bounds)), store, tmp_path
    )[1]
    with rasterio.open(part.artifacts[0].uri) as source:
        window = rasterio.windows.from_bounds(*source.bounds, _transform(scene)).round()
        rows, cols = window.toslices()
        np.testing.assert_array_equal(source.read(1), read(whole.artifacts[0].uri)[rows, cols])
        assert source.bounds.left <= bounds[0] < bounds[2] <= source.bounds.right
    assert (rows.start, cols.start) == (66, 51)


def _transform(path):
    with rasterio.open(path) as source:
        return source.transform


def test_polygons_limit_the_result(
    make_card, write_scene, scene_data, make_request, store, tmp_path
):
    scene = write_scene(scene_data(120, 130))
    ring = [[500_200, 4_999_800], [500_900, 4_999_700], [500_500, 4_999_100]]
    mask = tmp_path / "mask.geojson"
    geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    feature = {"type": "Feature", "properties": {}, "geometry": geometry}
    collection = {"type": "FeatureCollection", "crs": crs, "features": [feature]}
    mask.write_text(json.dumps(collection))
    request = make_request(scene, make_card(), region=Region(aoi=str(mask)))
    _, outcome = run(request, store, tmp_path)
    with rasterio.open(outcome.artifacts[0].uri) as source:
        found, transform = source.read(1), source.transform
    inside = rasterio.features.geometry_mask([geometry], found.shape, transform, invert=True)
    np.testing.assert_array_equal(found != NODATA, inside)


@pytest.mark.parametrize("pixel", [5.0, 20 / 3, 25.0])
def test_another_scale_keeps_the_grid_and_the_mask(
    pixel, make_card, write_scene, scene_data, make_request, store, tmp_path
):
    data = scene_data(161, 173)
    data[:, 30:33, 50:90] = np.nan
    scene = write_scene(data, pixel=pixel, nodata=np.nan)
    plan, outcome = run(make_request(scene, make_card()), store, tmp_path)
    found = read(outcome.artifacts[0].uri)
    assert found.shape == data.shape[1:]
    np.testing.assert_array_equal(found == NODATA, ~np.isfinite(data[0]))
    assert any("resampled" in n for n in outcome.summary.notes)
    assert plan.recipe.factors == pytest.approx((10 / pixel, 10 / pixel))


def test_another_scale_has_no_seams(
    make_card, write_scene, scene_data, make_request, store, tmp_path
):
    """Large and small tiles agree: scores are resampled, not classes."""
    scene = write_scene(scene_data(400, 380), pixel=4.0)
    results = []
    for rule in (TileRule(32, 8, 4), TileRule(512, 8, 4)):
        request = make_request(scene, make_card(rule), f"out{rule.size}")
        results.append(read(run(request, store, tmp_path)[1].artifacts[0].uri))
    inner = (slice(8, -8), slice(8, -8))
    assert np.mean(results[0][inner] != results[1][inner]) < 1e-3


def test_an_image_without_georeference_runs_in_pixels(
    make_card, write_scene, scene_data, make_request, store, tmp_path
):
    scene = write_scene(scene_data(90, 70), crs=None)
    extra = {"vector": str(tmp_path / "o.gpkg")}
    _, outcome = run(make_request(scene, make_card(), output=extra), store, tmp_path)
    assert any("georeference" in n for n in outcome.summary.notes)
    assert all(row.area_m2 is None for row in outcome.summary.areas)
    meta, _, _, fields = pyogrio.raw.read(str(tmp_path / "o.gpkg"))
    assert "area_px" in meta["fields"]
    assert dict(zip(meta["fields"], fields, strict=True))["area_px"].sum() == 90 * 70


class CancelAfter(Silence):
    def __init__(self, calls):
        self.left = calls

    def cancelled(self):
        self.left -= 1
        return self.left < 0


def test_a_cancelled_run_leaves_no_output_and_can_go_on(
    make_card, write_scene, scene_data, make_request, store, tmp_path
):
    scene = write_scene(scene_data(300, 300))
    request = make_request(scene, make_card(), output={"vector": str(tmp_path / "o.gpkg")})
    plan = make_plan(request, store)
    before = set(tmp_path.iterdir())
    for calls in (0, 3, 26):
        with pytest.raises(CancelledError):
            run_plan(plan, store, tmp_path / "work", CancelAfter(calls))
        assert set(tmp_path.iterdir()) - before <= {tmp_path / "work"}
    assert threading.active_count() < 5
    outcome = run_plan(plan, store, tmp_path / "work", Silence())
    assert read(outcome.artifacts[0].uri).shape == (300, 300)


def test_blocks_that_are_there_are_not_computed_again(
    make_card, write_scene, scene_data, make_request, store, tmp_path
):
    scene = write_scene(scene_data(1300, 90))
    request = make_request(scene, make_card())
    plan = make_plan(request, store)
    seen = []

    class Watch(Silence):
        def progress(self, stage, done, total, unit):
            if stage == "segment":
                seen.append(done)

        def cancelled(self):
            return bool(seen) and seen[-1] >= plan.recipe.tiling.count - 1

    with pytest.raises(CancelledError):
        run_plan(plan, store, tmp_path / "work", Watch())
    first_block = len(plan.recipe.blocks[0].tiles)
    seen.clear()
    run_plan(plan, store, tmp_path / "work", Silence() if seen else _Recorder(seen))
    assert seen[0] == first_block


class _Recorder(Silence):
    def __init__(self, seen):
        self.seen = seen

    def progress(self, stage, done, total, unit):
        if stage == "segment":
            self.seen.append(done)


def test_a_plan_survives_json(make_card, write_scene, scene_data, make_request, store):
    scene = write_scene(scene_data(50, 60))
    plan = make_plan(make_request(scene, make_card()), store)
    again = plan_from_json(plan_to_json(plan))
    assert again.digest == plan.digest
    assert again.recipe.tiling == plan.recipe.tiling
    assert again.recipe.grid == plan.recipe.grid


def test_other_pixels_give_another_digest(
    make_card, write_scene, scene_data, make_request, store
):
    card = make_card()
    first = make_plan(make_request(write_scene(scene_data(50, 60)), card), store)
    second = make_plan(make_request(write_scene(scene_data(50, 60, seed=1)), card), store)
    assert first.digest != second.digest


def test_an_empty_extent_and_one_elsewhere_are_refused(
    make_card, write_scene, scene_data, make_request, store
):
    scene, card = write_scene(scene_data(50, 60)), make_card()
    for bounds, code in [
        ((5, 5, 1, 9), ErrorCode.EXTENT_INVALID),
        ((0, 0, 1, 1), ErrorCode.EXTENT_OUTSIDE),
    ]:
        with pytest.raises(EngineError) as caught:
            make_plan(make_request(scene, card, region=Region(bounds=bounds)), store)
        assert caught.value.code is code

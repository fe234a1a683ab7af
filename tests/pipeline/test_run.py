"""A whole run on real files, against arithmetic done without tiles."""

import json
import threading
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import scipy.ndimage
import shapely

from engine.contract.errors import CancelledError, EngineError, ErrorCode
from engine.contract.messages import Region
from engine.geo.tiling import TileRule
from engine.pipeline.plan import plan_from_json, plan_to_json
from engine.pipeline.report import Silence

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


def read(path):
    with rasterio.open(path) as source:
        return source.read(1)


def decided(logits):
    """Pixels whose winner leads by more than rounding."""
    return logits[-1] - logits[-2] > 1e-4


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (257, 3), (64, 64), (130, 517)])
def test_tiles_give_what_the_whole_image_gives(shape, lab):
    data = lab.data(*shape)
    scene = lab.scene(data)
    outcome = lab.run(scene, lab.card())
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
def test_the_result_does_not_depend_on_the_tiling(rule, lab):
    data = lab.data(150, 211)
    data[:, 40:70, 100:160] = np.nan
    scene = lab.scene(data, nodata=np.nan)
    outcome = lab.run(scene, lab.card(rule))
    classes, logits = expected_classes(data)
    checked = decided(logits)[:-1, :-1]
    found = read(outcome.artifacts[0].uri)
    np.testing.assert_array_equal(found[:-1, :-1][checked], classes[:-1, :-1][checked])
    np.testing.assert_array_equal(found == NODATA, classes == NODATA)


def test_outputs_agree_with_each_other(lab):
    data = lab.data(1100, 1150)
    data[:, 100:130, 1000:1100] = np.nan
    scene = lab.scene(data, nodata=np.nan)
    extra = {"vector": str(lab.folder / "o.gpkg"), "probability": str(lab.folder / "p.tif")}
    outcome = lab.run(scene, lab.card(), output=extra)
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
        assert columns["area_m2"][mine].sum() == pytest.approx(row.area_m2, rel=1e-5)
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


def test_equal_runs_give_equal_bytes_wherever_they_write(lab):
    scene, card = lab.scene(lab.data(200, 180)), lab.card()
    (lab.folder / "sub").mkdir()
    outputs = []
    for name in ("one", "sub/two"):
        outcome = lab.run(scene, card, name)
        outputs.append(Path(outcome.artifacts[0].uri).read_bytes())
    assert outputs[0] == outputs[1]


def test_an_extent_gives_exactly_a_cut_of_the_whole(lab):
    scene, card = lab.scene(lab.data(300, 320)), lab.card()
    whole = lab.run(scene, card, "whole")
    bounds = (500_510, 4_998_015, 502_003, 4_999_333)
    part = lab.run(scene, card, "part", region=Region(bounds=bounds))
    with rasterio.open(part.artifacts[0].uri) as source:
        window = rasterio.windows.from_bounds(*source.bounds, _transform(scene)).round()
        rows, cols = window.toslices()
        np.testing.assert_array_equal(source.read(1), read(whole.artifacts[0].uri)[rows, cols])
        assert source.bounds.left <= bounds[0] < bounds[2] <= source.bounds.right
    assert (rows.start, cols.start) == (66, 51)


def _transform(path):
    with rasterio.open(path) as source:
        return source.transform


def test_polygons_limit_the_result(lab):
    scene = lab.scene(lab.data(120, 130))
    ring = [[500_200, 4_999_800], [500_900, 4_999_700], [500_500, 4_999_100]]
    mask = lab.folder / "mask.geojson"
    geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    feature = {"type": "Feature", "properties": {}, "geometry": geometry}
    collection = {"type": "FeatureCollection", "crs": crs, "features": [feature]}
    mask.write_text(json.dumps(collection))
    outcome = lab.run(scene, lab.card(), region=Region(aoi=str(mask)))
    with rasterio.open(outcome.artifacts[0].uri) as source:
        found, transform = source.read(1), source.transform
    inside = rasterio.features.geometry_mask([geometry], found.shape, transform, invert=True)
    np.testing.assert_array_equal(found != NODATA, inside)


@pytest.mark.parametrize("pixel", [5.0, 20 / 3, 25.0])
def test_another_scale_keeps_the_grid_and_the_mask(pixel, lab):
    data = lab.data(161, 173)
    data[:, 30:33, 50:90] = np.nan
    scene = lab.scene(data, pixel=pixel, nodata=np.nan)
    plan = lab.plan(scene, lab.card())
    outcome = lab.carry_out(plan)
    found = read(outcome.artifacts[0].uri)
    assert found.shape == data.shape[1:]
    np.testing.assert_array_equal(found == NODATA, ~np.isfinite(data[0]))
    assert any("resampled" in n for n in outcome.summary.notes)
    assert plan.recipe.factors == pytest.approx((10 / pixel, 10 / pixel))


def test_another_scale_has_no_seams(lab):
    """Large and small tiles agree: scores are resampled, not classes."""
    scene = lab.scene(lab.data(400, 380), pixel=4.0)
    results = [
        read(lab.run(scene, lab.card(rule), f"out{rule.size}").artifacts[0].uri)
        for rule in (TileRule(32, 8, 4), TileRule(512, 8, 4))
    ]
    inner = (slice(8, -8), slice(8, -8))
    assert np.mean(results[0][inner] != results[1][inner]) < 1e-3


def test_an_image_without_georeference_runs_in_pixels(lab):
    scene = lab.scene(lab.data(90, 70), crs=None)
    extra = {"vector": str(lab.folder / "o.gpkg")}
    outcome = lab.run(scene, lab.card(), output=extra)
    assert any("georeference" in n for n in outcome.summary.notes)
    assert all(row.area_m2 is None for row in outcome.summary.areas)
    meta, _, _, fields = pyogrio.raw.read(str(lab.folder / "o.gpkg"))
    assert "area_px" in meta["fields"]
    assert dict(zip(meta["fields"], fields, strict=True))["area_px"].sum() == 90 * 70


class CancelAfter(Silence):
    def __init__(self, calls):
        self.left = calls

    def cancelled(self):
        self.left -= 1
        return self.left < 0


def test_a_cancelled_run_leaves_no_output_and_can_go_on(lab):
    scene = lab.scene(lab.data(300, 300))
    plan = lab.plan(scene, lab.card(), output={"vector": str(lab.folder / "o.gpkg")})
    before = set(lab.folder.iterdir())
    for calls in (0, 3, 26):
        with pytest.raises(CancelledError):
            lab.carry_out(plan, CancelAfter(calls))
        assert set(lab.folder.iterdir()) - before <= {lab.folder / "work"}
    assert threading.active_count() < 5
    outcome = lab.carry_out(plan, Silence())
    assert read(outcome.artifacts[0].uri).shape == (300, 300)


class Tiles(Silence):
    """Remembers the tiles counted, and cancels at one of them."""

    def __init__(self, cancel_at=None):
        self.seen = []
        self.cancel_at = cancel_at

    def progress(self, stage, done, *_):
        if stage == "segment":
            self.seen.append(done)

    def cancelled(self):
        return self.cancel_at is not None and self.seen[-1] >= self.cancel_at


def test_blocks_that_are_there_are_not_computed_again(lab):
    plan = lab.plan(lab.scene(lab.data(1300, 90)), lab.card())
    first, *others = plan.recipe.blocks
    assert others
    with pytest.raises(CancelledError):
        lab.carry_out(plan, Tiles(cancel_at=len(first.tiles) + 1))
    again = Tiles()
    lab.carry_out(plan, again)
    assert again.seen[0] == len(first.tiles)
    assert again.seen[-1] == plan.recipe.tiling.count


def test_a_plan_survives_json(lab):
    scene = lab.scene(lab.data(50, 60))
    plan = lab.plan(scene, lab.card())
    again = plan_from_json(plan_to_json(plan))
    assert again.digest == plan.digest
    assert again.recipe.tiling == plan.recipe.tiling
    assert again.recipe.grid == plan.recipe.grid


def test_other_pixels_give_another_digest(lab):
    card = lab.card()
    first = lab.plan(lab.scene(lab.data(50, 60)), card)
    second = lab.plan(lab.scene(lab.data(50, 60, seed=1)), card)
    assert first.digest != second.digest


def test_an_empty_extent_and_one_elsewhere_are_refused(lab):
    scene, card = lab.scene(lab.data(50, 60)), lab.card()
    for bounds, code in [
        ((5, 5, 1, 9), ErrorCode.EXTENT_INVALID),
        ((0, 0, 1, 1), ErrorCode.EXTENT_OUTSIDE),
    ]:
        with pytest.raises(EngineError) as caught:
            lab.plan(scene, card, region=Region(bounds=bounds))
        assert caught.value.code is code

"""The options of the vector output, on classes that are given."""

import math
from dataclasses import replace

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import PolygonOptions
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.pipeline.polygons import polygon_batches

NODATA = 255


@pytest.fixture
def polygons(lab):
    """Polygons and fields of a class image in blocks of 40 pixels of 10 m, or on another grid."""

    def run(classes, *, grid=None, **options):
        height, width = classes.shape
        wanted = PolygonOptions(**options)
        plan = lab.plan(lab.scene(lab.data(height, width)), lab.card(), polygons=wanted)
        plan = replace(plan, recipe=replace(plan.recipe, grid=grid or plan.recipe.grid))
        blocks = [
            (Window(r, c, *part.shape), part, np.full(part.shape, 200, np.uint8))
            for r in range(0, height, 40)
            for c in range(0, width, 40)
            for part in [classes[r : r + 40, c : c + 40]]
        ]
        batches = list(polygon_batches(plan, blocks))
        geometry = np.concatenate([b.geometry for b in batches])
        fields = {n: np.concatenate([b.fields[n] for b in batches]) for n in batches[0].fields}
        return geometry, fields

    return run


@pytest.fixture
def house():
    """A slanting house on grass, with a tree in its court; the scene of 80 x 100 pixels."""
    rows, cols = np.mgrid[:80, :100] + 0.5
    turn = math.radians(25)
    x = (cols - 50) * math.cos(turn) + (rows - 40) * math.sin(turn)
    y = (rows - 40) * math.cos(turn) - (cols - 50) * math.sin(turn)
    image = ((abs(x) < 30) & (abs(y) < 18)).astype(np.uint8)
    image[38:41, 49:52] = 2
    return image


def test_by_default_outlines_follow_the_pixels(house, polygons):
    geometry, fields = polygons(house)
    order = np.argsort(fields["class_id"])
    assert fields["class_name"][order].tolist() == ["ground", "red", "green"]
    counts = [np.count_nonzero(house == i) for i in range(3)]
    assert shapely.area(geometry)[order].tolist() == pytest.approx([100 * n for n in counts])
    assert fields["confidence"] == pytest.approx(0.8)


def test_all_exteriors_run_counter_clockwise(house, polygons):
    for options in ({}, {"square": ("red",)}, {"simplify": 20.0}):
        geometry, _ = polygons(house, **options)
        assert shapely.is_ccw(shapely.get_exterior_ring(geometry)).all()


def test_small_polygons_and_small_holes_go_together(house, polygons):
    geometry, fields = polygons(house, min_area=1000, fill_holes=1000)
    assert sorted(fields["class_id"]) == [0, 1]
    assert shapely.area(geometry).sum() == pytest.approx(80 * 100 * 100)
    assert fields["area_m2"].sum() == pytest.approx(80 * 100 * 100, rel=2e-3)


def test_simplified_neighbours_leave_no_gap(house, polygons):
    geometry, fields = polygons(house, simplify=20.0)
    exact, _ = polygons(house)
    assert (
        shapely.get_num_coordinates(geometry).sum() < shapely.get_num_coordinates(exact).sum() / 4
    )
    assert shapely.coverage_is_valid(geometry)
    assert shapely.area(geometry).sum() == pytest.approx(80 * 100 * 100)
    scale = fields["area_m2"] / shapely.area(geometry)
    assert scale == pytest.approx(scale[0], rel=1e-6)


def test_classes_asked_for_get_right_angles(house, polygons):
    geometry, fields = polygons(house, square=("red",))
    found = geometry[fields["class_id"] == 1][0]
    assert len(found.exterior.coords) == 5
    edges = np.diff(shapely.get_coordinates(found.exterior), axis=0)
    slant = math.degrees(math.atan2(edges[0, 1], edges[0, 0])) % 90
    assert slant == pytest.approx(65, abs=1)
    assert fields["area_m2"][fields["class_id"] == 1] == pytest.approx(found.area, rel=2e-3)
    exact, _ = polygons(house)
    assert shapely.equals(geometry[fields["class_id"] == 0], exact[fields["class_id"] == 0]).all()


def test_right_angles_are_right_on_the_ground(house, polygons):
    wgs84 = pyproj.CRS.from_epsg(4326).to_wkt()
    grid = Grid(wgs84, Affine(0.0001, 0, 10, 0, -0.0001, 60), house.shape)
    geometry, fields = polygons(house, grid=grid, square=("red",))
    found = geometry[fields["class_id"] == 1][0]
    lon, lat = found.exterior.coords[0]
    metres = pyproj.Transformer.from_crs(
        4326, f"+proj=aeqd +lat_0={lat} +lon_0={lon}", always_xy=True
    )
    ring = np.column_stack(metres.transform(*shapely.get_coordinates(found.exterior).T))
    edges = np.diff(ring, axis=0)
    edges /= np.hypot(*edges.T)[:, None]
    assert np.abs((edges * np.roll(edges, 1, axis=0)).sum(axis=1)).max() < 0.02


def test_a_class_that_the_model_does_not_have_is_refused(lab):
    scene, card = lab.scene(lab.data(80, 90)), lab.card()
    with pytest.raises(EngineError) as caught:
        lab.plan(scene, card, polygons=PolygonOptions(square=("house",)))
    assert caught.value.code is ErrorCode.REQUEST_INVALID
    assert "ground, red, green" in caught.value.hint

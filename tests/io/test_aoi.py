from __future__ import annotations

import fiona
import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.crs import parse_crs
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.aoi import read_aoi

UTM = parse_crs("EPSG:32632").to_wkt()
GRID = Grid(UTM, Affine(10, 0, 500_000, 0, -10, 5_000_000), (100, 120))


@pytest.fixture
def write_shapes(tmp_path):
    """A function that writes geometries as a layer of a GeoPackage."""

    def write(*shapes, name="area.gpkg", layer="area", crs=UTM, kind="Unknown"):
        path = tmp_path / name
        schema = {"geometry": kind, "properties": {}}
        with fiona.open(path, "w", driver="GPKG", layer=layer, schema=schema, crs_wkt=crs) as out:
            for shape in shapes:
                out.write({"geometry": shapely.geometry.mapping(shape), "properties": {}})
        return str(path)

    return write


def box(row, col, height, width):
    """A polygon over whole pixels of the grid."""
    west, north = 500_000 + 10 * col, 5_000_000 - 10 * row
    return shapely.box(west, north - 10 * height, west + 10 * width, north)


def failure(reference, grid=GRID):
    with pytest.raises(EngineError) as caught:
        read_aoi(reference, grid)
    return caught.value


def test_pixels_inside(write_shapes):
    aoi = read_aoi(write_shapes(box(10, 20, 5, 7)), GRID)
    assert aoi.window == Window(10, 20, 5, 7)
    full = aoi.mask(GRID.window)
    assert full.sum() == 35
    assert full[10:15, 20:27].all()


@pytest.mark.parametrize(("shift", "expected"), [(4.9, True), (5.1, False)])
def test_a_pixel_is_inside_when_its_centre_is(write_shapes, shift, expected):
    west = 500_000 + shift
    shape = shapely.box(west, 4_999_000, west + 100, 5_000_000)
    assert read_aoi(write_shapes(shape), GRID).mask(GRID.window)[0, 0] == expected


def test_hole_stays_outside(write_shapes):
    shape = box(10, 10, 30, 30).difference(box(20, 20, 5, 5))
    mask = read_aoi(write_shapes(shape), GRID).mask(GRID.window)
    assert mask.sum() == 900 - 25
    assert not mask[22, 22]


def test_many_features_and_collections(write_shapes):
    mixed = shapely.GeometryCollection([box(50, 50, 2, 2), shapely.Point(500_005, 4_999_995)])
    multi = shapely.MultiPolygon([box(0, 0, 2, 2), box(90, 90, 3, 3)])
    mask = read_aoi(write_shapes(multi, mixed), GRID).mask(GRID.window)
    assert mask.sum() == 4 + 9 + 4


def test_bow_tie_is_made_valid(write_shapes):
    points = [
        (500_000, 5_000_000),
        (500_200, 4_999_800),
        (500_200, 5_000_000),
        (500_000, 4_999_800),
    ]
    mask = read_aoi(write_shapes(shapely.Polygon(points)), GRID).mask(GRID.window)
    assert mask[10, 1]
    assert mask[10, 18]
    assert not mask[1, 10]


def test_polygon_in_another_crs(write_shapes):
    shape = shapely.box(9.0, 45.1449, 9.005, 45.149)
    aoi = read_aoi(write_shapes(shape, crs=parse_crs("EPSG:4326").to_wkt()), GRID)
    mask = aoi.mask(GRID.window)
    assert 35 < mask[50].sum() < 42
    assert mask[50, 0]


def test_layer_by_name_and_number(write_shapes):
    path = write_shapes(box(0, 0, 1, 1), layer="first")
    write_shapes(box(5, 5, 2, 2), layer="zweite Fläche")
    assert read_aoi(f"{path}|layername=zweite Fläche", GRID).mask(GRID.window).sum() == 4
    assert read_aoi(f"{path}|layerid=0", GRID).mask(GRID.window).sum() == 1
    assert read_aoi(path, GRID).mask(GRID.window).sum() == 1


def test_missing_layer_lists_the_layers(write_shapes):
    error = failure(write_shapes(box(0, 0, 1, 1), layer="first") + "|layername=other")
    assert error.code is ErrorCode.MASK_UNREADABLE
    assert "first" in error.hint


@pytest.mark.parametrize("name", ["no.gpkg", "text.gpkg"])
def test_unreadable(tmp_path, name):
    (tmp_path / "text.gpkg").write_text("no polygons here", "utf-8")
    error = failure(str(tmp_path / name))
    assert error.code is ErrorCode.MASK_UNREADABLE
    assert name in error.message


def test_filtered_layer_is_refused(write_shapes):
    error = failure(write_shapes(box(0, 0, 1, 1)) + '|subset="a" = 1')
    assert error.code is ErrorCode.MASK_UNREADABLE


@pytest.mark.parametrize(
    "shapes",
    [
        [],
        [shapely.Point(500_005, 4_999_995)],
        [shapely.LineString([(500_000, 5_000_000), (500_500, 4_999_500)])],
        [shapely.box(500_001, 4_999_991, 500_003, 4_999_993)],
    ],
    ids=["nothing", "point", "line", "between centres"],
)
def test_empty(write_shapes, shapes):
    assert failure(write_shapes(*shapes)).code is ErrorCode.MASK_EMPTY


def test_outside(write_shapes):
    assert failure(write_shapes(box(500, 500, 5, 5))).code is ErrorCode.EXTENT_OUTSIDE


def test_mask_without_crs(tmp_path):
    path = tmp_path / "a.shp"
    schema = {"geometry": "Polygon", "properties": {"id": "int"}}
    with fiona.open(path, "w", driver="ESRI Shapefile", schema=schema) as out:
        shape = shapely.geometry.mapping(box(1, 1, 2, 2))
        out.write({"geometry": shape, "properties": {"id": 1}})
    assert failure(str(path)).code is ErrorCode.CRS_MISSING
    pixels = Grid(None, Affine(1, 0, 0, 0, -1, 0), (100, 120))
    assert failure(str(path), pixels).code is ErrorCode.EXTENT_OUTSIDE


def test_pixel_coordinates_without_georeference(write_shapes):
    pixels = Grid(None, Affine(1, 0, 0, 0, -1, 0), (100, 120))
    path = write_shapes(shapely.box(10, -30, 15, -20))
    mask = read_aoi(path, pixels).mask(pixels.window)
    assert mask[20:30, 10:15].all()
    assert mask.sum() == 50


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(row=st.integers(0, 80), col=st.integers(0, 100), height=st.integers(1, 40))
def test_every_window_of_the_mask_agrees(wobbly, row, col, height):
    aoi, full = wobbly
    window = Window(row, col, height, 33).intersect(GRID.window)
    assert np.array_equal(aoi.mask(window), full[window.slices])


@pytest.fixture
def wobbly(write_shapes):
    """Edges through pixel centres, where rounding decides."""
    corners = [
        (500_105, 4_999_905),
        (500_905, 4_999_895),
        (500_705, 4_999_205),
        (500_205, 4_999_305),
    ]
    aoi = read_aoi(write_shapes(shapely.Polygon(corners)), GRID)
    return aoi, aoi.mask(GRID.window)

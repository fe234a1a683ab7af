import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.crs import areas_m2, geod_of, metres_per_unit, parse_crs, transform_bounds
from engine.geo.grid import Grid
from engine.geo.window import Window

UTM = pyproj.CRS.from_epsg(32632).to_wkt()
WGS84 = pyproj.CRS.from_epsg(4326).to_wkt()
GRID = Grid(UTM, Affine(10, 0, 500_000, 0, -10, 5_000_000), (50, 80))


def test_bounds_and_crop():
    assert GRID.bounds == (500_000, 4_999_500, 500_800, 5_000_000)
    part = GRID.crop(Window(10, 20, 5, 6))
    assert part.bounds == (500_200, 4_999_850, 500_260, 4_999_900)
    assert part.shape == (5, 6)


def test_window_of_takes_every_pixel_that_is_touched():
    assert GRID.window_of((500_005, 4_999_905, 500_021, 4_999_995)) == Window(0, 0, 10, 3)
    assert GRID.window_of(GRID.bounds) == GRID.window
    assert GRID.window_of((0, 0, 1e7, 1e7)) == GRID.window


def test_an_extent_elsewhere_is_refused_with_both_extents():
    with pytest.raises(EngineError) as caught:
        GRID.window_of((0, 0, 1, 1))
    assert caught.value.code is ErrorCode.EXTENT_OUTSIDE
    assert "500000" in caught.value.message


def test_rotation_is_seen_and_rounding_is_not():
    assert Grid(UTM, Affine(10, 0.5, 0, 0.5, -10, 0), (2, 2)).is_rotated
    assert not Grid(UTM, Affine(10, 1e-12, 0, 0, -10, 0), (2, 2)).is_rotated


def test_pixel_size_in_metres_in_any_unit():
    assert GRID.pixel_size_m == (10, 10)
    feet = pyproj.CRS.from_epsg(2263).to_wkt()
    assert Grid(feet, Affine(1, 0, 0, 0, -1, 0), (2, 2)).pixel_size_m == pytest.approx(
        (0.3048, 0.3048), rel=1e-5
    )
    degrees = Grid(WGS84, Affine(0.001, 0, 10, 0, -0.001, 60), (10, 10))
    height, width = degrees.pixel_size_m
    assert height == pytest.approx(111.4, abs=0.1)
    assert width == pytest.approx(55.8, abs=0.1)
    assert Grid(None, Affine.identity(), (2, 2)).pixel_size_m is None


def test_aligned_offset():
    assert GRID.aligned_offset(GRID.crop(Window(3, 4, 5, 6))) == (3, 4)
    moved = Grid(UTM, GRID.transform @ Affine.translation(0.4, 0), (5, 5))
    assert GRID.aligned_offset(moved) is None


def test_areas_agree_with_the_geodesic_of_fine_edges():
    box = shapely.segmentize(shapely.box(10, 45, 10.1, 45.1), 0.001)
    expected = abs(geod_of(WGS84).geometry_area_perimeter(box)[0])
    assert areas_m2(np.array([box]), WGS84)[0] == pytest.approx(expected, rel=1e-6)


def test_areas_of_a_projected_pixel_are_true_not_nominal():
    east = shapely.box(833_000, 5_000_000, 833_030, 5_000_030)
    area = areas_m2(np.array([east]), UTM)[0]
    mover = pyproj.Transformer.from_crs(32632, 4326, always_xy=True).transform
    ring = shapely.transform(east, lambda xy: np.column_stack(mover(xy[:, 0], xy[:, 1])))
    expected = abs(geod_of(UTM).geometry_area_perimeter(ring)[0])
    assert area == pytest.approx(expected, rel=1e-6)
    assert abs(area / 900 - 1) > 1e-3


def test_the_whole_earth():
    earth = shapely.box(-180, -90, 180, 90)
    assert areas_m2(np.array([earth]), WGS84)[0] == pytest.approx(510_065_621_724_088, rel=1e-9)


def test_bounds_move_between_systems():
    west, south, east, north = transform_bounds((9, 45, 9.01, 45.01), "EPSG:4326", UTM)
    assert 499_000 < west < east < 502_000
    assert 4_980_000 < south < north < 4_990_000


def test_an_unknown_crs_is_refused():
    with pytest.raises(EngineError) as caught:
        parse_crs("not a crs")
    assert caught.value.code is ErrorCode.EXTENT_INVALID


def test_metres_per_degree_at_the_equator():
    along_x, along_y = metres_per_unit("EPSG:4326", (0, 0))
    assert along_x == pytest.approx(111_319.5, abs=1)
    assert along_y == pytest.approx(110_574, abs=1)

"""Pixels under plots, by exact coverage."""

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from engine.calibrate.footprints import (
    circles,
    footprint,
    in_pixels,
    overlapping,
    places_in_metres,
)
from engine.geo.crs import areas_m2
from engine.geo.grid import Grid

GRID = Grid("EPSG:32635", Affine(10, 0, 500000, 0, -10, 7000000), (40, 50))


@given(
    st.floats(-5, 45), st.floats(-5, 35), st.floats(0.1, 12), st.floats(0.1, 12), st.floats(0, 90)
)
def test_weights_add_up_to_what_lies_on_the_raster(x, y, width, height, turn):
    shape = shapely.affinity.rotate(shapely.box(x, y, x + width, y + height), turn)
    found = footprint(shape, GRID)
    on_raster = shape.intersection(shapely.box(0, 0, 50, 40)).area
    if found is None:
        assert on_raster < 1e-9
        return
    assert found.weights.sum() == pytest.approx(on_raster, abs=1e-9)
    assert found.inside == pytest.approx(on_raster / shape.area)
    assert found.weights.max() <= 1 + 1e-12


def test_a_point_is_the_pixel_below_it():
    points = in_pixels(np.array([shapely.Point(500095, 6999985)]), GRID)
    found = footprint(points[0], GRID)
    assert (found.window.row, found.window.col, found.window.shape) == (1, 9, (1, 1))
    assert footprint(shapely.Point(50.2, 3), GRID) is None


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32635", "EPSG:3857"])
def test_a_radius_is_metres_on_the_ground_in_any_crs(crs):
    import pyproj  # noqa: PLC0415 - for this alone

    mover = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    points = np.array([shapely.Point(*mover.transform(26.0, 63.0))])
    [circle] = circles(points, crs, 15)
    assert areas_m2(np.array([circle]), crs)[0] == pytest.approx(np.pi * 15**2, rel=1e-3)


def test_distances_are_metres():
    degrees = np.array([[26.0, 63.0], [26.0, 63.01], [26.01, 63.0]])
    places = places_in_metres(degrees, "EPSG:4326", 1.0)
    apart = np.linalg.norm(places[1:] - places[0], axis=1)
    assert apart == pytest.approx([1115, 507], rel=0.01)
    assert places_in_metres(degrees, None, 10).tolist() == (degrees * 10).tolist()


def test_plots_that_overlap_are_found():
    plots = np.array([shapely.box(0, 0, 1, 1), shapely.box(0.9, 0, 2, 1), shapely.box(2, 0, 3, 1)])
    assert overlapping(plots, 0.01) == [(0, 1)]

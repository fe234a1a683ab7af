import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.affinity import rotate, translate

from engine.vectorize.square import squared

REACH = 2.0
HOUSES = {
    "box": shapely.box(0, 0, 24, 14),
    "L": shapely.Polygon([(0, 0), (40, 0), (40, 15), (18, 15), (18, 35), (0, 35)]),
    "court": shapely.Polygon(
        [(0, 0), (50, 0), (50, 40), (0, 40)], [[(15, 12), (35, 12), (35, 28), (15, 28)]]
    ),
}


def outlines(mask):
    found = rasterio.features.shapes(mask.astype(np.uint8), mask=mask > 0, connectivity=4)
    return [shapely.geometry.shape(shape) for shape, _ in found]


def as_pixels(house, degrees):
    turned = rotate(house, degrees, origin="centroid")
    placed = translate(turned, 45 - turned.centroid.x, 45 - turned.centroid.y)
    return placed, max(
        outlines(rasterio.features.rasterize([placed], (90, 90))), key=lambda s: s.area
    )


def overlap(a, b):
    return a.intersection(b).area / a.union(b).area


def turns(polygon):
    """Cosines of the angles at all corners."""
    cosines = []
    for ring in (polygon.exterior, *polygon.interiors):
        edge = np.diff(shapely.get_coordinates(ring), axis=0)
        edge /= np.hypot(*edge.T)[:, None]
        cosines += np.abs((edge * np.roll(edge, 1, axis=0)).sum(axis=1)).tolist()
    return cosines


@pytest.mark.parametrize("degrees", [0, 7, 23, 45, 61, 88])
@pytest.mark.parametrize("name", HOUSES)
def test_a_house_of_pixels_gets_its_walls_back(name, degrees):
    house, pixels = as_pixels(HOUSES[name], degrees)
    found = squared(pixels, REACH)
    assert len(shapely.get_coordinates(found)) == len(shapely.get_coordinates(house))
    assert max(turns(found)) < 1e-9
    assert found.area == pytest.approx(pixels.area, rel=0.01)
    assert overlap(found, house) >= max(overlap(pixels, house) - 0.005, 0.92)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_whatever_the_shape_it_stays_valid_near_and_about_as_large(seed):
    mask = np.random.default_rng(seed).random((12, 12)) < 0.6
    for polygon in outlines(mask):
        found = squared(polygon, REACH)
        assert found.is_valid
        assert found.geom_type == "Polygon"
        assert found.equals(polygon) or found.area == pytest.approx(polygon.area, rel=0.05)
        assert shapely.covers(polygon.buffer(REACH), found)
        assert shapely.covers(found.buffer(REACH), polygon)


def test_neighbours_overlap_only_where_both_may_reach():
    _, one = as_pixels(HOUSES["box"], 20)
    _, other = as_pixels(HOUSES["box"], 25)
    other = translate(other, -4, 14).difference(one)
    common = squared(one, REACH).intersection(squared(other, REACH))
    assert common.area > 1
    assert shapely.covers(one.buffer(REACH).intersection(other.buffer(REACH)), common)


def test_a_round_thing_is_left_alone():
    disc = shapely.Point(45, 45).buffer(30)
    (pixels,) = outlines(rasterio.features.rasterize([disc], (90, 90)))
    assert squared(pixels, REACH) is pixels

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine

from engine.assess.mapped import MappedArea
from engine.contract.messages import ModelClass
from engine.geo.crs import areas_m2
from engine.geo.grid import Grid
from engine.geo.window import Window

CLASSES = (ModelClass(0, "a", "#000000"), ModelClass(5, "b", "#ffffff"))


def outline_area(grid):
    box = shapely.segmentize(shapely.box(*grid.bounds), 0.001 if grid.transform.a < 1 else 100)
    return areas_m2(np.array([box]), grid.crs)[0]


@pytest.mark.parametrize(
    "grid",
    [
        Grid(pyproj.CRS.from_epsg(4326).to_wkt(), Affine(0.001, 0, 10, 0, -0.001, 60), (300, 500)),
        Grid(pyproj.CRS.from_epsg(32632).to_wkt(), Affine(10, 0, 650_000, 0, -10, 5e6), (700, 900)),
    ],
)
def test_classes_share_the_ellipsoids_area(grid):
    counter = MappedArea(grid, CLASSES, None)
    image = np.zeros(grid.shape, np.uint8)
    image[100:, :300] = 5
    image[:50, :50] = 255
    for row in range(0, grid.shape[0], 128):
        window = Window(row, 0, min(128, grid.shape[0] - row), grid.shape[1])
        counter.add(window, image[window.slices])
    rows = counter.table()
    assert [r.pixels for r in rows] == [np.count_nonzero(image == c.id) for c in CLASSES]
    assert sum(r.share for r in rows) == pytest.approx(1)
    missing = outline_area(grid.crop(Window(0, 0, 50, 50)))
    total = sum(r.area_m2 for r in rows) + missing
    assert total == pytest.approx(outline_area(grid), rel=1e-5)


def test_without_georeference_there_is_no_area_unless_a_pixel_has_one():
    grid = Grid(None, Affine.identity(), (4, 4))
    image = np.zeros((4, 4), np.uint8)
    for pixel_area, expected in [(None, None), (0.25, 4.0)]:
        counter = MappedArea(grid, CLASSES, pixel_area)
        counter.add(grid.window, image)
        assert counter.table()[0].area_m2 == expected

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.geo import areas
from engine.geo.areas import pixel_areas_m2
from engine.geo.crs import areas_m2
from engine.geo.grid import Grid
from engine.geo.window import Window

GRIDS = {
    "metres": (32612, Affine(0.5, 0, 528_000, 0, -0.5, 4_979_000)),
    "far from the meridian": (32632, Affine(10, 0, 800_000, 0, -10, 5_000_000)),
    "turned": (32632, Affine(8, 3, 800_000, 3, -8, 5_000_000)),
    "Mercator": (3857, Affine(30, 0, 1_000_000, 0, -30, 9_000_000)),
    "degrees": (4326, Affine(0.0001, 0, 10, 0, -0.0001, 60)),
    "large degrees": (4326, Affine(0.01, 0, 10, 0, -0.01, 60)),
    "pole": (3031, Affine(500, 0, -100_000, 0, -500, 100_000)),
    "equal area": (3035, Affine(10, 0, 4_000_000, 0, -10, 3_000_000)),
}


def grid_of(name):
    code, transform = GRIDS[name]
    return Grid(pyproj.CRS.from_epsg(code).to_wkt(), transform, (5000, 5000))


def one_by_one(grid, window):
    """The same, each pixel a polygon."""
    row, col = (n.ravel() for n in np.mgrid[window.slices])
    corners = [np.column_stack([col + dx, row + dy]) for dx, dy in ((0, 0), (1, 0), (1, 1), (0, 1))]
    rings = np.stack([grid.place(c.astype(float)) for c in corners], axis=1)
    return areas_m2(shapely.polygons(rings), grid.crs).reshape(window.shape)


@pytest.mark.parametrize("name", GRIDS)
def test_pixels_have_the_area_of_their_polygons(name):
    grid, window = grid_of(name), Window(40, 3, 300, 170)
    found = pixel_areas_m2(grid, grid.crs, window)
    assert found.shape == window.shape
    np.testing.assert_allclose(found, one_by_one(grid, window), rtol=1e-7)


@settings(max_examples=25)
@given(
    st.sampled_from(sorted(GRIDS)),
    st.builds(Window, *[st.integers(0, 4000)] * 2, *[st.integers(1, 40)] * 2),
)
def test_a_window_of_any_shape_has_them_too(name, window):
    grid = grid_of(name)
    found = pixel_areas_m2(grid, grid.crs, window)
    np.testing.assert_allclose(found, one_by_one(grid, window), rtol=1e-7)


def test_pixels_beyond_the_antimeridian_are_as_large_as_those_before():
    grid = Grid(pyproj.CRS.from_epsg(32601).to_wkt(), Affine(10, 0, 200_000, 0, -10, 8e6), (99, 99))
    west = pixel_areas_m2(grid, grid.crs, Window(0, 0, 50, 99))
    assert 99 < west.min() < west.max() < 101
    degrees = Grid(pyproj.CRS.from_epsg(4326).to_wkt(), Affine(0.1, 0, 178, 0, -0.1, 60), (9, 40))
    across = pixel_areas_m2(degrees, degrees.crs, degrees.window)
    np.testing.assert_allclose(across, across[:, :1].repeat(40, axis=1), rtol=1e-9)


def test_interpolation_spares_most_of_the_work(monkeypatch):
    seen = []
    exact = areas._cell_areas

    def counted(grid, crs, window, cells):
        seen.append(int(np.prod(cells)))
        return exact(grid, crs, window, cells)

    monkeypatch.setattr(areas, "_cell_areas", counted)
    grid = grid_of("metres")
    pixel_areas_m2(grid, grid.crs, Window(0, 0, 1024, 1024))
    assert sum(seen) < 1000

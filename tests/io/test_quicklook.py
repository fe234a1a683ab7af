"""Small pictures of scenes and results of any size."""

import io

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.transform import from_origin

from engine.contract.messages import InputSpec
from engine.geo.grid import Grid
from engine.io import quicklook
from engine.io.quicklook import Thin
from engine.io.scene import open_scene

UTM = rasterio.crs.CRS.from_epsg(32632).to_wkt()


def write(path, data, *, pixel=10.0, west=500_000, names=(), **layout):
    where = {"crs": "EPSG:32632", "transform": from_origin(west, 5_000_000, pixel, pixel)}
    size = {"count": len(data), "height": data.shape[1], "width": data.shape[2]}
    kind = {"driver": "GTiff", "dtype": data.dtype.name, **layout}
    with rasterio.open(path, "w", **kind, **size, **where) as target:
        target.write(data)
        target.descriptions = names or target.descriptions
    return path


def halves(height=1200, width=1800):
    """Left dark, right bright, a corner without data."""
    data = np.full((3, height, width), 50, np.uint16)
    data[:, :, width // 2 :] = 4000
    data[:, : height // 4, : width // 4] = 0
    return data


def look(path, grid=None, **more):
    scene = open_scene(InputSpec((str(path),), profile="raw", **more))
    coarse = quicklook.coarse_grid(grid or scene.grid)
    return scene, coarse, quicklook.look_at(scene, coarse)


def test_a_scene_is_seen_with_few_of_its_pixels(tmp_path, monkeypatch):
    path = write(tmp_path / "a.tif", halves(), nodata=0, names=("red", "green", "blue"))
    read = []
    real = rasterio.DatasetReader.read

    def spied(self, *args, **kwargs):
        found = real(self, *args, **kwargs)
        read.append(found.nbytes)
        return found

    monkeypatch.setattr(rasterio.io.DatasetReader, "read", spied)
    _, coarse, seen = look(path)
    assert seen.colors.shape == (600, 900, 3) == (*coarse.shape, 3)
    assert max(read) <= 2 * 3 * 600 * 900
    assert seen.bands == ("red", "green", "blue")
    assert tuple(seen.colors[10, 10]) == quicklook.VOID
    assert seen.colors[300, 800].min() > 200
    assert seen.colors[500, 100].max() < 50


def test_the_other_date_lies_on_the_same_pixels_whatever_its_own(tmp_path):
    first = write(tmp_path / "a.tif", halves(), nodata=0)
    half = halves(600, 900)
    other = write(tmp_path / "b.tif", half, nodata=0, pixel=20.0, west=500_000 + 9_000)
    scene, coarse, _ = look(first)
    _, _, seen = look(other, scene.grid)
    assert seen.colors.shape == (*coarse.shape, 3)
    assert (seen.colors[:, :449] == quicklook.VOID).all(), "half a picture's width away"
    assert not (seen.colors[500:, 452:] == quicklook.VOID).all(axis=-1).any()


def test_tiles_of_a_mosaic_are_one_picture_without_gaps(tmp_path):
    data = np.random.default_rng(0).integers(1, 4000, (3, 1000, 1000), np.uint16)
    paths = [
        write(tmp_path / f"{n}.tif", data, west=500_000 + 10_000 * n, nodata=0) for n in range(2)
    ]
    scene = open_scene(InputSpec(tuple(map(str, paths)), profile="raw"))
    coarse = quicklook.coarse_grid(scene.grid)
    assert coarse.shape == (450, 900)
    seen = quicklook.look_at(scene, coarse).colors
    assert not (seen == quicklook.VOID).all(axis=-1).any()


def test_class_maps_are_never_averaged(tmp_path):
    codes = np.where(np.indices((1500, 1500)).sum(0) % 2, 9, 1)[None].astype(np.uint8)
    path = write(tmp_path / "c.tif", codes, nodata=255)
    scene = open_scene(InputSpec((str(path),), profile="raw", bands={"class": "1"}))
    colors = {1: "#ff0000", 9: "#0000ff"}
    seen = quicklook.look_at_codes(scene, quicklook.coarse_grid(scene.grid), "class", colors.get)
    assert set(map(tuple, seen.colors.reshape(-1, 3))) <= {(255, 0, 0), (0, 0, 255)}


def test_one_band_is_grey(tmp_path):
    path = write(tmp_path / "g.tif", halves()[:1], nodata=0, names=("vv",))
    _, _, seen = look(path)
    assert seen.bands == ("vv",)
    assert (seen.colors[..., 0] == seen.colors[..., 2]).sum() > 0.9 * seen.colors[..., 0].size


def test_what_has_no_colour_lets_the_ground_through():
    codes = Thin(np.array([[1, 2, 3]]), np.array([[True, True, False]]))
    ground = np.full((1, 3, 3), 200, np.uint8)
    plain = quicklook.painted(codes, {1: "#ff0000"}.get)
    above = quicklook.painted(codes, {1: "#ff0000"}.get, ground)
    assert tuple(plain[0, 0]) == (255, 0, 0)
    assert tuple(plain[0, 1]) == quicklook.OTHER
    assert above[0, 0, 0] > 200 > above[0, 0, 1]
    assert np.ptp(above[0, 1].astype(int)) < 5
    assert tuple(above[0, 2]) == tuple(plain[0, 2]) == quicklook.VOID


def test_values_run_along_the_ramp():
    values = Thin(np.array([[0.0, 5.0, 10.0, 99.0, np.nan]]), np.array([[1, 1, 1, 1, 0]]) > 0)
    seen = quicklook.ramped(values, (0, 10), ("#000000", "#ffffff"))
    assert seen[0, :, 0].tolist() == [0, 128, 255, 255, quicklook.VOID[0]]


@pytest.mark.parametrize(
    ("crs", "gsd", "marks"), [(UTM, None, 2), (None, 10.0, 1), (None, None, 0)]
)
def test_scale_and_north_are_drawn_where_they_are_known(crs, gsd, marks):
    grid = Grid(
        crs,
        Affine(10, 0, 500_000, 0, -10, 5_000_000) if crs else Affine(1, 0, 0, 0, -1, 0),
        (500, 600),
    )
    plain = np.full((500, 600, 3), 128, np.uint8)
    image = Image.open(io.BytesIO(quicklook.encoded(plain, grid, is_photo=False, gsd=gsd)))
    assert image.size == (600, 500)
    seen = np.asarray(image)
    corners = [(seen[-80:, :300] != 128).any(), (seen[:80, -80:] != 128).any()]
    assert corners == [marks >= 1, marks == 2]
    assert (seen[100:400] == 128).all()


@given(st.floats(1, 1e7))
def test_a_scale_bar_is_a_round_number_that_fits(width):
    length = quicklook.bar_length(width)
    assert 0.1 * quicklook.BAR * width < length <= quicklook.BAR * width * (1 + 1e-9)
    assert f"{length:.0e}"[0] in "125"


@given(st.integers(1, 40_000), st.integers(1, 40_000))
def test_any_shape_makes_a_picture_of_bounded_size(height, width):
    grid = Grid(UTM, Affine(10, 0, 5e5, 0, -10, 5e6), (height, width))
    coarse = quicklook.coarse_grid(grid)
    assert max(coarse.shape) <= quicklook.LONGEST
    assert min(coarse.shape) >= 1
    assert coarse.bounds == pytest.approx(grid.bounds)

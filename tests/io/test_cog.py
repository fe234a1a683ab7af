import hashlib
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contract.messages import ModelClass
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io import cog
from engine.io.cog import RasterLayout, write_cog

UTM = pyproj.CRS.from_epsg(32633).to_wkt()
NORTH_UP = Affine(10, 0, 500000, 0, -10, 5000000)
CLASSES = (
    ModelClass(0, "clear", "#1f9e5a"),
    ModelClass(1, "cloud", "#ffffff"),
    ModelClass(2, "cloud shadow", "#404060"),
)
LEGEND = RasterLayout("uint8", 255, ("class",), "mode", CLASSES, tags={"SWATH_MODEL": "m 1.0"})
SHARES = RasterLayout("uint8", 255, ("a", "b", "c", "d"), "average", scale=0.004, offset=0.0)


def patchy(shape, *, high=3, bands=1, seed=0):
    """Pixels in patches of 8 x 8, as results have them."""
    small = -(-shape[0] // 8), -(-shape[1] // 8)
    values = np.random.default_rng(seed).integers(0, high, (bands, *small), np.uint8)
    return values.repeat(8, 1).repeat(8, 2)[:, : shape[0], : shape[1]]


def cut(pixels, size, seed=None):
    """The pixels as blocks of ``size``, shuffled when there is a seed."""
    _, height, width = pixels.shape
    windows = [
        Window(r, c, min(size, height - r), min(size, width - c))
        for r in range(0, height, size)
        for c in range(0, width, size)
    ]
    if seed is not None:
        random.Random(seed).shuffle(windows)
    return ((w, pixels[(slice(None), *w.slices)]) for w in windows)


def write(path, pixels, layout=LEGEND, *, crs=UTM, transform=NORTH_UP, size=700, seed=None):
    write_cog(path, Grid(crs, transform, pixels.shape[1:]), layout, cut(pixels, size, seed))
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def pixels():
    pixels = patchy((1500, 1100))
    pixels[:, :200, :300] = 255
    return pixels


@pytest.fixture(scope="module")
def raster(pixels, tmp_path_factory):
    path = write(tmp_path_factory.mktemp("cög out") / "ä b.tif", pixels, seed=1)
    with rasterio.open(path) as source:
        yield source


class TestClassRaster:
    def test_gives_back_the_pixels_on_the_same_grid(self, raster, pixels):
        assert (raster.read() == pixels).all()
        assert raster.transform == NORTH_UP
        assert raster.crs.to_epsg() == 32633
        assert raster.tags()["AREA_OR_POINT"] == "Area"

    def test_is_laid_out_as_a_cog(self, raster):
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
        assert raster.block_shapes == [(512, 512)]
        assert raster.overviews(1) == [2, 4]

    def test_directories_come_first_and_pixels_from_coarse_to_fine(self, raster):
        starts = [
            int(raster.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1, ovr=level))
            for level in (1, 0, None)
        ]
        assert starts == sorted(starts)
        assert int(raster.get_tag_item("IFD_OFFSET", "TIFF", bidx=1)) < starts[0]

    def test_overviews_hold_classes_never_mixtures(self, raster, pixels):
        with rasterio.open(raster.name, overview_level=1) as small:
            found = small.read(1)
        assert found.shape == (375, 275)
        assert set(np.unique(found)) == {0, 1, 2, 255}
        assert (found == pixels[0, 1::4, 1::4]).mean() > 0.99

    def test_legend_and_nodata(self, raster):
        colors = raster.colormap(1)
        assert raster.nodata == 255
        assert raster.descriptions == ("class",)
        assert colors[0] == (0x1F, 0x9E, 0x5A, 255)
        assert colors[2] == (0x40, 0x40, 0x60, 255)
        assert colors[255][3] == 0

    def test_tags_are_inside_and_nothing_lies_beside(self, raster):
        assert raster.tags()["SWATH_MODEL"] == "m 1.0"
        assert raster.files == [raster.name]
        assert list(Path(raster.name).parent.iterdir()) == [Path(raster.name)]


class TestBytes:
    @settings(max_examples=8, deadline=None)
    @given(st.integers(100, 1100), st.integers(0, 1000))
    def test_depend_on_the_pixels_alone(self, tmp_path_factory, size, seed):
        folder = tmp_path_factory.mktemp("bytes")
        pixels = patchy((900, 1300))
        first = write(folder / "a.tif", pixels, size=512)
        assert sha256(write(folder / "b.tif", pixels, size=size, seed=seed)) == sha256(first)

    def test_of_several_bands_too(self, tmp_path):
        pixels = patchy((900, 1300), high=251, bands=4)
        first = write(tmp_path / "a.tif", pixels, SHARES)
        assert sha256(write(tmp_path / "b.tif", pixels, SHARES, seed=3)) == sha256(first)


def test_quantities_are_averaged_and_scaled(tmp_path):
    pixels = patchy((700, 1030), high=251, bands=4)
    pixels[:, 8:16, 8:16] = 255
    path = write(tmp_path / "p.tif", pixels, SHARES)
    with rasterio.open(path) as raster:
        assert raster.scales == (0.004,) * 4
        assert raster.offsets == (0.0,) * 4
        assert raster.descriptions == ("a", "b", "c", "d")
        assert (raster.read() == pixels).all()
        assert raster.read(1, out_shape=(1, 1), masked=True).count() == 1
        # a fourth band must not become the transparency of the other three
        assert all(i.name in ("gray", "undefined") for i in raster.colorinterp)
        assert raster.mask_flag_enums[0] == [rasterio.enums.MaskFlags.nodata]
    with rasterio.open(path, overview_level=0) as small:
        middle = small.read(1)[50:60, 50:60].astype(int)
    fine = pixels[0, 100:120, 100:120].astype(int).reshape(10, 2, 10, 2).mean((1, 3))
    assert np.abs(middle - fine).max() <= 1


def test_units_and_floats_with_nan(tmp_path):
    layout = RasterLayout("float32", float("nan"), ("agb",), "average", units=("Mg/ha",))
    pixels = np.full((1, 30, 40), 7.25, np.float32)
    pixels[0, 3, 4] = np.nan
    with rasterio.open(write(tmp_path / "f.tif", pixels, layout)) as raster:
        assert raster.units == ("Mg/ha",)
        assert np.isnan(raster.nodata)
        assert np.array_equal(raster.read(), pixels, equal_nan=True)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1300), (1300, 1), (5000, 3), (511, 513), (512, 512)])
def test_thin_shapes(tmp_path, shape):
    pixels = patchy(shape)
    with rasterio.open(write(tmp_path / "t.tif", pixels)) as raster:
        assert (raster.read() == pixels).all()
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert bool(raster.overviews(1)) == (max(shape) > 512)


def test_without_georeference_the_pixel_frame_is_kept(tmp_path):
    flipped = Affine(1, 0, 0, 0, -1, 0)
    path = write(tmp_path / "x.tif", patchy((20, 30)), crs=None, transform=flipped)
    with rasterio.open(path) as raster:
        assert raster.crs is None
        assert raster.bounds == (0, -20, 30, 0)


def test_without_georeference_a_crop_keeps_its_place(tmp_path):
    moved = Affine(1, 0, 5, 0, -1, -7)
    path = write(tmp_path / "x.tif", patchy((20, 30)), crs=None, transform=moved)
    with rasterio.open(path) as raster:
        assert raster.bounds == (5, -27, 35, -7)


def test_pixels_in_no_block_are_nodata(tmp_path):
    grid = Grid(UTM, NORTH_UP, (700, 900))
    ones = np.ones((1, 10, 20), np.uint8)
    write_cog(tmp_path / "a.tif", grid, LEGEND, [(Window(600, 650, 10, 20), ones)])
    with rasterio.open(tmp_path / "a.tif") as raster:
        found = raster.read(1)
    assert (found[600:610, 650:670] == 1).all()
    assert (found != 255).sum() == 200


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_among_the_blocks_leaves_no_file(tmp_path, error):
    def blocks():
        yield Window(0, 0, 10, 10), np.ones((1, 10, 10), np.uint8)
        raise error

    with pytest.raises(error):
        write_cog(tmp_path / "a.tif", Grid(UTM, NORTH_UP, (99, 99)), LEGEND, blocks())
    assert list(tmp_path.iterdir()) == []


def test_a_tile_that_was_never_written_is_noticed(tmp_path):
    profile = {"driver": "GTiff", "height": 1024, "width": 1024, "count": 1, "dtype": "uint8"}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True}
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", transform=NORTH_UP, **profile, **tiles) as raster:
        raster.write(
            np.ones((1, 512, 1024), np.uint8), window=rasterio.windows.Window(0, 0, 1024, 512)
        )
    with pytest.raises(cog._IncompleteFileError):
        cog._check_whole(path, 512)


def test_a_truncated_file_is_noticed(tmp_path):
    path = write(tmp_path / "a.tif", patchy((700, 700)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 100])
    with pytest.raises(cog._IncompleteFileError):
        cog._check_whole(path, 512)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from affine import Affine
from engine.contract.errors import EngineError
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.cog import RasterLayout, write_cog
from engine.io.staging import Staging

folder, levels = Path(sys.argv[1]), int(sys.argv[2])
if sys.argv[3:]:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
noise = np.random.default_rng(0)
windows = [Window(r, c, 1024, 1024) for r in range(0, 4096, 1024) for c in range(0, 4096, 1024)]
blocks = ((w, noise.integers(0, levels, (1, 1024, 1024), np.uint8)) for w in windows)
grid = Grid(None, Affine(1, 0, 0, 0, -1, 0), (4096, 4096))
try:
    with Staging() as staging:
        path = staging.path(folder / "a.tif")
        write_cog(path, grid, RasterLayout("uint8", 255, ("a",), "mode"), blocks)
        staging.commit()
except EngineError as error:
    print(error.code.value)
print([path.name for path in folder.iterdir()])
"""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout.split("\n"), done.stderr


# 5 MiB: the blocks do not fit (200 values), the blocks fit and the COG does not (2 values)
@pytest.mark.parametrize("levels", ["200", "2"])
def test_a_full_disk(tmp_path, levels):
    mount = 'mount -t tmpfs -o size=5m tmpfs "$0" && exec "$@"'
    small_disk = ("unshare", "-rm", "sh", "-c", mount, str(tmp_path))
    if sys.platform != "linux" or run(*small_disk, "true")[0]:
        pytest.skip("a small disk cannot be mounted here")
    _, said, errors = run(*small_disk, sys.executable, "-c", WRITER, str(tmp_path), levels)
    assert said[:2] == ["DISK_FULL", "[]"], errors


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
@pytest.mark.parametrize("levels", ["200", "2"])
def test_a_file_that_may_not_grow(tmp_path, levels):
    limit = str(2_500_000)
    _, said, errors = run(sys.executable, "-c", WRITER, str(tmp_path), levels, limit)
    assert said[:2] == ["OUTPUT_UNWRITABLE", "[]"], errors

"""Pairs of dates that cannot be compared, or that say so, through the command itself."""

import shutil

import numpy as np
import pytest
import rasterio
import rasterio.warp
from rasterio.transform import from_origin

SCENES = ("irmad", "cva", "logratio")
WORDS = {
    "irmad": ("--input-profile", "reflectance"),
    "cva": ("--input-profile", "reflectance"),
    "logratio": ("--input-profile", "power", "--bands", "vv=1,vh=2"),
    "classes": (),
}
CORNER = (500_000, 5_000_000)
PIXEL = 10.0
HEIGHT, WIDTH = 90, 120
NODATA = -9.0


@pytest.fixture
def save(tmp_path):
    """Write ``[C, H, W]`` as a GeoTIFF; its bands are red and near infrared, if it has two."""

    def write(name, data, *, corner=CORNER, pixel=PIXEL, crs="EPSG:32632", **more):
        path = tmp_path / name
        layout = {"driver": "GTiff", "count": len(data), "dtype": data.dtype.name, **more}
        layout |= {"height": data.shape[1], "width": data.shape[2], "crs": crs}
        layout |= {"transform": layout.get("transform", from_origin(*corner, pixel, pixel))}
        with rasterio.open(path, "w", **layout) as target:
            target.write(data)
            if len(data) == 2:
                target.descriptions = ("red", "nir")
        return path

    return write


def ground(method="irmad", later=False):
    """A date: of scenes some ground with noise, of class maps three classes."""
    rng = np.random.default_rng(0)
    base = rng.random((2, HEIGHT, WIDTH)) * 0.3 + 0.2
    if method == "classes":
        codes = (base[:1] * 12).astype(np.uint8)
        codes[:, 20:40, 20:60] = 7 + later
        return codes
    if later:
        base += np.random.default_rng(1).normal(0, 0.01, base.shape)
        base[:, 20:40, 20:60] *= 2
        base[:, 60:80, 20:60] /= 2
    return base.astype(np.float32)


def fold(path):
    """Names of all files in a folder."""
    return sorted(p.name for p in path.iterdir() if p.is_file())


@pytest.fixture
def compare(swath, tmp_path):
    """Run ``swath change``; nothing but whole results may be left."""

    def run(before, after, method="irmad", name="out", *, words=()):
        had = fold(tmp_path)
        out = tmp_path / f"{name}.tif"
        vector = ("--vector", tmp_path / f"{name}.gpkg")
        said = swath(
            "change", before, after, out, "--method", method, *WORDS[method], *vector, *words
        )
        if said.code:
            assert fold(tmp_path) == had, "nothing half-written is left"
        return said

    return run


@pytest.fixture
def refuse(compare):
    """A pair that must be refused with a code, a sentence and a hint."""

    def run(before, after, method="irmad", *, words=()):
        said = compare(before, after, method, words=words)
        error, hint = said.err.splitlines()[-2:]
        assert said.code == 2
        assert said.error == error.split()[1].rstrip(":")
        assert hint.startswith("hint: ")
        return said.error, error

    return run


def result(path):
    with rasterio.open(path) as source:
        return source.read(1), source.nodata


@pytest.mark.parametrize("method", [*SCENES, "classes"])
def test_places_that_do_not_overlap(method, save, refuse):
    before = save("a.tif", ground(method))
    after = save("b.tif", ground(method, later=True), corner=(900_000, 5_000_000))
    code, error = refuse(before, after, method)
    assert code == "INPUT_GRID_MISMATCH"
    assert "b.tif" in error or "overlap" in error


@pytest.mark.parametrize("method", ["irmad", "cva", "classes"])
def test_another_crs_is_handled_and_said(method, save, compare, tmp_path):
    first = ground(method)
    before, near = save("a.tif", first), ground(method, later=True)
    west, south, east, north = (500_000, 5_000_000 - HEIGHT * PIXEL, 501_200, 5_000_000)
    transform, width, height = rasterio.warp.calculate_default_transform(
        "EPSG:32632", "EPSG:4326", WIDTH, HEIGHT, west, south, east, north
    )
    there = np.full((len(near), height, width), 255 if method == "classes" else NODATA, near.dtype)
    rasterio.warp.reproject(
        near,
        there,
        src_transform=from_origin(*CORNER, PIXEL, PIXEL),
        src_crs="EPSG:32632",
        dst_transform=transform,
        dst_crs="EPSG:4326",
        dst_nodata=float(there.flat[0]),
        resampling=rasterio.warp.Resampling.nearest,
    )
    nodata = 255 if method == "classes" else NODATA
    after = save("b.tif", there, crs="EPSG:4326", transform=transform, nodata=nodata)
    said = compare(before, after, method)
    assert said.code == 0, said.err
    assert "another CRS" in said.err or "nearest pixel" in said.err
    with rasterio.open(tmp_path / "out.tif") as source:
        assert source.crs.to_epsg() == 32632
        assert source.shape == (HEIGHT, WIDTH)


def test_another_resolution_is_handled_and_said(save, compare, tmp_path):
    before = save("a.tif", ground())
    finer = ground(later=True).repeat(2, axis=1).repeat(2, axis=2)
    said = compare(before, save("b.tif", finer, pixel=PIXEL / 2))
    assert said.code == 0, said.err
    assert "pixels of 5 m instead of 10 m" in said.err
    assert result(tmp_path / "out.tif")[0].shape == (HEIGHT, WIDTH)


def test_missing_dates_are_said(save, compare):
    dates = (save("a.tif", ground()), save("b.tif", ground(later=True)))
    assert "Nobody tells when the first and second date was" in compare(*dates).err
    words = ("--before-date", "2023-06-01", "--after-date", "2024-06-03")
    assert "Nobody tells" not in compare(*dates, name="dated", words=words).err


@pytest.mark.parametrize("which", ["before", "after"])
def test_invalid_dates(which, save, refuse):
    dates = (save("a.tif", ground()), save("b.tif", ground(later=True)))
    code, error = refuse(*dates, words=(f"--{which}-date", "2024-13-45"))
    assert code == "REQUEST_INVALID"
    assert "2024-13-45" in error


@pytest.mark.parametrize("method", [*SCENES, "classes"])
def test_one_image_without_any_data(method, save, refuse):
    empty = np.full_like(ground(method), 255 if method == "classes" else NODATA)
    nodata = float(empty.flat[0])
    after = save("b.tif", empty, nodata=nodata)
    code, error = refuse(save("a.tif", ground(method)), after, method)
    if method == "classes":
        assert (code, "no valid pixel" in error) == ("SCALE_IMPLAUSIBLE", True)
    else:
        assert (code, "data at both dates" in error) == ("INPUT_GRID_MISMATCH", True)


def test_other_numbers_of_bands_without_roles(save, refuse):
    three = np.concatenate([ground(), ground()[:1]])
    one = np.concatenate([three, three])
    code, error = refuse(save("a.tif", three), save("b.tif", one))
    assert code == "BAND_MISSING"
    assert "3 and 6 bands" in error


@pytest.mark.parametrize("method", SCENES)
def test_images_of_one_pixel(method, save, refuse):
    dates = (save("a.tif", ground()[:, :1, :1]), save("b.tif", ground(later=True)[:, :1, :1]))
    code, error = refuse(*dates, method)
    assert code == "INPUT_GRID_MISMATCH"
    assert "next to no pixels" in error


def test_class_maps_of_one_pixel_are_compared(save, compare, tmp_path):
    dates = (np.full((1, 1, 1), code, np.uint8) for code in (3, 5))
    before, after = (save(f"{n}.tif", codes) for n, codes in enumerate(dates))
    said = compare(before, after, "classes")
    assert said.code == 0, said.err
    assert result(tmp_path / "out.tif")[0].tolist() == [[35]]


@pytest.mark.parametrize("method", [*SCENES, "classes"])
def test_a_text_file_as_the_second_date(method, save, refuse, tmp_path):
    text = tmp_path / "after.tif"
    text.write_text("no image\n")
    code, error = refuse(save("a.tif", ground(method)), text, method)
    assert code == "INPUT_UNREADABLE"
    assert "after.tif" in error


@pytest.mark.parametrize("method", [*SCENES, "classes"])
def test_a_copy_of_the_image_shows_no_change_at_all(method, save, compare, tmp_path):
    before = save("a.tif", ground(method))
    after = shutil.copy(before, tmp_path / "b.tif")
    said = compare(before, after, method)
    assert said.code == 0, said.err
    found, _ = result(tmp_path / "out.tif")
    if method == "classes":
        assert "0.00 % of the pixels" in said.out
        assert set(found.flat) <= {code * 11 for code in range(10)}
    else:
        assert not found.any()


@pytest.mark.parametrize("method", [*SCENES, "classes"])
def test_one_file_for_both_dates(method, save, refuse):
    path = save("a.tif", ground(method))
    code, error = refuse(path, path, method)
    assert code == "REQUEST_INVALID"
    assert "same file" in error
    assert "a.tif" in error


@pytest.mark.parametrize("method", [*SCENES, "classes"])
def test_swapped_dates_mirror_the_result(method, save, compare, tmp_path):
    before, after = save("a.tif", ground(method)), save("b.tif", ground(method, later=True))
    for name, dates in (("forth", (before, after)), ("back", (after, before))):
        said = compare(*dates, method, name)
        assert said.code == 0, said.err
    forth, back = (result(tmp_path / f"{name}.tif")[0] for name in ("forth", "back"))
    assert len(np.unique(forth)) > 1
    if method == "classes":
        first, second = np.divmod(forth, 10)
        forth = second * 10 + first
    elif method == "logratio":
        assert {1, 2} <= set(forth.flat)
        forth = np.array([0, 2, 1], np.uint8)[forth]
    np.testing.assert_array_equal(forth, back)

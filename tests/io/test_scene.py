from __future__ import annotations

import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec
from engine.geo.window import Window
from engine.io.product import product_of_name
from engine.io.scene import open_scene


def spec(*uris, **options):
    return InputSpec(uris=uris, **options)


def whole(scene, *roles):
    source = scene.source(roles)
    chip = source.read(source.grid.window)
    source.close()
    return chip


def test_reads_bands_by_role_in_the_order_asked(write_raster, digital_numbers):
    data = digital_numbers(4)
    path = write_raster("s2.tif", data, names=("B02", "B03", "B04", "B08"))
    scene = open_scene(spec(path, profile="sentinel2-l1c"))
    chip = whole(scene, "nir", "blue")
    assert np.array_equal(chip.data, data[[3, 0]])
    assert chip.valid.all()
    assert [b.scaling.scale for b in scene.source(("nir", "blue")).bands] == [1e-4, 1e-4]


def test_window_reads_equal_the_whole(write_raster, digital_numbers):
    path = write_raster("s2.tif", digital_numbers(3), names=("B02", "B03", "B04"))
    scene = open_scene(spec(path, profile="sentinel2-l1c"))
    window = Window(7, 11, 13, 17)
    part = scene.source(("red",)).read(window)
    assert np.array_equal(part.data, whole(scene, "red").data[:, *window.slices])
    assert part.window == window


def test_path_with_spaces_and_umlauts(write_raster, digital_numbers):
    path = write_raster("Wälder im März/Ω bild.tif", digital_numbers(3), names=("B2", "B3", "B4"))
    assert open_scene(spec(path, profile="sentinel2-l2a")).grid.shape == (40, 50)


def test_zip_path(write_raster, digital_numbers, tmp_path):
    data = digital_numbers(3)
    path = write_raster("a.tif", data, names=("blue", "green", "red"))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "inside/a.tif")
    scene = open_scene(spec(f"/vsizip/{tmp_path}/a.zip/inside/a.tif", profile="reflectance-10000"))
    assert np.array_equal(whole(scene, "blue", "green", "red").data, data)


def test_missing_file_in_a_zip_is_not_found(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.txt", "x")
    with pytest.raises(EngineError) as caught:
        open_scene(spec(f"/vsizip/{tmp_path}/a.zip/b.tif"))
    assert caught.value.code is ErrorCode.INPUT_NOT_FOUND


def test_valid_is_false_for_declared_and_given_nodata_and_profile_fill(write_raster):
    data = np.full((3, 4, 5), 1000, np.uint16)
    data[0, 0, 0], data[1, 1, 1], data[2, 2, 2], data[2, 3, 3] = 65535, 7, 0, 8
    path = write_raster("a.tif", data, names=("B2", "B3", "B4"), nodata=65535)
    scene = open_scene(spec(path, profile="sentinel2-l1c", nodata=7))
    expected = np.ones((4, 5), bool)
    expected[0, 0] = expected[1, 1] = expected[2, 2] = False
    assert np.array_equal(whole(scene, "blue", "green", "red").valid, expected)
    only_red = np.ones((4, 5), bool)
    only_red[2, 2] = False
    assert np.array_equal(whole(scene, "red").valid, only_red)


def test_zero_in_the_cirrus_band_is_a_value(write_raster):
    data = np.full((2, 4, 5), 1000, np.uint16)
    data[:, 0, 0] = 0
    path = write_raster("S2A_x.tif", data, names=("B02", "B10"))
    scene = open_scene(spec(path, profile="sentinel2-l1c"))
    assert whole(scene, "cirrus").valid.all()
    assert not whole(scene, "blue").valid[0, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -9999.0])
def test_decimals_that_are_no_value_are_invalid(write_raster, bad):
    data = np.full((1, 4, 5), 0.2, np.float32)
    data[0, 1, 2] = bad
    path = write_raster("a.tif", data, names=("red",), nodata=-9999.0)
    valid = whole(open_scene(spec(path)), "red").valid
    assert not valid[1, 2]
    assert valid.sum() == 19


def test_nodata_that_the_type_cannot_hold_hides_nothing(write_raster):
    path = write_raster("a.tif", np.full((1, 4, 5), 241, np.uint8), names=("red",))
    scene = open_scene(spec(path, profile="rgb8", nodata=-9999.0))
    assert whole(scene, "red").valid.all()


def test_alpha_is_a_mask_and_never_a_band(write_raster):
    data = np.full((4, 4, 5), 90, np.uint8)
    data[3] = 255
    data[3, 0, 0] = 0
    path = write_raster("a.tif", data, colors=("red", "green", "blue", "alpha"))
    scene = open_scene(spec(path))
    assert [b.role for b in scene.bands] == ["red", "green", "blue"]
    chip = whole(scene, "red", "green", "blue")
    assert not chip.valid[0, 0]
    assert chip.valid.sum() == 19


def test_alpha_band_named_by_number_is_data(write_raster):
    data = np.full((4, 4, 5), 90, np.uint8)
    data[3, 0, 0] = 0
    path = write_raster("a.tif", data, colors=("red", "green", "blue", "alpha"))
    scene = open_scene(spec(path, bands={"nir": "4"}, profile="rgb8"))
    chip = whole(scene, "nir", "red")
    assert np.array_equal(chip.data[0], data[3])
    assert chip.valid.all()


def test_dataset_mask_counts(write_raster):
    mask = np.full((4, 5), 255, np.uint8)
    mask[2, 3] = 0
    path = write_raster("a.tif", np.full((3, 4, 5), 90, np.uint8), mask=mask)
    valid = whole(open_scene(spec(path)), "red").valid
    assert not valid[2, 3]
    assert valid.sum() == 19


def test_image_without_georeference_has_pixel_coordinates(write_raster):
    path = write_raster("a.png", np.full((3, 4, 5), 90, np.uint8), crs=None, driver="PNG")
    scene = open_scene(spec(path))
    assert scene.grid.crs is None
    assert scene.grid.transform == Affine(1, 0, 0, 0, -1, 0)
    assert "no georeference" in scene.notes[0]
    assert scene.profile.quantity == "rgb"


def test_rotated_grid_is_refused(write_raster):
    turned = Affine.translation(500_000, 5_000_000) @ Affine.rotation(10) @ Affine.scale(10, -10)
    path = write_raster("a.tif", np.ones((1, 4, 5), np.uint8), transform=turned)
    with pytest.raises(EngineError) as caught:
        open_scene(spec(path))
    assert caught.value.code is ErrorCode.INPUT_ROTATED


def test_ground_control_points_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    points = [
        rasterio.control.GroundControlPoint(row=r, col=c, x=9 + c / 1000, y=45 - r / 1000)
        for r, c in ((0, 0), (0, 5), (4, 0), (4, 5))
    ]
    options = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": 4, "width": 5}
    with rasterio.open(path, "w", **options) as out:
        out.write(np.ones((1, 4, 5), np.uint8))
        out.gcps = (points, rasterio.CRS.from_epsg(4326))
    with pytest.raises(EngineError) as caught:
        open_scene(spec(str(path)))
    assert caught.value.code is ErrorCode.INPUT_ROTATED


def test_missing_file(tmp_path):
    with pytest.raises(EngineError) as caught:
        open_scene(spec(str(tmp_path / "no.tif")))
    assert caught.value.code is ErrorCode.INPUT_NOT_FOUND
    assert "no.tif" in caught.value.message


def test_text_file_called_tif(tmp_path):
    path = tmp_path / "notes.tif"
    path.write_text("these are no pixels " * 50, "utf-8")
    with pytest.raises(EngineError) as caught:
        open_scene(spec(str(path)))
    assert caught.value.code is ErrorCode.INPUT_UNREADABLE
    assert "notes.tif" in caught.value.message


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_truncated_file(write_raster, digital_numbers, share):
    path = Path(write_raster("a.tif", digital_numbers(4, 200, 200), names=("B2", "B3", "B4", "B8")))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(EngineError) as caught:
        open_scene(spec(str(path), profile="sentinel2-l1c"))
    assert caught.value.code is ErrorCode.INPUT_UNREADABLE
    assert "a.tif" in caught.value.message


def test_missing_band_names_what_is_there(write_raster):
    path = write_raster("a.tif", np.full((3, 4, 5), 90, np.uint8))
    with pytest.raises(EngineError) as caught:
        open_scene(spec(path)).source(("red", "nir"))
    assert caught.value.code is ErrorCode.BAND_MISSING
    assert "needs nir" in caught.value.message
    assert "Found: red, green, blue." in caught.value.message
    assert "--bands nir=" in caught.value.hint


def test_named_band_beyond_the_last(write_raster):
    path = write_raster("a.tif", np.full((3, 4, 5), 90, np.uint8))
    with pytest.raises(EngineError) as caught:
        open_scene(spec(path, bands={"nir": "4"}))
    assert caught.value.code is ErrorCode.BAND_COUNT


@pytest.mark.parametrize("bands", [{"infrared": "1"}, {"nir": "B9"}])
def test_unknown_band_words(write_raster, bands):
    path = write_raster("a.tif", np.full((3, 4, 5), 90, np.uint8))
    with pytest.raises(EngineError) as caught:
        open_scene(spec(path, bands=bands))
    assert caught.value.code is ErrorCode.BAND_UNKNOWN


@pytest.mark.parametrize("choice", ["2", "near infra", "NEAR INFRA"])
def test_band_named_by_number_or_description(write_raster, digital_numbers, choice):
    data = digital_numbers(2)
    path = write_raster("a.tif", data, names=("something", "near infra"))
    scene = open_scene(spec(path, bands={"nir": choice}, profile="reflectance-10000"))
    assert np.array_equal(whole(scene, "nir").data[0], data[1])


def test_nir08_stands_in_for_nir(write_raster, digital_numbers):
    data = digital_numbers(2)
    path = write_raster("a.tif", data, names=("red", "nir08"))
    scene = open_scene(spec(path, profile="reflectance-10000"))
    source = scene.source(("nir",))
    assert source.bands[0].role == "nir"
    assert np.array_equal(source.read(source.grid.window).data[0], data[1])


def test_resolved_opens_alike(write_raster, digital_numbers, monkeypatch):
    data = digital_numbers(4).astype(np.float32) / 10000
    path = Path(write_raster("a.tif", data, names=("B02", "B03", "B04", "B08")))
    monkeypatch.chdir(path.parent)
    scene = open_scene(spec("a.tif"))
    assert scene.resolved.uris == (str(path),)
    assert scene.resolved.profile == "reflectance"
    assert scene.resolved.bands["nir"] == "4"
    again = open_scene(scene.resolved)
    assert again.resolved == scene.resolved
    assert again.bands == scene.bands
    assert again.profile.name == scene.profile.name


def test_reading_from_many_threads(write_raster, digital_numbers):
    data = digital_numbers(2, 300, 300)
    path = write_raster(
        "a.tif", data, names=("red", "nir"), tiled=True, blockxsize=64, blockysize=64
    )
    source = open_scene(spec(path, profile="reflectance-10000")).source(("red", "nir"))
    windows = [Window(r, c, 100, 100) for r in range(0, 201, 50) for c in range(0, 201, 50)]
    with ThreadPoolExecutor(6) as pool:
        chips = list(pool.map(source.read, windows))
    for window, chip in zip(windows, chips, strict=True):
        assert np.array_equal(chip.data, data[:, *window.slices])
    source.close()
    assert np.array_equal(source.read(windows[0]).data, chips[0].data)


def test_source_closes_the_handles_of_all_threads(write_raster, digital_numbers):
    path = write_raster("a.tif", digital_numbers(1), names=("red",))
    source = open_scene(spec(path, profile="raw")).source(("red",))
    source.read(source.grid.window)
    thread = threading.Thread(target=source.read, args=(source.grid.window,))
    thread.start()
    thread.join()
    datasets = [d for pool in source._handles._pools for d in pool.values()]
    assert len(datasets) == 2
    source.close()
    assert all(d.closed for d in datasets)


def test_nothing_is_written_beside_the_input(write_raster, digital_numbers):
    path = Path(write_raster("in/a.tif", digital_numbers(3), names=("blue", "green", "red")))
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}
    scene = open_scene(spec(str(path), profile="reflectance-10000"))
    whole(scene, "red")
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before


def test_cache_of_gdal_is_bounded(write_raster):
    open_scene(spec(write_raster("a.tif", np.full((3, 4, 5), 90, np.uint8))))
    assert rasterio.env.get_gdal_config("GDAL_CACHEMAX") <= 256 * 2**20


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("S2A_MSIL1C_20230615T101601_N0509_R065_T32TQM_20230615T122345", "2023-06-15T10:16:01Z"),
        ("LC08_L1TP_020039_20150804_20200908_02_T1", "2015-08-04T00:00:00Z"),
        ("LC08_L1TP_020039_20159904_20200908_02_T1", None),
        ("holiday", None),
    ],
)
def test_the_product_name_tells_when_the_scene_was_acquired(name, expected):
    assert product_of_name(f"/scenes/{name}/B02.tif").acquired == expected

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec
from engine.geo.window import Window
from engine.io.scene import open_scene

S2 = "sentinel2-l1c"


def opened(*uris, **options):
    return open_scene(InputSpec(uris=uris, **options))


def whole(scene, *roles):
    source = scene.source(roles)
    chip = source.read(source.grid.window)
    source.close()
    return chip


@pytest.fixture
def landsat(write_raster, digital_numbers, tmp_path):
    """Landsat 8 bands as separate files, the panchromatic one finer, quality beside them."""
    data = digital_numbers(11)
    for number in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11):
        write_raster(f"scene/l8_B{number}.TIF", data[number - 1], size=30)
    write_raster("scene/l8_B8.TIF", np.full((80, 100), 900, np.uint16), size=15)
    write_raster("scene/l8_BQA.TIF", np.full((40, 50), 2720, np.uint16), size=30)
    return str(tmp_path / "scene"), data


def test_folder_of_landsat_bands(landsat):
    folder, data = landsat
    scene = opened(folder, profile="landsat-c1-l1:sun_elevation=50")
    assert scene.grid.shape == (40, 50)
    chip = whole(scene, "swir16", "nir", "blue")
    assert np.array_equal(chip.data, data[[5, 4, 1]])
    assert any("BQA" in note for note in scene.notes)
    assert not any("BQA" in uri for uri in scene.resolved.uris)


def test_resolved_stack_opens_alike_though_files_were_added(landsat, write_raster):
    folder, _ = landsat
    scene = opened(folder, profile="landsat-c1-l1:sun_elevation=50")
    write_raster("scene/a_preview.tif", np.zeros((3, 10, 10), np.uint8), crs=None)
    again = open_scene(scene.resolved)
    assert again.resolved == scene.resolved
    assert again.bands == scene.bands
    assert np.array_equal(whole(again, "red").data, whole(scene, "red").data)


def test_band_chosen_by_file_name(landsat):
    folder, data = landsat
    scene = opened(folder, profile="raw", bands={"nir": "l8_B7", "red": "B6"})
    assert np.array_equal(whole(scene, "nir", "red").data, data[[6, 5]])


def test_bands_of_two_resolutions_meet_on_the_finest_grid(write_raster, digital_numbers):
    fine = digital_numbers(1, 40, 60)[0]
    coarse = digital_numbers(1, 20, 30, seed=1)[0]
    paths = (
        write_raster("T32TQM_20200101T101010_B11_20m.tif", coarse, size=20),
        write_raster("T32TQM_20200101T101010_B02_10m.tif", fine, size=10),
    )
    scene = opened(*paths, profile=S2)
    assert scene.grid.shape == (40, 60)
    assert any("swir16" in note for note in scene.notes)
    chip = whole(scene, "blue", "swir16")
    assert np.array_equal(chip.data[0], fine)
    expected = coarse[3, 4] * 9 / 16 + (coarse[2, 4] + coarse[3, 3]) * 3 / 16 + coarse[2, 3] / 16
    assert chip.data[1, 6, 8] == round(expected)


def test_coarser_copies_of_a_band_are_not_used(write_raster, digital_numbers):
    fine = digital_numbers(1, 40, 60)[0]
    coarse = write_raster("R20m/x_B02_20m.tif", fine[::2, ::2], size=20)
    scene = opened(coarse, write_raster("R10m/x_B02_10m.tif", fine), profile="sentinel2-l2a")
    assert [b.role for b in scene.bands] == ["blue"]
    assert np.array_equal(whole(scene, "blue").data[0], fine)


def test_mosaic_has_no_seam_and_the_first_valid_file_wins(write_raster):
    left = np.full((3, 20, 30), 1000, np.uint16)
    right = np.full((3, 20, 30), 2000, np.uint16)
    left[:, :, 25:] = 0
    paths = (
        write_raster("a.tif", left, names=("B2", "B3", "B4"), nodata=0),
        write_raster(
            "b.tif", right, names=("B2", "B3", "B4"), nodata=0, origin=(500_200, 4_999_950)
        ),
    )
    scene = opened(*paths, profile=S2)
    assert scene.grid.shape == (25, 50)
    chip = whole(scene, "red")
    expected = np.zeros((25, 50), np.uint16)
    expected[5:25, 20:50] = 2000
    expected[:20, :25] = 1000
    assert np.array_equal(chip.data[0], expected)
    assert np.array_equal(chip.valid, expected > 0)
    crossing = scene.source(("red",)).read(Window(3, 15, 15, 20))
    assert np.array_equal(crossing.data[0], expected[3:18, 15:35])
    assert any("mosaic" in note for note in scene.notes)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(row=st.integers(0, 30), col=st.integers(0, 30), height=st.integers(1, 30))
def test_any_window_of_a_mosaic_equals_the_untiled_raster(mosaic_of_four, row, col, height):
    scene, data = mosaic_of_four
    window = Window(row, col, height, 25).intersect(scene.grid.window)
    chip = scene.source(("green",)).read(window)
    assert np.array_equal(chip.data[0], data[1][window.slices])
    assert chip.valid.all()


@pytest.fixture
def mosaic_of_four(write_raster, digital_numbers, tmp_path):
    data = digital_numbers(3, 50, 60)
    for i, (r, c) in enumerate(((0, 0), (0, 33), (27, 0), (27, 33))):
        part = data[:, r : r + 27, c : c + 33]
        where = (500_000 + 10 * c, 5_000_000 - 10 * r)
        write_raster(f"tiles/t{i}.tif", part, names=("blue", "green", "red"), origin=where)
    return opened(str(tmp_path / "tiles"), profile="reflectance-10000"), data


def test_unnamed_single_band_tiles_are_a_mosaic(write_raster):
    paths = [
        write_raster(f"t{i}.tif", np.full((5, 6), i + 1, np.uint8), origin=(500_000 + 60 * i, 0))
        for i in range(3)
    ]
    scene = opened(*paths, bands={"red": "1"}, profile="raw")
    assert np.array_equal(whole(scene, "red").data[0, 0], np.repeat([1, 2, 3], 6))


def test_unnamed_single_bands_of_one_place_are_a_stack(write_raster):
    paths = [write_raster(f"{n}.tif", np.full((5, 6), i, np.uint8)) for i, n in enumerate("xyz")]
    scene = opened(*paths, bands={"red": "x", "nir": "3"}, profile="raw")
    assert whole(scene, "nir", "red").data[:, 0, 0].tolist() == [2, 0]


def test_tiles_called_like_bands_but_lying_apart_are_a_mosaic(write_raster):
    paths = [
        write_raster(f"x_b{i}.tif", np.full((5, 6), i, np.uint8), origin=(500_000 + 60 * i, 0))
        for i in (1, 2)
    ]
    scene = opened(*paths, bands={"red": "1"}, profile="raw")
    assert scene.grid.shape == (5, 12)


def test_stack_of_mosaics(write_raster, digital_numbers):
    data = digital_numbers(2, 20, 40)
    paths = [
        write_raster(f"S2_{tile}_{band}.tif", data[b][:, s], origin=(500_000 + 10 * s.start, 0))
        for b, band in enumerate(("B02", "B03"))
        for tile, s in (("w", slice(0, 20)), ("e", slice(20, 40)))
    ]
    scene = opened(*paths, profile=S2)
    assert np.array_equal(whole(scene, "blue", "green").data, data)


def test_tile_on_another_lattice_is_resampled_and_said(write_raster):
    ramp = np.tile(np.arange(40, dtype=np.float32), (20, 1)) / 100
    other = ramp[:, :20] + np.float32(0.2)
    paths = (
        write_raster("a.tif", ramp[:, :20], names=("red",)),
        write_raster("b.tif", other, names=("red",), origin=(500_205, 5_000_000)),
    )
    scene = opened(*paths, profile="reflectance")
    assert any("resampled" in note for note in scene.notes)
    chip = whole(scene, "red")
    assert chip.data.shape == (1, 20, 41)
    assert chip.data[0, 5, 25] == pytest.approx(other[5, 4] + 0.005, abs=1e-6)
    assert chip.valid[:, 20].all() or chip.data[0, 0, 20] == 0


def test_tile_in_another_crs_lands_where_it_belongs(write_raster):
    west = np.full((20, 20), 0.25, np.float32)
    east = np.full((30, 30), 0.5, np.float32)
    paths = (
        write_raster("a.tif", west, names=("red",), origin=(500_000, 100_000), size=100),
        write_raster(
            "b.tif",
            east,
            names=("red",),
            crs="EPSG:4326",
            origin=(9.018, 0.905),
            size=0.0009,
        ),
    )
    scene = opened(*paths, profile="reflectance")
    chip = whole(scene, "red")
    assert chip.data[0, :20, :20].max() == np.float32(0.25)
    far = chip.data[0][:, 24:44]
    assert np.isin(far[chip.valid[:, 24:44]], [np.float32(0.5)]).all()
    assert 0.8 < chip.valid[2:25, 24:44].mean() <= 1


def test_windows_of_a_reprojected_tile_agree_bit_by_bit(write_raster):
    random = np.random.default_rng(3)
    a = random.random((20, 20), np.float32)
    b = random.random((60, 60), np.float32)
    paths = (
        write_raster("a.tif", a, names=("red",), size=100, origin=(500_000, 100_000)),
        write_raster("b.tif", b, names=("red",), crs="EPSG:4326", origin=(9.0, 0.9), size=0.0007),
    )
    scene = opened(*paths, profile="reflectance")
    full = whole(scene, "red")
    source = scene.source(("red",))
    for window in (Window(3, 5, 20, 17), Window(10, 0, 7, 30)):
        part = source.read(window)
        assert np.array_equal(part.data[0], full.data[0][window.slices])
        assert np.array_equal(part.valid, full.valid[window.slices])


def test_nodata_does_not_bleed_into_interpolated_neighbours(write_raster):
    coarse = np.full((10, 10), 0.5, np.float32)
    coarse[4, 4] = -9999
    paths = (
        write_raster("x_red.tif", np.full((20, 20), 0.1, np.float32)),
        write_raster("x_nir.tif", coarse, size=20, nodata=-9999),
    )
    chip = whole(opened(*paths, profile="reflectance"), "nir")
    assert (~chip.valid).sum() == 4
    assert not chip.valid[8:10, 8:10].any()
    assert np.array_equal(np.unique(chip.data[0][chip.valid]), [np.float32(0.5)])


def test_outside_a_smaller_band_is_invalid(write_raster):
    paths = (
        write_raster("x_red.tif", np.full((20, 20), 0.1, np.float32)),
        write_raster("x_nir.tif", np.full((5, 5), 0.5, np.float32), size=20),
    )
    valid = whole(opened(*paths, profile="reflectance"), "red", "nir").valid
    assert valid[:10, :10].all()
    assert valid.sum() == 100


def test_bands_that_do_not_overlap_are_refused(write_raster, digital_numbers):
    paths = (
        write_raster("S2_B02.tif", digital_numbers(1)),
        write_raster("S2_B03.tif", digital_numbers(1)),
        write_raster("S2_B04.tif", digital_numbers(1), origin=(700_000, 4_000_000)),
    )
    with pytest.raises(EngineError) as caught:
        opened(*paths, profile=S2).source(("red",))
    assert caught.value.code is ErrorCode.INPUT_GRID_MISMATCH


@pytest.mark.parametrize("second", [{"crs": None}, {}])
def test_files_whose_places_are_unknown_are_refused(write_raster, second):
    one = write_raster("x_B2.tif", np.ones((5, 6), np.uint8), crs=None)
    other = write_raster("x_B3.tif", np.ones((5, 7), np.uint8), **second)
    with pytest.raises(EngineError) as caught:
        opened(one, other, profile="raw")
    assert caught.value.code is ErrorCode.INPUT_GRID_MISMATCH


def test_equal_sized_bands_without_georeference_are_a_stack(write_raster, digital_numbers):
    data = digital_numbers(2)
    paths = [
        write_raster(f"x_{n}.tif", d, crs=None) for n, d in zip(("red", "nir"), data, strict=True)
    ]
    scene = opened(*paths, profile="reflectance-10000")
    assert np.array_equal(whole(scene, "red", "nir").data, data)


def test_two_photos_without_georeference_are_refused(write_raster):
    paths = [write_raster(f"{n}.tif", np.ones((3, 5, 6), np.uint8), crs=None) for n in "ab"]
    with pytest.raises(EngineError) as caught:
        opened(*paths)
    assert caught.value.code is ErrorCode.INPUT_GRID_MISMATCH


def test_empty_folder(tmp_path):
    with pytest.raises(EngineError) as caught:
        opened(str(tmp_path))
    assert caught.value.code is ErrorCode.INPUT_NOT_FOUND


def test_more_tiles_than_open_handles(write_raster, tmp_path):
    for i in range(40):
        write_raster(f"m/t{i}.tif", np.full((4, 4), i, np.uint8), origin=(500_000 + 40 * i, 0))
    scene = opened(str(tmp_path / "m"), bands={"red": "1"}, profile="raw")
    assert np.array_equal(whole(scene, "red").data[0, 0, ::4], np.arange(40))

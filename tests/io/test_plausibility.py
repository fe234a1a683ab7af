from __future__ import annotations

import numpy as np
import pytest
import rasterio

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec
from engine.io.plausibility import check_plausible
from engine.io.scene import open_scene

TOA = ("toa_reflectance", (-0.2, 2.0))


@pytest.fixture
def scene_of(write_raster):
    """A function that opens a red and a nir band with a profile."""

    def make(values, profile, **options):
        pixels = np.asarray(values)
        if pixels.ndim == 2:
            pixels = np.stack([pixels, pixels])
        path = write_raster("a.tif", pixels, names=("red", "nir"))
        return open_scene(InputSpec(uris=(path,), profile=profile, **options))

    return make


def numbers(low, high, shape=(60, 70)):
    return np.random.default_rng(1).integers(low, high, shape).astype(np.uint16)


def refusal(scene, quantity="toa_reflectance", valid_range=(-0.2, 2.0)):
    with pytest.raises(EngineError) as caught:
        check_plausible(scene, ("red", "nir"), quantity, valid_range)
    assert caught.value.code is ErrorCode.SCALE_IMPLAUSIBLE
    return caught.value


@pytest.mark.parametrize(
    ("low", "high"),
    [(300, 4000), (200, 260), (9000, 15000), (1, 40)],
    ids=["land", "dark water", "cloud", "very dark water"],
)
def test_ordinary_scenes_pass(scene_of, low, high):
    assert (
        check_plausible(scene_of(numbers(low, high), "sentinel2-l1c"), ("red", "nir"), *TOA) == ()
    )


def test_hot_pixels_do_not_refuse(scene_of):
    values = numbers(300, 4000)
    values[:2] = 65535
    values[-1] = 1
    assert check_plausible(scene_of(values, "sentinel2-l1c"), ("red", "nir"), *TOA) == ()


def test_unscaled_numbers(scene_of):
    error = refusal(scene_of(numbers(1500, 3500), "custom:quantity=toa_reflectance,scale=1"))
    assert "the red band's median is 2" in error.message
    assert "toa_reflectance lies between -0.2 and 2" in error.message
    assert "sentinel2-l1c" in error.hint


def test_values_divided_twice(scene_of):
    values = numbers(300, 4000).astype(np.float32) / 10000
    error = refusal(scene_of(values, "reflectance-10000"))
    assert "darker" in error.message
    assert "reflectance" in error.hint


def test_landsat_coefficients_on_sentinel_2(scene_of):
    error = refusal(scene_of(numbers(300, 4000), "landsat-c1-l1:sun_elevation=50"))
    assert "negative" in error.message
    assert "sentinel2-l1c" in error.hint


def test_offset_taken_twice(scene_of):
    refusal(scene_of(numbers(50, 700), "sentinel2-l2a-0400"), "surface_reflectance")


def test_missing_offset_is_warned_of(scene_of):
    warnings = check_plausible(scene_of(numbers(1100, 4000), "sentinel2-l1c"), ("red", "nir"), *TOA)
    assert "-0400" in warnings[0]


def test_scene_without_valid_pixel(scene_of):
    error = refusal(scene_of(np.zeros((60, 70), np.uint16), "sentinel2-l1c"))
    assert "no valid pixel" in error.message


def test_small_valid_island_in_a_large_empty_scene(scene_of):
    values = np.zeros((2, 3000, 3000), np.uint16)
    values[:, 210:214, 1000:1004] = 800
    assert check_plausible(scene_of(values, "sentinel2-l1c"), ("red", "nir"), *TOA) == ()


def test_large_scene_is_sampled_with_overviews_or_without(scene_of, tmp_path):
    scene = scene_of(np.stack([numbers(300, 4000, (2500, 2500))] * 2), "sentinel2-l1c")
    assert check_plausible(scene, ("red", "nir"), *TOA) == ()
    with rasterio.open(tmp_path / "a.tif", "r+") as file:
        file.build_overviews([2, 4], rasterio.enums.Resampling.average)
    again = open_scene(scene.resolved)
    assert check_plausible(again, ("red", "nir"), *TOA) == ()
    source = again.source(("red",))
    assert 500_000 < source.sample(1_000_000)[0].size <= 1_000_000


@pytest.mark.parametrize(
    ("profile", "quantity"),
    [("rgb8", "toa_reflectance"), ("raw", "surface_reflectance"), ("sentinel2-l1c", "rgb")],
)
def test_another_quantity_is_refused(scene_of, profile, quantity):
    error = refusal(scene_of(numbers(20, 200), profile), quantity, (0, 1))
    assert quantity in error.message


def test_surface_for_top_of_atmosphere_is_a_warning(scene_of):
    warnings = check_plausible(scene_of(numbers(300, 4000), "sentinel2-l2a"), ("red", "nir"), *TOA)
    assert len(warnings) == 1
    assert "surface_reflectance" in warnings[0]


@pytest.mark.parametrize("quantity", ["toa_reflectance", "surface_reflectance", "reflectance"])
def test_plain_reflectance_serves_either(scene_of, quantity):
    scene = scene_of(numbers(300, 4000), "reflectance-10000")
    assert check_plausible(scene, ("red", "nir"), quantity, (-0.2, 2.0)) == ()

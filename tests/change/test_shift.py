"""Shifts between two images: planted ones are found, and none where nothing tells."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.change.shift import Pair, ShiftEstimate, estimate_shift

SHARED = Path(os.environ.get("SWATH_SHARED") or Path(__file__).parents[3] / "shared")
DATA = SHARED / "data"
PLANTED = [(0, 0), (0.3, 0), (-0.3, 0.3), (1, 0), (-3, 3), (0.5, -2.5)]
"""Rows and columns."""
PRECISE = 0.1
"""Pixels."""
SINGLE = ("oscd_before", "landsat", "virginia", "ftw_first")


def real(name):
    with rasterio.open(DATA / name) as source:
        return source.read().astype(np.float64)


def images():
    """Of 320 x 320 pixels at most."""
    two = real("ftw_s2_two_dates/s2_two_dates.tif")
    return {
        "oscd_before": real("oscd_dubai_nc/before.png")[:3],
        "oscd_after": real("oscd_dubai_nc/after.png")[:3],
        "ftw_first": two[:4],
        "ftw_second": two[4:],
        "landsat": real("landsat7_olinda/L7_ETMs.tif"),
        "virginia": real("s2_l1c_virginia/s2_l1c_20m_13b.tif")[[1, 2, 3, 7]],
    }


@pytest.fixture(scope="module")
def image():
    return {name: bands[:, :320, :320] for name, bands in images().items()}


def windows(before, after, edge=64, valid=None, count=5):
    """As a sample takes them: of one size, evenly spread."""
    height, width = before.shape[1:]
    valid = np.ones((2, height, width), bool) if valid is None else valid
    for row in np.linspace(0, height - edge, count).astype(int):
        for col in np.linspace(0, width - edge, count).astype(int):
            here = slice(row, row + edge), slice(col, col + edge)
            yield Pair(before[:, *here], after[:, *here], valid[0][here], valid[1][here])


def moved(image, rows, cols):
    """By turning phases of the image and its mirror images: exact for what pixels can hold."""
    height, width = image.shape[1:]
    whole = np.concatenate([image, image[:, ::-1]], axis=1)
    whole = np.concatenate([whole, whole[:, :, ::-1]], axis=2)
    turns = np.fft.fftfreq(2 * height)[:, None] * rows + np.fft.fftfreq(2 * width) * cols
    turned = np.fft.fft2(whole) * np.exp(-2j * np.pi * turns)
    return np.fft.ifft2(turned).real[:, :height, :width]


def averaged(fine, factor, rows, cols):
    """Coarse pixels of a fine image that was moved by whole fine pixels: as a sensor sees it."""
    rim = 4 * factor
    height, width = ((n - 2 * rim) // factor for n in fine.shape[1:])
    part = fine[:, rim - rows :, rim - cols :][:, : height * factor, : width * factor]
    return part.reshape(len(fine), height, factor, width, factor).mean(axis=(2, 4))


def unlike(image, seed=0):
    """Other sun, other sensor, noise, haze to one side, and a sixth of the ground changed."""
    rng = np.random.default_rng(seed)
    low = image.min(axis=(1, 2), keepdims=True)
    unit = (image - low) / np.ptp(image, axis=(1, 2), keepdims=True)
    found = 0.9 * unit**0.8 + 0.2 * np.linspace(0, 1, image.shape[2])
    height, width = image.shape[1:]
    size = height // 4, width // 4
    for row, col in ((0, 0), (height // 3, width // 2), (height // 2, 0)):
        patch = np.rot90(unit[:, -size[0] :, -size[1] :], 2, (1, 2))
        found[:, row : row + size[0], col : col + size[1]] = patch
    return found + rng.normal(0, 0.1, image.shape) * found.std(axis=(1, 2), keepdims=True)


def error(estimate, rows, cols):
    return max(abs(estimate.rows - rows), abs(estimate.cols - cols))


@pytest.mark.shared
@pytest.mark.parametrize("shift", PLANTED)
@pytest.mark.parametrize("name", SINGLE)
def test_a_planted_shift_is_found_in_a_changed_image(name, shift, image):
    before = image[name]
    found = estimate_shift(windows(before, unlike(moved(before, *shift))))
    assert error(found, *shift) <= PRECISE
    assert found.is_trusted


@pytest.mark.shared
@pytest.mark.parametrize("shift", PLANTED)
@pytest.mark.parametrize("name", ["oscd", "ftw"])
def test_a_shift_planted_into_a_real_second_date_is_added_to_its_own(name, shift, image):
    before = image[f"{name}_{'before' if name == 'oscd' else 'first'}"]
    after = image[f"{name}_{'after' if name == 'oscd' else 'second'}"]
    own = estimate_shift(windows(before, after))
    found = estimate_shift(windows(before, moved(after, *shift)))
    assert own.is_trusted
    assert found.is_trusted
    assert error(found, own.rows + shift[0], own.cols + shift[1]) <= PRECISE


@pytest.mark.shared
@pytest.mark.parametrize("fine", [(0, 0), (3, 0), (-3, 3), (10, 0), (30, -30), (5, 25)])
@pytest.mark.parametrize("tile", ["tile_7", "tile_8"])
def test_a_shift_of_a_finer_image_is_found(tile, fine):
    """What lies between the pixels is aliased, as in real images."""
    scene = real(f"dubai_mbrsc/{tile}/images/image_part_001.jpg")
    before, after = averaged(scene, 10, 0, 0), averaged(scene, 10, *fine)
    found = estimate_shift(windows(before, unlike(after)))
    assert error(found, fine[0] / 10, fine[1] / 10) <= PRECISE
    assert found.is_trusted


@pytest.mark.shared
def test_radar_of_two_dates_lies_on_itself():
    files = sorted((DATA / "opera_rtc_s1_png").glob("*VV*.tif"))
    before, after = (np.nan_to_num(real(str(f))) for f in (files[0], files[3]))
    found = estimate_shift(windows(before, after))
    assert found.is_trusted
    assert found.length < 0.25  # whole windows hold sea, and speckle is new at each date


@pytest.mark.shared
@pytest.mark.parametrize(
    ("one", "other"), [("oscd_before", "landsat"), ("virginia", "landsat"), ("virginia", "flipped")]
)
def test_images_of_two_places_are_not_trusted(one, other, image):
    size = 280
    before = image[one][:3, :size, :size]
    after = before[:, ::-1] if other == "flipped" else image[other][:3, :size, :size]
    assert not estimate_shift(windows(before, after)).is_trusted


@pytest.mark.shared
def test_a_shift_beyond_reach_is_not_trusted(image):
    before = image["virginia"]
    assert not estimate_shift(windows(before, np.roll(before, 40, axis=2))).is_trusted


@pytest.mark.shared
@pytest.mark.parametrize("name", ["AnnualCrop_1", "AnnualCrop_2", "Forest_1"])
def test_a_small_image_is_enough(name):
    before = real(f"eurosat_ms_sample/{name}.tif")[[1, 3, 7]]
    found = estimate_shift(windows(before, unlike(moved(before, 0.3, -1)), 32, count=3))
    assert error(found, 0.3, -1) <= PRECISE


@pytest.mark.shared
def test_common_edges_of_nodata_do_not_pull_the_shift_to_nothing(image):
    before = image["oscd_before"]
    after = moved(before, 1.3, -2.4)
    valid = np.ones((2, *before.shape[1:]), bool)
    valid[:, ::40], valid[:, :, 100:130] = False, False
    before, after = np.where(valid[0], before, 0), np.where(valid[1], after, 0)
    assert error(estimate_shift(windows(before, after, 128, valid)), 1.3, -2.4) <= PRECISE


def smooth(height=160, width=200, bands=2, seed=0):
    rng = np.random.default_rng(seed)
    return scipy.ndimage.gaussian_filter(rng.normal(size=(bands, height, width)), (0, 1.5, 1.5))


@settings(deadline=None, max_examples=10)
@given(
    edge=st.integers(32, 80),
    bands=st.integers(1, 4),
    seed=st.integers(0, 99),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_an_image_lies_on_itself(edge, bands, seed, scale):
    image = (smooth(bands=bands, seed=seed) * scale).astype(np.float32)
    found = estimate_shift(windows(image, image, edge, count=2))
    assert found.length < 1e-6
    assert found.spread < 1e-6
    assert found.used == found.tried == 4


@settings(deadline=None, max_examples=10)
@given(rows=st.floats(-9, 9), cols=st.floats(-9, 9))
def test_the_other_way_round_the_shift_is_the_opposite(rows, cols):
    before, after = smooth(), moved(smooth(), rows, cols)
    there = estimate_shift(windows(before, after))
    back = estimate_shift(windows(after, before))
    assert error(there, rows, cols) < PRECISE
    assert error(back, -there.rows, -there.cols) < 0.02


@pytest.mark.parametrize("after", [np.zeros((1, 64, 64)), np.full((1, 64, 64), 7.0)])
def test_without_texture_nothing_is_told(after):
    before = smooth(64, 64, 1)
    found = estimate_shift(windows(before, after, 32))
    assert (found.used, found.is_trusted) == (0, False)
    assert estimate_shift([]) == ShiftEstimate(0, 0, 0, 0, 0)


def test_windows_with_little_data_are_not_tried():
    image = smooth()
    valid = np.zeros((2, *image.shape[1:]), bool)
    valid[:, :80] = True
    found = estimate_shift(windows(image, moved(image, 1, 0), 64, valid))
    assert 0 < found.tried < 25
    assert error(found, 1, 0) <= PRECISE


def test_a_minority_that_moves_otherwise_does_not_count():
    image = smooth(320, 320)
    after = moved(image, 0.4, 0)
    after[:, :100, :100] = moved(image, 2.0, 2.0)[:, :100, :100]
    found = estimate_shift(windows(image, after))
    assert error(found, 0.4, 0) <= PRECISE
    assert found.is_trusted

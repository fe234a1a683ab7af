from __future__ import annotations

import pytest

from engine.io.roles import Clues, find_roles, role_word
from engine.io.sensors import (
    LANDSAT_4_7,
    LANDSAT_8_9,
    SENTINEL_2,
    band_token,
    sensor_of_name,
    sensor_of_tokens,
)


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("Blue", "blue"),
        ("NIR", "nir"),
        ("Near Infrared (NIR)", "nir"),
        ("near-infrared", "nir"),
        ("swir1", "swir16"),
        ("SWIR 2", "swir22"),
        ("swir_16", "swir16"),
        ("Band 4 - Red", "red"),
        ("Red Edge 1", "rededge071"),
        ("rededge071", "rededge071"),
        ("red_edge", "rededge"),
        ("RedEdge3", "rededge078"),
        ("NIR narrow", "nir08"),
        ("nir08", "nir08"),
        ("panchromatic", "pan"),
        ("VV", "vv"),
        ("red and green", ""),
        ("blueish", ""),
        ("B4", ""),
        ("", ""),
    ],
)
def test_role_words(text, role):
    assert role_word(text) == role


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("B4", "4"),
        ("B04", "4"),
        ("b8a", "8a"),
        ("SR_B5", "5"),
        ("Band 10", "10"),
        ("band_3", "3"),
        ("T32TQM_20200101T101010_B8A_20m", "8a"),
        ("LC80200392015216LGN00_B11", "11"),
        ("B6_VCID_1", "6"),
        ("BQA", ""),
        ("B0", ""),
        ("blue", ""),
        ("20m", ""),
    ],
)
def test_band_tokens(text, token):
    assert band_token(text) == token


@pytest.mark.parametrize(
    ("name", "sensor"),
    [
        ("LC08_L1TP_199031_20160422_20170326_01_T1_B4.TIF", LANDSAT_8_9),
        ("LC80200392015216LGN00_crop.tif", LANDSAT_8_9),
        ("l8_B2.tif", LANDSAT_8_9),
        ("HLS.L30.T32TQM.2020001.v2.0.B05.tif", LANDSAT_8_9),
        ("HLS.S30.T32TQM.2020001.v2.0.B05.tif", SENTINEL_2),
        ("LE07_L2SP_199031_20160422_20170326_02_T1_SR_B4.TIF", LANDSAT_4_7),
        ("LT05_x.tif", LANDSAT_4_7),
        ("S2A_MSIL1C_20200101T101010.tif", SENTINEL_2),
        ("T32TQM_20200101T101010_B02.jp2", SENTINEL_2),
        ("sentinel-2_mosaic.tif", SENTINEL_2),
        ("S2_and_landsat8.tif", ""),
        ("orthophoto.tif", ""),
        ("hotels2_x.tif", ""),
    ],
)
def test_sensor_of_name(name, sensor):
    assert sensor_of_name(name) == sensor


@pytest.mark.parametrize(
    ("names", "sensor"),
    [
        (("B2", "B3", "B4", "B8", "B11", "B12"), SENTINEL_2),
        (("B02", "B03", "B04"), SENTINEL_2),
        (("B8A", "B4"), SENTINEL_2),
        (tuple(f"B{i}" for i in range(1, 12)), LANDSAT_8_9),
        (tuple(f"SR_B{i}" for i in range(1, 8)), LANDSAT_8_9),
        (tuple(f"SR_B{i}" for i in (1, 2, 3, 4, 5, 7)), LANDSAT_4_7),
        (("B1", "B2", "B3", "B4"), ""),
        (("B2", "B3", "B4", "B5", "B6", "B7"), ""),
        (("Band 1", "Band 2"), ""),
    ],
)
def test_sensor_of_tokens(names, sensor):
    assert sensor_of_tokens(names) == sensor


def described(*names):
    return [Clues(description=name) for name in names]


def test_band_5_depends_on_the_sensor():
    assert find_roles(described("B5"), LANDSAT_8_9) == ("nir",)
    assert find_roles(described("B5"), SENTINEL_2) == ("rededge071",)
    assert find_roles(described("B5"), LANDSAT_4_7) == ("swir16",)
    assert find_roles(described("B5"), "") == ("",)


def test_two_bands_of_one_role_stay_unknown():
    assert find_roles(described("red", "red", "nir"), "") == ("", "", "nir")


def test_common_name_counts_before_the_description():
    bands = [Clues(common_name="nir08", description="B5"), Clues(common_name="red")]
    assert find_roles(bands, SENTINEL_2) == ("nir08", "red")


def test_first_of_two_stac_assets_of_one_role_has_it():
    bands = [Clues(common_name="red"), Clues(common_name="red")]
    assert find_roles(bands, "") == ("red", "")


def test_colours_of_a_photo():
    colors = [Clues(color=c) for c in ("red", "green", "blue", "undefined")]
    assert find_roles(colors, "") == ("red", "green", "blue", "")


def test_plain_three_band_file_is_a_photo():
    assert find_roles([Clues(color="gray"), Clues(), Clues()], "") == ("red", "green", "blue")


def test_file_names_of_single_bands():
    names = ("scene_blue.tif", "scene_nir_10m.tif", "red_river_B3.tif", "bluemountain.tif")
    assert find_roles([Clues(file_name=n) for n in names], "") == ("blue", "nir", "", "")

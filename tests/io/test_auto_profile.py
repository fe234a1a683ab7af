from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec
from engine.io.scene import open_scene

S2_NAME = "S2A_MSIL{level}_20220301T101010_N{baseline}_R022_T32TQM_20220301T121212"


def opened(*uris, **options):
    return open_scene(InputSpec(uris=uris, **options))


def scaling(scene, role):
    return next((b.scaling.scale, b.scaling.offset) for b in scene.bands if b.role == role)


def reopened_is_equal(scene):
    again = open_scene(scene.resolved)
    return again.bands == scene.bands and again.resolved == scene.resolved


@pytest.mark.parametrize(
    ("level", "baseline", "profile"),
    [
        ("1C", "0208", "sentinel2-l1c"),
        ("1C", "0400", "sentinel2-l1c-0400"),
        ("2A", "0214", "sentinel2-l2a"),
        ("2A", "0510", "sentinel2-l2a-0400"),
    ],
)
def test_sentinel_2_product_names(write_raster, digital_numbers, level, baseline, profile):
    name = S2_NAME.format(level=level, baseline=baseline)
    data = digital_numbers(2)
    folder = f"{name}.SAFE/GRANULE/L_T32/IMG_DATA"
    for band, pixels in zip(("B02", "B03"), data, strict=True):
        write_raster(f"{folder}/T32TQM_20220301T101010_{band}.tif", pixels)
    root = Path(write_raster(f"{folder}/T32TQM_20220301T101010_B04.tif", data[0])).parent
    scene = opened(str(root))
    assert scene.profile.name == profile
    assert baseline in scene.profile.sentence
    assert reopened_is_equal(scene)


def test_safe_folder_is_searched_for_its_bands(write_raster, digital_numbers, tmp_path):
    name = S2_NAME.format(level="1C", baseline="0400")
    for band in ("B02", "B03", "B04", "B08", "TCI"):
        write_raster(
            f"{name}.SAFE/GRANULE/L_T32/IMG_DATA/T32TQM_20220301T101010_{band}.jp2",
            digital_numbers(1, 64, 64)[0],
            driver="JP2OpenJPEG",
            QUALITY=100,
            REVERSIBLE="YES",
        )
    metadata = tmp_path / f"{name}.SAFE" / "MTD_MSIL1C.xml"
    metadata.write_text("<x/>", "utf-8")
    scene = opened(str(tmp_path / f"{name}.SAFE"))
    assert opened(str(metadata)).resolved == scene.resolved
    assert [b.role for b in scene.bands] == ["blue", "green", "red", "nir"]
    assert scene.profile.name == "sentinel2-l1c-0400"


def test_baseline_in_the_tags(write_raster, digital_numbers):
    tags = {"PROCESSING_BASELINE": "05.09", "PROCESSING_LEVEL": "Level-2A"}
    path = write_raster("a.tif", digital_numbers(2), names=("B02", "B8A"), tags=tags)
    assert opened(path).profile.name == "sentinel2-l2a-0400"


def test_landsat_level_2_product_name(write_raster, digital_numbers):
    name = "LC08_L2SP_199031_20160422_20200907_02_T1"
    paths = [
        write_raster(f"{name}_SR_B{i}.TIF", digital_numbers(1, seed=i) + 7000) for i in (2, 3, 5)
    ]
    scene = opened(*paths)
    assert scene.profile.name == "landsat-c2-l2"
    assert [b.role for b in scene.bands] == ["blue", "green", "nir"]


def test_scaled_decimals_are_not_scaled_again_by_the_product_name(write_raster, digital_numbers):
    name = S2_NAME.format(level="1C", baseline="0400")
    data = digital_numbers(2).astype(np.float32) / 10000
    scene = opened(write_raster(f"{name}.tif", data, names=("B02", "B8A")))
    assert scaling(scene, "blue") == (1.0, 0.0)
    assert scene.profile.quantity == "toa_reflectance"
    assert reopened_is_equal(scene)


def test_scale_and_offset_of_the_file(write_raster, digital_numbers):
    path = write_raster(
        "a.tif",
        digital_numbers(2),
        names=("red", "nir"),
        scales=(1e-4, 2e-4),
        offsets=(-0.1, 0.0),
    )
    scene = opened(path)
    assert scaling(scene, "red") == (1e-4, -0.1)
    assert scaling(scene, "nir") == (2e-4, 0.0)
    assert "in the file" in scene.profile.sentence
    assert reopened_is_equal(scene)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_decimals_in_range_are_reflectance(write_raster, digital_numbers, dtype):
    data = digital_numbers(2).astype(dtype) / 10000
    assert opened(write_raster("a.tif", data, names=("red", "nir"))).profile.name == "reflectance"


@pytest.mark.parametrize("factor", [1.0, 1e-9])
def test_other_decimals_are_not_guessed(write_raster, digital_numbers, factor):
    data = (digital_numbers(2) * factor).astype(np.float32)
    with pytest.raises(EngineError) as caught:
        opened(write_raster("a.tif", data, names=("red", "nir")))
    assert caught.value.code is ErrorCode.SCALE_UNKNOWN


def test_integers_are_not_guessed_but_profiles_that_fit_are_named(write_raster, digital_numbers):
    path = write_raster("a.tif", digital_numbers(3), names=("B02", "B03", "B8A"))
    with pytest.raises(EngineError) as caught:
        opened(path)
    assert caught.value.code is ErrorCode.SCALE_UNKNOWN
    assert "between 3" in caught.value.message
    assert "sentinel2-l1c" in caught.value.hint
    assert "landsat" not in caught.value.hint


def test_photo(write_raster):
    path = write_raster("a.tif", np.full((3, 4, 5), 90, np.uint8))
    assert opened(path).profile.name == "rgb8"


MTL_C1 = """GROUP = L1_METADATA_FILE
  GROUP = METADATA_FILE_INFO
    COLLECTION_NUMBER = 01
  END_GROUP = METADATA_FILE_INFO
  GROUP = PRODUCT_METADATA
    DATA_TYPE = "L1TP"
    SPACECRAFT_ID = "{spacecraft}"
    FILE_NAME_BAND_2 = "x_B2.TIF"
    FILE_NAME_BAND_4 = "x_B4.TIF"
    FILE_NAME_BAND_5 = "x_B5.TIF"
    FILE_NAME_BAND_10 = "x_B10.TIF"
  END_GROUP = PRODUCT_METADATA
  GROUP = IMAGE_ATTRIBUTES
    SUN_ELEVATION = 30.0
  END_GROUP = IMAGE_ATTRIBUTES
  GROUP = RADIOMETRIC_RESCALING
    REFLECTANCE_MULT_BAND_2 = {mult}
    REFLECTANCE_MULT_BAND_4 = 2.0000E-05
    REFLECTANCE_MULT_BAND_5 = 2.0000E-05
    REFLECTANCE_ADD_BAND_2 = -0.100000
    REFLECTANCE_ADD_BAND_4 = -0.100000
    REFLECTANCE_ADD_BAND_5 = -0.100000
  END_GROUP = RADIOMETRIC_RESCALING
END_GROUP = L1_METADATA_FILE
END
"""


@pytest.fixture
def landsat_product(write_raster, digital_numbers):
    """A function that writes bands and an MTL file and gives their folder."""

    def make(text, name="x_MTL.txt"):
        for band in (2, 4, 5, 10):
            path = write_raster(f"p/x_B{band}.TIF", digital_numbers(1, seed=band) + 9000, size=30)
        folder = Path(path).parent
        (folder / name).write_text(text, "utf-8")
        return folder

    return make


@pytest.mark.parametrize("as_folder", [True, False])
def test_mtl_of_landsat_8(landsat_product, as_folder):
    folder = landsat_product(MTL_C1.format(spacecraft="LANDSAT_8", mult="2.0000E-05"))
    scene = opened(str(folder) if as_folder else str(folder / "x_MTL.txt"))
    assert scene.profile.name == "landsat-c1-l1:sun_elevation=30.0"
    assert "x_MTL.txt" in scene.profile.sentence
    assert {b.role for b in scene.bands} == {"blue", "red", "nir", "lwir11"}
    assert scaling(scene, "nir") == pytest.approx((4e-5, -0.2))
    assert reopened_is_equal(scene)


def test_mtl_with_coefficients_of_each_band(landsat_product):
    folder = landsat_product(MTL_C1.format(spacecraft="LANDSAT_7", mult="1.5E-03"))
    scene = opened(str(folder))
    assert {b.role for b in scene.bands} >= {"green", "nir", "swir16"}
    sine = math.sin(math.radians(30))
    assert scaling(scene, "green") == pytest.approx((1.5e-3 / sine, -0.1 / sine))
    assert scaling(scene, "nir") == pytest.approx((2e-5 / sine, -0.1 / sine))
    assert reopened_is_equal(scene)


def test_level_2_mtl_as_json_uses_the_coefficients_of_level_2(landsat_product):
    bands = (2, 4, 5)
    mtl = {
        "LANDSAT_METADATA_FILE": {
            "PRODUCT_CONTENTS": {"PROCESSING_LEVEL": "L2SP", "COLLECTION_NUMBER": "02"},
            "IMAGE_ATTRIBUTES": {"SPACECRAFT_ID": "LANDSAT_9", "SUN_ELEVATION": "30.0"},
            "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": {
                f"REFLECTANCE_{k}_BAND_{b}": v
                for b in bands
                for k, v in (("MULT", "2.75e-05"), ("ADD", "-0.2"))
            },
            "LEVEL1_RADIOMETRIC_RESCALING": {
                f"REFLECTANCE_{k}_BAND_{b}": v
                for b in bands
                for k, v in (("MULT", "2.0E-05"), ("ADD", "-0.1"))
            },
        }
    }
    scene = opened(str(landsat_product(json.dumps(mtl), "x_MTL.json")))
    assert scene.profile.name == "landsat-c2-l2"
    assert scaling(scene, "red") == (2.75e-5, -0.2)


def test_broken_mtl(landsat_product):
    folder = landsat_product("no keys here")
    with pytest.raises(EngineError) as caught:
        opened(str(folder))
    assert caught.value.code is ErrorCode.INPUT_UNREADABLE
    assert "x_MTL.txt" in caught.value.message


@pytest.fixture
def stac_item(write_raster, digital_numbers, tmp_path):
    """A function that writes three bands and an item and gives its path."""

    def make(properties=None, raster=None, more=None, absolute=False):
        assets = {}
        for seed, (key, common) in enumerate(
            (("B04", "red"), ("B08", "nir"), ("B11", "swir16")), 1
        ):
            path = write_raster(
                f"stac/data/{key}.tif",
                digital_numbers(1, seed=seed)[:, :: seed // 3 + 1, :: seed // 3 + 1],
                size=20 if key == "B11" else 10,
            )
            href = {False: f"./data/{key}.tif", True: Path(path).as_uri()}[absolute]
            assets[key] = {"href": href, "roles": ["data"], "type": "image/tiff"}
            assets[key]["eo:bands"] = [{"name": key, "common_name": common}]
            if raster:
                assets[key]["raster:bands"] = [raster]
        item = {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": "x",
            "properties": {"platform": "sentinel-2a", **(properties or {})},
            "assets": {**assets, **(more or {})},
        }
        path = tmp_path / "stac" / "item.json"
        path.write_text(json.dumps(item), "utf-8")
        return str(path)

    return make


@pytest.mark.parametrize("absolute", [False, True])
def test_stac_item_with_scale_and_offset(stac_item, absolute):
    raster = {"scale": 0.0001, "offset": -0.1, "nodata": 0}
    scene = opened(stac_item({"processing:level": "L2A"}, raster, absolute=absolute))
    assert [b.role for b in scene.bands] == ["red", "nir", "swir16"]
    assert scaling(scene, "nir") == (1e-4, -0.1)
    assert scene.profile.quantity == "surface_reflectance"
    assert "item.json" in scene.profile.sentence
    assert scene.bands[0].nodata == 0
    assert scene.grid.shape == (40, 50)
    assert reopened_is_equal(scene)


def test_offset_that_the_item_says_is_applied_is_not_applied_again(stac_item):
    raster = {"scale": 0.0001, "offset": -0.1, "nodata": 0}
    scene = opened(stac_item({"earthsearch:boa_offset_applied": True}, raster))
    assert scaling(scene, "red") == (1e-4, 0.0)
    assert any("already" in note for note in scene.notes)


def test_stac_item_with_a_baseline(stac_item):
    properties = {"s2:processing_baseline": "04.00", "s2:product_type": "S2MSI2A"}
    assert opened(stac_item(properties)).profile.name == "sentinel2-l2a-0400"


def test_stac_bands_of_version_1_1(write_raster, digital_numbers, tmp_path):
    write_raster("all.tif", digital_numbers(2))
    names = ("green", "nir08")
    bands = [{"eo:common_name": n, "raster:scale": 1e-4, "raster:offset": 0} for n in names]
    asset = {"href": "all.tif", "bands": bands, "nodata": 7}
    item = {"type": "Feature", "stac_version": "1.1.0", "properties": {}, "assets": {"a": asset}}
    path = tmp_path / "item.json"
    path.write_text(json.dumps(item), "utf-8")
    scene = opened(str(path))
    assert [b.role for b in scene.bands] == ["green", "nir08"]
    assert [b.nodata for b in scene.bands] == [7, 7]
    assert scaling(scene, "green") == (1e-4, 0.0)


def test_assets_that_are_not_here_are_named(stac_item):
    far = {"href": "https://example.org/B12.tif", "eo:bands": [{"common_name": "swir22"}]}
    scene = opened(stac_item(raster={"scale": 1e-4, "offset": 0}, more={"B12": far}))
    assert any("B12" in note for note in scene.notes)
    assert "swir22" not in {b.role for b in scene.bands}


def test_item_without_any_local_asset(tmp_path):
    asset = {"href": "https://example.org/B12.tif", "eo:bands": [{"common_name": "swir22"}]}
    item = {"type": "Feature", "stac_version": "1.0.0", "properties": {}, "assets": {"B12": asset}}
    path = tmp_path / "item.json"
    path.write_text(json.dumps(item), "utf-8")
    with pytest.raises(EngineError) as caught:
        opened(str(path))
    assert caught.value.code is ErrorCode.INPUT_NOT_FOUND
    assert "B12" in caught.value.message


def test_json_that_is_no_item_is_unreadable(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{}", "utf-8")
    with pytest.raises(EngineError) as caught:
        opened(str(path))
    assert caught.value.code is ErrorCode.INPUT_UNREADABLE

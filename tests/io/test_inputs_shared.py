"""Real images, when the data folder is there."""

from __future__ import annotations

import numpy as np
import pytest

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec
from engine.io.plausibility import check_plausible
from engine.io.scene import open_scene

SIX = ("blue", "green", "red", "nir", "swir16", "swir22")
pytestmark = pytest.mark.shared


def test_landsat_8(shared_data):
    path = str(shared_data / "landsat8_cloudy" / "LC80200392015216LGN00_crop.tif")
    scene = open_scene(InputSpec(uris=(path,), profile="landsat-c1-l1:sun_elevation=64.7436"))
    assert check_plausible(scene, SIX, "toa_reflectance", (-0.2, 2.0)) == ()
    source = scene.source(SIX)
    chip = source.read(source.grid.window)
    scaling = source.bands[0].scaling
    blue = chip.data[0] * scaling.scale + scaling.offset
    assert 0.05 < np.median(blue) < 0.6
    assert chip.valid.all()


def test_landsat_8_taken_for_sentinel_2_is_refused(shared_data):
    path = str(shared_data / "landsat8_cloudy" / "LC80200392015216LGN00_crop.tif")
    scene = open_scene(InputSpec(uris=(path,), profile="custom:quantity=reflectance,scale=0.001"))
    with pytest.raises(EngineError) as caught:
        check_plausible(scene, SIX, "toa_reflectance", (-0.2, 2.0))
    assert caught.value.code is ErrorCode.SCALE_IMPLAUSIBLE
    assert "landsat-c1-l1" in caught.value.hint


@pytest.mark.parametrize(
    "name", ["s2_l1c_virginia/s2_l1c_20m_13b.tif", "sen1floods11_spain/Spain_7370579_S2Hand.tif"]
)
def test_sentinel_2(shared_data, name):
    path = str(shared_data / name)
    with pytest.raises(EngineError) as caught:
        open_scene(InputSpec(uris=(path,)))
    assert caught.value.code is ErrorCode.SCALE_UNKNOWN
    assert "sentinel2-l1c" in caught.value.hint
    scene = open_scene(InputSpec(uris=(path,), profile="sentinel2-l1c"))
    assert check_plausible(scene, SIX, "toa_reflectance", (-0.2, 2.0)) == ()


def test_aerial_photo(shared_data):
    path = str(shared_data / "deepforest_neon" / "OSBS_029.tif")
    scene = open_scene(InputSpec(uris=(path,)))
    assert scene.profile.name == "rgb8"
    assert check_plausible(scene, ("red", "green", "blue"), "rgb", (0, 1)) == ()


def test_photo_without_georeference(shared_data):
    path = str(shared_data / "dubai_mbrsc/tile_5/images/image_part_003.jpg")
    scene = open_scene(InputSpec(uris=(path,)))
    assert not scene.grid.is_georeferenced
    assert scene.source(("red",)).read(scene.grid.window).valid.all()


def test_radar_is_not_guessed(shared_data):
    path = str(shared_data / "sen1floods11_spain" / "Spain_7370579_S1Hand.tif")
    with pytest.raises(EngineError) as caught:
        open_scene(InputSpec(uris=(path,)))
    assert caught.value.code is ErrorCode.SCALE_UNKNOWN
    scene = open_scene(InputSpec(uris=(path,), profile="raw"))
    assert [b.role for b in scene.bands] == ["vv", "vh"]

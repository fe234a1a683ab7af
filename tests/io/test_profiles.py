from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.errors import EngineError, ErrorCode
from engine.io.profiles import (
    PROFILES,
    QUANTITIES,
    custom_calibration,
    parse_profile,
    profile_names,
)
from engine.io.roles import ROLES
from engine.io.source import Scaling

numbers = st.floats(-1e6, 1e6, allow_nan=False)
scalings = st.builds(Scaling, numbers, numbers)


def value(profile, stored, role="red"):
    scaling = parse_profile(profile).scaling(role, 1)
    return stored * scaling.scale + scaling.offset


@pytest.mark.parametrize(
    ("profile", "stored", "expected"),
    [
        ("reflectance", 0.25, 0.25),
        ("reflectance-10000", 2500, 0.25),
        ("sentinel2-l1c", 2500, 0.25),
        ("sentinel2-l1c-0400", 3500, 0.25),
        ("sentinel2-l2a", 2500, 0.25),
        ("sentinel2-l2a-0400", 3500, 0.25),
        ("landsat-c1-l1:sun_elevation=30", 11250, 0.25),
        ("landsat-c2-l1:sun_elevation=90", 17500, 0.25),
        ("landsat-c1-l2", 2500, 0.25),
        ("landsat-c2-l2", 18182, 0.3000050),
        ("rgb8", 51, 0.2),
        ("raw", 77, 77),
        ("custom:quantity=reflectance,scale=0.001,offset=-0.05", 300, 0.25),
        ("custom:quantity=reflectance,scale=0.001,scale.red=0.002,offset.red=-1", 625, 0.25),
        ("custom:quantity=reflectance,scale=5,scale.1=0.001", 250, 0.25),
    ],
)
def test_known_values(profile, stored, expected):
    assert value(profile, stored) == pytest.approx(expected)


def test_landsat_formula_of_the_demo_scene():
    expected = (2e-5 * 9000 - 0.1) / math.sin(math.radians(64.7436))
    assert value("landsat-c1-l1:sun_elevation=64.7436", 9000) == pytest.approx(expected, rel=1e-12)


def test_heat_is_not_scaled_to_reflectance():
    assert value("landsat-c2-l2", 40000, role="lwir11") == 40000


@pytest.mark.parametrize("name", [p for p in PROFILES if p.startswith(("sentinel", "landsat"))])
def test_zero_is_fill_in_products(name):
    text = f"{name}:sun_elevation=45" if PROFILES[name].by_sun else name
    assert parse_profile(text).ignored("red") == (0,)


@given(
    st.sampled_from(QUANTITIES),
    st.dictionaries(st.sampled_from((*ROLES, "1", "12")), scalings, min_size=1),
    st.none() | numbers,
)
def test_custom_profiles_survive_their_text(quantity, by_band, fill):
    made = custom_calibration(quantity, list(by_band.items()), fill)
    read = parse_profile(made.name)
    assert read == made
    for key, scaling in by_band.items():
        number = int(key) if key.isdecimal() else 99
        assert read.scaling("" if key.isdecimal() else key, number) == scaling


@given(st.floats(0.001, 90))
def test_sun_elevation_survives_its_text(degrees):
    made = parse_profile(f"landsat-c1-l1:sun_elevation={degrees!r}")
    assert parse_profile(made.name) == made


def test_unknown_profile_lists_the_known_ones():
    with pytest.raises(EngineError) as caught:
        parse_profile("sentinel3")
    assert caught.value.code is ErrorCode.PROFILE_UNKNOWN
    assert all(name in caught.value.hint for name in profile_names())


@pytest.mark.parametrize(
    "text",
    [
        "landsat-c1-l1",
        "landsat-c1-l1:sun_elevation=",
        "landsat-c1-l1:sun_elevation=high",
        "landsat-c1-l1:sun_elevation=0",
        "landsat-c1-l1:sun_elevation=90.1",
        "landsat-c1-l1:sun_elevation=nan",
        "landsat-c1-l1:sun=45",
        "landsat-c1-l1:sun_elevation=45,sun_elevation=46",
        "sentinel2-l1c:sun_elevation=45",
        "rgb8:x",
        "custom",
        "custom:quantity=light,scale=1",
        "custom:quantity=raw,gain=1",
        "custom:quantity=raw,scale.infrared=1",
    ],
)
def test_bad_parameters(text):
    with pytest.raises(EngineError) as caught:
        parse_profile(text)
    assert caught.value.code is ErrorCode.PROFILE_PARAMETER
    assert caught.value.hint

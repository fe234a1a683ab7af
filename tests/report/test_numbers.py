"""Numbers as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.report import numbers

S = numbers.SPACE


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (None, None, "–"),
        (math.nan, 2, "–"),
        (math.inf, None, "∞"),
        (-math.inf, None, "−∞"),
        (0, None, "0"),
        (1234567, None, f"1{S}234{S}567"),
        (-1234.5, 2, f"−1{S}234.50"),
        (0.511, None, "0.511"),
        (3.1, None, "3.1"),
        (12345.678, None, f"12{S}345.7"),
        (1e-9, None, "1e-09"),
    ],
)
def test_numbers(value, digits, text):
    assert numbers.shown(value, digits) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.51123, "0.511"), (0, "0"), (4299.4, f"4{S}300"), (17.523, "17.5"), (1.2345e-7, "1.23e-07")],
)
def test_three_digits_are_enough(value, text):
    assert numbers.brief(value) == text


@given(st.floats(1e-6, 1e14))
def test_no_more_than_half_of_the_last_digit_is_lost(value):
    text = numbers.shown(value).replace(S, "").replace("−", "-")
    assert float(text) == pytest.approx(value, rel=6e-6)
    assert float(numbers.brief(value).replace(S, "").replace("−", "-")) == pytest.approx(
        value, rel=6e-3
    )


@pytest.mark.parametrize(
    ("square_metres", "text"),
    [
        (950, f"950{S}m²"),
        (42_994, f"4.30{S}ha"),
        (4_299_400, f"4.30{S}km²"),
        (3e9, f"3{S}000{S}km²"),
    ],
)
def test_areas_have_a_unit_that_suits_them(square_metres, text):
    assert numbers.area(square_metres) == text


def test_small_shares_are_not_nothing():
    assert numbers.percent(7.63e-6) == f"less than 0.01{S}%"
    assert numbers.percent(0) == f"0{S}%"
    assert numbers.percent(0.17523) == f"17.5{S}%"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(8.853, f"8.85{S}s"), (75, f"1{S}min 15{S}s"), (7320, f"2{S}h 2{S}min")],
)
def test_durations(seconds, text):
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, f"0{S}B"), (500_000, f"488{S}KiB"), (3 * 2**40, f"3{S}TiB")]
)
def test_bytes(count, text):
    assert numbers.data_size(count) == text

"""The filters against speckle, on speckle of a known number of looks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models.speckle import multitemporal, stilled, without_speckle

LOOKS, WINDOW = 4, 7
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


def speckle(ground, dates, seed=0, looks=LOOKS):
    """``[N, H, W]`` power: gamma noise of some looks, another at each date."""
    rng = np.random.default_rng(seed)
    return ground * rng.gamma(looks, 1 / looks, (dates, *np.shape(ground)))


def looks_of(power):
    """Where the ground is even: the mean squared over the variance."""
    inner = power[..., WINDOW:-WINDOW, WINDOW:-WINDOW]
    return inner.mean() ** 2 / inner.var()


def decibel(power):
    return (10 * np.log10(power)).astype(np.float32)


@pytest.mark.parametrize("dates", [1, 2, 4, 8, 16])
def test_the_number_of_looks_is_what_the_formula_says(dates):
    power = speckle(np.full((400, 400), 0.05), dates)
    found = looks_of(multitemporal(power, np.ones(power.shape, bool), WINDOW)[0])
    pixels = WINDOW**2
    expected = LOOKS * dates * pixels / (dates + pixels - 1)
    print(f"{dates} dates: {found:.1f} looks, expected {expected:.1f}")  # noqa: T201 - for people
    assert found == pytest.approx(expected, rel=0.12)


@settings(max_examples=10)
@given(level=st.floats(1e-3, 1.0), dates=st.integers(2, 8), seed=st.integers(0, 1000))
def test_radiometry_is_kept(level, dates, seed):
    power = speckle(np.full((200, 200), level), dates, seed)
    filtered = multitemporal(power, np.ones(power.shape, bool), WINDOW)
    assert filtered.mean() == pytest.approx(power.mean(), rel=0.01)


def test_a_step_of_one_date_is_kept_and_stays_out_of_the_others():
    ground = np.full((8, 200, 200), 0.1)
    ground[3, :, 100:] *= 10**-0.4
    power = ground * speckle(1.0, 8 * 200 * 200).reshape(8, 200, 200)
    filtered = multitemporal(power, np.ones(power.shape, bool), WINDOW)
    left, right = filtered[3, 10:-10, 20:90].mean(), filtered[3, 10:-10, 110:180].mean()
    assert 10 * np.log10(right / left) == pytest.approx(-4, abs=0.2)
    other = filtered[0, 10:-10, 110:180].mean() / filtered[0, 10:-10, 20:90].mean()
    assert abs(10 * np.log10(other)) < 0.2


def test_what_is_sharp_at_all_dates_stays_sharp():
    ground = np.full((200, 200), 0.05)
    ground[::10, ::10] *= 20
    power = speckle(ground, 12)
    filtered = multitemporal(power, np.ones(power.shape, bool), WINDOW)[0]
    peak = filtered[::10, ::10][2:-2, 2:-2].mean() / filtered[5::10, 5::10][2:-2, 2:-2].mean()
    assert peak == pytest.approx(20, rel=0.15)


def town(seed=2):
    """Backscatter that differs from pixel to pixel by 6 dB, as among houses."""
    return 0.05 * 10 ** (0.6 * np.random.default_rng(seed).normal(size=(200, 200)))


def noise_and_fall(ground, further):
    """Of the log-ratio: its deviation where nothing changed, and its mean in a fall by 4 dB."""
    later = ground.copy()
    later[60:90, 100:140] *= 10**-0.4
    dates = [speckle(ground, 1, 1)[0], speckle(later, 1, 2)[0], *speckle(ground, further, 3)]
    before, after = stilled([decibel(d)[None] for d in dates], WINDOW)
    ratio = (after - before)[0]
    return ratio[100:190, 10:190].std(), ratio[65:85, 105:135].mean()


def test_further_dates_take_noise_out_of_the_ratio_of_a_town():
    alone, _ = noise_and_fall(town(), 0)
    noises, falls = zip(*(noise_and_fall(town(), n) for n in (1, 4, 8)), strict=True)
    told = ", ".join(f"{n:.2f}" for n in noises)
    print(f"deviation {alone:.2f} dB alone, {told} dB with 1, 4, 8 further dates")  # noqa: T201
    assert max(noises) < 0.6 * alone
    assert all(fall == pytest.approx(-4, abs=0.5) for fall in falls)


def test_on_even_ground_further_dates_change_nothing():
    """The ratio of two dates filtered alike is that of their local means: see the docstring."""
    alone, fall = noise_and_fall(np.full((200, 200), 0.05), 0)
    more, same = noise_and_fall(np.full((200, 200), 0.05), 8)
    assert more == pytest.approx(alone, rel=0.05)
    assert same == pytest.approx(fall, abs=0.3)


def test_equal_dates_have_an_equal_level_whatever_the_further_ones():
    power = speckle(town(), 4)
    dates = [decibel(power[0])] * 2 + [decibel(p) for p in power[1:]]
    before, after = stilled(dates, WINDOW)
    np.testing.assert_array_equal(before, after)


def test_pixels_that_a_further_date_lacks_are_filtered_with_the_others():
    dates = [decibel(p) for p in speckle(town(), 5)]
    holed = dates[3].copy()
    holed[50:80] = -1000
    before, after = stilled([*dates[:3], holed, dates[4]], WINDOW)
    assert np.isfinite(before).all()
    assert np.isfinite(after).all()
    whole = stilled(dates, WINDOW)[0]
    np.testing.assert_array_equal(before[:30], whole[:30])


def test_two_dates_alone_are_averaged_as_power():
    dates = [decibel(p) for p in speckle(town(), 2)]
    for found, date in zip(stilled(dates, WINDOW), dates, strict=True):
        np.testing.assert_array_equal(found, without_speckle(date, WINDOW))

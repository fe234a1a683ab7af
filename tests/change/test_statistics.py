"""Comparisons of two dates without training: right where the answer is known."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from engine.change.irmad import fit_irmad
from engine.change.moments import moments
from engine.change.threshold import otsu
from engine.change.vectors import fit_vectors
from engine.models.difference import (
    Difference,
    difference_from_json,
    difference_to_json,
)

settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

SHARED = Path(os.environ.get("SWATH_SHARED") or Path(__file__).parents[3] / "shared")
COUNT = 40_000
PLANTED = slice(0, COUNT // 20)
FITS = {"irmad": lambda x, y: fit_irmad(x, y).difference, "cva": fit_vectors}


def pair(seed=0, bands=4, noise=20.0):
    """Correlated bands; the second date is another sensor's view, with noise and planted change."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(bands, bands)) + 2
    before = 300 * mixing @ rng.normal(size=(bands, COUNT)) + 1000
    after = 1.3 * before + 50 + rng.normal(0, noise, before.shape)
    after[:, PLANTED] += 400 * rng.normal(size=(bands, 1))
    return before.astype(np.float32), after.astype(np.float32)


def area_under_curve(score, truth):
    """Chance that a changed pixel scores above an unchanged one."""
    changed, rest = int(truth.sum()), int((~truth).sum())
    ranks = stats.rankdata(score)[truth].sum()
    return (ranks - changed * (changed + 1) / 2) / (changed * rest)


def best_f1(score, truth):
    found = []
    for cut in np.quantile(score, np.linspace(0.5, 0.999, 200)):
        above = score > cut
        found.append(2 * (above & truth).sum() / (above.sum() + truth.sum()))
    return max(found)


def changed():
    truth = np.zeros(COUNT, bool)
    truth[PLANTED] = True
    return truth


@pytest.mark.parametrize("bands", [1, 2, 4, 9])
def test_probabilities_of_no_change_are_uniform_where_nothing_changed(bands, record_property):
    before, after = pair(bands=bands)
    difference = fit_irmad(before, after).difference
    unchanged = difference.unchanged(difference.statistic(before, after))[~changed()]
    found = stats.kstest(unchanged, "uniform")
    record_property("kolmogorov_smirnov", found.statistic)
    print(f"{bands} bands: Kolmogorov-Smirnov {found.statistic:.4f}, p {found.pvalue:.3f}")  # noqa: T201 - a figure for people
    assert found.statistic < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_planted_change_is_found(seed):
    before, after = pair(seed)
    statistic = fit_irmad(before, after).difference.statistic(before, after)
    truth = changed()
    area = area_under_curve(statistic, truth)
    print(f"area under the curve {area:.5f}")  # noqa: T201 - a figure for people
    assert area >= 0.99
    cut = otsu(np.sqrt(statistic))
    assert ((statistic > cut**2) == truth).mean() > 0.999


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), bands=st.integers(1, 5))
def test_any_affine_transform_of_either_date_gives_the_same_statistic(seed, bands):
    before, after = (d.astype(np.float64)[:, :4000] for d in pair(1, bands))
    rng = np.random.default_rng(seed)

    def turned(date):
        while np.linalg.cond(matrix := rng.normal(size=(bands, bands))) > 50:
            pass
        return matrix @ date * rng.uniform(1e-3, 1e3) + rng.normal(size=(bands, 1)) * 100

    plain = fit_irmad(before, after).difference.statistic(before, after)
    one, two = turned(before), turned(after)
    other = fit_irmad(one, two).difference.statistic(one, two)
    np.testing.assert_allclose(other, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", FITS)
def test_identical_dates_are_unchanged_everywhere(method):
    before, _ = pair()
    difference = FITS[method](before, before.copy())
    assert difference.statistic(before, before).max() < 1e-6


@pytest.mark.parametrize("method", FITS)
def test_one_changed_patch_in_identical_dates_is_all_that_is_found(method):
    before, _ = pair()
    after = before.copy()
    after[:, :50] += 200
    difference = FITS[method](before, after)
    unchanged = difference.unchanged(difference.statistic(before, after))
    assert unchanged[:50].max() < 1e-6
    assert unchanged[50:].min() > 0.99


@pytest.mark.parametrize("method", FITS)
def test_swapped_dates_give_the_same_statistic(method):
    before, after = pair()
    forth = FITS[method](before, after).statistic(before, after)
    back = FITS[method](after, before).statistic(after, before)
    np.testing.assert_allclose(back, forth, rtol=1e-6)


@pytest.mark.parametrize("method", FITS)
def test_bands_that_tell_nothing_new_do_no_harm(method):
    before, after = pair(bands=3)
    plain = FITS[method](before, after).statistic(before, after)
    flat = np.full((1, COUNT), 7, np.float32)
    more = FITS[method](np.concatenate([before, flat]), np.concatenate([after, flat]))
    found = more.statistic(np.concatenate([before, flat]), np.concatenate([after, flat]))
    np.testing.assert_allclose(found, plain, rtol=1e-6)
    assert more.components == 3


def test_a_band_that_is_there_twice_counts_once():
    before, after = pair(bands=3)
    plain = fit_irmad(before, after).difference.statistic(before, after)
    twice = [np.concatenate([d, d[:1]]) for d in (before, after)]
    difference = fit_irmad(*twice).difference
    assert difference.components == 3
    np.testing.assert_allclose(difference.statistic(*twice), plain, rtol=1e-3)


@pytest.mark.parametrize("method", FITS)
def test_a_date_without_any_variance_is_refused(method):
    flat = np.full((2, 100), 3, np.float32)
    with pytest.raises(ValueError, match="same value everywhere"):
        FITS[method](flat, flat)


def test_means_that_are_large_beside_the_spread_cost_no_digits():
    rng = np.random.default_rng(0)
    small = rng.normal(size=(3, 600_000))
    weights = rng.random(600_000)
    found, plain = moments(small + 1e6, weights), moments(small, weights)
    np.testing.assert_allclose(found.covariance, plain.covariance, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(plain.covariance, np.cov(small, aweights=weights, ddof=0), rtol=1e-9)


def test_otsu_cuts_between_two_groups_and_finds_none_where_all_is_equal():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(1, 0.2, 9000), rng.normal(5, 0.5, 1000)])
    assert 1.8 < otsu(values) < 4.2
    assert otsu(np.zeros(100)) is None


def test_a_comparison_survives_its_text():
    before, after = pair()
    difference = fit_irmad(before, after).difference
    again = difference_from_json(difference_to_json(difference))
    assert again.statistic(before, after).tobytes() == difference.statistic(before, after).tobytes()


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "not json",
        '{"before": [[1]], "after": [[1]], "offset": [0], "deviation": [0]}',
        '{"before": [[1]], "after": [[1, 2]], "offset": [0], "deviation": [1]}',
        '{"before": [1], "after": [1], "offset": [0], "deviation": [1]}',
        '{"before": [[NaN]], "after": [[1]], "offset": [0], "deviation": [1]}',
        '{"before": [[1]], "after": [[1]], "offset": [0], "deviation": [1], "speckle": 1.5}',
        '{"before": [[1]], "after": [[1]], "offset": [0], "deviation": [1], "cut": -1.0}',
        '{"before": [["a"]], "after": [[1]], "offset": [0], "deviation": [1]}',
    ],
)
def test_a_text_that_is_no_comparison_is_refused(text):
    with pytest.raises(ValueError, match=r"\w"):
        difference_from_json(text)


def test_a_statistic_has_the_shape_of_the_pixels():
    plain = Difference(np.eye(2), np.eye(2), np.zeros(2), np.ones(2))
    tile = np.ones((2, 5, 3, 4))
    assert plain.statistic(tile, 0 * tile).tolist() == np.full((5, 3, 4), 2.0).tolist()


@pytest.mark.shared
def test_new_buildings_in_dubai_stand_out_more_by_irmad_than_by_change_vectors():
    folder = SHARED / "data" / "oscd_dubai_nc"
    before, after = (
        np.asarray(Image.open(folder / name))[..., :3].reshape(-1, 3).T.astype(np.float32)
        for name in ("before.png", "after.png")
    )
    truth = (np.asarray(Image.open(folder / "label.png")) > 127).ravel()
    figures = {}
    for method, fit in FITS.items():
        score = np.sqrt(fit(before, after).statistic(before, after))
        mapped = score > otsu(score)
        precision = (mapped & truth).sum() / mapped.sum()
        recall = (mapped & truth).sum() / truth.sum()
        figures[method] = area_under_curve(score, truth), best_f1(score, truth)
        print(  # noqa: T201 - a figure for people
            f"{method}: area under the curve {figures[method][0]:.3f}, "
            f"best F1 {figures[method][1]:.3f}; by Otsu F1 "
            f"{2 * precision * recall / (precision + recall):.3f}, "
            f"precision {precision:.3f}, recall {recall:.3f}"
        )
    assert figures["irmad"][0] > figures["cva"][0] > 0.75
    assert figures["irmad"][1] > figures["cva"][1]

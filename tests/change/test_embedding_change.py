"""The distance between embeddings: right where the answer is known, and beside other methods."""

import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from engine.change.departures import fit_departure, otsu_cut
from engine.change.irmad import fit_irmad
from engine.change.threshold import otsu
from engine.change.vectors import fit_vectors
from engine.models.departure import departure_from_json, departure_to_json

SHARED = Path(os.environ.get("SWATH_SHARED") or Path(__file__).parents[3] / "shared")
NETWORK = Path(__file__).parents[2] / "resources/models/galileo-nano.onnx"
COUNT, WIDTH = 20_000, 32
PLANTED = slice(0, COUNT // 20)
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


def pair(seed=0, noise=0.2):
    """Embeddings of two dates, the second with another mean, noise and planted change."""
    rng = np.random.default_rng(seed)
    before = rng.normal(size=(WIDTH, COUNT)) + 3
    after = before + rng.normal(0, noise, before.shape) + rng.normal(size=(WIDTH, 1))
    after[:, PLANTED] = rng.normal(size=(WIDTH, COUNT // 20)) + 3
    return before.astype(np.float32), after.astype(np.float32)


def area_under_curve(score, truth):
    changed, rest = int(truth.sum()), int((~truth).sum())
    ranks = stats.rankdata(score)[truth].sum()
    return (ranks - changed * (changed + 1) / 2) / (changed * rest)


def found_by(mapped, truth):
    """F1, precision and recall."""
    both = (mapped & truth).sum()
    precision, recall = both / max(mapped.sum(), 1), both / truth.sum()
    return 2 * precision * recall / max(precision + recall, 1e-9), precision, recall


@pytest.mark.parametrize("seed", range(3))
def test_planted_change_is_found(seed):
    before, after = pair(seed)
    fit = fit_departure(before, after)
    statistic = fit.statistic(before, after)
    truth = np.arange(COUNT) < COUNT // 20
    cut = otsu_cut(fit, statistic)
    assert cut is not None
    assert ((statistic > cut**2) == truth).mean() > 0.999


def test_identical_dates_do_not_differ_at_all():
    before, _ = pair()
    fit = fit_departure(before, before)
    assert not fit.statistic(before, before).any()
    assert otsu_cut(fit, fit.statistic(before, before)) is None


def test_swapped_dates_differ_by_the_same_to_the_last_bit():
    before, after = pair()
    forth, back = fit_departure(before, after), fit_departure(after, before)
    assert (forth.scale, forth.freedom) == (back.scale, back.freedom)
    np.testing.assert_array_equal(forth.statistic(before, after), back.statistic(after, before))


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), noise=st.floats(0.02, 0.6))
def test_a_share_of_false_alarms_is_the_share_found_where_nothing_changed(seed, noise):
    rng = np.random.default_rng(seed)
    before = rng.normal(size=(WIDTH, COUNT)).astype(np.float32)
    after = before + rng.normal(0, noise, before.shape).astype(np.float32)
    fit = fit_departure(before, after)
    statistic = fit.statistic(before, after)
    assert 0.02 < (fit.unchanged(statistic) < 0.05).mean() < 0.09
    assert otsu_cut(fit, statistic) is None


def test_what_is_common_to_all_of_a_date_is_no_change():
    before, after = pair()
    lifted = after + np.linspace(-2, 2, WIDTH, dtype=np.float32)[:, None]
    one, other = fit_departure(before, after), fit_departure(before, lifted)
    np.testing.assert_allclose(
        other.statistic(before, lifted), one.statistic(before, after), rtol=1e-3, atol=1e-3
    )


def test_even_ground_whose_embeddings_are_noise_hides_no_change():
    rng = np.random.default_rng(0)
    before, after = (1 + rng.normal(0, 0.01, (WIDTH, COUNT)) for _ in range(2))
    after[:, PLANTED] += 0.1 * rng.normal(size=(WIDTH, 1))
    before, after = before.astype(np.float32), after.astype(np.float32)
    fit = fit_departure(before, after)
    truth = np.arange(COUNT) < COUNT // 20
    assert area_under_curve(fit.statistic(before, after), truth) > 0.999


def test_embeddings_that_are_all_the_same_are_refused():
    flat = np.ones((WIDTH, 100), np.float32)
    with pytest.raises(ValueError, match="the same"):
        fit_departure(flat, flat)


def test_a_comparison_survives_its_text():
    fit = fit_departure(*pair())
    again = departure_from_json(departure_to_json(fit))
    before, after = pair(5)
    assert again.statistic(before, after).tobytes() == fit.statistic(before, after).tobytes()


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "not json",
        '{"usual": [1], "deviation": [1, 2], "scale": 1, "freedom": 1, "cut": 1}',
        '{"usual": [1], "deviation": [0], "scale": 1, "freedom": 1, "cut": 1}',
        '{"usual": [1], "deviation": [1], "scale": 0, "freedom": 1, "cut": 1}',
        '{"usual": [NaN], "deviation": [1], "scale": 1, "freedom": 1, "cut": 1}',
        '{"usual": [1], "deviation": [1], "scale": 1, "freedom": -1, "cut": 1}',
        '{"usual": [1], "deviation": [1], "scale": 1, "freedom": 1, "cut": -1}',
    ],
)
def test_a_text_that_is_no_comparison_is_refused(text):
    with pytest.raises(ValueError, match=r"\w"):
        departure_from_json(text)


def embedded(picture, month=12):
    """Galileo's embeddings ``[128, h, w]`` of red, green and blue in 8 bits, as reflectance."""
    network = onnxruntime.InferenceSession(NETWORK)
    height, width = (n // 32 * 32 for n in picture.shape[:2])
    s2 = np.full((1, 1, 10, height, width), -1e6, np.float32)
    for band, channel in enumerate((2, 1, 0)):
        s2[0, 0, band] = picture[:height, :width, channel] * np.float32(0.3 / 255)
    s1 = np.full((1, 1, 2, height, width), -1e6, np.float32)
    months = np.array([[month]], np.float32)
    return network.run(None, {"s2": s2, "s1": s1, "months": months})[0][0]


@pytest.mark.shared
def test_new_buildings_in_dubai_rank_higher_by_embeddings_than_by_bands():
    folder = SHARED / "data" / "oscd_dubai_nc"
    pictures = [
        np.asarray(Image.open(folder / f"{name}.png"))[..., :3].astype(np.float32)
        for name in ("before", "after")
    ]
    dates = [embedded(picture) for picture in pictures]
    rows, cols = (4 * n for n in dates[0].shape[1:])
    truth = (np.asarray(Image.open(folder / "label.png")) > 127)[:rows, :cols]
    figures = {}

    def show(method, score, cut):
        figures[method] = area_under_curve(score.ravel(), truth.ravel())
        f1, precision, recall = found_by(score > cut, truth)
        print(  # noqa: T201 - a figure for people
            f"{method}: area under the curve {figures[method]:.3f}; by Otsu F1 {f1:.3f}, "
            f"precision {precision:.3f}, recall {recall:.3f}"
        )
        return f1

    best = 0.0
    pixels = [p[:rows, :cols].reshape(-1, 3).T for p in pictures]
    fits = {"cva": fit_vectors, "irmad": lambda x, y: fit_irmad(x, y).difference}
    for method, fit in fits.items():
        score = np.sqrt(fit(*pixels).statistic(*pixels)).reshape(truth.shape)
        best = max(best, show(method, score, otsu(score)))
    flat = [date.reshape(len(date), -1) for date in dates]
    fit = fit_departure(*flat)
    statistic = fit.statistic(*flat)
    root = np.sqrt(statistic).reshape(dates[0].shape[1:]).repeat(4, 0).repeat(4, 1)
    assert show("embedding", root, otsu_cut(fit, statistic)) > best - 0.02
    assert figures["embedding"] > 0.84 > figures["irmad"] > figures["cva"]

"""OPERA's radar disturbance networks in the catalogue, beside their authors' answers."""

from pathlib import Path

import numpy as np
import pytest

from engine.models.encoders.onnx_run import OnnxRun

CHECKOUT = Path(__file__).resolve().parents[2]
MODELS = ("dist-s1", "dist-s1-32")
CASES = (("dist-s1", 9), ("dist-s1", 3), ("dist-s1-32", 9))
SAME = 1e-4
UNSEEN = -1e6


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden/dist_s1.npz") as kept:
        return dict(kept)


@pytest.fixture(scope="module", params=MODELS)
def network(request):
    return OnnxRun(CHECKOUT / f"resources/models/{request.param}.onnx")


def given(decibels, dates=9):
    """What the file takes: the last date as the new image, those before it as the series."""
    scenes = decibels.astype(np.float32)
    before = scenes[len(scenes) - 1 - dates : -1]
    months = np.ones((1, dates), np.float32)
    return {"after": scenes[None, -1], "before": before[None], "months": months}


def logit(decibels):
    power = 10 ** (decibels.astype(np.float64) / 10)
    return np.log(power / (1 - power))


def check(answer, decibels, wanted):
    """Expected backscatter and its spread are the authors', and the others follow from them."""
    mean, spread = np.split(wanted, 2)
    np.testing.assert_allclose(logit(answer[3:5]), mean, atol=SAME, rtol=0)
    np.testing.assert_allclose(answer[5:], spread, atol=SAME, rtol=0)
    z = (logit(decibels[-1]) - mean) / spread
    np.testing.assert_allclose(answer[1:3], z, atol=20 * SAME, rtol=1e-3)
    np.testing.assert_allclose(answer[0], np.abs(z).max(0), atol=20 * SAME, rtol=1e-3)


# --- what the authors' code answers -------------------------------------------------------------


@pytest.mark.parametrize(("model", "dates"), CASES)
def test_the_catalogues_files_answer_as_their_authors_code(golden, model, dates):
    run = OnnxRun(CHECKOUT / f"resources/models/{model}.onnx")
    shown = golden["decibels"]
    check(run(given(shown, dates))[0], shown, golden[f"{model}_{dates}"])


# --- what was not seen --------------------------------------------------------------------------


def test_what_a_date_did_not_see_is_the_mean_of_the_others(golden, network):
    shown = golden["decibels"].astype(np.float32)
    holed, mended = shown.copy(), shown.copy()
    holed[4, :, 5:20, 10:30] = UNSEEN
    rest = logit(np.delete(shown[:-1], 4, 0)).mean(0)
    power = 1 / (1 + np.exp(-rest))
    mended[4, :, 5:20, 10:30] = (10 * np.log10(power))[:, 5:20, 10:30]
    found = network(given(holed))
    np.testing.assert_allclose(found, network(given(mended)), atol=20 * SAME, rtol=1e-3)
    assert np.abs(found - network(given(shown))).max() > 100 * SAME


def test_what_no_date_saw_leaves_numbers_everywhere_and_little_change_beside_it(golden, network):
    shown = golden["decibels"].astype(np.float32)
    holed = shown.copy()
    holed[:-1, :, :, 36:] = UNSEEN
    found, whole = network(given(holed))[0], network(given(shown))[0]
    assert np.isfinite(found).all()
    gap = np.abs(found - whole)[3:, :, :36]
    assert gap[:2].mean() < 0.1  # decibels
    assert (found[5:, :, :36] / whole[5:, :, :36]).max() < 1.3
    holed[:-1] = UNSEEN
    assert np.isfinite(network(given(holed))).all()


# --- time and brightness ------------------------------------------------------------------------


def test_the_order_of_the_dates_matters_and_their_months_do_not(golden, network):
    shown = given(golden["decibels"])
    answer = network(shown)
    turned = {**shown, "before": np.ascontiguousarray(shown["before"][:, ::-1])}
    assert np.abs(network(turned) - answer).max() > 100 * SAME
    summer = {**shown, "months": np.full((1, 9), 7, np.float32)}
    np.testing.assert_array_equal(network(summer), answer)


@pytest.mark.parametrize("step", [-4.0, 4.0])
def test_z_is_below_zero_where_the_new_image_is_darker(golden, network, step):
    shown = given(golden["decibels"])
    changed = {**shown, "after": shown["after"] + np.float32(step)}
    z = network(changed)[0, 1:3] * np.sign(step)
    assert np.median(z) > 3
    np.testing.assert_array_equal(network(changed)[:, 3:], network(shown)[:, 3:])


def test_brightness_without_a_logit_is_held(golden, network):
    shown = given(golden["decibels"])
    for decibels in (0.0, 25.0, -100.0):
        shown["after"][..., :4, :4] = decibels
        answer = network(shown)[0]
        assert np.isfinite(answer).all()
        assert (answer[0, :4, :4] > 10).all()

"""Galileo and Presto on PyTorch and as ONNX files, against what the authors' code answers."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (scripts/environment --torch)")

from engine.contract.errors import EngineError, ErrorCode  # noqa: E402 - after the skip
from engine.models.encoders.embedding import ChipEncoder, PixelEncoder  # noqa: E402 - the same
from engine.models.encoders.galileo import (  # noqa: E402 - the same
    Choices,
    Galileo,
    open_galileo,
    place_code,
    resize_kernels,
)
from engine.models.encoders.onnx_run import OnnxRun  # noqa: E402 - the same
from engine.models.encoders.presto import Presto, open_presto  # noqa: E402 - the same
from engine.models.encoders.series import ChipSeries, PixelSeries  # noqa: E402 - the same
from engine.models.encoders.transformer import ndvi  # noqa: E402 - the same
from engine.models.encoders.weights import TorchRun  # noqa: E402 - the same

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]
CHECKOUT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("SWATH_SHARED") or CHECKOUT.parent / "shared") / "models"
GALILEO = MODELS / "galileo_nano/encoder.pt"
PRESTO = MODELS / "presto/default_model.pt"
MAPS = {"galileo": "galileo-nano", "presto": "presto"}
SAME = 1e-5
"""Between two ways to compute numbers of about 1."""


def cosine(first, second):
    dots = (first * second).sum(-1)
    return dots / np.linalg.norm(first, axis=-1) / np.linalg.norm(second, axis=-1)


def random_weights(network, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
    return TorchRun(network.eval(), "cpu", half=False)


def chips(count=1, dates=1, rows=16, columns=16, seed=0):
    random = np.random.default_rng(seed)
    return ChipSeries(
        random.integers(0, 12, (count, dates)),
        random.uniform(0, 5000, (count, dates, 10, rows, columns)).astype(np.float32),
        random.uniform(-25, 0, (count, dates, 2, rows, columns)).astype(np.float32),
    )


def pixels(count=6, dates=4, seed=0):
    random = np.random.default_rng(seed)

    def between(low, high, *shape):
        return random.uniform(low, high, (count, *shape)).astype(np.float32)

    return PixelSeries(
        between(-60, 60, 2),
        random.integers(0, 12, (count, dates)),
        between(0, 5000, dates, 10),
        between(-25, 0, dates, 2),
        between(270, 300, dates, 2),
        between(0, 45, 2),
        random.integers(0, 9, (count, dates)),
    )


@pytest.fixture
def galileo():
    return ChipEncoder(random_weights(Galileo(Choices())))


@pytest.fixture
def presto():
    return PixelEncoder(random_weights(Presto()))


# --- what the authors' code answers -------------------------------------------------------------


def golden_chips():
    kept = np.load(MODELS / "galileo_nano/golden.npz")
    s2, s1 = (np.ascontiguousarray(kept[n].transpose(2, 3, 0, 1))[None] for n in ("s2", "s1"))
    answers = {n: kept[f"embedding_{n}"].transpose(2, 0, 1) for n in ("s1s2", "s2")}
    return ChipSeries(kept["month"][None], s2, s1), answers


def golden_pixels():
    """The months go on from the first; of 18 raw bands B09 and the index are not taken."""
    kept = np.load(MODELS / "presto/golden.npz")
    raw = kept["raw"]
    series = PixelSeries(
        kept["latlon"].astype(np.float32),
        (kept["month"][:, None] + np.arange(raw.shape[1])) % 12,
        raw[..., [2, 3, 4, 5, 6, 7, 8, 9, 11, 12]],
        raw[..., :2],
        raw[..., 13:15],
        raw[:, 0, 15:17],
        kept["dynamic_world"],
    )
    less = replace(series, s1=None, cover=None)
    unseen = replace(series, s1=series.s1 * np.nan, cover=np.full_like(series.cover, 9))
    some = kept["embedding_no_s1_no_dw"]
    return [(series, kept["embedding"]), (less, some), (unseen, some)]


def check_galileo(encoder):
    shown, answers = golden_chips()
    for name, series in (("s1s2", shown), ("s2", replace(shown, s1=None))):
        made = encoder.embed(series)[0]
        assert cosine(made.transpose(1, 2, 0), answers[name].transpose(1, 2, 0)).min() > 0.9999
        np.testing.assert_allclose(made, answers[name], atol=SAME)


def check_presto(encoder):
    for series, answer in golden_pixels():
        made = encoder.embed(series)
        assert cosine(made, answer).min() > 0.9999
        np.testing.assert_allclose(made, answer, atol=SAME)


@pytest.mark.shared
def test_galileo_answers_as_its_authors_code():
    check_galileo(open_galileo(GALILEO, Choices(scaling="fixed")))


@pytest.mark.shared
def test_presto_answers_as_its_authors_code():
    check_presto(open_presto(PRESTO))


@pytest.mark.shared
def test_bfloat16_is_near():
    shown, answers = golden_chips()
    made = open_galileo(GALILEO, Choices(scaling="fixed"), half=True).embed(shown)[0]
    assert cosine(made.transpose(1, 2, 0), answers["s1s2"].transpose(1, 2, 0)).min() > 0.999


def convert(tmp_path, name, weights, *options):
    target = tmp_path / f"{name}.onnx"
    program = CHECKOUT / "scripts/converting/encoders.py"
    command = [sys.executable, "-W", "ignore", program, name, weights, target, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return OnnxRun(target)


@pytest.mark.shared
def test_galileo_as_onnx_answers_as_its_authors_code(tmp_path):
    run = convert(tmp_path, "galileo", GALILEO, "--scaling", "fixed")
    check_galileo(ChipEncoder(run))


@pytest.mark.shared
def test_presto_as_onnx_answers_as_its_authors_code(tmp_path):
    check_presto(PixelEncoder(convert(tmp_path, "presto", PRESTO)))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "weights", "options", "bands"),
    [("galileo", GALILEO, ["--unplaced"], 10), ("presto", PRESTO, [], 14)],
)
def test_the_catalogues_files_are_what_the_conversion_makes(
    tmp_path, name, weights, options, bands
):
    made = convert(tmp_path, name, weights, "--map", *options)
    kept = OnnxRun(CHECKOUT / f"resources/models/{MAPS[name]}.onnx")
    random = np.random.default_rng(0)
    given = {
        "s2": random.uniform(0, 0.5, (1, 2, bands, 32, 64)).astype(np.float32),
        "s1": random.uniform(-25, 0, (1, 2, 2, 32, 64)).astype(np.float32),
        "months": np.array([[12, 1]], np.float32),
    }
    given["s1"][:, 0] = given["s2"][..., :9] = -1e6
    np.testing.assert_allclose(made(given), kept(given), atol=SAME)


# --- what was not seen --------------------------------------------------------------------------


def test_a_date_that_saw_nothing_is_no_date(galileo):
    two = chips(dates=2)
    s2, s1 = two.s2.copy(), two.s1.copy()
    s2[:, 1], s1[:, 1] = np.nan, np.nan
    one = ChipSeries(two.months[:, :1], s2[:, :1], s1[:, :1])
    made = galileo.embed(replace(two, s2=s2, s1=s1))
    np.testing.assert_allclose(made, galileo.embed(one), atol=SAME)
    assert np.abs(made - galileo.embed(two)).max() > 100 * SAME


def test_a_patch_of_which_nothing_was_seen_is_nan_and_tells_the_others_nothing(galileo):
    shown = chips()
    made = []
    for seed in (1, 2):  # whatever stands in the hole but for one pixel
        s2, s1 = shown.s2.copy(), shown.s1.copy()
        s2[..., 4:8, 8:12] = np.random.default_rng(seed).uniform(0, 5000, (10, 4, 4))
        s2[..., 5, 9], s1[..., 5, 9] = np.nan, np.nan
        made.append(galileo.embed(replace(shown, s2=s2, s1=s1))[0])
    np.testing.assert_array_equal(made[0], made[1])
    holes = np.isnan(made[0]).all(0)
    assert np.argwhere(holes).tolist() == [[1, 2]]
    assert np.isfinite(made[0][:, ~holes]).all()


def test_a_chip_of_which_nothing_was_seen_is_nan(galileo):
    shown = chips(2)
    shown.s2[0], shown.s1[0] = np.nan, np.nan
    made = galileo.embed(shown)
    assert np.isnan(made[0]).all()
    assert np.isfinite(made[1]).all()


def test_missing_bands_leave_out_their_group_alone(galileo):
    shown = replace(chips(), s1=None)
    s2 = shown.s2.copy()
    s2[:, :, 4] = np.nan
    one, other = galileo.embed(replace(shown, s2=s2)), s2.copy()
    other[:, :, [3, 5]] = 0  # the rest of the red edge
    assert np.isfinite(one).all()
    np.testing.assert_array_equal(one, galileo.embed(replace(shown, s2=other)))
    assert np.abs(one - galileo.embed(shown)).max() > 100 * SAME


def test_months_that_were_not_seen_are_no_months(presto):
    long = pixels(dates=5)
    gone = {n: getattr(long, n).copy() for n in ("s2", "s1", "era5")}
    for array in gone.values():
        array[:, 3:] = np.nan
    cover = np.where(np.arange(5) < 3, long.cover, 9)
    short = {n: getattr(long, n)[:, :3] for n in ("months", *gone, "cover")}
    made = presto.embed(replace(long, **gone, cover=cover))
    np.testing.assert_allclose(made, presto.embed(replace(long, **short)), atol=SAME)


def test_a_pixels_embedding_depends_on_no_other(presto):
    shown = pixels(200)
    random = np.random.default_rng(3)
    shown.s2[random.random((200, 4)) < 0.3] = np.nan
    together = presto.embed(shown)
    fields = ("latlon", "months", "s2", "s1", "era5", "srtm", "cover")
    for i in range(0, 200, 40):
        alone = PixelSeries(**{n: getattr(shown, n)[i : i + 1] for n in fields})
        np.testing.assert_allclose(presto.embed(alone)[0], together[i], atol=SAME)


def test_a_chips_embedding_is_the_same_to_the_bit_whatever_stands_beside_it(galileo):
    shown = chips(3)
    together = galileo.embed(shown)
    for i in range(3):
        alone = ChipSeries(*(a[i : i + 1] for a in (shown.months, shown.s2, shown.s1)))
        np.testing.assert_array_equal(galileo.embed(alone)[0], together[i])


# --- where and how large ------------------------------------------------------------------------


def rolled(shown, rows, columns):
    parts = (np.roll(a, (rows, columns), (-2, -1)) for a in (shown.s2, shown.s1))
    return ChipSeries(shown.months, *parts)


def test_without_its_place_a_patch_is_the_same_wherever_it_lies(galileo):
    shown = chips()
    free = ChipEncoder(random_weights(Galileo(Choices(placed=False))))
    for encoder, moves in ((free, False), (galileo, True)):
        moved = encoder.embed(rolled(shown, 4, 8))
        back = np.roll(moved, (-1, -2), (-2, -1))
        assert (np.abs(back - encoder.embed(shown)).max() > SAME) == moves


def test_places_are_distances_on_the_ground():
    fine, coarse = (place_code(5, 7, torch.tensor([step])) for step in (1.0, 2.0))
    torch.testing.assert_close(fine[::2, ::2], coarse[:3, :4])
    assert fine.flatten(0, 1).unique(dim=0).shape == (35, 32)


@pytest.mark.parametrize("patch", [1, 2, 3, 5, 8])
def test_every_patch_size_and_chips_that_are_not_square(patch):
    encoder = ChipEncoder(random_weights(Galileo(Choices(patch, ndvi=True))))
    made = encoder.embed(chips(2, 3, 3 * patch, 2 * patch + patch // 2))
    assert made.shape == (2, 128, 3, 2)
    assert np.isfinite(made).all()


@pytest.mark.parametrize("patch", [1, 3, 4, 6])
def test_small_kernels_answer_to_small_images_as_large_ones_to_large(patch):
    generator = torch.Generator().manual_seed(patch)
    kernel = torch.randn(1, 1, 8, 8, generator=generator)
    each = torch.eye(64).view(64, 1, 8, 8)
    shrink = torch.nn.functional.interpolate(each, (patch, patch), mode="bicubic", antialias=True)
    large = (shrink.flatten(1) @ torch.randn(patch * patch, generator=generator)).view(8, 8)
    small = (large.flatten() @ shrink.flatten(1)).view(patch, patch)
    answer = (resize_kernels(kernel, patch)[0, 0] * small).sum()
    torch.testing.assert_close(answer, (kernel[0, 0] * large).sum(), atol=1e-3, rtol=1e-3)


def test_vegetation_index():
    bands = torch.zeros(4, 10)
    bands[:, 2] = torch.tensor([1000.0, 0.0, -5.0, torch.nan])
    bands[:, 6] = torch.tensor([3000.0, 0.0, 3.0, 1.0])
    found = ndvi(bands, 1)[:, 0]
    assert found[:3].tolist() == [0.5, 0.0, 0.0]
    assert found[3].isnan()


# --- files that are no weights of these encoders ------------------------------------------------


@pytest.mark.parametrize("opener", [open_galileo, open_presto])
@pytest.mark.parametrize("content", ["nothing", "text", "code", "other"])
def test_files_that_are_no_weights_are_refused(opener, content, tmp_path):
    path = tmp_path / "weights.pt"
    if content == "text":
        path.write_text("these are no weights")
    elif content == "code":
        torch.save({"encoder.norm.weight": Path("never run")}, path)
    elif content == "other":
        torch.save({"encoder.norm.weight": torch.zeros(3)}, path)
    with pytest.raises(EngineError) as caught:
        opener(path)
    missing = content == "nothing"
    assert caught.value.code is (
        ErrorCode.MODEL_NOT_INSTALLED if missing else ErrorCode.MODEL_INVALID
    )


def test_files_that_onnx_runtime_cannot_read_are_refused(tmp_path):
    with pytest.raises(EngineError) as caught:
        OnnxRun(tmp_path / "none.onnx")
    assert caught.value.code is ErrorCode.MODEL_NOT_INSTALLED
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(EngineError) as caught:
        OnnxRun(tmp_path / "bad.onnx")
    assert caught.value.code is ErrorCode.MODEL_INVALID


def test_a_chip_smaller_than_a_patch_is_refused(galileo):
    with pytest.raises(EngineError) as caught:
        galileo.embed(chips(rows=3))
    assert caught.value.code is ErrorCode.MODEL_FAILED

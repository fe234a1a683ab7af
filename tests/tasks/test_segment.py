import numpy as np
import pytest

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ModelClass
from engine.geo.tiling import TileRule
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput, Transform
from engine.models.encode import encoding_of
from engine.tasks.segment import PROBABILITY_SCALE, SegmentTask


def card(activation="softmax", classes=((0, "clear"), (7, "cloud"), (9, "shadow"))) -> ModelCard:
    return ModelCard(
        id="t",
        version="1",
        title="t",
        summary="",
        tasks=("semantic-segmentation",),
        inputs=(
            ModelInput(
                ("red", "nir"),
                "raw",
                (0, 1),
                (Transform("z-score", (0.5, 1), (0.25, 2)),),
                10,
                (5, 20),
            ),
        ),
        tiling=TileRule(8, 0),
        merge="crop",
        output=ModelOutput(tuple(ModelClass(i, n, "#000000") for i, n in classes), activation),
        file=ModelFile("file:///x.onnx", "0" * 64, 1, "onnx"),
        license="MIT",
        attribution="",
        citation="",
    )


def test_encode_scales_and_normalises_band_by_band_and_fills_with_the_mean():
    encode = encoding_of(card().input, (0.01, 0.1), (0, -1))
    stored = np.array([[[100, 7]], [[40, 8]]], np.uint16)
    encoded = encode(stored, np.array([[True, False]]))
    np.testing.assert_allclose(encoded, [[[2, 0]], [[1, 0]]], atol=1e-6)
    assert encoded.dtype == np.float32


def test_encode_leaves_nan_of_invalid_pixels_behind():
    encode = encoding_of(card().input, (1, 1), (0, 0))
    stored = np.array([[[np.nan, 1]], [[np.nan, 1]]], np.float32)
    assert np.isfinite(encode(stored, np.array([[False, True]]))).all()


def test_softmax_sums_to_one_even_for_large_logits():
    raw = np.array([[[[1000.0]], [[999.0]], [[-1000.0]]]], np.float32)
    scores = SegmentTask(card()).activate(raw)
    assert scores.sum() == pytest.approx(1)
    assert scores[0, 0, 0, 0] == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-6)


def test_one_sigmoid_channel_gives_two_classes():
    task = SegmentTask(card("sigmoid", ((0, "other"), (1, "water"))))
    scores = task.activate(np.zeros((1, 1, 2, 2), np.float32))
    assert scores.shape == (1, 2, 2, 2)
    assert np.all(scores == 0.5)


@pytest.mark.parametrize(("detail", "count"), [("class", 1), ("confidence", 2), ("every", 5)])
def test_decide_writes_class_ids_nodata_and_stored_probabilities(detail, count):
    scores = np.array([[[0.2, 0.1]], [[0.7, 0.1]], [[0.1, 0.8]]], np.float32)
    task = SegmentTask(card())
    bands = task.decide(scores, np.array([[True, False]]), detail)
    assert len(bands) == task.bands(detail) == count
    np.testing.assert_array_equal(bands[0], [[7, 255]])
    assert (bands[1:, 0, 1] == 255).all()
    expected = [0.7, 0.2, 0.7, 0.1][: count - 1]
    stored = bands[1:, 0, 0] * PROBABILITY_SCALE
    np.testing.assert_allclose(stored, expected, atol=PROBABILITY_SCALE / 2)


def test_equals_go_to_the_first_class():
    scores = np.full((3, 1, 1), 1 / 3, np.float32)
    assert SegmentTask(card()).decide(scores, np.ones((1, 1), bool), "class")[0, 0, 0] == 0


def test_values_that_are_no_numbers_are_a_failure():
    scores = np.full((3, 2, 2), np.nan, np.float32)
    with pytest.raises(EngineError) as caught:
        SegmentTask(card()).decide(scores, np.ones((2, 2), bool), "class")
    assert caught.value.code is ErrorCode.MODEL_FAILED

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ModelClass
from engine.geo.tiling import TileRule
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput, SemanticChange
from engine.models.cardfile import card_from_json, card_to_json
from engine.models.each_date import of_one_date, of_two_dates
from engine.models.transition import NO_PAIR, split
from engine.tasks.segment import PROBABILITY_NODATA, PROBABILITY_SCALE
from engine.tasks.task import task_for

IDS = (3, 7, 200)
CLASSES = tuple(ModelClass(i, f"class {i}", "#808080") for i in IDS)
BAND = ModelInput(("red",), "raw", (0, 1), (), 10, (5, 20))


def card(threshold=None, activation="softmax", joining="separate") -> ModelCard:
    return ModelCard(
        id="two-dates",
        version="1",
        title="Two dates",
        summary="A test.",
        tasks=("semantic-segmentation",),
        inputs=(replace(BAND, name="before"), replace(BAND, name="after")),
        tiling=TileRule(8, 0),
        merge="crop",
        output=ModelOutput(CLASSES, activation, semantic_change=SemanticChange(threshold)),
        file=ModelFile("file:///x.onnx", "0" * 64, 1, "onnx"),
        license="MIT",
        attribution="Nobody",
        citation="none",
        joining=joining,
    )


def logits(seed, has_change, shape=(6, 5)):
    channels = 2 * len(IDS) + has_change
    return np.random.default_rng(seed).normal(0, 2, (1, channels, *shape)).astype(np.float32)


def decided(raw, threshold=None, valid=None, detail="confidence", activation="softmax"):
    task = task_for(card(threshold, activation))
    valid = np.ones(raw.shape[2:], bool) if valid is None else valid
    bands = task.decide(task.activate(raw)[0], valid, detail)
    return (*split(bands[0]), *bands[1:])


def swapped(raw):
    count = len(IDS)
    parts = (raw[:, count : 2 * count], raw[:, :count], raw[:, 2 * count :])
    return np.concatenate(parts, axis=1)


def test_each_date_has_its_own_likeliest_class():
    raw = logits(0, has_change=False)
    before, after, _ = decided(raw)
    ids = np.array(IDS)
    np.testing.assert_array_equal(before, ids[raw[0, :3].argmax(0)])
    np.testing.assert_array_equal(after, ids[raw[0, 3:].argmax(0)])


@given(seed=st.integers(0, 10_000), threshold=st.sampled_from([0.2, 0.5, 0.9]))
def test_with_a_score_of_change_classes_differ_there_and_nowhere_else(seed, threshold):
    raw = logits(seed, has_change=True)
    before, after, likely = decided(raw, threshold)
    change = 1 / (1 + np.exp(-raw[0, -1].astype(np.float64)))
    sure = np.abs(change - threshold) > 1e-5
    np.testing.assert_array_equal((before != after)[sure], (change >= threshold)[sure])
    np.testing.assert_allclose(likely * PROBABILITY_SCALE, change, atol=PROBABILITY_SCALE)


@given(seed=st.integers(0, 10_000))
def test_the_pair_is_the_likeliest_of_those_that_may_be(seed):
    raw = logits(seed, has_change=True)
    before, after, _ = decided(raw, 0.5)
    likely = np.exp(raw[0, :-1].astype(np.float64)).reshape(2, 3, *raw.shape[2:])
    one, two = likely / likely.sum(1, keepdims=True)
    changed = raw[0, -1] >= 0
    both = one[:, None] * two[None] * ~np.eye(3, dtype=bool)[..., None, None]
    first, second = np.divmod(both.reshape(9, *changed.shape).argmax(0), 3)
    same = (one + two).argmax(0)
    ids = np.array(IDS)
    np.testing.assert_array_equal(before, ids[np.where(changed, first, same)])
    np.testing.assert_array_equal(after, ids[np.where(changed, second, same)])


@given(seed=st.integers(0, 10_000), threshold=st.sampled_from([None, 0.5]))
def test_swapped_dates_swap_the_classes_and_leave_the_probability(seed, threshold):
    raw = logits(seed, has_change=threshold is not None)
    before, after, likely = decided(raw, threshold)
    other = decided(swapped(raw), threshold)
    np.testing.assert_array_equal(other[0], after)
    np.testing.assert_array_equal(other[1], before)
    np.testing.assert_array_equal(other[2], likely)


def test_without_a_score_the_probability_is_that_of_unlike_classes():
    raw = np.log(np.array([[0.5, 0.3, 0.2, 0.1, 0.6, 0.3]], np.float32))[..., None, None]
    likely = decided(raw)[2]
    agree = 0.5 * 0.1 + 0.3 * 0.6 + 0.2 * 0.3
    assert likely.item() * PROBABILITY_SCALE == pytest.approx(1 - agree, abs=PROBABILITY_SCALE)


def test_pixels_without_data_have_no_classes():
    valid = np.zeros((6, 5), bool)
    valid[2:4] = True
    task = task_for(card(0.5))
    bands = task.decide(task.activate(logits(1, has_change=True))[0], valid, "confidence")
    assert (bands[0] == NO_PAIR).tolist() == (~valid).tolist()
    assert (bands[1][~valid] == PROBABILITY_NODATA).all()
    np.testing.assert_array_equal(bands[:, ~valid], task.empty("confidence", (6, 5))[:, ~valid])
    assert task.bands("class") == 1


def test_numbers_that_are_none_are_refused():
    raw = logits(2, has_change=True)
    raw[0, 1, 3, 3] = np.nan
    with pytest.raises(EngineError) as caught:
        decided(raw, 0.5)
    assert caught.value.code is ErrorCode.MODEL_FAILED


def test_a_single_score_stands_for_two_classes_at_each_date():
    made = card()
    two = replace(made, output=replace(made.output, classes=CLASSES[:2], activation="sigmoid"))
    task = task_for(two)
    raw = np.array([[-2.0, 3.0]], np.float32)[..., None, None]
    bands = task.decide(task.activate(raw)[0], np.ones((1, 1), bool), "class")
    assert [part.item() for part in split(bands[0])] == [IDS[0], IDS[1]]


@pytest.mark.parametrize("threshold", [None, 0.4])
def test_a_card_says_so_and_is_read_again(threshold):
    made = card(threshold)
    told = card_to_json(made)["mlm:output"][0]
    assert told["result"]["shape"][1] == made.output.channels == 6 + (threshold is not None)
    assert card_from_json(card_to_json(made)) == made


def wrong(**changes):
    data = card_to_json(card(0.5)) | changes
    with pytest.raises(EngineError) as caught:
        card_from_json(data)
    assert caught.value.code is ErrorCode.MODEL_INVALID
    return caught.value.message


def test_cards_that_contradict_themselves_are_refused():
    good = card_to_json(card(0.5))
    assert "$.mlm:input" in wrong(**{"mlm:input": good["mlm:input"][:1]})
    assert "$.swath:joining" in wrong(**{"swath:joining": "each"})
    output = good["mlm:output"][0] | {"swath:threshold": 0.5}
    assert "swath:threshold" in wrong(**{"mlm:output": [output]})
    fewer = good["mlm:output"][0] | {"swath:semantic_change": {}}
    assert "shape" in wrong(**{"mlm:output": [fewer]})


def test_a_model_of_one_date_is_one_of_two_and_back():
    single = replace(
        card(), inputs=(BAND,), joining="channels", output=ModelOutput(CLASSES, "softmax")
    )
    double = of_two_dates(single)
    assert card_from_json(card_to_json(double)) == double
    assert [given.name for given in double.inputs] == ["before", "after"]
    assert double.has_transitions
    assert not single.has_transitions
    again = of_one_date(double)
    assert replace(again, inputs=single.inputs) == single

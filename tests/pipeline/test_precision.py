"""The arithmetic of a run: settled in its plan, told to its user, kept in its provenance."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from engine.contract.errors import EngineError, ErrorCode
from engine.models import onnx_model, openvino_network
from engine.models.network import NetworkError
from engine.models.onnx_providers import Way, ways
from engine.models.openvino_network import why_not_bfloat16, why_not_openvino
from engine.pipeline.plan import plan_from_json, plan_to_json
from engine.pipeline.report import Silence


class Told(Silence):
    """Remembers what a run says."""

    def __init__(self):
        self.said = []

    def message(self, level, text):
        self.said.append((level, text))


def forget():
    for answer in (why_not_openvino, why_not_bfloat16, openvino_network._core):
        answer.cache_clear()


@pytest.fixture
def without_openvino(monkeypatch):
    forget()
    monkeypatch.setitem(sys.modules, "openvino", None)
    yield
    forget()


@pytest.fixture
def with_bfloat16(monkeypatch):
    """Whatever this processor is worth: the digits are the same."""
    pytest.importorskip("openvino", reason="openvino is not installed (extra fast)")
    forget()
    monkeypatch.setattr(openvino_network, "WORTH_IT", 0)
    if reason := why_not_bfloat16():
        pytest.skip(reason)
    yield
    forget()


def item_of(outcome):
    place = next(a.uri for a in outcome.artifacts if a.role == "item")
    return json.loads(Path(place).read_text("utf-8"))["properties"]


def test_a_fast_run_that_cannot_be_is_exact_and_says_so(lab, without_openvino):
    scene, card = lab.scene(lab.data(80, 90)), lab.card()
    plan = lab.plan(scene, card, precision="fast", device="cpu")
    assert plan.recipe.precision == "exact"
    assert plan.digest == lab.plan(scene, card, device="cpu").digest
    told = Told()
    outcome = lab.carry_out(plan, told)
    sentence = next(text for _, text in told.said if "--precision fast was asked for" in text)
    assert sentence in outcome.summary.notes
    assert sentence in item_of(outcome)["swath:notes"]
    assert ("info", "The model runs on cpu.") in told.said
    assert item_of(outcome)["swath:device"] == "cpu"


def test_a_fast_plan_is_never_carried_out_exactly(lab, with_bfloat16, monkeypatch):
    plan = lab.plan(lab.scene(lab.data(80, 90)), lab.card(), precision="fast", device="cpu")
    forget()
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EngineError) as caught:
        lab.carry_out(plan)
    assert caught.value.code is ErrorCode.DEVICE_UNAVAILABLE
    assert not (lab.folder / "out.tif").exists()


def test_a_fast_run(lab, with_bfloat16):
    scene, card = lab.scene(lab.data(150, 140)), lab.card()
    exact = lab.run(scene, card, "exact", device="cpu")
    plan = lab.plan(scene, card, "fast", precision="fast", device="cpu")
    assert plan.recipe.precision == "fast"
    assert plan.digest != lab.plan(scene, card, "fast", device="cpu").digest
    assert plan_from_json(plan_to_json(plan)) == plan
    told = Told()
    fast = lab.carry_out(plan, told)
    used = item_of(fast)["swath:device"]
    assert used == fast.summary.device
    assert used.startswith("cpu (bfloat16 by OpenVINO")
    assert ("info", f"The model runs on {used}.") in told.said
    assert item_of(fast)["swath:options"]["precision"] == "fast"
    one, other = (rasterio.open(run.artifacts[0].uri).read(1) for run in (exact, fast))
    assert np.mean(one != other) < 0.01


def test_a_gpu_that_fails_is_told_of(lab, monkeypatch):
    def fail(_content, _threads):
        raise NetworkError("its driver is too old")

    both = [Way("cuda:0", fail), *ways("cpu", "exact")]
    monkeypatch.setattr(onnx_model, "ways", lambda _device, _precision: iter(both))
    told = Told()
    outcome = lab.carry_out(lab.plan(lab.scene(lab.data(80, 90)), lab.card()), told)
    (warning,) = [text for level, text in told.said if level == "warning"]
    assert "its driver is too old" in warning
    assert outcome.summary.device == item_of(outcome)["swath:device"] == "cpu"

"""Fewer digits for more speed, and what is said where that cannot be had."""

import importlib.util
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.tiling import TileRule
from engine.models import openvino_network
from engine.models.devices import NAMES, check_device, plain_device
from engine.models.measure import measured
from engine.models.openvino_network import why_not_bfloat16, why_not_openvino
from engine.models.precision import settle_precision
from engine.models.runtime import open_model, used_device

FIXED = ["batch", 2, 32, 32]
ANY = ["batch", 2, "h", "w"]
FREE = TileRule(128, 4, 4, fixed=False)

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed (extra fast)"
)


def needs_bfloat16():
    if reason := why_not_bfloat16():
        pytest.skip(reason)


@pytest.fixture
def opened(onnx, weight, make_card, tmp_path):
    """Open a 3 x 3 convolution."""

    def go(shape=None, device="cpu", precision="exact", threads=1, **changes):
        data = onnx(weight, shape or FIXED)
        path = tmp_path / "un modèle.onnx"
        path.write_bytes(data)
        return open_model(make_card(data, **changes), path, device, threads, precision)

    return go


@pytest.fixture
def batch():
    return np.random.default_rng(1).normal(size=(5, 2, 32, 32)).astype(np.float32)


@pytest.fixture
def without_openvino(monkeypatch):
    """As if the package were not there."""
    found = (why_not_openvino, why_not_bfloat16, openvino_network._core)
    for answer in found:
        answer.cache_clear()
    monkeypatch.setitem(sys.modules, "openvino", None)
    yield
    for answer in found:
        answer.cache_clear()


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NAMES, "cuda:0", "cuda:12"])
def test_names_of_devices(name):
    check_device(name)


@pytest.mark.parametrize(
    "name", ["", "foo", "CPU", "cuda:", "cuda:x", "cuda:-1", "cpu:1", "cuda:1234", "cuda:1\n"]
)
def test_other_words(name):
    with pytest.raises(EngineError) as caught:
        check_device(name)
    assert caught.value.code is ErrorCode.DEVICE_UNAVAILABLE
    assert "tensorrt" in caught.value.hint


def test_one_device_under_several_names():
    assert plain_device("cuda") == plain_device("tensorrt") == plain_device("cuda:0")
    assert plain_device("openvino") == "cpu"
    assert plain_device("cuda:1") == "cuda:1"


# --- settling ---------------------------------------------------------------------------------


def test_exact_is_never_questioned(make_card, without_openvino):
    assert settle_precision(make_card(b""), "cpu", "exact") == ("exact", None)


@pytest.mark.parametrize("device", ["cpu", "openvino", "coreml", "directml"])
def test_where_fast_is_not_to_be_had_it_is_said(make_card, without_openvino, device):
    settled, sentence = settle_precision(make_card(b""), device, "fast")
    assert settled == "exact"
    assert "--precision fast was asked for" in sentence
    assert sentence.endswith(".")


def test_on_a_gpu_that_is_named_fast_is_its_own(make_card, without_openvino):
    assert settle_precision(make_card(b""), "cuda:1", "fast") == ("fast", None)


def test_a_plan_that_says_fast_is_kept_or_refused(opened, without_openvino):
    """Blocks of one run must not be computed in two ways."""
    for device in ("cpu", "openvino"):
        with pytest.raises(EngineError) as caught:
            opened(device=device, precision="fast")
        assert caught.value.code is ErrorCode.DEVICE_UNAVAILABLE
        assert "openvino is not installed" in caught.value.message
        assert "--precision exact" in caught.value.hint


# --- OpenVINO ---------------------------------------------------------------------------------


@pytest.mark.openvino
@needs_openvino
@pytest.mark.parametrize("shape", [FIXED, ANY, [1, 2, 32, 32], [4, 2, 32, 32]])
def test_float32_by_openvino_is_float32(opened, batch, shape):
    model = opened(shape, device="openvino")
    assert used_device(model).startswith("cpu (float32 by OpenVINO 20")
    np.testing.assert_allclose(model.predict(batch), opened(shape).predict(batch), atol=1e-4)


@pytest.mark.openvino
@needs_openvino
@pytest.mark.parametrize("shape", [FIXED, ANY, [4, 2, 32, 32]])
def test_bfloat16_is_near(opened, batch, shape):
    needs_bfloat16()
    exact, fast = opened(shape), opened(shape, precision="fast")
    assert used_device(fast).startswith("cpu (bfloat16 by OpenVINO 20")
    wanted, found = exact.predict(batch), fast.predict(batch)
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert 0 < error < 2**-7  # eight bits of a number, and sums of eighteen products


@pytest.mark.openvino
@needs_openvino
def test_fast_is_settled_where_it_can_be_had(make_card):
    needs_bfloat16()
    for device in ("auto", "cpu", "openvino"):
        assert settle_precision(make_card(b""), device, "fast") == ("fast", None)


@pytest.mark.openvino
@needs_openvino
@pytest.mark.parametrize("shape", [FIXED, [4, 2, 32, 32]])
def test_neighbours_threads_and_order_do_not_matter(opened, batch, shape):
    needs_bfloat16()
    model = opened(shape, precision="fast")
    together = model.predict(batch)
    alone = np.concatenate([model.predict(tile[None]) for tile in batch])
    backwards = np.ascontiguousarray(model.predict(batch[::-1])[::-1])
    two = opened(shape, precision="fast", threads=2).predict(batch)
    assert together.tobytes() == alone.tobytes() == backwards.tobytes() == two.tobytes()


@pytest.mark.openvino
@needs_openvino
def test_sizes_that_came_before_do_not_matter(opened):
    needs_bfloat16()
    rng = np.random.default_rng(0)
    tiles = [rng.random((1, 2, h, w), np.float32) for h, w in ((128, 128), (12, 64), (64, 12))]
    there, back = (opened(ANY, precision="fast", tiling=FREE) for _ in range(2))
    first = [there.predict(tile) for tile in tiles]
    second = [back.predict(tile) for tile in reversed(tiles)][::-1]
    assert [a.tobytes() for a in first] == [b.tobytes() for b in second]


@pytest.mark.openvino
@needs_openvino
def test_many_callers_at_once(opened, batch):
    model = opened(device="openvino")
    wanted = [model.predict(tile[None]) for tile in batch]
    found = [[] for _ in batch]

    def go(i):
        found[i] = [model.predict(batch[i : i + 1]) for _ in range(20)]

    threads = [threading.Thread(target=go, args=(i,)) for i in range(len(batch))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(
        len(many) == 20 and all(np.array_equal(one, each) for each in many)
        for one, many in zip(wanted, found, strict=True)
    )


@pytest.mark.openvino
@needs_openvino
def test_a_size_that_the_network_does_not_take(opened):
    with pytest.raises(EngineError) as caught:
        opened(device="openvino").predict(np.zeros((1, 2, 16, 16), np.float32))
    assert caught.value.code is ErrorCode.MODEL_FAILED
    assert "\n" not in caught.value.message


@pytest.mark.openvino
@needs_openvino
def test_what_openvino_cannot_read_is_refused_in_one_line(make_card, tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08")
    card = make_card(b"\x08\x08")
    with pytest.raises(EngineError) as caught:
        open_model(card, tmp_path / "m.onnx", "openvino")
    assert caught.value.code is ErrorCode.DEVICE_UNAVAILABLE
    assert "\n" not in caught.value.message


@pytest.mark.openvino
@needs_openvino
def test_measurements_are_kept_for_each_precision(onnx, weight, make_card, tmp_path):
    needs_bfloat16()
    data = onnx(weight, FIXED)
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    for precision in ("exact", "fast"):
        found = measured(make_card(data), path, "cpu", tmp_path / "kept", precision)
        assert found.device == "cpu"
        assert found.threads == os.cpu_count()
    names = sorted(p.name for p in (tmp_path / "kept").iterdir())
    assert [("-exact-" in n, "-fast-" in n) for n in names] == [(True, False), (False, True)]


SILENT = """
import sys
calls = []
sys.addaudithook(lambda name, args: calls.append(args) if name.startswith("socket.") else None)
from engine.models.openvino_network import why_not_bfloat16
print(why_not_bfloat16())
loaded = [m for m in sys.modules if m.startswith("openvino_telemetry.")]
sys.exit(str((calls, loaded)) if calls or loaded else 0)
"""


def in_a_process(code, **variables):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.openvino
@needs_openvino
def test_nobody_is_told_that_openvino_is_used():
    in_a_process(SILENT)


@pytest.mark.openvino
@needs_openvino
def test_a_processor_that_imitates_bfloat16_is_found_out():
    """OpenVINO lists bfloat16 there too; it is slower than float32."""
    needs_bfloat16()
    found = in_a_process(SILENT, ONEDNN_MAX_CPU_ISA="AVX512_CORE")
    assert found == "this processor computes no faster in bfloat16 than in float32"

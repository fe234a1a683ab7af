import contextlib
import threading

import numpy as np
import onnxruntime as ort
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.errors import EngineError, ErrorCode
from engine.models.onnx_file import needs_of
from engine.models.runtime import open_model

ANY = ["batch", 2, "h", "w"]
FIXED = ["batch", 2, 32, 32]


@pytest.fixture
def opened(onnx, weight, make_card, tmp_path):
    """Open a model of a given input shape, or of given bytes."""

    def go(shape=None, content=None, device="cpu", threads=1, card=None, **odd):
        data = content if content is not None else onnx(weight, shape or FIXED, **odd)
        path = tmp_path / "un modèle.onnx"
        path.write_bytes(data)
        return open_model(card or make_card(data), path, device, threads)

    return go


@pytest.fixture
def batch():
    return np.random.default_rng(1).normal(size=(5, 2, 32, 32)).astype(np.float32)


def refused(action, *args, **options):
    with pytest.raises(EngineError) as caught:
        action(*args, **options)
    return caught.value


def expected(weight, batch):
    """The convolution, done by scipy."""
    out = np.zeros((len(batch), len(weight), *batch.shape[2:]))
    for n, tile in enumerate(batch):
        for k, kernels in enumerate(weight):
            for plane, kernel in zip(tile, kernels, strict=True):
                out[n, k] += scipy.ndimage.correlate(plane, kernel, mode="constant")
    return out


@pytest.mark.parametrize("shape", [FIXED, ANY, [1, 2, 32, 32], [4, 2, 32, 32], [1, 2, "h", "w"]])
def test_scores_are_the_networks(opened, weight, batch, shape):
    model = opened(shape)
    scores = model.predict(batch)
    assert model.device == "cpu"
    assert scores.dtype == np.float32
    assert scores.shape == (5, 3, 32, 32)
    np.testing.assert_allclose(scores, expected(weight, batch), atol=1e-4)


@pytest.mark.parametrize("shape", [FIXED, [1, 2, 32, 32], [4, 2, 32, 32]])
def test_a_tiles_scores_do_not_depend_on_its_neighbours(opened, batch, shape):
    model = opened(shape)
    together = model.predict(batch)
    alone = np.concatenate([model.predict(tile[None]) for tile in batch])
    reversed_ = model.predict(batch[::-1])[::-1]
    assert together.tobytes() == alone.tobytes() == np.ascontiguousarray(reversed_).tobytes()


def test_threads_do_not_change_scores(opened, batch):
    one = opened(threads=1).predict(batch)
    assert opened(threads=2).predict(batch).tobytes() == one.tobytes()


def test_an_empty_batch(opened, batch):
    assert opened().predict(batch[:0]).shape == (0, 3, 32, 32)


def test_predict_from_several_threads(opened, batch):
    model = opened()
    wanted = [model.predict(tile[None]) for tile in batch]
    found = [None] * len(batch)

    def go(i):
        for _ in range(20):
            found[i] = model.predict(batch[i : i + 1])

    threads = [threading.Thread(target=go, args=(i,)) for i in range(len(batch))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(wanted, found, strict=True))


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((1, 3, 32, 32), np.float32),
        np.zeros((2, 32, 32), np.float32),
        np.zeros((1, 2, 32, 32), np.float64),
        np.zeros((1, 2, 16, 16), np.float32),
    ],
    ids=["channels", "rank", "type", "size"],
)
def test_what_the_model_does_not_take(opened, bad):
    assert refused(opened().predict, bad).code is ErrorCode.MODEL_FAILED


@pytest.mark.parametrize("content", [b"", b"hello world", bytes(1000), b"\x0a\xff\xff\xff"])
def test_a_file_that_is_no_model(opened, content):
    error = refused(opened, content=content)
    assert error.code is ErrorCode.MODEL_INVALID
    assert "\n" not in error.message
    assert "ONNXRuntimeError" not in error.message


def test_a_truncated_model(opened, onnx, weight):
    assert refused(opened, content=onnx(weight, FIXED)[:-40]).code is ErrorCode.MODEL_INVALID


@pytest.mark.parametrize(
    ("shape", "odd", "says"),
    [
        (["batch", 2, 64, 64], {}, "64"),
        (FIXED, {"inputs": 2}, "2 inputs"),
    ],
)
def test_a_model_unlike_its_card(opened, shape, odd, says):
    error = refused(opened, shape, **odd)
    assert error.code is ErrorCode.MODEL_INVALID
    assert says in error.message


@pytest.mark.parametrize(("kernels", "bands"), [((3, 4), 4), ((2, 2), 2)])
def test_bands_and_classes_unlike_the_cards(opened, onnx, kernels, bands):
    content = onnx(np.ones((*kernels, 3, 3), np.float32), ["batch", bands, 32, 32])
    assert refused(opened, content=content).code is ErrorCode.MODEL_INVALID


def test_other_bytes_than_the_cards_are_never_run(opened, make_card):
    error = refused(opened, card=make_card(b"other bytes"))
    assert error.code is ErrorCode.MODEL_HASH_MISMATCH


def test_a_model_file_that_is_gone(make_card, tmp_path):
    error = refused(open_model, make_card(b""), tmp_path / "no.onnx")
    assert error.code is ErrorCode.MODEL_NOT_INSTALLED


def test_numbers_in_other_files_are_refused(opened, tmp_path, weight, monkeypatch):
    (tmp_path / "weights.bin").write_bytes(weight.tobytes())
    monkeypatch.chdir(tmp_path)
    error = refused(opened, external=True)
    assert error.code is ErrorCode.MODEL_INVALID
    assert "other files" in error.message


def test_devices(opened, batch):
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this engine has a GPU")
    assert opened(device="auto").device == "cpu"
    for name in ("cuda", "cuda:1"):
        error = refused(opened, device=name)
        assert error.code is ErrorCode.DEVICE_UNAVAILABLE
        assert name in error.message


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cuda:x", "CPU"])
def test_words_that_are_no_device(opened, name):
    assert refused(opened, device=name).code is ErrorCode.DEVICE_UNAVAILABLE


def test_external_data_is_found_by_reading(onnx, weight):
    assert needs_of(onnx(weight, ANY, external=True)).other_files
    assert not needs_of(onnx(weight, ANY)).other_files


@given(st.binary(max_size=200))
def test_any_bytes_can_be_looked_into(content):
    with contextlib.suppress(ValueError):
        needs_of(content)


@given(cut=st.floats(0, 1), flip=st.integers(0, 255))
def test_damaged_models_can_be_looked_into(onnx, weight, cut, flip):
    content = bytearray(onnx(weight, ANY, external=True))
    content[int(cut * (len(content) - 1))] ^= flip
    with contextlib.suppress(ValueError):
        needs_of(bytes(content))

"""The network says what the fitted model does, pixel by pixel."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from engine.calibrate.applicability import fit_applicability
from engine.calibrate.behind import behind, opset_of
from engine.calibrate.forest import fit_classes
from engine.calibrate.intervals import Interval
from engine.calibrate.methods import METHODS
from engine.calibrate.network import Source, amount_network, class_network
from engine.calibrate.samples import Samples
from engine.calibrate.sketch import Sketch
from engine.calibrate.texture import Texture
from engine.models.onnx_file import needs_of

INTERVAL = Interval(0.5, 1.2, 2.0)


def samples(width=5, classes=0):
    random = np.random.default_rng(0)
    x = (100 * random.normal(size=(150, width)) + 300).astype(np.float32)
    y = x[:, 0] / 10 + random.normal(size=150)
    if classes:
        y = np.digitize(x[:, 0], np.quantile(x[:, 0], np.linspace(0, 1, classes + 1)[1:-1])) * 1.0
    return Samples(x, y, np.ones(150), np.arange(150), tuple("abcde"[:width]))


def run(model, image):
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: image})


def rows(image):
    return np.moveaxis(image, 1, 3).reshape(-1, image.shape[1])


def area_of(given_):
    importance = np.ones(given_.features.shape[1])
    return fit_applicability(given_.features, importance, np.arange(len(given_)) % 5)


@pytest.mark.parametrize("name", ["forest", "boosting", "ridge"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 7, 9)])
@pytest.mark.parametrize("opset", [17, 18])
def test_amounts(name, shape, opset):
    given_, area = samples(), area_of(samples())
    fitted = METHODS[name].fit(given_, METHODS[name].choices[0], 0)
    image = np.random.default_rng(1).normal(300, 150, (shape[0], 5, *shape[1:])).astype(np.float32)
    told = run(amount_network(fitted, INTERVAL, area, Source(5, opset=opset)), image)[0]
    wanted = fitted.predict(rows(image))
    told = rows(told)
    assert told[:, 0] == pytest.approx(wanted[:, 0], rel=1e-4)
    assert told[:, 1] == pytest.approx(1.2 * np.hypot(wanted[:, 1], 0.5), rel=1e-3)
    assert told[:, 2] == pytest.approx(area(rows(image)), rel=1e-3, abs=1e-3)


def test_numbers_at_a_trees_threshold_fall_as_they_did():
    given_ = samples(width=1)
    fitted = METHODS["forest"].fit(given_, {"share": 1.0, "leaf": 1.0}, 0)
    edges = np.unique(np.concatenate([t.threshold for t in fitted.moments.trees]))
    image = np.concatenate([edges, np.nextafter(edges, np.float32(np.inf))])[None, None, None]
    network = amount_network(fitted, INTERVAL, area_of(given_), Source(1))
    told = run(network, image.astype(np.float32))[0][0, 0, 0]
    assert told == pytest.approx(fitted.predict(image.reshape(-1, 1))[:, 0], rel=1e-5)


def test_classes():
    given_ = samples(classes=3)
    fitted = fit_classes(given_, {"share": 0.5, "leaf": 1.0}, 0)
    image = given_.features.T.reshape(1, 5, 10, 15)
    shares, odd = run(class_network(fitted, area_of(given_), Source(5)), image)
    assert rows(shares) == pytest.approx(fitted.predict(given_.features), abs=1e-5)
    assert rows(shares).sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert odd.shape == (1, 1, 10, 15)


def test_the_network_needs_nothing_but_onnx_runtime():
    given_ = samples()
    fitted = METHODS["forest"].fit(given_, METHODS["forest"].choices[0], 0)
    network = amount_network(fitted, INTERVAL, area_of(given_), Source(5))
    needs = needs_of(network.SerializeToString())
    assert not needs.operators
    assert not needs.other_files


def local_statistics(channels, edge):
    half = edge // 2
    wide = np.pad(channels, ((0, 0), (half, half), (half, half)), constant_values=np.nan)
    views = np.lib.stride_tricks.sliding_window_view(wide, (edge, edge), axis=(1, 2))
    return np.nanmean(views, axis=(3, 4)), np.nanstd(views, axis=(3, 4))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # means of windows without data
@settings(deadline=None, max_examples=25)
@given(
    arrays.arrays(np.float32, (2, 6, 7), elements=st.floats(-50, 50, width=32)),
    arrays.arrays(bool, (6, 7)),
    st.sampled_from([3, 5]),
)
def test_texture_is_mean_and_spread_of_the_pixels_that_exist(data, hidden, edge):
    hidden[3, 3] = False
    texture = Texture(edge, np.array([1.0, -2.0]), -1e6)
    image = np.where(hidden, np.float32(-1e6), data)
    told = run(texture.network(), image[None])[0][0]
    with np.errstate(all="ignore"):
        mean, spread = local_statistics(np.where(hidden, np.nan, data).astype(float), edge)
    assert told[:2] == pytest.approx(image)
    seen = ~hidden
    assert told[2:4, seen] == pytest.approx(mean[:, seen], abs=1e-3)
    assert told[4:, seen] == pytest.approx(spread[:, seen], abs=0.05)


def test_a_model_behind_an_encoder_is_one_network():
    sketch = Sketch(18)
    doubled = sketch.add("Mul", "s2", sketch.constant(2.0))
    encoder = sketch.whole("s2", 5, {"embedding": doubled}, [5]).SerializeToString()
    given_ = samples()
    fitted = METHODS["forest"].fit(given_, METHODS["forest"].choices[0], 0)
    head = amount_network(fitted, INTERVAL, area_of(given_), Source(5, opset=opset_of(encoder)))
    whole = behind(encoder, -1, head)
    image = np.ascontiguousarray(given_.features.T.reshape(1, 5, 10, 15)) / 2
    told = run(whole, image)[0]
    assert [port.name for port in whole.graph.input] == ["s2"]
    assert rows(told)[:, 0] == pytest.approx(fitted.predict(given_.features)[:, 0], rel=1e-4)

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from PIL import Image

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ClassArea
from engine.io.picture import draw_picture, stretch

LEGEND = (
    ClassArea(0, "clear", "#00c000", 6, 5400.0, 0.75),
    ClassArea(1, "cloud — dünn", "#c00000", 2, 1800.0, 0.25),
)


def draw(path, shape=(40, 60), legend=LEGEND, title="Clouds", caption="Landsat 8"):
    scene = np.full((*shape, 3), 120, np.uint8)
    classes = np.zeros(shape, np.uint8)
    classes[:, shape[1] // 2 :] = 1
    draw_picture(path, scene, classes, legend, title, caption)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_scene_and_coloured_result_stand_side_by_side(tmp_path):
    pixels = draw(tmp_path / "ä b.png")
    height, width, _ = pixels.shape
    assert width > height > 400
    row = pixels[300]
    scene = np.flatnonzero((row == 120).all(1))
    greenish = np.flatnonzero((row[:, 1] > row[:, 0] + 40) & (row[:, 1] > row[:, 2] + 40))
    reddish = np.flatnonzero((row[:, 0] > row[:, 1] + 40) & (row[:, 0] > row[:, 2] + 40))
    assert scene.max() < greenish.min() <= greenish.max() < reddish.min()
    assert scene.size == pytest.approx(greenish.size + reddish.size, abs=2)


def test_pixels_without_class_stay_uncoloured(tmp_path):
    scene = np.full((50, 50, 3), 120, np.uint8)
    void = np.full((50, 50), 255, np.uint8)
    draw_picture(tmp_path / "a.png", scene, void, (), "t", "c")
    with Image.open(tmp_path / "a.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    result = pixels[300:600, pixels.shape[1] // 2 : pixels.shape[1] // 2 + 100]
    assert (np.ptp(result, axis=2) < 8).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (3000, 3), (1500, 1400)])
def test_any_shape_gives_a_picture_of_reasonable_size(tmp_path, shape):
    height, width, _ = draw(tmp_path / "a.png", shape).shape
    assert 300 < height < 1200
    assert 600 < width < 2200


def test_a_long_legend_makes_the_picture_longer(tmp_path):
    many = tuple(ClassArea(i, f"class {i}", "#123456", 1, None, 0.03) for i in range(30))
    assert draw(tmp_path / "a.png", legend=many).shape[0] > 30 * 40


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=300))
def test_any_text_can_be_drawn(tmp_path_factory, text):
    legend = (ClassArea(0, text, "#00c000", 6, None, 1.0),)
    draw(tmp_path_factory.mktemp("p") / "a.png", (4, 4), legend, text, text)


def test_equal_input_gives_equal_bytes(tmp_path):
    digests = set()
    for name in ("a.png", "b.png"):
        draw(tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).digest())
    assert len(digests) == 1


def test_a_missing_folder_is_explained(tmp_path):
    with pytest.raises(EngineError) as caught:
        draw(tmp_path / "missing" / "a.png")
    assert caught.value.code is ErrorCode.OUTPUT_UNWRITABLE


class TestStretch:
    def test_spans_black_to_white_and_keeps_the_order(self):
        data = np.linspace(0, 1, 300, dtype=np.float32).reshape(3, 10, 10)
        colors = stretch(data, np.ones((10, 10), bool)).astype(int)
        assert colors.shape == (10, 10, 3)
        assert colors.min() == 0
        assert colors.max() == 255
        assert (np.diff(colors[..., 0].ravel()) >= 0).all()

    def test_invalid_pixels_count_for_nothing(self):
        data = np.random.default_rng(0).random((3, 20, 20)).astype(np.float32)
        valid = np.ones((20, 20), bool)
        valid[3] = False
        spoilt = data.copy()
        spoilt[:, 3] = np.nan
        further = data.copy()
        further[:, 3] = 1e9
        assert (stretch(spoilt, valid) == stretch(further, valid)).all()

    @given(
        st_numpy.arrays(
            np.float32,
            st_numpy.array_shapes(min_dims=2, max_dims=2, max_side=5).map(lambda s: (3, *s)),
            elements=st.integers(-(10**6), 10**6),
        )
    )
    def test_does_not_depend_on_the_unit(self, data):
        valid = np.ones(data.shape[1:], bool)
        first = stretch(data, valid).astype(int)
        second = stretch(data * 4, valid).astype(int)
        assert np.abs(first - second).max() <= 1

    def test_a_scene_without_a_valid_pixel(self):
        assert stretch(np.zeros((3, 2, 2), np.float32), np.zeros((2, 2), bool)).shape == (2, 2, 3)

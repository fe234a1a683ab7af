import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.io.overviews import halve

NODATA = 255


def by_hand(pixels):
    """The most frequent class of up to four pixels, the first in reading order of equals."""
    classes = [p for p in pixels if p != NODATA]
    if not classes:
        return NODATA
    return max(classes, key=lambda c: (classes.count(c), -classes.index(c)))


shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(arrays(np.uint8, shapes, elements=st.sampled_from([0, 1, 2, 3])))
def test_the_most_frequent_class_wins(classes):
    small = halve(classes, NODATA)
    assert small.shape == tuple(-(-n // 2) for n in classes.shape)
    even = np.pad(classes, [(0, n % 2) for n in classes.shape], mode="edge")
    for row, col in np.ndindex(*small.shape):
        four = even[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].ravel().tolist()
        assert small[row, col] == by_hand(four)


@given(arrays(np.uint8, (4, 6), elements=st.sampled_from([0, 1, NODATA])))
def test_nodata_wins_only_alone(classes):
    small = halve(classes, NODATA)
    for row, col in np.ndindex(*small.shape):
        four = classes[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].ravel().tolist()
        assert (small[row, col] == NODATA) == (set(four) == {NODATA})
        assert small[row, col] in four


@pytest.mark.parametrize("nodata", [None, 0])
def test_without_nodata_every_value_counts(nodata):
    classes = np.array([[0, 0], [0, 1]], np.uint8)
    assert halve(classes, nodata)[0, 0] == (0 if nodata is None else 1)

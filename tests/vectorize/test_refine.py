import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.vectorize.patches import Patches
from engine.vectorize.refine import fill_holes, measured_by_outline

NODATA = 255


@pytest.fixture(scope="session")
def ring(traced):
    """A square of 10 x 10 with holes of 1, 4 and 9 pixels, the last with an island of 1."""
    image = np.full((10, 10), 1, np.uint8)
    image[1, 1] = 2
    image[1:3, 4:6] = NODATA
    image[5:8, 5:8] = 2
    image[6, 6] = 1
    return traced(image, image, 10)


@pytest.mark.parametrize(
    ("smallest", "holes", "pixels"),
    [(0, 3, 86), (2, 3, 86), (2.1, 2, 87), (9, 1, 91), (100, 0, 100)],
)
def test_holes_smaller_than_asked_for_are_closed(smallest, holes, pixels, ring):
    (patches,) = ring
    filled = measured_by_outline(fill_holes(patches, smallest))
    shapes = filled.outlines.shapes()
    largest = int(np.argmax(filled.tally.pixels))
    assert len(shapes[largest].interiors) == holes
    assert shapes[largest].area == pixels
    assert filled.tally.area[largest] == pytest.approx(2 * pixels, rel=1e-12)
    assert filled.tally.pixels[largest] == 86
    assert shapely.is_valid(shapes).all()


def test_a_patch_keeps_the_holes_that_are_not_small_and_its_neighbours_all_theirs(ring):
    (patches,) = ring
    filled = fill_holes(patches, 2.1)
    shapes, before = filled.outlines.shapes(), patches.outlines.shapes()
    same = shapely.equals(shapes, before)
    assert np.count_nonzero(~same) == 2


@settings(max_examples=30)
@given(
    image=st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 4), st.just(1.5)),
    edge=st.integers(3, 27),
    wish=st.tuples(st.floats(0, 30), st.sampled_from([0, 1.5])),
)
def test_filled_patches_no_smaller_than_the_holes_filled_do_not_overlap(
    image, edge, wish, traced, speckled
):
    smallest, tolerance = wish
    found = traced(*speckled(*image), edge, tolerance=tolerance)
    filled = [measured_by_outline(fill_holes(p, smallest)) for p in found]
    shapes = np.concatenate([p.outlines.shapes() for p in filled])
    area = np.concatenate([p.tally.area for p in filled])
    assert shapely.is_valid(shapes).all()
    np.testing.assert_allclose(area, 2 * shapely.area(shapes), rtol=1e-12)
    large = shapes[area >= smallest]
    assert shapely.union_all(large).area == pytest.approx(shapely.area(large).sum(), rel=1e-12)


def test_nothing_in_nothing_out():
    assert len(measured_by_outline(fill_holes(Patches.none(), 5))) == 0

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

images = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.sampled_from([0, 1.5, 4]),
    st.sampled_from([0, 0.1]),
)


def shapes_of(patches):
    return np.concatenate([p.outlines.shapes() for p in patches])


@settings(max_examples=40)
@given(image=images, edge=st.integers(3, 27), tolerance=st.sampled_from([0.5, 1, 2, 5]))
def test_neighbours_go_on_sharing_their_borders_within_and_across_blocks(
    image, edge, tolerance, traced, speckled
):
    classes, confidence = speckled(*image)
    shapes = shapes_of(traced(classes, confidence, edge, tolerance=tolerance))
    assert shapely.is_valid(shapes).all()
    assert shapely.coverage_is_valid(shapes)
    if not image[3]:
        assert shapely.area(shapes).sum() == classes.size
        assert shapely.equals(shapely.union_all(shapes), shapely.box(0, 0, *classes.shape[::-1]))


@settings(max_examples=20)
@given(image=images, edge=st.integers(3, 27), tolerance=st.sampled_from([1, 2]))
def test_no_patch_is_lost_or_moved(image, edge, tolerance, traced, speckled):
    exact = traced(*speckled(*image), edge)
    simple = traced(*speckled(*image), edge, tolerance=tolerance)
    assert [p.tally.pixels.tolist() for p in exact] == [p.tally.pixels.tolist() for p in simple]
    pairs = zip(shapes_of(exact), shapes_of(simple), strict=True)
    assert all(a.intersects(b) for a, b in pairs)


def test_the_steps_of_a_slanting_border_go_but_for_one_vertex_on_each_seam(traced):
    rows, cols = np.mgrid[:60, :60]
    image = (cols > rows).astype(np.uint8)
    (whole,) = traced(image, image, 60, tolerance=1.5)
    assert len(whole.outlines.shapes()[0].exterior.coords) <= 7
    shapes = shapes_of(traced(image, image, 20, tolerance=1.5))
    assert len(shapes) == 2
    assert shapely.coverage_is_valid(shapes)
    assert max(len(s.exterior.coords) for s in shapes) <= 20


def test_without_a_tolerance_outlines_follow_the_pixels(traced, speckled):
    image = speckled(3, 3, 1.5)
    shapes = shapes_of(traced(*image, 9))
    corners = np.diff(shapely.get_coordinates(shapely.get_exterior_ring(shapes[0])), axis=0)
    assert (corners == 0).any(axis=1).all()

import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.vectorize import held
from engine.vectorize.patches import Tally

NODATA = 255
images = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([0, 1.5, 4]))
edges = st.integers(1, 27)


@pytest.fixture(scope="session")
def patches(traced):
    """Tally and polygons of an image traced in blocks of ``edge`` pixels."""

    def run(classes, confidence, edge, **how):
        found = traced(classes, confidence, edge, **how)
        if not found:
            return None, np.empty(0, object)
        shapes = np.concatenate([p.outlines.shapes() for p in found])
        return Tally.joined(p.tally for p in found), shapes

    return run


def reference(image):
    """The same polygons by GDAL: (class, normalised geometry) by the first exterior pixel."""
    found = rasterio.features.shapes(image, mask=image != NODATA, connectivity=4)
    return [(int(value), shapely.geometry.shape(shape)) for shape, value in found]


def contents(ids, shapes):
    """Comparable whatever the order of polygons, rings and vertices."""
    return sorted(zip(ids, shapely.to_wkb(shapely.normalize(shapes)), strict=True))


@settings(max_examples=20)
@given(image=images, edge=edges)
def test_outlines_are_those_of_gdal_whatever_the_blocks(image, edge, patches, speckled):
    classes, confidence = speckled(*image)
    tally, shapes = patches(classes, confidence, edge)
    expected = reference(classes)
    ids, polygons = zip(*expected, strict=True)
    assert contents(tally.class_id.tolist(), shapes) == contents(ids, np.array(polygons))


@settings(max_examples=20)
@given(image=images, edge=edges)
def test_polygons_are_valid_and_their_sums_exact(image, edge, patches, speckled):
    classes, confidence = speckled(*image)
    tally, shapes = patches(classes, confidence, edge, origin=(7, 1000))
    assert shapely.is_valid(shapes).all()
    assert (shapely.area(shapes) == tally.pixels).all()
    assert (tally.area == 2 * tally.pixels).all()
    for value in np.unique(classes[classes != NODATA]):
        mine = tally.class_id == value
        assert tally.pixels[mine].sum() == np.count_nonzero(classes == value)
        assert tally.confidence[mine].sum() == confidence[classes == value].sum()


@settings(max_examples=20)
@given(image=images, edge=edges)
def test_what_belongs_to_a_patch_is_found_in_any_blocks(image, edge, patches, speckled):
    classes, confidence = speckled(*image)
    rows = []
    for size in (edge, 100):
        tally, shapes = patches(classes, confidence, size)
        bounds = shapely.bounds(shapes)
        columns = (tally.class_id, tally.pixels, tally.confidence, *bounds.T)
        rows.append(sorted(zip(*(c.tolist() for c in columns), strict=True)))
    assert rows[0] == rows[1]


@settings(max_examples=20)
@given(image=images, edge=edges)
def test_exteriors_run_counter_clockwise_with_row_0_on_top(image, edge, patches, speckled):
    _, shapes = patches(*speckled(*image), edge)
    turned = shapely.transform(shapes, lambda xy: xy * [1, -1])
    assert shapely.is_ccw(shapely.get_exterior_ring(turned)).all()
    holes = shapely.get_rings(turned)
    is_exterior = np.isin(shapely.to_wkb(holes), shapely.to_wkb(shapely.get_exterior_ring(turned)))
    assert not shapely.is_ccw(holes[~is_exterior]).any()


@settings(max_examples=20)
@given(image=images, edge=edges, worth=st.integers(0, 300))
def test_patches_do_not_depend_on_when_whole_ones_are_given_back(
    image, edge, worth, patches, speckled
):
    classes, confidence = speckled(*image)
    expected = patches(classes, confidence, edge)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held, "_WORTH_SORTING", worth)
        patch.setattr(held, "_PORTION", worth + 1)
        found = patches(classes, confidence, edge)
    assert contents(found[0].pixels.tolist(), found[1]) == contents(
        expected[0].pixels.tolist(), expected[1]
    )


def test_equal_input_gives_equal_order(patches, speckled):
    image = speckled(5, 3, 0)
    first, second = (patches(*image, 16) for _ in range(2))
    assert (shapely.to_wkb(first[1]) == shapely.to_wkb(second[1])).all()


def test_a_patch_that_winds_through_many_blocks_is_one(patches):
    image = np.full((40, 40), NODATA, np.uint8)
    for row in range(0, 40, 4):
        image[row] = 3
        image[row : row + 4, 39 if row % 8 == 0 else 0] = 3
    tally, (shape,) = patches(image, image, 7, origin=(100, 200))
    assert shape.bounds == (200, 100, 240, 140)
    assert tally.confidence == 3 * tally.pixels


def test_touching_corners_do_not_join(patches):
    image = np.array([[1, NODATA], [NODATA, 1]], np.uint8)
    for edge in (1, 2):
        _, shapes = patches(image, image, edge)
        assert sorted(s.bounds for s in shapes) == [(0, 0, 1, 1), (1, 1, 2, 2)]


@pytest.mark.parametrize("edge", [1, 2, 3, 5])
def test_a_hole_that_touches_the_outside_at_a_corner_stays_a_hole(edge, patches):
    image = np.array([[1, 1, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 1]], np.uint8)
    tally, shapes = patches(image, image, edge, nodata=0)
    assert tally.pixels.tolist() == [12]
    assert shapes[0].is_valid
    assert [shapely.Polygon(r).area for r in shapes[0].interiors] == [1, 1]


def test_a_spiral_that_meets_itself_corner_to_corner_is_valid(patches):
    image = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 1, 0], [1, 1, 0, 0]], np.uint8)
    for edge in (1, 2, 3, 4):
        tally, shapes = patches(image, image, edge)
        assert shapely.is_valid(shapes).all()
        assert (shapely.area(shapes) == tally.pixels).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (8, 8)])
def test_a_patch_that_fills_everything_has_four_corners(shape, patches):
    image = np.full(shape, 2, np.uint8)
    for edge in (1, 3, 9):
        _, shapes = patches(image, image, edge)
        (found,) = shapes
        assert found.bounds == (0, 0, shape[1], shape[0])
        assert len(found.exterior.coords) == 5


def test_no_class_no_patch(patches):
    image = np.full((5, 5), NODATA, np.uint8)
    assert len(patches(image, image, 2)[1]) == 0


def test_the_first_class_may_be_nodata(patches):
    image = np.array([[0, 0, 7], [0, 7, 7]], np.uint8)
    tally, shapes = patches(image, image, 2, nodata=0)
    assert tally.class_id.tolist() == [7]
    assert shapes[0].bounds == (1, 0, 3, 2)

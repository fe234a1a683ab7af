import numpy as np
import pytest
import scipy.ndimage
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.geo.window import Window
from engine.vectorize.stitch import Patch, stitch
from engine.vectorize.trace import trace

NODATA = 255


def patches(classes, confidence, edge, origin=(0, 0)) -> list[Patch]:
    height, width = classes.shape
    blocks = [
        trace(
            classes[r : r + edge, c : c + edge],
            confidence[r : r + edge, c : c + edge],
            NODATA,
            Window(r, c, min(edge, height - r), min(edge, width - c)).shift(*origin),
        )
        for r in range(0, height, edge)
        for c in range(0, width, edge)
    ]
    return list(stitch(blocks, Window(*origin, height, width)))


def speckled(seed: int, classes: int, smooth: float):
    rng = np.random.default_rng(seed)
    noise = rng.random((45, 58))
    if smooth:
        noise = scipy.ndimage.gaussian_filter(noise, smooth)
        noise = (noise - noise.min()) / np.ptp(noise) * 0.999
    image = (noise * classes).astype(np.uint8)
    image[rng.random(image.shape) < 0.1] = NODATA
    return image, rng.integers(0, 251, image.shape).astype(np.uint8)


def content(patch: Patch):
    corners = shapely.get_coordinates(shapely.simplify(patch.polygon, 0))
    return patch.class_id, patch.pixels, patch.confidence, frozenset(map(tuple, corners))


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.sampled_from([0, 1.5, 4]),
    st.integers(1, 60),
)
def test_stitched_blocks_equal_the_whole(seed, classes, smooth, edge):
    image, confidence = speckled(seed, classes, smooth)
    whole = patches(image, confidence, 100)
    found = patches(image, confidence, edge)
    assert len(found) == len(whole)
    same_counts = sorted(p.pixels for p in found) == sorted(p.pixels for p in whole)
    assert same_counts
    joined = {(p.class_id, p.pixels, p.confidence, p.polygon.bounds) for p in found}
    assert joined == {(p.class_id, p.pixels, p.confidence, p.polygon.bounds) for p in whole}


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 60))
def test_polygons_are_valid_and_their_areas_exact(seed, classes, edge):
    image, confidence = speckled(seed, classes, 0)
    found = patches(image, confidence, edge)
    assert all(p.polygon.is_valid and p.polygon.geom_type == "Polygon" for p in found)
    assert [p.polygon.area for p in found] == pytest.approx([p.pixels for p in found], abs=1e-9)
    assert sum(p.pixels for p in found) == np.count_nonzero(image != NODATA)


def test_a_patch_that_winds_through_many_blocks_is_one():
    image = np.full((40, 40), NODATA, np.uint8)
    for row in range(0, 40, 4):
        image[row] = 3
        image[row : row + 4, 39 if row % 8 == 0 else 0] = 3
    found = patches(image, image, 7, origin=(100, 200))
    assert len(found) == 1
    assert found[0].polygon.bounds == (200, 100, 240, 140)
    assert found[0].confidence == 3 * found[0].pixels


def test_touching_corners_do_not_join():
    image = np.array([[1, NODATA], [NODATA, 1]], np.uint8)
    assert len(patches(image, image, 1)) == 2
    assert len(patches(image, image, 2)) == 2


def test_no_class_no_patch():
    image = np.full((5, 5), NODATA, np.uint8)
    assert patches(image, image, 2) == []


def test_seam_vertices_leave_no_trace():
    image = np.ones((30, 30), np.uint8)
    (patch,) = patches(image, image, 4)
    assert len(shapely.get_coordinates(patch.polygon)) == 5

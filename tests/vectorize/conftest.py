import numpy as np
import pytest
import scipy.ndimage
from hypothesis import settings

from engine.geo.window import Window
from engine.vectorize.stitch import stitch
from engine.vectorize.trace import ClassBlock, Frame, trace

# A busy machine makes single examples slow; that is no failure.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

NODATA = 255


@pytest.fixture(scope="session")
def traced():
    """Traces an image in blocks of ``edge`` pixels; every pixel has an area of 2."""

    def run(classes, confidence, edge, *, origin=(0, 0), nodata=NODATA, tolerance=0.0):
        height, width = classes.shape
        frame = Frame(Window(*origin, height, width), nodata, tolerance)
        blocks = []
        for r in range(0, height, edge):
            for c in range(0, width, edge):
                part = (slice(r, r + edge), slice(c, c + edge))
                window = Window(r, c, *classes[part].shape).shift(*origin)
                block = ClassBlock(window, classes[part], confidence[part], np.full((1, 1), 2.0))
                blocks.append(trace(block, frame))
        return list(stitch(blocks, frame))

    return run


@pytest.fixture(scope="session")
def speckled():
    """Makes images of classes with some nodata, and confidences."""

    def make(seed, classes, smooth, holes=0.1):
        rng = np.random.default_rng(seed)
        noise = rng.random((21, 26))
        if smooth:
            noise = scipy.ndimage.gaussian_filter(noise, smooth)
            noise = (noise - noise.min()) / np.ptp(noise) * 0.999
        image = (noise * classes).astype(np.uint8)
        image[rng.random(image.shape) < holes] = NODATA
        return image, rng.integers(0, 251, image.shape).astype(np.uint8)

    return make

"""The building-change model through the engine, on places that it did not learn from.

The pairs are made here in another way than those that it learnt from: labelled buildings of a whole
mosaic are covered with ground, each date gets its own light, and one date is moved by a pixel. Each
test prints its figures: these are what the model's card refers to.
"""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.merge import merge
from rasterio.transform import from_origin
from scipy import ndimage

from engine.contract.messages import InputSpec, NamedInput, OutputSpec, SegmentRequest
from engine.geo.tiling import TileRule
from engine.models.store import ModelStore
from engine.pipeline.planning import make_plan
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

pytestmark = pytest.mark.shared
MODEL = "building-change"
IGNORED = 255
NEW, GONE = 1, 2
MIRRORED = np.array([0, GONE, NEW])
SHARE = 0.3
"""Of the patches of buildings that are missing at one of the dates, for each of them."""
MOVES = 8
"""Of the picture over itself, in search of ground to cover a building with."""


@pytest.fixture
def tell(capsys):
    """Print a figure although the test passes."""

    def tell(text):
        with capsys.disabled():
            print(f"\n{text}")  # noqa: T201 - the figure is what the test is for

    return tell


@pytest.fixture
def data():
    beside = Path(__file__).resolve().parents[3] / "shared"
    return Path(os.environ.get("SWATH_SHARED") or beside) / "data"


@pytest.fixture
def between(tmp_path):
    """What the engine finds between two dates, 8-bit pixels ``[3, H, W]`` of some metres."""
    store = ModelStore(tmp_path / "models")

    def between(before, after, *, tile=1024, edge=0.15):
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        scenes = [saved(folder / f"{n}.tif", day, edge) for n, day in enumerate((before, after))]
        first, second = (InputSpec((str(scene),), profile="rgb8") for scene in scenes)
        output = OutputSpec(str(folder / "change.tif"))
        others = (NamedInput("after", second),)
        plan = make_plan(SegmentRequest(first, output, others=others, model=MODEL), store)
        rule = plan.recipe.rule
        rule = TileRule(tile, rule.margin, rule.stride, fixed=False)
        plan = replace(plan, recipe=replace(plan.recipe, rule=rule))
        run_plan(plan, store, folder / "work", Silence())
        with rasterio.open(output.raster) as raster:
            return raster.read(1)

    return between


def saved(path, pixels, edge):
    where = {"crs": "EPSG:32636", "transform": from_origin(500_000, 5_000_000, edge, edge)}
    layout = {"driver": "GTiff", "dtype": "uint8", "count": 3, "photometric": "RGB"}
    shape = {"height": pixels.shape[1], "width": pixels.shape[2]}
    with rasterio.open(path, "w", **layout, **shape, **where) as target:
        target.write(pixels)
    return path


# --- pairs ------------------------------------------------------------------------------------


def kampala(data):
    return joined(tiles(data / "fair_kampala_buildings" / "z20", ".tif", lambda c, _: c >= 619226))


def banepa(data):
    return joined(tiles(data / "fair_banepa_buildings", ".jpg", lambda _, r: r >= 220245))


def tiles(folder, suffix, wanted):
    found = sorted(p for p in folder.glob(f"*{suffix}") if not p.stem.endswith("_mask"))
    return [p for p in found if wanted(*map(int, p.stem.split("-")[1:3]))]


def joined(paths):
    """Pixels ``[3, H, W]`` and labels ``[H, W]`` of neighbouring tiles."""
    pixels, _ = merge(paths, indexes=[1, 2, 3])
    labels, _ = merge([p.with_name(f"{p.stem}_mask.tif") for p in paths], nodata=IGNORED)
    return pixels, labels[0]


def two_dates(pixels, labels, seed=0):
    """Both dates ``[3, H, W]``, and what changed between them."""
    rng = np.random.default_rng(seed)
    numbers, count = ndimage.label(labels == 1)
    lot = rng.random(count + 1)
    lot[0] = 1
    later, gone = (lot < SHARE)[numbers], ((lot >= SHARE) & (lot < 2 * SHARE))[numbers]
    days = [covered(pixels, labels, missing, rng) for missing in (later, gone)]
    truth = np.select([labels == IGNORED, later, gone], [IGNORED, NEW, GONE], 0)
    return sunny(days[0], rng), hazy(days[1], rng), truth.astype(np.uint8)


def covered(pixels, labels, where, rng):
    """The picture with ground in place of some buildings, and of two pixels around them."""
    where = ndimage.binary_dilation(where, iterations=2)
    made, left = pixels.astype(np.float32), where.copy()
    for _ in range(MOVES):
        by = rng.integers(min(labels.shape), size=2)
        takes = left & (np.roll(labels, by, (0, 1)) == 0)
        made[:, takes] = np.roll(pixels, by, (1, 2))[:, takes]
        left &= ~takes
    made[:, left] = np.median(pixels[:, labels == 0], axis=1)[:, None]
    return made


def sunny(pixels, rng):
    """Warm, with much contrast."""
    light = np.array([1.1, 1.0, 0.9])[:, None, None] * (pixels / 255) ** 1.15
    return eight_bits(light + rng.normal(0, 0.01, pixels.shape))


def hazy(pixels, rng):
    """Blue haze, soft, brighter to one side, and a pixel further down and left."""
    soft = ndimage.gaussian_filter(np.roll(pixels, (1, -1), (1, 2)), (0, 0.7, 0.7)) / 255
    slope = np.linspace(0.9, 1.1, pixels.shape[2])
    haze = np.array([0.55, 0.6, 0.7])[:, None, None]
    return eight_bits(slope * (0.8 * soft**0.9 + 0.2 * haze) + rng.normal(0, 0.02, pixels.shape))


def eight_bits(light):
    return np.rint(255 * light.clip(0, 1)).astype(np.uint8)


def figures(found, truth):
    """F1 and overlap of change, and the overlaps of new and gone buildings."""
    known = truth != IGNORED
    pairs = truth[known].astype(np.int64) * 3 + found[known]
    table = np.bincount(pairs, minlength=9).reshape(3, 3)
    hits, false, missed = table[1:, 1:].sum(), table[0, 1:].sum(), table[1:, 0].sum()
    each = np.diag(table) / (table.sum(0) + table.sum(1) - np.diag(table))
    return 2 * hits / (2 * hits + false + missed), hits / (hits + false + missed), *each[1:]


# --- tests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "least"), [(kampala, 0.6), (banepa, 0.55)])
def test_buildings_that_are_gone_or_new_are_found(place, least, data, between, tell):
    before, after, truth = two_dates(*place(data))
    found = between(before, after)
    values = figures(found, truth)
    told = "F1 {:.3f}, IoU {:.3f} (new {:.3f}, gone {:.3f})".format(*values)
    tell(f"{place.__name__}: change {told}")
    assert values[0] >= least
    np.testing.assert_array_equal(MIRRORED[between(after, before)], found)


@pytest.mark.parametrize(("place", "most"), [(kampala, 0.005), (banepa, 0.005)])
def test_another_light_alone_is_hardly_any_change(place, most, data, between, tell):
    pixels, labels = place(data)
    before, after, _ = two_dates(pixels, np.where(labels == 1, 0, labels))
    share = (between(before, after)[labels != IGNORED] > 0).mean()
    tell(f"{place.__name__}: {100 * share:.2f} % called change where nothing changed")
    assert share <= most


def test_equal_dates_have_no_change_at_all(data, between):
    pixels, _ = banepa(data)
    assert not between(pixels, pixels).any()


def test_tiles_leave_no_seams(data, between, tell):
    days = [day[:, :, :1024] for day in two_dates(*banepa(data))[:2]]
    differing = (between(*days, tile=1536) != between(*days, tile=768)).mean()
    tell(f"{100 * differing:.4f} % of the pixels differ between tiles of 768 and one tile")
    assert differing <= 0.0005

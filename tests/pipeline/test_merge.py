"""Merges give each pixel bits that depend on the tiles around it alone."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.geo.cells import Cells
from engine.geo.chip import Chip
from engine.geo.lattice import Lattice
from engine.geo.tiling import TileRule, Tiling
from engine.geo.window import Window
from engine.pipeline.forward import TileResult
from engine.pipeline.merge import merge_for, tile_weight
from engine.pipeline.plan import Recipe


@dataclasses.dataclass(frozen=True)
class Output:
    classes: tuple = ("a", "b")
    nodata: int = 255
    channels: int = 2


@dataclasses.dataclass(frozen=True)
class Need:
    merge: str
    output: Output = dataclasses.field(default_factory=Output)


class Passing:
    """A task that hands on what was merged."""

    def __init__(self, card):
        self.card = card

    def decide(self, scores, valid, _detail):
        return np.concatenate([scores, valid[None]])


@dataclasses.dataclass(frozen=True)
class Sketch:
    """As much of a recipe as a merge looks at."""

    lattice: object
    region: Window
    rule: TileRule
    card: Need

    cells: Cells = dataclasses.field(default_factory=Cells)
    stands_alone: bool = False

    is_on_lattice = Recipe.is_on_lattice
    tiling = Recipe.tiling
    result = Recipe.result
    window_of = Recipe.window_of
    delivered = Recipe.delivered
    scored = Recipe.scored
    _covered = Recipe._covered


def sketch(shape, region, rule, merge, factors=(1.0, 1.0)):
    return Sketch(Lattice(shape, factors), region, rule, Need(merge))


def scores_of(tile):
    """Scores that tell the tile and the pixel apart, as of a model that sees its whole tile."""
    rows, cols = np.mgrid[tile.read.slices]
    own = np.float32((tile.index[0] * 7 + tile.index[1] * 3) % 11)
    return np.stack([rows * 1000 + cols, np.full(tile.read.shape, own)]).astype(np.float32)


def merged(recipe, target):
    """The whole region's scores and validity, put together from blocks."""
    region = recipe.region
    scores = np.full((2, *region.shape), np.nan, np.float32)
    valid = np.zeros(region.shape, bool)
    for block in recipe.tiling.blocks(target):
        merge = merge_for(recipe, block, Passing(recipe.card), "class")
        for tile in merge.tiles:
            window = recipe.lattice.source_for(tile.read)
            mask = Chip(np.zeros((0, *window.shape)), np.ones(window.shape, bool), window)
            merge.feed(TileResult(tile, mask, scores_of(tile)))
        place = recipe.window_of(block).slices_in(region)
        result = merge.result()
        scores[:, *place], valid[place] = result[:2], result[2] == 1
    return scores, valid


@st.composite
def recipes(draw, merge):
    stride = draw(st.sampled_from([1, 4, 8]))
    size = stride * draw(st.integers(2, 6))
    margin = draw(st.integers(0, (size - stride) // 2))
    shape = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    row, col = draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))
    height, width = draw(st.integers(1, shape[0] - row)), draw(st.integers(1, shape[1] - col))
    rule = TileRule(size, margin, stride, fixed=draw(st.booleans()))
    factors = draw(st.sampled_from([(1.0, 1.0), (3.0, 3.0), (1.5, 2.0), (0.5, 0.5)]))
    return sketch(shape, Window(row, col, height, width), rule, merge, factors)


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(["crop", "weighted"]), st.integers(1, 80))
def test_neither_blocks_nor_regions_change_a_bit(data, merge, target):
    recipe = data.draw(recipes(merge))
    everything = Window(0, 0, *recipe.lattice.source_shape)
    whole, _ = merged(dataclasses.replace(recipe, region=everything), 10_000)
    part, valid = merged(recipe, target)
    np.testing.assert_array_equal(part, whole[:, *recipe.region.slices])
    assert valid.all()


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(["crop", "weighted"]))
def test_a_model_that_codes_position_comes_out_exactly(data, merge):
    recipe = data.draw(recipes(merge))
    recipe = sketch(recipe.lattice.source_shape, recipe.region, recipe.rule, merge)
    scores, _ = merged(recipe, 40)
    rows, cols = np.mgrid[recipe.region.slices]
    np.testing.assert_allclose(scores[0], rows * 1000 + cols, rtol=1e-6)


@pytest.mark.parametrize("length", [1, 20, 64, 100, 333])
def test_weights_of_neighbours_add_up_to_one(length):
    rule = TileRule(64, 8, 8)
    tiling = Tiling((1, length), Window(0, 0, 1, length), rule)
    total = np.zeros((1, length), np.float32)
    for tile in tiling.tiles():
        total[tile.read.slices] += tile_weight(tile, (1, length), rule.margin, total)
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_weighted_scores_change_gradually_across_a_seam():
    recipe = sketch((1, 200), Window(0, 0, 1, 200), TileRule(64, 16, 8), "weighted")
    scores, _ = merged(recipe, 50)
    jumps = np.abs(np.diff(scores[1, 0]))
    largest = max(abs(a - b) for a in range(11) for b in range(11))
    assert 0 < jumps.max() <= largest / 32 + 1e-4

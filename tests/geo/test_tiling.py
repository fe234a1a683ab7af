import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.tiling import Block, Tile, TileRule, Tiling
from engine.geo.window import Window

sizes = st.integers(1, 400)


@st.composite
def rules(draw):
    stride = draw(st.sampled_from([1, 2, 7, 8, 32]))
    size = stride * draw(st.integers(1, 9))
    margin = draw(st.integers(0, (size - stride) // 2))
    return TileRule(size, margin, stride, fixed=draw(st.booleans()))


@st.composite
def tilings(draw):
    height, width = draw(sizes), draw(sizes)
    rows = sorted(draw(st.lists(st.integers(0, height), min_size=2, max_size=2, unique=True)))
    cols = sorted(draw(st.lists(st.integers(0, width), min_size=2, max_size=2, unique=True)))
    rule = draw(rules())
    return Tiling((height, width), Window.from_spans(tuple(rows), tuple(cols)), rule)


def covered_once(windows: list[Window], region: Window) -> bool:
    """Disjoint windows inside the region whose areas add up to its own partition it."""
    inside = all(region.contains(w) and not w.is_empty for w in windows)
    area = sum(w.height * w.width for w in windows)
    rows = sorted({w.row for w in windows})
    cols = sorted({w.col for w in windows})
    distinct = {(w.row, w.col) for w in windows}
    return (
        inside and area == region.height * region.width and len(distinct) == len(rows) * len(cols)
    )


@given(tilings())
def test_keeps_partition_the_region(tiling: Tiling):
    tiles = list(tiling.tiles())
    assert len(tiles) == tiling.count
    assert covered_once([t.keep.intersect(tiling.region) for t in tiles], tiling.region)


@given(tilings())
def test_every_tile_stands_on_the_strides_lattice_inside_the_raster(tiling: Tiling):
    raster = Window(0, 0, *tiling.shape)
    for tile in tiling.tiles():
        assert tile.read.row % tiling.rule.stride == 0
        assert tile.read.col % tiling.rule.stride == 0
        assert raster.contains(tile.read)
        assert tile.read.contains(tile.keep)
        assert max(tile.read.shape) <= tiling.rule.size


@given(tilings())
def test_kept_pixels_have_their_margin_except_at_the_rasters_edge(tiling: Tiling):
    height, width = tiling.shape
    margin = tiling.rule.margin
    for tile in tiling.tiles():
        read, keep = tile.read, tile.keep
        assert keep.row - read.row >= margin or read.row == 0
        assert keep.col - read.col >= margin or read.col == 0
        assert read.row_stop - keep.row_stop >= margin or read.row_stop == height
        assert read.col_stop - keep.col_stop >= margin or read.col_stop == width


@given(tilings())
def test_filling_up_stays_below_one_stride_where_the_raster_is_large_enough(tiling: Tiling):
    rule = tiling.rule
    for tile in tiling.tiles():
        for real, whole in zip(tile.read.shape, tiling.shape, strict=True):
            assert rule.padded(real) >= real
            assert rule.padded(real) - real < rule.stride or whole < rule.size


@given(tilings(), st.integers(1, 300))
def test_blocks_partition_the_region_into_whole_tiles(tiling: Tiling, target: int):
    blocks: list[Block] = list(tiling.blocks(target))
    assert [b.index for b in blocks] == list(range(len(blocks)))
    assert covered_once([b.window for b in blocks], tiling.region)
    tiles: list[Tile] = [t for b in blocks for t in b.tiles]
    assert sorted(t.index for t in tiles) == sorted(t.index for t in tiling.tiles())
    for block in blocks:
        assert covered_once([t.keep.intersect(block.window) for t in block.tiles], block.window)
        single = len({t.index[0] for t in block.tiles}) == 1
        assert block.window.height <= target or single


@given(tilings())
def test_a_regions_tiles_are_tiles_of_the_whole_raster(tiling: Tiling):
    whole = Tiling(tiling.shape, Window(0, 0, *tiling.shape), tiling.rule)
    assert set(tiling.tiles()) <= set(whole.tiles())


@given(tilings(), st.integers(0, 40))
def test_near_finds_every_tile_whose_reach_touches(tiling: Tiling, margin: int):
    whole = Tiling(tiling.shape, Window(0, 0, *tiling.shape), tiling.rule)
    touching = {t for t in whole.tiles() if not t.reach(margin).intersect(tiling.region).is_empty}
    assert touching <= set(tiling.near(tiling.region, margin))
    assert set(tiling.near(tiling.region, 0)) == set(tiling.tiles())


def test_margins_waste_as_little_as_the_arithmetic_allows():
    tiling = Tiling(
        (10_000, 10_000), Window(0, 0, 10_000, 10_000), TileRule(2048, 32, 32, fixed=False)
    )
    assert tiling.computed_pixels / 1e8 < 1.2


@pytest.mark.parametrize(("size", "margin", "stride"), [(0, 0, 1), (64, 32, 1), (65, 8, 32)])
def test_a_rule_that_cannot_be_followed_is_refused(size, margin, stride):
    with pytest.raises(EngineError) as caught:
        TileRule(size, margin, stride)
    assert caught.value.code is ErrorCode.MODEL_INVALID


def test_a_region_beyond_the_raster_is_refused():
    with pytest.raises(EngineError) as caught:
        Tiling((10, 10), Window(5, 5, 10, 2), TileRule(4, 0))
    assert caught.value.code is ErrorCode.EXTENT_OUTSIDE

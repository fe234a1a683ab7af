"""What the model sees, and what the disk keeps."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.window import Window


@dataclass(frozen=True, slots=True)
class TileRule:
    """How a model wants its tiles; pixels of the model's lattice."""

    size: int
    """Edge of a tile as the model takes it."""
    margin: int
    """Pixels next to a tile's edge whose scores are not trusted."""
    stride: int = 1
    """Tile origins lie on multiples of it: the model's total downsampling."""
    fixed: bool = True
    """Whether every tile must have exactly ``size``; else any multiple of ``stride`` up to it."""

    def __post_init__(self) -> None:
        if self.size < 1 or self.margin < 0 or self.stride < 1:
            raise _bad_rule(self, "sizes are positive")
        if self.size - 2 * self.margin < self.stride:
            raise _bad_rule(self, "twice the margin and one stride must fit into a tile")
        if self.size % self.stride:
            raise _bad_rule(self, "the size is a multiple of the stride")

    def padded(self, length: int) -> int:
        """Length that the model is given for ``length`` real pixels."""
        if self.fixed:
            return self.size
        return math.ceil(length / self.stride) * self.stride


@dataclass(frozen=True, slots=True)
class Tile:
    """One forward pass."""

    index: tuple[int, int]
    """``(row, column)`` among the tiles of its tiling."""
    read: Window
    """Real pixels given to the model; never beyond the raster."""
    keep: Window
    """The tile's own pixels; inside ``read``. The keeps of all tiles partition the raster."""

    def reach(self, margin: int) -> Window:
        """Its own pixels and those within ``margin`` of them that it reads too."""
        return self.keep.expand(margin, margin).intersect(self.read)


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle of whole tiles' ``keep`` windows: the unit that is written, kept and resumed."""

    index: int
    window: Window
    """The union of its tiles' ``keep`` windows, as far as it lies in the region."""
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class _Span:
    """One tile along one axis."""

    read: tuple[int, int]
    keep: tuple[int, int]


@dataclass(frozen=True)
class Tiling:
    """The tiles that deliver ``region``.

    They are always tiles of the whole raster, so that a result does not depend on how a region
    was cut out. At the raster's edge a tile starts at the edge, without margin.
    """

    shape: tuple[int, int]
    """The raster's ``(height, width)`` on the model's lattice."""
    region: Window
    rule: TileRule

    def __post_init__(self) -> None:
        if self.region.is_empty or not Window(0, 0, *self.shape).contains(self.region):
            raise EngineError(
                ErrorCode.EXTENT_OUTSIDE,
                "The region to work on is empty or reaches beyond the raster.",
                "Choose an extent inside the raster.",
            )

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self._rows) * len(self._cols)

    @property
    def computed_pixels(self) -> int:
        """Pixels that go through the model."""
        rows = sum(self.rule.padded(s.read[1] - s.read[0]) for _, s in self._rows)
        return rows * sum(self.rule.padded(s.read[1] - s.read[0]) for _, s in self._cols)

    def tiles(self) -> Iterator[Tile]:
        """All tiles with a pixel of their own in the region, row by row."""
        return itertools.starmap(_tile, itertools.product(self._rows, self._cols))

    def near(self, window: Window, margin: int) -> Iterator[Tile]:
        """Tiles of the raster, row by row, whose reach of ``margin`` may touch ``window``."""
        rows = _touching(self.shape[0], self.rule, (window.row - margin, window.row_stop + margin))
        cols = _touching(self.shape[1], self.rule, (window.col - margin, window.col_stop + margin))
        return itertools.starmap(_tile, itertools.product(rows, cols))

    def blocks(self, target: int) -> Iterator[Block]:
        """Blocks of about ``target`` pixels each way (at least one tile), row by row."""
        col_groups = _grouped(self._cols, target)
        groups = itertools.product(_grouped(self._rows, target), col_groups)
        for index, (rows, cols) in enumerate(groups):
            yield _block(index, rows, cols, self.region)

    @property
    def _rows(self) -> list[_Numbered]:
        return _touching(self.shape[0], self.rule, (self.region.row, self.region.row_stop))

    @property
    def _cols(self) -> list[_Numbered]:
        return _touching(self.shape[1], self.rule, (self.region.col, self.region.col_stop))


_Numbered = tuple[int, _Span]


def _touching(length: int, rule: TileRule, region: tuple[int, int]) -> list[_Numbered]:
    """Numbered tiles along one axis with a pixel of their own in ``region``."""
    start, stop = region
    every = enumerate(_spans(length, rule))
    return [(n, s) for n, s in every if s.keep[0] < stop and s.keep[1] > start]


@functools.lru_cache(maxsize=64)
def _spans(length: int, rule: TileRule) -> tuple[_Span, ...]:
    """Tiles along one axis of ``length`` pixels whose keeps partition it."""
    spans = []
    keep_start = 0
    while keep_start < length:
        origin = _origin(length, keep_start, rule)
        read_stop = min(origin + rule.size, length)
        keep_stop = length if read_stop == length else read_stop - rule.margin
        spans.append(_Span((origin, read_stop), (keep_start, keep_stop)))
        keep_start = keep_stop
    return tuple(spans)


def _origin(length: int, keep_start: int, rule: TileRule) -> int:
    """The last multiple of the stride that leaves a full margin before ``keep_start``.

    A tile of fixed size is moved back so far that reflection fills less than one stride.
    """
    origin = max(keep_start - rule.margin, 0) // rule.stride * rule.stride
    if not rule.fixed:
        return origin
    last = math.ceil(max(length - rule.size, 0) / rule.stride) * rule.stride
    return min(origin, last)


def _tile(row: _Numbered, col: _Numbered) -> Tile:
    (i, rows), (j, cols) = row, col
    read = Window.from_spans(rows.read, cols.read)
    return Tile((i, j), read, Window.from_spans(rows.keep, cols.keep))


def _grouped(spans: list[_Numbered], target: int) -> list[list[_Numbered]]:
    """Consecutive spans whose keeps together stay within ``target`` pixels (one at the least)."""
    groups: list[list[_Numbered]] = [[]]
    for number, span in spans:
        group = groups[-1]
        if group and span.keep[1] - group[0][1].keep[0] > target:
            groups.append(group := [])
        group.append((number, span))
    return groups


def _block(index: int, rows: list[_Numbered], cols: list[_Numbered], region: Window) -> Block:
    tiles = tuple(itertools.starmap(_tile, itertools.product(rows, cols)))
    first, last = tiles[0].keep, tiles[-1].keep
    window = Window.from_spans((first.row, last.row_stop), (first.col, last.col_stop))
    return Block(index, window.intersect(region), tiles)


def _bad_rule(rule: TileRule, why: str) -> EngineError:
    return EngineError(
        ErrorCode.MODEL_INVALID,
        f"The tile rule {rule} cannot be followed: {why}.",
        "Correct the tiling block of the model's card.",
    )

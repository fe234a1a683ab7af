"""Charts of results and of how good they are, each a function of numbers that gives an SVG."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.report.canvas import BLUE, INK, ORANGE, QUIET, RULE, clean, drawn, marked
from engine.report.numbers import brief

Numbers = npt.ArrayLike
F64 = npt.NDArray[np.float64]

WIDE, SQUARE = (520.0, 250.0), (360.0, 340.0)
"""Points."""
ROW, AXIS = 24.0, 52.0
"""Height of a bar with its room, and of what stands below all of them; points."""
LONGEST = 34
"""Letters of a name."""
MOST_MARKS = 1_000
"""Dots that a chart holds; of more, every n-th."""
CELL = 46.0
"""Points along a cell of a heat map."""
FEW = 20
"""Classes up to which cells have that size, and numbers written on them."""
DARK = 0.5
"""Share of the largest from which a cell needs light letters."""
BINS, STEPS = 40, 64
SOFT, LIGHT = 0.55, "#ffffff"


def area_bars(names: Sequence[str], colors: Sequence[str], values: Numbers, unit: str) -> str:
    """One bar a class, in the class's colour, the first one on top.

    Args:
        names: Of the classes.
        colors: ``#rrggbb`` of each.
        values: Their areas.
        unit: Of the areas.
    """
    sizes = _array(values)

    def draw(axes: Any) -> None:
        _bars(axes, names, sizes, colors)
        axes.set_xlabel(_titled("area", unit))

    return drawn((WIDE[0], AXIS + ROW * len(sizes)), draw)


def importance_bars(
    names: Sequence[str], values: Numbers, spread: Numbers | None = None, label: str = "importance"
) -> str:
    """How much each variable matters, the most important one on top.

    Args:
        names: Of the variables.
        values: How much each matters.
        spread: Standard deviation of each.
        label: What the values are.
    """
    sizes = _array(values)
    order = np.argsort(-sizes, kind="stable")
    error = None if spread is None else _array(spread)[order]

    def draw(axes: Any) -> None:
        _bars(axes, [names[i] for i in order], sizes[order], [BLUE] * len(sizes), error)
        axes.set_xlabel(clean(label))

    return drawn((WIDE[0], AXIS + ROW * len(sizes)), draw)


def interval_plot(
    names: Sequence[str], estimates: Numbers, low: Numbers, high: Numbers, label: str
) -> str:
    """Estimates with their intervals, the first one on top.

    Args:
        names: Of what was estimated.
        estimates: Best guesses.
        low: Lower ends of the intervals.
        high: Upper ends.
        label: What is estimated, with its unit.
    """
    middle, ends = _array(estimates), (_array(low), _array(high))

    def draw(axes: Any) -> None:
        rows = np.arange(len(middle))
        axes.hlines(rows, *ends, color=BLUE, linewidth=2.5, alpha=SOFT)
        for number, (x, y) in enumerate(zip(middle, rows, strict=True)):
            marked(axes.plot([x], [y], "o", color=BLUE, markersize=6)[0], number)
        _name_rows(axes, names)
        axes.set_xlabel(clean(label))

    return drawn((WIDE[0], AXIS + ROW * len(middle)), draw)


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    labels: tuple[str, str],
    unit: str = "",
) -> str:
    """A matrix, such as of transitions or of confusion; the diagonal, what agrees, is grey.

    Args:
        rows: Names.
        columns: Names.
        values: ``[row][column]``; None: nothing.
        labels: What rows are, and columns.
        unit: Of the values.
    """
    cells = np.array([[math.nan if v is None else v for v in row] for row in values], float)
    apart = np.where(np.eye(*cells.shape) > 0, math.nan, cells)
    largest = float(np.nanmax(apart, initial=0)) or 1.0
    size = CELL if max(cells.shape) <= FEW else CELL / 2
    room = 6 * max(map(len, [*rows, *columns, ""]))
    shape = (room + 60 + size * cells.shape[1], room + 60 + size * cells.shape[0])
    return drawn(shape, functools.partial(_matrix, (rows, columns), cells, largest, labels, unit))


def scatter(observed: Numbers, predicted: Numbers, unit: str = "", name: str = "") -> str:
    """Predicted against observed values, with the line on which both are equal.

    Args:
        observed: What was measured.
        predicted: What the map or model says there.
        unit: Of both.
        name: What was measured.
    """
    pairs = _thinned(_array(observed), _array(predicted))
    low, high = _range(*pairs)

    def draw(axes: Any) -> None:
        axes.plot([low, high], [low, high], color=INK, linewidth=1, label="1 : 1")
        _dots(axes, *pairs)
        axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        axes.set_xlabel(_titled(f"observed {name}", unit))
        axes.set_ylabel(_titled(f"predicted {name}", unit))
        axes.legend(loc="upper left")

    return drawn(SQUARE, draw)


def reliability_diagram(predicted: Numbers, observed: Numbers, counts: Numbers) -> str:
    """How often what was given a probability came true; the size of a dot is how many they were.

    Args:
        predicted: Mean probability of each group.
        observed: Share of each group that came true.
        counts: Members of each group.
    """
    x, y, many = _array(predicted), _array(observed), _array(counts)

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, label="as it should be")
        axes.plot(x, y, color=BLUE, linewidth=1.5)
        sizes = 12 + 100 * many / max(many.max(initial=0), 1)
        for number, (a, b, size) in enumerate(zip(x, y, sizes, strict=True)):
            marked(axes.scatter([a], [b], s=size, color=BLUE), number)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set_xlabel("predicted probability")
        axes.set_ylabel("observed share")
        axes.legend(loc="upper left")

    return drawn(SQUARE, draw)


def variogram(
    distances: Numbers,
    semivariances: Numbers,
    curve: tuple[Numbers, Numbers] | None = None,
    unit: str = "m",
) -> str:
    """How different pairs of places are, by their distance.

    Args:
        distances: Of each group of pairs.
        semivariances: Of each group.
        curve: Distances and semivariances of a model that was fitted.
        unit: Of the distances.
    """
    x, y = _array(distances), _array(semivariances)

    def draw(axes: Any) -> None:
        for number, (a, b) in enumerate(zip(x, y, strict=True)):
            marked(axes.plot([a], [b], "o", color=BLUE, markersize=6)[0], number)
        if curve is not None:
            axes.plot(*map(_array, curve), color=ORANGE, linewidth=1.8, label="fitted")
            axes.legend(loc="lower right")
        axes.set(xlim=(0, None), ylim=(0, None))
        axes.set_xlabel(_titled("distance", unit))
        axes.set_ylabel("semivariance")

    return drawn(WIDE, draw)


def histogram(values: Numbers, label: str, cut: float | None = None, cut_name: str = "") -> str:
    """How often values occur.

    Args:
        values: All of them; numbers that are none are left out.
        label: What they are, with their unit.
        cut: A place to be marked.
        cut_name: What is there.
    """
    found = _array(values)
    found = found[np.isfinite(found)]
    counts, edges = np.histogram(found, bins=BINS)

    def draw(axes: Any) -> None:
        bars = axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=BLUE, alpha=0.8)
        for number, bar in enumerate(bars):
            marked(bar, number)
        if cut is not None:
            axes.axvline(cut, color=ORANGE, linewidth=1.8, label=clean(cut_name) or brief(cut))
            axes.legend(loc="upper right")
        axes.set_xlabel(clean(label))
        axes.set_ylabel("count")
        axes.grid(visible=False, axis="x")

    return drawn(WIDE, draw)


def color_ramp(colors: Sequence[str], ends: tuple[float, float], label: str) -> str:
    """The legend of a map of values.

    Args:
        colors: ``#rrggbb`` from the lowest to the highest value.
        ends: Those values.
        label: What the values are, with their unit.
    """
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415 - heavy

    ramp = LinearSegmentedColormap.from_list("ramp", list(colors))
    steps = np.linspace(*ends, STEPS, endpoint=False)

    def draw(axes: Any) -> None:
        for number, low in enumerate(steps):  # each over the rest of the last: no gaps between
            marked(axes.axvspan(low, ends[1], color=ramp(number / (STEPS - 1)), lw=0), number)
        axes.set(xlim=ends, yticks=[])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.set_xlabel(clean(label))

    return drawn((340.0, 62.0), draw)


def _bars(
    axes: Any,
    names: Sequence[str],
    values: F64,
    colors: Sequence[str],
    error: F64 | None = None,
) -> None:
    """Lying bars with their numbers behind them."""
    look = {"edgecolor": QUIET, "linewidth": 0.6, "ecolor": INK, "height": 0.72}
    bars = axes.barh(np.arange(len(values)), values, color=list(colors), xerr=error, **look)
    for number, bar in enumerate(bars):
        marked(bar, number)
    axes.bar_label(bars, labels=[brief(v) for v in values], padding=4, color=INK)
    axes.margins(x=0.14)
    axes.grid(visible=False, axis="y")
    _name_rows(axes, names)


def _matrix(  # noqa: PLR0917 - bound by position
    names: tuple[Sequence[str], Sequence[str]],
    cells: F64,
    largest: float,
    labels: tuple[str, str],
    unit: str,
    axes: Any,
) -> None:
    from matplotlib import colormaps  # noqa: PLC0415 - heavy
    from matplotlib.patches import Rectangle  # noqa: PLC0415 - heavy

    for number, ((row, column), value) in enumerate(np.ndenumerate(cells)):
        share = 0.0 if math.isnan(value) or row == column else math.sqrt(value / largest)
        color = colormaps["Oranges"](0.08 + 0.84 * share) if share else "#f1f1f1"
        color = RULE if row == column and value > 0 else color
        box = Rectangle((column, row), 0.96, 0.96, facecolor=color)
        marked(axes.add_patch(box), number)
        if value > 0 and max(cells.shape) <= FEW:
            ink = LIGHT if share > DARK * 1.3 else "#111111"
            at = (column + 0.48, row + 0.48)
            axes.text(*at, brief(value), ha="center", va="center", color=ink, fontsize=8)
    axes.set(xlim=(0, cells.shape[1]), ylim=(cells.shape[0], 0), aspect="equal")
    axes.set_yticks(np.arange(len(names[0])) + 0.48, [_short(n) for n in names[0]])
    axes.set_xticks(np.arange(len(names[1])) + 0.48, [_short(n) for n in names[1]], rotation=90)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_ylabel(clean(labels[0]))
    axes.set_xlabel(_titled(labels[1], unit), labelpad=9)


def _dots(axes: Any, x: F64, y: F64) -> None:
    marked(axes.scatter(x, y, s=14, color=BLUE, alpha=SOFT, linewidths=0), 0)


def _name_rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(np.arange(len(names)), [_short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _array(values: Numbers) -> F64:
    return np.asarray(values, np.float64).ravel()


def _thinned(*columns: F64) -> tuple[F64, ...]:
    """Pairs of numbers, not more than a picture shows."""
    good = np.logical_and.reduce([np.isfinite(c) for c in columns])
    step = -(-int(good.sum()) // MOST_MARKS) or 1
    return tuple(column[good][::step] for column in columns)


def _range(*columns: F64) -> tuple[float, float]:
    """Room for all numbers, and a little more."""
    every = np.concatenate(columns)
    if not every.size:
        return 0.0, 1.0
    low, high = float(every.min()), float(every.max())
    more = 0.04 * (high - low) or 0.5
    return low - more, high + more


def _titled(text: str, unit: str) -> str:
    return clean(f"{text.strip()} ({unit})" if unit else text.strip())


def _short(name: str) -> str:
    name = clean(name)
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"

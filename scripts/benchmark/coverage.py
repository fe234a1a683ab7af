"""How often the 95 % interval of a total holds the truth when a map's errors are correlated.

    .venv/bin/python scripts/benchmark/coverage.py [--draws 2000] [--plots 150] [--figure FILE.svg]

A map of biomass with known standard deviations is given errors from a Gaussian random field (by
circulant embedding, exact), again and again; each time the total of a round zone and its interval
are computed in three ways: with the correlation known, with a variogram fitted to the errors at
plots of that very draw (its shape and the pixels' deviations known), and as if pixels were
independent.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.assess.covariance import Spacing, covariance_of_sums
from engine.assess.estimate import normal_factor
from engine.assess.totals import Zone, estimate_total
from engine.assess.variogram import (
    Correlation,
    Shape,
    fit_variogram,
    measure_variogram,
)

F64 = npt.NDArray[np.float64]

SEED = 20260101
"""Chosen before the first run and never changed."""
SIDE, PIXEL = 48, 30.0
PLOTS = 150
TRUE = Correlation(Shape.EXPONENTIAL, 120.0, 0.2)
SPACING = Spacing(PIXEL, PIXEL)
KNOWN, FITTED, INDEPENDENT = "known", "fitted", "independent"
TITLES = {
    KNOWN: "correlation known",
    FITTED: "variogram of each draw's plots",
    INDEPENDENT: "pixels taken as independent",
}


@dataclass(frozen=True, eq=False)
class Coverage:
    """What the draws came to."""

    errors: F64
    """``[D]`` estimated minus true total."""
    total: float
    se: dict[str, F64]
    """``[D]`` standard error by each way."""

    def inside(self, way: str) -> npt.NDArray[np.bool_]:
        """Which intervals hold the truth."""
        return np.abs(self.errors) <= normal_factor(0.95) * self.se[way]

    def share(self, way: str) -> float:
        """How many of the intervals do."""
        return float(self.inside(way).mean())


def round_zone(side: int = SIDE) -> Zone:
    """Biomass that varies smoothly, its deviation, and a disc with pixels covered in part."""
    y, x = np.mgrid[:side, :side] / side
    value = 180 + 90 * np.sin(4 * x + 1) * np.cos(5 * y)
    distance = np.hypot(x - 0.5, y - 0.5) * side
    covered = np.clip(0.45 * side - distance + 0.5, 0, 1)
    return Zone(value, 10 + 0.15 * value, covered * PIXEL**2 / 1e4)


def embed(shape: tuple[int, int], spacing: Spacing, correlation: Correlation) -> F64:
    """Roots of the eigenvalues of the correlation on a torus (Dietrich and Newsam 1997).

    Raises:
        ValueError: when the torus is too small for a valid correlation.
    """
    sides = [2 * n for n in shape]
    steps = [np.minimum(np.arange(n), n - np.arange(n)) for n in sides]
    h = np.hypot(steps[0][:, None] * spacing.row, steps[1][None, :] * spacing.col)
    values = np.fft.fft2(correlation.at(h)).real
    if values.min() < -1e-9 * values.max():
        raise ValueError("the field is too small to embed its correlation")
    return np.sqrt(np.maximum(values, 0))


def fields(roots: F64, shape: tuple[int, int], rng: np.random.Generator) -> tuple[F64, F64]:
    """Two independent fields ``[H, W]`` of mean 0 and variance 1."""
    noise = rng.normal(size=roots.shape) + 1j * rng.normal(size=roots.shape)
    both = np.fft.fft2(roots * noise)[: shape[0], : shape[1]] / math.sqrt(roots.size)
    return both.real, both.imag


def simulate(draws: int, plots: int = PLOTS, seed: int = SEED) -> Coverage:
    """Draw errors, and the intervals that a user would have been given."""
    zone = round_zone()
    rng, chooser = (np.random.default_rng([seed, k]) for k in range(2))
    shape = (SIDE, SIDE)
    roots = embed(shape, SPACING, TRUE)
    found = estimate_total(zone, SPACING, TRUE)
    deviation = zone.times(zone.sd)
    pairs = lag_sums(deviation)
    errors, fitted = np.zeros(draws), np.zeros(draws)
    for first in range(0, draws, 2):
        for k, field in enumerate(fields(roots, shape, rng)[: draws - first]):
            errors[first + k] = float((deviation * field).sum())
            fitted[first + k] = fitted_error(field, pairs, plots, chooser)
    se = {
        KNOWN: np.full(draws, found.se_residual),
        FITTED: fitted,
        INDEPENDENT: np.full(draws, found.se_independent),
    }
    return Coverage(errors, found.total.value, se)


def lag_sums(deviation: F64) -> tuple[F64, F64]:
    """Distances between pixels, and the sum of the products of deviations at each.

    A total's variance is these sums times the correlations at their distances.
    """
    spectrum = np.fft.rfft2(deviation, [2 * n for n in deviation.shape])
    sums = np.fft.irfft2(np.abs(spectrum) ** 2, [2 * n for n in deviation.shape])
    steps = np.minimum(np.arange(2 * SIDE), 2 * SIDE - np.arange(2 * SIDE)) * PIXEL
    distance, place = np.unique(
        np.round(np.hypot(steps[:, None], steps[None, :]), 6), return_inverse=True
    )
    return distance.astype(float), np.bincount(place.ravel(), sums.ravel()).astype(float)


def fitted_error(field: F64, pairs: tuple[F64, F64], plots: int, rng: np.random.Generator) -> float:
    """Standard error of the total by a variogram of the standardised errors at some plots."""
    chosen = rng.choice(field.size, plots, replace=False)
    places = np.column_stack(np.divmod(chosen, SIDE)) * PIXEL
    empirical = measure_variogram(places, field.ravel()[chosen])
    model = fit_variogram(empirical, Shape.EXPONENTIAL)
    distance, sums = pairs
    return math.sqrt(max(float(model.correlation.at(distance) @ sums), 0.0))


def draw_figure(coverage: Coverage, path: Path, shown: int = 100) -> None:
    """The first intervals by each way, those that miss the truth in red."""
    from matplotlib.figure import Figure  # noqa: PLC0415, heavy

    figure = Figure((10, 4.2), layout="constrained")
    axes = figure.subplots(1, len(TITLES), sharey=True)
    for axis, (way, title) in zip(axes, TITLES.items(), strict=True):
        percent = 100 / coverage.total
        inside = coverage.inside(way)[:shown]
        middle = coverage.errors[:shown] * percent
        half = normal_factor(0.95) * coverage.se[way][:shown] * percent
        for hit, color in ((inside, "#4c78a8"), (~inside, "#d62728")):
            number = np.flatnonzero(hit)
            axis.vlines(number, (middle - half)[hit], (middle + half)[hit], color, linewidth=1)
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set_title(f"{title}\n{coverage.share(way):.1%} of {len(coverage.errors)} hold it")
        axis.set_xlabel("draw")
    axes[0].set_ylabel("95 % interval of the total,\npercent from the truth")
    figure.savefig(path)


def main() -> int:
    """Print the shares, and draw the figure where one is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--plots", type=int, default=PLOTS)
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    coverage = simulate(asked.draws, asked.plots)
    deviation = round_zone().times(round_zone().sd)
    exact = math.sqrt(covariance_of_sums(deviation, deviation, SPACING, TRUE))
    print(f"{asked.draws} draws, seed {SEED}, {asked.plots} plots, total {coverage.total:,.0f} Mg")
    print(f"true standard error {exact:,.1f} Mg, of the draws {coverage.errors.std():,.1f} Mg")
    for way, title in TITLES.items():
        middle = float(np.median(coverage.se[way]))
        print(f"{title:32s} covers {coverage.share(way):6.1%}, median SE {middle:8,.1f} Mg")
    if asked.figure:
        draw_figure(coverage, asked.figure)
        print(f"drawn to {asked.figure}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

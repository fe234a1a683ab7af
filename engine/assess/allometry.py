"""Above-ground biomass from mean top-of-canopy height, by published formulas of whole plots.

All have the form ``density = factor * height ** exponent``, where ``height`` is the mean over the
plot of the highest return of every square metre. They are no formulas of single pixels: heights
are averaged over a plot first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engine.assess.totals import CARBON_FRACTION
from engine.models.response import Response

F64 = npt.NDArray[np.float64]

HIGHEST = 120.0
"""Metres; the highest tree known has 116."""
STEP = 0.25
DRAWS = 4096


@dataclass(frozen=True)
class Allometry:
    """A formula, and what is known of its error."""

    id: str
    title: str
    factor: float
    exponent: float
    is_carbon: bool
    """Whether it gives carbon rather than biomass; Mg/ha either way."""
    residual_factor: float
    residual_exponent: float
    """The standard deviation of plots around it is ``residual_factor * height **
    residual_exponent``, in the formula's unit."""
    plot_m: float
    """Side of the square plots that it was made for."""
    citation: str
    checked: str
    """How its numbers were checked, and what was not."""
    factor_error: float = 0.0
    """Relative standard error of ``factor``, and ..."""
    exponent_error: float = 0.0
    """... standard error of ``exponent``, taken as independent."""


ASNER = Allometry(
    id="asner-mascaro-2014",
    title="Tropical forests, general (Asner and Mascaro 2014)",
    factor=6.85,
    exponent=0.952,
    is_carbon=True,
    residual_factor=0.1 * 6.85,
    residual_exponent=0.952,
    plot_m=100.0,
    citation="Asner, G. P.; Mascaro, J. (2014): Mapping tropical forest carbon: Calibrating plot "
    "estimates to a simple LiDAR metric. Remote Sensing of Environment 140, 614-624. "
    "https://doi.org/10.1016/j.rse.2013.09.023",
    checked="The general formula of height alone; coefficients as two independent public programs "
    "have them. The error of 10 % is the agreement that the abstract states for 1 ha with regional "
    "basal area and wood density: without these, errors are larger. The range of heights and the "
    "errors of the coefficients were not checked.",
)
LONGO = Allometry(
    id="longo-2016",
    title="Intact and degraded forests of the Brazilian Amazon (Longo et al. 2016)",
    factor=0.54,
    exponent=1.76,
    is_carbon=True,
    residual_factor=1.7,
    residual_exponent=1.04,
    plot_m=50.0,
    citation="Longo, M. et al. (2016): Aboveground biomass variability across intact and degraded "
    "forests in the Brazilian Amazon. Global Biogeochemical Cycles 30, 1639-1660. "
    "https://doi.org/10.1002/2016GB005465",
    checked="The formula of height alone of the supplement, there in kg/m2; coefficients as two "
    "public programs have them (the exponent is 1.74 in one of them), the deviation as one has it. "
    "The range of heights and the errors of the coefficients were not checked.",
)
PUBLISHED = {one.id: one for one in (ASNER, LONGO)}


def density(allometry: Allometry, height: F64, carbon_fraction: float = CARBON_FRACTION) -> F64:
    """Biomass in Mg/ha at mean heights in metres."""
    share = carbon_fraction if allometry.is_carbon else 1.0
    found: F64 = allometry.factor * np.maximum(height, 0.0) ** allometry.exponent / share
    return found


def for_plots_of(allometry: Allometry, side: float) -> Allometry:
    """The same formula for plots of another side in metres.

    Residuals shrink with the root of the plots' area (Mascaro et al. 2011, Remote Sensing of
    Environment 115, 3770-3774: 38 % from 0.36 to 1 ha, where the root gives 40 %).
    """
    factor = allometry.residual_factor * allometry.plot_m / side
    return replace(allometry, residual_factor=factor, plot_m=side)


def response(
    allometry: Allometry,
    height_error: float = 0.0,
    carbon_fraction: float = CARBON_FRACTION,
    seed: int = 0,
) -> Response:
    """Biomass and its standard deviation over all heights.

    The estimate is the formula's own. Around it, the errors of the height, of the coefficients and
    of plots about the formula are drawn together, independently and normally, the same draws at
    every height; the deviation is the root of the mean squared distance of what they give from
    the estimate (Monte Carlo, JCGM 101:2008).

    Args:
        allometry: The formula.
        height_error: Standard deviation of a plot's mean height, metres.
        carbon_fraction: Of biomass.
        seed: Of the draws.
    """
    heights = np.arange(0.0, HIGHEST + STEP, STEP)
    of_height, of_factor, of_exponent, of_plot = np.random.default_rng(seed).standard_normal(
        (4, DRAWS)
    )
    share = carbon_fraction if allometry.is_carbon else 1.0
    estimate = density(allometry, heights, carbon_fraction)
    factor = allometry.factor * np.exp(allometry.factor_error * of_factor)
    exponent = allometry.exponent + allometry.exponent_error * of_exponent
    deviation = np.empty_like(heights)
    for i, height in enumerate(heights):
        drawn = np.maximum(height + height_error * of_height, 0.0)
        spread = allometry.residual_factor * height**allometry.residual_exponent
        found = (factor * drawn**exponent + spread * of_plot) / share
        deviation[i] = np.sqrt(np.mean((found - estimate[i]) ** 2))
    return Response(heights, estimate, deviation)

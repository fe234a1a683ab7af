"""Biomass from canopy height: a published formula as the card of a run."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np

from engine.assess.allometry import PUBLISHED, Allometry, for_plots_of, response
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import AllometryOptions, SegmentRequest
from engine.geo.crs import is_geographic, lonlat_of
from engine.geo.tiling import TileRule
from engine.io.plausibility import sample
from engine.io.scene import open_scene
from engine.io.source import Scene
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput, ValueBand
from engine.models.inline import inline_uri
from engine.models.response import response_to_json
from engine.models.response_model import ABSENT
from engine.pipeline.comparison import ANY_SIZE, Comparison

TILE = 512
"""Pixels along a tile, about."""
OWN = "power"
PLAUSIBLE = (-5.0, 120.0)
"""Metres; the highest tree known has 116."""
MOST_NEGATIVE = 0.05
"""Share of pixels below the ground that noise explains."""
LARGEST_CELL = 4096
TROPIC = 23.5
"""Degrees of latitude, north or south."""
COARSE = 1.5
"""Pixels so many times as large as a plot are no parts of it."""


def from_height(request: SegmentRequest, options: AllometryOptions) -> Comparison:
    """The card that makes biomass of a canopy height model.

    Raises:
        EngineError: ``REQUEST_INVALID`` for numbers that no formula can have,
            ``CRS_MISSING`` and ``MODEL_UNSUITABLE`` where pixels have no one size in metres.
    """
    published = chosen(options)
    guessed = "raw" if request.input.profile == "auto" else request.input.profile
    spec = replace(request.input, profile=guessed)
    scene = open_scene(spec)
    side = options.plot_m or published.plot_m
    cell, pixel = _cell(scene, side)
    allometry = for_plots_of(published, cell * pixel)
    card = _card(allometry, options, scene, cell, pixel)
    averaged = (
        f"Heights are averaged over plots of {cell} x {cell} pixels ({cell * pixel:.4g} m along a "
        f"side; the formula is for {published.plot_m:.4g} m), then the formula is applied; its "
        "residual error is scaled by the root of the plots' areas (Mascaro et al. 2011)."
    )
    notes = (
        *_check_heights(scene),
        *_check_place(published, scene),
        f"{allometry.title}: {allometry.citation}",
        averaged,
        allometry.checked,
    )
    return Comparison(replace(request, input=spec), card, notes)


def chosen(options: AllometryOptions) -> Allometry:
    """The formula that is asked for.

    Raises:
        EngineError: ``REQUEST_INVALID``.
    """
    own = (options.factor, options.exponent, options.residual)
    if options.name != OWN:
        if any(value is not None for value in own):
            raise _invalid(
                f"The formula {options.name} has numbers of its own.",
                f"Leave out --factor, --exponent and --residual, or use --allometry {OWN}.",
            )
        return PUBLISHED[options.name]
    factor, exponent, residual = own
    if factor is None or exponent is None or residual is None:
        raise _invalid(
            "A formula of your own has a factor, an exponent and a residual error.",
            "Give --factor, --exponent and --residual (a share of the estimate, such as 0.2).",
        )
    numbers = (factor, exponent, residual)
    if not (all(map(math.isfinite, numbers)) and factor > 0 and exponent > 0 and residual >= 0):
        raise _invalid(
            f"{factor:g} * height ^ {exponent:g} with an error of {residual:g} is no formula of "
            "biomass.",
            "Give a factor and an exponent above 0, and an error from 0 on.",
        )
    return Allometry(
        id=OWN,
        title=f"Own formula: biomass = {factor:g} * height ^ {exponent:g} Mg/ha",
        factor=factor,
        exponent=exponent,
        is_carbon=False,
        residual_factor=residual * factor,
        residual_exponent=exponent,
        plot_m=options.plot_m or 100.0,
        citation="given by the user",
        checked=f"Plots deviate from it by {residual:.3g} of the estimate, as given.",
    )


def _check_heights(scene: Scene) -> tuple[str, ...]:
    """What a user should know of heights below the ground.

    Raises:
        EngineError: ``SCALE_IMPLAUSIBLE`` when there are too many for noise.
    """
    source = scene.source(_role(scene))
    try:
        heights = sample(source)[0]
    finally:
        source.close()
    if not heights.size:
        return ()
    share, least = float((heights < 0).mean()), float(heights.min())
    if share > MOST_NEGATIVE or least < PLAUSIBLE[0]:
        raise EngineError(
            ErrorCode.SCALE_IMPLAUSIBLE,
            f"{100 * share:.3g} % of the heights in {scene.files[0]} are below the ground, down to "
            f"{least:.4g} m: that is no canopy height.",
            "Give surface less terrain in metres; name a value that means no data with --nodata.",
        )
    told = f"{100 * share:.2g} % of the heights are below the ground (down to {least:.3g} m)"
    return (f"{told}; they count as 0.",) if share else ()


def _check_place(allometry: Allometry, scene: Scene) -> tuple[str, ...]:
    """A warning where a formula of the tropics is used elsewhere."""
    if allometry.id == OWN or scene.grid.crs is None:
        return ()
    west, south, east, north = scene.grid.bounds
    middle = np.array([[(west + east) / 2, (south + north) / 2]])
    latitude = float(lonlat_of(middle, scene.grid.crs)[0, 1])
    if abs(latitude) <= TROPIC:
        return ()
    return (
        (
            f"The scene lies at {abs(latitude):.1f}° of latitude, and the formula is of tropical "
            "forests: do not trust the result; give a formula of your own (--allometry power)."
        ),
    )


def _role(scene: Scene) -> tuple[str, ...]:
    """The one band of a canopy height.

    Raises:
        EngineError: ``BAND_COUNT``.
    """
    if len(scene.bands) != 1:
        raise EngineError(
            ErrorCode.BAND_COUNT,
            f"{scene.files[0]} has {len(scene.bands)} bands, and a canopy height has one.",
            "Give a raster with the height alone.",
        )
    return (scene.bands[0].role or "band-1",)


def _cell(scene: Scene, side: float) -> tuple[int, float]:
    """Pixels along a plot, and metres along a pixel."""
    size = scene.grid.pixel_size_m
    if size is None:
        raise EngineError(
            ErrorCode.CRS_MISSING,
            f"Nobody knows the size of the pixels of {scene.files[0]}, and plots are in metres.",
            "Give the raster a CRS, or say its pixel size with --gsd.",
        )
    if is_geographic(scene.grid.crs):
        raise EngineError(
            ErrorCode.MODEL_UNSUITABLE,
            f"{scene.files[0]} is in degrees, where plots are no whole number of pixels.",
            "Reproject the canopy height to a CRS in metres, such as its UTM zone.",
        )
    pixel = math.sqrt(size[0] * size[1])
    if pixel > COARSE * side:
        raise EngineError(
            ErrorCode.MODEL_UNSUITABLE,
            f"Pixels of {pixel:.4g} m are larger than plots of {side:.4g} m.",
            "Give a finer canopy height, or larger plots (--plot) that the formula allows.",
        )
    return min(max(1, round(side / pixel)), LARGEST_CELL), pixel


def _card(
    allometry: Allometry, options: AllometryOptions, scene: Scene, cell: int, pixel: float
) -> ModelCard:
    curve = response(allometry, options.height_error, options.carbon_fraction)
    content = response_to_json(curve).encode()
    given = ModelInput(
        bands=_role(scene),
        quantity="raw",
        valid_range=PLAUSIBLE,
        transforms=(),
        gsd=pixel,
        gsd_range=ANY_SIZE,
        name="height",
        fill=ABSENT,
    )
    values = (
        ValueBand("above-ground biomass", "Mg/ha", (0.0, 1e5)),
        ValueBand("standard deviation", "Mg/ha", (0.0, 1e5), measure="standard-deviation"),
    )
    size = cell * max(1, TILE // cell)
    return ModelCard(
        id=allometry.id,
        version="1",
        title=allometry.title,
        summary="Biomass from the mean canopy height of plots.",
        tasks=("regression",),
        inputs=(given,),
        tiling=TileRule(size, 0, cell),
        merge="crop",
        output=ModelOutput(values=values, cell=cell),
        file=ModelFile(
            inline_uri(content), hashlib.sha256(content).hexdigest(), len(content), "response"
        ),
        license="CC0-1.0",
        attribution="Swath",
        citation=allometry.citation,
        metrics=(allometry.checked,),
    )


def _invalid(message: str, hint: str) -> EngineError:
    return EngineError(ErrorCode.REQUEST_INVALID, message, hint)

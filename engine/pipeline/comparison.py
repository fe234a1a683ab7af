"""Comparisons of two dates without a trained model: fitted to the scenes of a request."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special

from engine.change.irmad import fit_irmad
from engine.change.threshold import otsu
from engine.change.vectors import fit_vectors
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import (
    ChangeOptions,
    InputSpec,
    ModelClass,
    NamedInput,
    SegmentRequest,
)
from engine.geo.tiling import TileRule
from engine.geo.window import Window
from engine.io.scene import open_scene
from engine.io.source import Scene, Source
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput
from engine.models.difference import Difference, difference_to_json, without_speckle
from engine.models.inline import inline_uri
from engine.pipeline.coregistration import coregistered
from engine.pipeline.inputs import Sources, open_inputs
from engine.pipeline.tensors import encoding_for

F32 = npt.NDArray[np.float32]

BEFORE, AFTER = "before", "after"
METHODS = {
    "irmad": "Iteratively reweighted multivariate alteration detection (Nielsen 2007)",
    "cva": "Change vector analysis (Malila 1980)",
    "logratio": "Log-ratio of radar backscatter (Rignot and van Zyl 1993)",
    "classes": "Comparison of two class maps",
}
MOST_NUMBERS = 1 << 25
"""That a sample of both dates holds."""
EDGE = 256
"""Pixels along the windows of a sample."""
FALSE_ALARM = 0.001
"""Share of unchanged pixels that may be taken for change when Otsu finds no two groups."""
NOISE = 0.02
"""A cut that so large a share of unchanged pixels exceeds splits noise, not change from none."""
SPECKLE = 7
"""Pixels along the window over which radar images are averaged."""
NOTHING = -1000.0
"""dB of pixels without data."""
TILE = 512
UNSETTLED = (
    "They did not settle: too little is unchanged or varies to tell change from noise. "
    "Do not trust the map, and compare with --method cva."
)
ANY_SIZE = (1e-9, 1e9)
ANY_NUMBER = (-1e30, 1e30)


@dataclass(frozen=True)
class Comparison:
    """A request whose method has been fitted."""

    request: SegmentRequest
    """With nothing left to guess about its scenes' bands."""
    card: ModelCard
    notes: tuple[str, ...]


def compared(request: SegmentRequest, options: ChangeOptions) -> Comparison:
    """Fit a method to the two scenes of a request.

    Args:
        request: Its input is the first date, its one further input the second.
        options: The method, and where change begins.

    Raises:
        EngineError: ``REQUEST_INVALID`` without a second date, ``BAND_MISSING`` when the dates
            have no bands in common, ``INPUT_GRID_MISMATCH`` when no place has data at both.
    """
    if options.method == "classes":
        from engine.pipeline.transitions import compared_classes  # noqa: PLC0415 - it knows this

        return compared_classes(request, options)
    before, after, roles = _alike(request, options)
    request = replace(request, input=before, others=(NamedInput(AFTER, after),))
    draft = _card(options.method, open_scene(before), roles)
    inputs = open_inputs(draft, before, request.others)
    notes: tuple[str, ...] = ()
    if request.coregister:
        inputs, moved = coregistered(inputs)
        request, notes = replace(request, others=inputs.others), (moved,)
    with inputs.sources() as sources:
        pixels, share = _sample(draft, sources)
    difference, found = _fit(options.method, *pixels)
    cut, how = _cut(options, difference, *pixels)
    difference = replace(difference, cut=cut)
    content = difference_to_json(difference).encode()
    file = ModelFile(
        inline_uri(content), hashlib.sha256(content).hexdigest(), len(content), "difference"
    )
    card = replace(
        draft, file=file, output=replace(draft.output, threshold=difference.least_unchanged)
    )
    seen = "all pixels" if share >= 1 else f"{share:.2g} of the pixels, evenly chosen"
    fitted = f"{METHODS[options.method]}, fitted to {seen}: {found}"
    return Comparison(request, card, (*notes, fitted, how))


def _alike(
    request: SegmentRequest, options: ChangeOptions
) -> tuple[InputSpec, InputSpec, tuple[str, ...]]:
    """Both dates with the scaling that the method needs, and the bands that they share."""
    if len(request.others) != 1:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"A change needs two dates, and {1 + len(request.others)} are given.",
            "Give one scene of before and one of after.",
        )
    needs_scale = options.method == "logratio"
    before, one = _opened(request.input, needs_scale=needs_scale)
    after, two = _opened(request.others[0].input, needs_scale=needs_scale)
    if needs_scale:
        _check_radar(one, two)
    return before, after, _shared_roles(one, two)


def _opened(spec: InputSpec, *, needs_scale: bool) -> tuple[InputSpec, Scene]:
    """The scene; with its numbers as they are where nobody knows what they mean.

    Comparisons of optical scenes find the scale themselves.
    """
    try:
        return spec, open_scene(spec)
    except EngineError as error:
        if error.code is not ErrorCode.SCALE_UNKNOWN or needs_scale:
            raise
        plain = replace(spec, profile="raw")
        return plain, open_scene(plain)


def _check_radar(*scenes: Scene) -> None:
    for scene in scenes:
        if scene.profile.quantity != "backscatter_db":
            raise EngineError(
                ErrorCode.MODEL_UNSUITABLE,
                f"The log-ratio is for radar, and the scene holds {scene.profile.quantity}.",
                "Say what the numbers mean with --input-profile decibel or power, or use "
                "--method irmad.",
            )


def _shared_roles(before: Scene, after: Scene) -> tuple[str, ...]:
    there = {band.role for band in after.bands}
    shared = tuple(band.role for band in before.bands if band.role and band.role in there)
    if shared:
        return shared
    if len(before.bands) == len(after.bands):
        return tuple(f"band-{number}" for number in range(1, len(before.bands) + 1))
    raise EngineError(
        ErrorCode.BAND_MISSING,
        f"The two dates have {len(before.bands)} and {len(after.bands)} bands, and no role "
        "tells which belong together.",
        "Name the bands by role with --bands, as in --bands red=3,nir=4.",
    )


def _card(method: str, before: Scene, roles: tuple[str, ...]) -> ModelCard:
    """The card of a method that is still to be fitted."""
    size = before.grid.pixel_size_m or (1.0, 1.0)
    given = ModelInput(
        bands=roles,
        quantity="raw",
        valid_range=ANY_NUMBER,
        transforms=(),
        gsd=math.sqrt(size[0] * size[1]),
        gsd_range=ANY_SIZE,
        name=BEFORE,
        fill=NOTHING if method == "logratio" else 0.0,
    )
    return ModelCard(
        id=method,
        version="1",
        title=METHODS[method],
        summary="Compares two dates by statistics of these dates alone.",
        tasks=("semantic-segmentation",),
        inputs=(given, replace(given, name=AFTER)),
        tiling=TileRule(TILE, SPECKLE // 2 if method == "logratio" else 0, 1),
        merge="crop",
        output=ModelOutput(
            (ModelClass(1, "change", "#d7301f"), ModelClass(0, "no change", "#d9d9d9"))
        ),
        file=ModelFile("", "", 0, "difference"),
        license="CC0-1.0",
        attribution="Swath",
        citation=METHODS[method],
        joining="separate",
    )


def _sample(card: ModelCard, sources: Sources) -> tuple[tuple[F32, F32], float]:
    """Pixels ``[C, n]`` of both dates where both have data, and which share of all was read."""
    pair = (sources[0][0], sources[1][0])
    shape = pair[0].grid.shape
    windows, share = _windows(shape, MOST_NUMBERS // (2 * len(card.input.bands)))
    parts = [_read(card, pair, window) for window in windows]
    before, after = (np.concatenate(p, axis=1) for p in zip(*parts, strict=True))
    if before.shape[1] <= 2 * len(card.input.bands):
        raise EngineError(
            ErrorCode.INPUT_GRID_MISMATCH,
            "There are next to no pixels with data at both dates.",
            "Give two scenes of one place, and check their nodata values.",
        )
    return (before, after), share


def _windows(shape: tuple[int, int], most: int) -> tuple[list[Window], float]:
    """Windows over the whole raster, or as many of them as hold ``most`` pixels."""
    rows, cols = (range(0, n, EDGE) for n in shape)
    every = [
        Window.from_spans((r, min(r + EDGE, shape[0])), (c, min(c + EDGE, shape[1])))
        for r in rows
        for c in cols
    ]
    count = min(len(every), max(1, most // EDGE**2))
    chosen = np.random.default_rng(0).choice(len(every), count, replace=False)
    return [every[i] for i in sorted(chosen)], count / len(every)


def _read(card: ModelCard, pair: Sequence[Source], window: Window) -> tuple[F32, ...]:
    chips = [source.read(window) for source in pair]
    both = chips[0].valid & chips[1].valid
    found = []
    for chip, source, given in zip(chips, pair, card.inputs, strict=True):
        pixels = encoding_for(given, source)(chip.data, chip.valid)
        smooth = without_speckle(pixels, SPECKLE) if card.id == "logratio" else pixels
        found.append(smooth[:, both].astype(np.float32))
    return tuple(found)


def _fit(method: str, before: F32, after: F32) -> tuple[Difference, str]:
    """The comparison, and what a user may want to know of it."""
    try:
        if method != "irmad":
            difference = fit_vectors(before, after)
            if method == "logratio":
                difference = replace(difference, speckle=SPECKLE)
            usual = ", ".join(f"{value:.4g}" for value in difference.offset)
            return difference, f"the usual difference (after less before) is {usual}."
        fit = fit_irmad(before, after)
    except ValueError as error:
        raise EngineError(
            ErrorCode.INPUT_UNREADABLE,
            f"The dates cannot be compared: {error}.",
            "Check that the files hold the scenes that they should.",
        ) from error
    shown = ", ".join(f"{value:.4g}" for value in fit.correlations)
    doubt = "" if fit.is_settled else f" {UNSETTLED}"
    return fit.difference, f"canonical correlations {shown} after {fit.rounds} rounds.{doubt}"


def _cut(
    options: ChangeOptions, difference: Difference, before: F32, after: F32
) -> tuple[float, str]:
    """The root of the statistic from which on it is change, and how it was found."""
    if options.threshold is not None:
        return options.threshold, f"Change begins at {options.threshold:.5g}, as asked for."
    alarm = FALSE_ALARM if options.false_alarm is None else options.false_alarm
    by_chance = math.sqrt(special.chdtri(difference.components, alarm))
    told = f"where {alarm:g} of the unchanged pixels would be taken for it, at {by_chance:.3g}"
    if options.false_alarm is not None:
        return by_chance, f"Change begins {told}."
    cut = otsu(np.sqrt(difference.statistic(before, after)))
    if cut is not None and cut > math.sqrt(special.chdtri(difference.components, NOISE)):
        return cut, f"Change begins at {cut:.5g}, by Otsu's rule."
    return by_chance, f"The statistic has no second group, so change begins {told}."

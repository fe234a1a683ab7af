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
from engine.models.difference import Difference, difference_to_json
from engine.models.inline import inline_uri
from engine.models.speckle import stilled
from engine.models.store import ModelStore
from engine.pipeline.coregistration import coregistered
from engine.pipeline.inputs import Sources, open_inputs
from engine.pipeline.pairing import FURTHER
from engine.pipeline.tensors import encoding_for

F32 = npt.NDArray[np.float32]

BEFORE, AFTER = "before", "after"
METHODS = {
    "irmad": "Iteratively reweighted multivariate alteration detection (Nielsen 2007)",
    "cva": "Change vector analysis (Malila 1980)",
    "logratio": "Log-ratio of radar backscatter (Rignot and van Zyl 1993)",
    "classes": "Comparison of two class maps",
    "embedding": "Distance between embeddings of two dates",
    "flood": "Flood mapping with radar of two dates",
}
UNCHANGED = ModelClass(0, "no change", "#d9d9d9")
CHANGE = (ModelClass(1, "change", "#d7301f"),)
KINDS = {
    "logratio": (ModelClass(1, "decrease", "#2166ac"), ModelClass(2, "increase", "#d7301f")),
}
"""Of change, where a method tells them apart."""
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
TILE_OF_SERIES = 256
"""With further dates, which lie in memory beside each other."""
MOST_FURTHER = 30
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


def compared(request: SegmentRequest, options: ChangeOptions, store: ModelStore) -> Comparison:
    """Settle how the two scenes of a request are compared, by any method.

    Args:
        request: Its input is the first date, its further input the second; others, named «also»,
            are further dates for the filter against speckle.
        options: The method, and where change begins.
        store: Whose models are known beside the catalogue's.

    Raises:
        EngineError: as ``fitted_to``, and as the other methods' functions.
    """
    if options.method == "classes":
        from engine.pipeline.transitions import compared_classes  # noqa: PLC0415 - it knows this

        return compared_classes(request, options)
    if options.method == "embedding":
        from engine.pipeline.embedding_change import compared_embeddings  # noqa: PLC0415 - as above

        return compared_embeddings(request, store)
    if options.method == "flood":
        from engine.pipeline.flood_change import compared_floods  # noqa: PLC0415 - as above

        return compared_floods(request, options, store)
    return fitted_to(request, options)


def fitted_to(request: SegmentRequest, options: ChangeOptions) -> Comparison:
    """Fit a method of statistics to the scenes of a request.

    Args:
        request: As ``compared`` has it.
        options: One of irmad, cva and logratio, and where change begins.

    Raises:
        EngineError: ``REQUEST_INVALID`` without a second date, ``BAND_MISSING`` when the dates
            have no bands in common, ``INPUT_GRID_MISMATCH`` when no place has data at both.
    """
    before, after, further, roles = _alike(request, options)
    others = (NamedInput(AFTER, after), *further)
    request = replace(request, input=before, others=others)
    draft = _card(options.method, open_scene(before), roles, [named.name for named in further])
    inputs = open_inputs(draft, before, others)
    notes: tuple[str, ...] = ()
    if request.coregister:
        inputs, moved = coregistered(inputs)
        after = replace(after, offset=inputs.others[0].input.offset)
        others = (NamedInput(AFTER, after), *further)
        request, notes = replace(request, others=others), (moved,)
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
    filtered = (_filtered(len(further)),) if difference.speckle else ()
    return Comparison(request, card, (*notes, fitted, *filtered, how))


def _alike(
    request: SegmentRequest, options: ChangeOptions
) -> tuple[InputSpec, InputSpec, tuple[NamedInput, ...], tuple[str, ...]]:
    """All dates with the scaling that the method needs, and the bands that the two share."""
    second, more = two_dates(request)
    needs_scale = options.method == "logratio"
    before, one = _opened(request.input, needs_scale=needs_scale)
    after, two = _opened(second, needs_scale=needs_scale)
    if needs_scale:
        check_radar("The log-ratio", one, two, *(open_scene(spec) for spec in more))
    further = (NamedInput(f"{FURTHER}-{n}", spec) for n, spec in enumerate(more, 1))
    return before, after, tuple(further), _shared_roles(one, two)


def two_dates(request: SegmentRequest) -> tuple[InputSpec, tuple[InputSpec, ...]]:
    """The second date of a request, and its further ones.

    Raises:
        EngineError: ``REQUEST_INVALID`` unless there is one second date, and for further ones
            that the method has no use for.
    """
    more = tuple(o.input for o in request.others if o.name == FURTHER)
    seconds = [o.input for o in request.others if o.name != FURTHER]
    if len(seconds) != 1:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"A change needs two dates, and {1 + len(seconds)} are given.",
            "Give one scene of before and one of after.",
        )
    if more and (request.change is None or request.change.method != "logratio"):
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            "Further dates are for the filter against speckle, which only the log-ratio has.",
            "Leave out --also, or use --method logratio.",
        )
    if len(more) > MOST_FURTHER:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"{len(more)} further dates are given, and {MOST_FURTHER} are as many as are read.",
            f"Give at most {MOST_FURTHER} with --also; a few are enough.",
        )
    return seconds[0], more


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


def check_radar(method: str, *scenes: Scene) -> None:
    """Refuse scenes of anything but radar.

    Raises:
        EngineError: ``MODEL_UNSUITABLE``.
    """
    for scene in scenes:
        if scene.profile.quantity != "backscatter_db":
            raise EngineError(
                ErrorCode.MODEL_UNSUITABLE,
                f"{method} is for radar, and the scene holds {scene.profile.quantity}.",
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


def _filtered(further: int) -> str:
    """What was done against speckle."""
    window = f"{SPECKLE} x {SPECKLE} pixels"
    if not further:
        return f"Speckle is averaged over {window} of each date."
    return (
        f"Against speckle, each date's ratio to the mean of all {2 + further} dates, filtered over "
        f"time (Quegan and Yu 2001), is averaged over {window}."
    )


def _card(
    method: str, before: Scene, roles: tuple[str, ...], further: Sequence[str] = ()
) -> ModelCard:
    """The card of a method that is still to be fitted."""
    size = before.grid.pixel_size_m or (1.0, 1.0)
    is_radar = method == "logratio"
    given = ModelInput(
        bands=roles,
        quantity="backscatter_db" if is_radar else "raw",
        valid_range=ANY_NUMBER,
        transforms=(),
        gsd=math.sqrt(size[0] * size[1]),
        gsd_range=ANY_SIZE,
        name=BEFORE,
        fill=NOTHING if is_radar else 0.0,
    )
    margin = (SPECKLE // 2) * (2 if further else 1) if is_radar else 0
    return ModelCard(
        id=method,
        version="1",
        title=METHODS[method],
        summary="Compares two dates by statistics of these dates alone.",
        tasks=("semantic-segmentation",),
        inputs=(
            given,
            replace(given, name=AFTER),
            *(replace(given, name=name, is_optional=True) for name in further),
        ),
        tiling=TileRule(TILE_OF_SERIES if further else TILE, margin, 1),
        merge="crop",
        output=ModelOutput((*KINDS.get(method, CHANGE), UNCHANGED)),
        file=ModelFile("", "", 0, "difference"),
        license="CC0-1.0",
        attribution="Swath",
        citation=METHODS[method],
        joining="separate",
    )


def _sample(card: ModelCard, sources: Sources) -> tuple[tuple[F32, F32], float]:
    """Pixels ``[C, n]`` of both dates where both have data, and which share of all was read."""
    dates = [several[0] for several in sources]
    shape = dates[0].grid.shape
    windows, share = _windows(shape, MOST_NUMBERS // (2 * len(card.input.bands)))
    parts = [_read(card, dates, window) for window in windows]
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


def _read(card: ModelCard, dates: Sequence[Source], window: Window) -> tuple[F32, ...]:
    """Both dates' pixels where both have data, as they are compared."""
    chips = [source.read(window) for source in dates]
    both = chips[0].valid & chips[1].valid
    pixels = [
        encoding_for(given, source)(chip.data, chip.valid)
        for chip, source, given in zip(chips, dates, card.inputs, strict=True)
    ]
    two = stilled(pixels, SPECKLE) if card.id == "logratio" else pixels
    return tuple(date[:, both].astype(np.float32) for date in two)


def _fit(method: str, before: F32, after: F32) -> tuple[Difference, str]:
    """The comparison, and what a user may want to know of it."""
    try:
        if method != "irmad":
            difference = fit_vectors(before, after)
            if method == "logratio":
                difference = replace(difference, speckle=SPECKLE, is_directed=True)
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
        return float(options.threshold), f"Change begins at {options.threshold:.5g}, as asked for."
    alarm = FALSE_ALARM if options.false_alarm is None else options.false_alarm
    by_chance = math.sqrt(special.chdtri(difference.components, alarm))
    told = f"where {alarm:g} of the unchanged pixels would be taken for it, at {by_chance:.3g}"
    if options.false_alarm is not None:
        return by_chance, f"Change begins {told}."
    cut = otsu(np.sqrt(difference.statistic(before, after)))
    if cut is not None and cut > math.sqrt(special.chdtri(difference.components, NOISE)):
        return cut, f"Change begins at {cut:.5g}, by Otsu's rule."
    return by_chance, f"The statistic has no second group, so change begins {told}."

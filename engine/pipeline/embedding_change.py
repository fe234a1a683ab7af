"""Two dates compared by their embeddings: the card, and its fit to the scenes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
from scipy import special

from engine.change.departures import fit_departure, otsu_cut
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ChangeOptions, NamedInput, SegmentRequest
from engine.geo.arrays import Array
from engine.geo.tiling import Tile, Tiling
from engine.geo.window import Window
from engine.io.scene import open_scene
from engine.models.card import ModelCard, ModelInput, ModelOutput, Transform
from engine.models.catalogue import find_card, load_catalogue
from engine.models.departure import Departure
from engine.models.encoders.choice import Fit, choose_encoder, fit_encoder
from engine.models.pair import EmbeddingPair, pair_file, pair_of
from engine.models.pair_model import EmbeddingNetwork, open_network
from engine.models.store import ModelStore
from engine.pipeline.comparison import (
    AFTER,
    BEFORE,
    CHANGE,
    FALSE_ALARM,
    METHODS,
    UNCHANGED,
    Comparison,
    two_dates,
)
from engine.pipeline.inputs import open_inputs
from engine.pipeline.plan import Plan, Recipe
from engine.pipeline.tensors import Tensors
from engine.pipeline.timeline import timeline_of

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
METHOD = "embedding"
SAMPLE_PIXELS = 1 << 20
"""Of each date that are embedded before the run."""
SAMPLE_PLACES = 100_000
"""Embeddings of each date that are kept of them."""
FEWEST_PLACES = 20


def compared_embeddings(request: SegmentRequest, store: ModelStore) -> Comparison:
    """Make the card of an encoder that sees both dates; ``fitted`` fits it, once it is installed.

    Args:
        request: Its input is the first date, its one further input the second; its model is the
            encoder, or ``auto``.
        store: Whose cards are known beside the catalogue's.

    Raises:
        EngineError: ``REQUEST_INVALID`` without a second date or a date that the encoder is told,
            ``MODEL_UNSUITABLE`` when no encoder fits, ``BAND_MISSING`` when this one does not.
    """
    second, _ = two_dates(request)
    scenes = [open_scene(spec) for spec in (request.input, second)]
    there = {band.role for band in scenes[1].bands}
    roles = tuple(b.role for b in scenes[0].bands if b.role and b.role in there)
    quantity = scenes[0].profile.quantity
    if request.model == "auto":
        fit = choose_encoder(load_catalogue(), roles, quantity)
    else:
        fit = fit_encoder(find_card(request.model, store), roles, quantity)
    dates = [s.date or o.acquired for s, o in zip((request.input, second), scenes, strict=True)]
    pair = EmbeddingPair(fit.card, fit.number, fit.channels, _month(fit.card, dates))
    settled = replace(request, others=(NamedInput(AFTER, second),), change=None)
    return Comparison(settled, _card(fit, pair), (_seen_as(fit),))


def _month(encoder: ModelCard, dates: Sequence[str | None]) -> int:
    """That of the earlier date, 1 to 12; 0 for encoders that are told none."""
    if not any(given.dates for given in encoder.inputs):
        return 0
    known = [date for date in dates if date]
    if not known:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"The encoder {encoder.id} is told the month, and neither scene tells its date.",
            "Give it, as --before-date 2024-07-31.",
        )
    try:
        return min(datetime.fromisoformat(date).replace(tzinfo=None) for date in known).month
    except ValueError:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"«{' and '.join(known)}» are not both dates.",
            "Write them like 2024-07-31.",
        ) from None


def _seen_as(fit: Fit) -> str:
    missing = [band for band in fit.given.bands if band not in fit.bands]
    without = f", without {', '.join(missing)}" if missing else ""
    cell = fit.card.output.cell
    patch = f", one for every {cell} x {cell} of its pixels" if cell > 1 else ""
    return f"Embeddings are those of {fit.card.id} from {', '.join(fit.bands)}{without}{patch}."


def _card(fit: Fit, pair: EmbeddingPair) -> ModelCard:
    given = replace(
        fit.given,
        bands=fit.bands,
        name=BEFORE,
        dates=None,
        wavelengths=(),
        is_optional=False,
        is_partial=False,
        transforms=tuple(_of(step, fit.given, fit.channels) for step in fit.given.transforms),
    )
    return replace(
        fit.card,
        title=f"{METHODS[METHOD]}, {fit.card.title}",
        summary="Compares two dates by the distance between their embeddings.",
        tasks=("semantic-segmentation",),
        inputs=(given, replace(given, name=AFTER)),
        joining="separate",
        timeline="dates",
        output=ModelOutput((*CHANGE, UNCHANGED)),
        file=pair_file(pair),
    )


def _of(step: Transform, given: ModelInput, channels: tuple[int, ...]) -> Transform:
    """A step with the numbers of some channels."""

    def chosen(numbers: tuple[float, ...]) -> tuple[float, ...]:
        whole = len(numbers) == given.channels
        return tuple(numbers[n] for n in channels) if whole else numbers

    return replace(step, first=chosen(step.first), second=chosen(step.second))


def fitted(plan: Plan, store: ModelStore, options: ChangeOptions | None) -> Plan:
    """The same plan with the comparison of embeddings fitted; needs the encoder installed.

    Args:
        plan: Any; one that compares no embeddings comes back as it is.
        store: Holds the encoder.
        options: Where change begins.

    Raises:
        EngineError: ``INPUT_GRID_MISMATCH`` when next to no place has data at both dates,
            ``MODEL_UNSUITABLE`` when the encoder gives no embeddings of them; what running raises.
    """
    card = plan.recipe.card
    pair = pair_of(card) if card.file.format == "pair" else None
    if not isinstance(pair, EmbeddingPair) or pair.departure is not None:
        return plan
    network = open_network(card, store.path(card), plan.recipe.device)
    assert isinstance(network, EmbeddingNetwork)  # noqa: S101 - for the type checker
    before, after = _sample(plan.recipe, network)
    fit = _fit(before, after)
    cut, how = _cut(fit, options or ChangeOptions("embedding"), fit.statistic(before, after))
    fit = replace(fit, cut=cut)
    output = replace(card.output, threshold=fit.least_unchanged)
    card = replace(card, output=output, file=pair_file(replace(pair, departure=fit)))
    found = (
        f"{METHODS[METHOD]}, fitted to {before.shape[1]} places: where nothing changed they differ "
        f"by chance with {fit.freedom:.3g} degrees of freedom."
    )
    notes = (*plan.notes, found, how)
    return replace(plan, recipe=replace(plan.recipe, card=card), notes=notes)


def _fit(before: F32, after: F32) -> Departure:
    try:
        return fit_departure(before, after)
    except ValueError as error:
        raise EngineError(
            ErrorCode.INPUT_UNREADABLE,
            f"The dates cannot be compared: {error}.",
            "Check that the files hold the scenes that they should.",
        ) from error


def _cut(fit: Departure, options: ChangeOptions, statistic: F64) -> tuple[float, str]:
    """The root of the statistic from which on it is change, and how it was found."""
    if options.threshold is not None:
        return options.threshold, f"Change begins at {options.threshold:.5g}, as asked for."
    alarm = FALSE_ALARM if options.false_alarm is None else options.false_alarm
    by_chance = math.sqrt(special.chdtri(fit.freedom, alarm))
    told = f"where {alarm:g} of the unchanged places would be taken for it, at {by_chance:.3g}"
    if options.false_alarm is not None:
        return by_chance, f"Change begins {told}."
    cut = otsu_cut(fit, statistic)
    if cut is not None:
        return cut, f"Change begins at {cut:.5g}, by Otsu's rule."
    return by_chance, f"The statistic has no second group, so change begins {told}."


def _sample(recipe: Recipe, network: EmbeddingNetwork) -> tuple[F32, F32]:
    """Embeddings ``[D, n]`` of both dates, at evenly chosen tiles of the whole first scene."""
    inputs = open_inputs(recipe.card, recipe.input, recipe.others)
    tiling = Tiling(recipe.lattice.shape, Window(0, 0, *recipe.lattice.shape), recipe.rule)
    most = max(1, SAMPLE_PIXELS // recipe.rule.size**2)
    rng = np.random.default_rng(0)
    chosen = set(rng.choice(tiling.count, min(most, tiling.count), replace=False).tolist())
    tiles = [tile for number, tile in enumerate(tiling.tiles()) if number in chosen]
    each = -(-SAMPLE_PLACES // len(chosen))
    parts: list[tuple[F32, F32]] = []
    with inputs.sources() as sources, contextlib.closing(network.model):
        tensors = Tensors(recipe, sources, network.model.upload, timeline_of(inputs))
        for before, after in _embedded(tensors, network, tiles):
            some = rng.permutation(before.shape[1])[:each]
            parts.append((before[:, some], after[:, some]))
    if sum(part[0].shape[1] for part in parts) < FEWEST_PLACES:
        raise EngineError(
            ErrorCode.INPUT_GRID_MISMATCH,
            f"{network.model.card.id} embeds next to no place of both dates.",
            "Give two larger scenes of one place, check their nodata values, or name another "
            "encoder with --model.",
        )
    one, other = (np.concatenate(date, axis=1) for date in zip(*parts, strict=True))
    return one, other


def _embedded(
    tensors: Tensors, network: EmbeddingNetwork, tiles: list[Tile]
) -> Iterator[tuple[F32, F32]]:
    """Embeddings ``[D, n]`` of both dates where both have data all over a patch, tile by tile."""
    cell = network.model.card.output.cell
    for tile in tiles:
        chips = tensors.read(tile)
        if not chips.valid.any():
            continue
        arrays, seen = tensors.encoded(chips, tile)
        before, after = (_shown(network, array, tensors) for array in arrays)
        kept = np.zeros((before.shape[1] * cell, before.shape[2] * cell), bool)
        inside = tile.keep.slices_in(tile.read)
        kept[inside] = True if seen is None else seen[inside]
        places = kept.reshape(before.shape[1], cell, before.shape[2], cell).all(axis=(1, 3))
        places &= np.isfinite(before).all(axis=0) & np.isfinite(after).all(axis=0)
        yield before[:, places], after[:, places]


def _shown(network: EmbeddingNetwork, array: Array, tensors: Tensors) -> F32:
    """Embeddings ``[D, h, w]`` of a tile.

    Raises:
        EngineError: ``MODEL_UNSUITABLE`` when an encoder that leaves out what is missing has
            nothing left to look at.
    """
    try:
        found: F32 = network.embedded(array)[0]
    except EngineError as error:
        if error.code is not ErrorCode.MODEL_FAILED or not network.is_partial:
            raise
        bands = ", ".join(tensors.recipe.card.input.bands)
        raise EngineError(
            ErrorCode.MODEL_UNSUITABLE,
            f"The encoder {network.model.card.id} gives no embedding of {bands} alone.",
            "Give more of its bands, or name another encoder with --model.",
        ) from error
    return found

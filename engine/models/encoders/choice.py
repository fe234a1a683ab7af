"""Which encoder, and which of its inputs, a scene's bands are for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from engine.contract.errors import EngineError, ErrorCode
from engine.models.card import ModelCard, ModelInput
from engine.models.catalogue import REFLECTANCES, UNKNOWN_LEVEL

LEAST_WIDTH = 8
"""Numbers of an embedding; fewer are values with a meaning each."""
OTHER_TASKS = ("regression", "super-resolution")
"""Whose numbers are no embeddings, however many they are."""


@dataclass(frozen=True)
class Fit:
    """An encoder's input, and what of it a scene has."""

    card: ModelCard
    number: int
    """Of the input."""
    bands: tuple[str, ...]
    """Those that are there, in the encoder's order."""

    @property
    def given(self) -> ModelInput:
        """The input."""
        return self.card.inputs[self.number]

    @property
    def channels(self) -> tuple[int, ...]:
        """Places of the bands, and of what is derived, among the input's channels."""
        given = self.given
        bands = (given.bands.index(band) for band in self.bands)
        return (*bands, *range(len(given.bands), given.channels))


def is_encoder(card: ModelCard) -> bool:
    """Whether a model gives embeddings."""
    output = card.output
    wide = len(output.values) >= LEAST_WIDTH and not any(band.unit for band in output.values)
    return wide and not output.query and not set(card.tasks) & set(OTHER_TASKS)


def choose_encoder(cards: Sequence[ModelCard], roles: Collection[str], quantity: str) -> Fit:
    """The encoder that can use most of a scene's bands; of equals the one that sees further.

    Args:
        cards: Those to choose from.
        roles: Common names of the bands that both dates have.
        quantity: Physical quantity of the scene's numbers.

    Raises:
        EngineError: ``MODEL_UNSUITABLE`` when none fits.
    """
    encoders = [card for card in cards if is_encoder(card)]
    fits = [fit for card in encoders for fit in _fits(card, roles, quantity)]
    if fits:
        return max(fits, key=lambda fit: (len(fit.bands), fit.card.tiling.margin))
    wanted = "; ".join(f"{c.id} ({' or '.join(_words(i) for i in c.inputs)})" for c in encoders)
    raise EngineError(
        ErrorCode.MODEL_UNSUITABLE,
        f"No encoder of the catalogue fits these bands ({', '.join(roles) or 'without roles'}, as "
        f"{quantity}). There are {wanted}.",
        "Name the bands by role with --bands, say what the numbers mean with --input-profile, or "
        "name another encoder with --model.",
    )


def fit_encoder(card: ModelCard, roles: Collection[str], quantity: str) -> Fit:
    """The input of one encoder that a scene's bands are for.

    Raises:
        EngineError: ``MODEL_UNSUITABLE`` for models that give no embeddings, ``BAND_MISSING``
            when the bands are for none of its inputs.
    """
    if not is_encoder(card):
        raise EngineError(
            ErrorCode.MODEL_UNSUITABLE,
            f"The model {card.id} gives no embeddings to compare.",
            "Name an encoder, or leave out --method to run a model of two dates.",
        )
    fits = _fits(card, roles, quantity)
    if fits:
        return max(fits, key=lambda fit: len(fit.bands))
    raise EngineError(
        ErrorCode.BAND_MISSING,
        f"The encoder {card.id} wants {' or '.join(_words(i) for i in card.inputs)}; both dates "
        f"have {', '.join(roles) or 'bands without roles'}, as {quantity}.",
        "Give scenes with these bands, name them by role with --bands, or say what the numbers "
        "mean with --input-profile.",
    )


def _fits(card: ModelCard, roles: Collection[str], quantity: str) -> list[Fit]:
    """Of every input that can be used without the others."""
    fits = []
    for number, given in enumerate(card.inputs):
        others = (o for other, o in enumerate(card.inputs) if other != number)
        bands = tuple(band for band in given.bands if band in roles)
        enough = bool(bands) if given.is_partial and not given.derived else bands == given.bands
        alone = all(other.is_optional or other.is_partial for other in others)
        simple = len(card.inputs) == 1 or card.joining == "separate"
        is_single = given.dates is None or given.dates[0] == 1
        if enough and alone and simple and is_single and _is_alike(given.quantity, quantity):
            fits.append(Fit(card, number, bands))
    return fits


def _is_alike(wanted: str, quantity: str) -> bool:
    kinds = {*REFLECTANCES, UNKNOWN_LEVEL}
    return wanted == quantity or {wanted, quantity} <= kinds


def _words(given: ModelInput) -> str:
    some = "some of " if given.is_partial else ""
    return f"{some}{', '.join(given.bands)} as {given.quantity}"

"""The models that come with Swath, and how a reference such as ``--model`` finds its card."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Collection, Iterable
from pathlib import Path

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ModelInfo
from engine.models.card import ModelCard, ModelInput
from engine.models.cardfile import is_model_id, read_card
from engine.models.store import ModelStore

CARDS = Path(__file__).parents[2] / "resources" / "cards"
"""Beside the engine package, in a checkout as in an installed wheel."""
TEMPLATES = CARDS.with_name("templates")
"""Cards of models whose files only their authors may hand out; each says how to come by its own."""
MODEL_SUFFIXES = (".onnx", ".pt2", ".pt", ".ts", ".torchscript", ".safetensors")
"""Of files that may have a card beside them."""
REFLECTANCES = ("toa_reflectance", "surface_reflectance")
UNKNOWN_LEVEL = "reflectance"
"""Reflectance of which nobody said whether the atmosphere was taken out."""


@functools.cache
def load_catalogue() -> tuple[ModelCard, ...]:
    """All cards that come with Swath: those of classes first, of them those with the most bands.

    Raises:
        EngineError: ``MODEL_INVALID`` when a card is broken, ``MODEL_NOT_FOUND`` without cards.
    """
    cards = [read_card(p) for p in sorted(CARDS.glob("*.json"))]
    if not cards:
        raise EngineError(
            ErrorCode.MODEL_NOT_FOUND,
            f"There are no model cards in {CARDS}.",
            "Install the engine again; its resources are missing.",
        )
    return tuple(sorted(cards, key=_rank))


def known_cards(store: ModelStore) -> tuple[ModelCard, ...]:
    """The catalogue's cards, then those kept in the store under other ids.

    Raises:
        EngineError: as ``load_catalogue``; a broken card in the store is passed over.
    """
    catalogue = load_catalogue()
    taken = {c.id for c in catalogue}
    return (*catalogue, *(c for c in store.cards() if c.id not in taken))


def _rank(card: ModelCard) -> tuple[bool, int, str]:
    return not card.output.classes, -len(card.input.bands), card.id


def find_card(reference: str, store: ModelStore) -> ModelCard:
    """The card that a catalogue id, a card file or a model file names.

    A model file has a card beside it, or tells of itself what the card would (Deepness' metadata).

    Args:
        reference: An id of the catalogue or of a card kept in the store, the path of a card
            (``.json``), or the path of a model whose card has the same name but ``.json``.
        store: Whose kept cards are known beside the catalogue's.

    Raises:
        EngineError: ``MODEL_NOT_FOUND``, with names that come near; ``MODEL_INVALID``.
    """
    known = {c.id: c for c in load_catalogue()}
    card = known.get(reference) or store.card(reference)
    if card is not None:
        return card
    template = TEMPLATES / f"{reference}.json"
    path = (
        template if is_model_id(reference) and template.is_file() else Path(reference).expanduser()
    )
    if path.suffix.lower() == ".json" and path.is_file():
        return read_card(path)
    if path.suffix.lower() in MODEL_SUFFIXES and path.is_file():
        return _card_beside(path)
    raise _not_found(reference, [*known, *(c.id for c in store.cards())])


def choose_model(roles: Collection[str], quantity: str) -> ModelCard:
    """The catalogue's model with the most bands that the scene can give.

    Models of one input that give every pixel a class; several that fit equally well are several
    questions, and the user has to say which.

    Args:
        roles: Common names of the scene's bands.
        quantity: Physical quantity of the scene's numbers, as its profile names it. Reflectance
            of unknown level is taken for top-of-atmosphere; ``quantity_note`` says so.

    Raises:
        EngineError: ``MODEL_UNSUITABLE``, saying what is missing.
    """
    wanted = REFLECTANCES[0] if quantity == UNKNOWN_LEVEL else quantity
    segmenters = [c for c in load_catalogue() if _is_candidate(c)]
    fitting = [c for c in segmenters if c.input.quantity == wanted]
    if not fitting:
        raise _wrong_quantity(quantity, segmenters)
    able = [c for c in fitting if not _missing(c, roles)]
    if not able:
        raise _bands_missing(roles, fitting)
    equal = [c for c in able if len(c.input.bands) == len(able[0].input.bands)]
    if len(equal) > 1:
        raise _undecided(equal)
    return able[0]


def quantity_note(card: ModelCard, wanted: ModelInput, quantity: str) -> str | None:
    """What a user should read before a model runs on numbers of ``quantity``; None: nothing."""
    needs = wanted.quantity
    if quantity == needs or {quantity, needs} - {*REFLECTANCES, UNKNOWN_LEVEL}:
        return None
    if quantity == UNKNOWN_LEVEL:
        return (
            "The metadata does not say whether the reflectance is top-of-atmosphere or surface "
            f"reflectance; it is taken for {_words(needs)}, which {card.id} needs."
        )
    return f"{card.id} was trained on {_words(needs)}, and the input is {_words(quantity)}."


def model_info(card: ModelCard, store: ModelStore) -> ModelInfo:
    """What a list of models shows of a card."""
    return ModelInfo(
        id=card.id,
        title=card.title,
        task=card.task,
        summary=card.summary,
        bands=card.input.bands,
        gsd=card.input.gsd,
        classes=card.output.classes,
        license=card.license,
        installed=store.is_installed(card),
        size=card.file.size,
        source=card.file.uri,
    )


def _card_beside(model: Path) -> ModelCard:
    card = model.with_suffix(".json")
    if card.is_file():
        return read_card(card)
    if model.suffix.lower() == ".onnx":
        from engine.models.deepness import deepness_card  # noqa: PLC0415 - for this case alone

        found = deepness_card(model)
        if found is not None:
            return found
    raise EngineError(
        ErrorCode.MODEL_NOT_FOUND,
        f"{model.name} has no card: {card} does not exist, and the file tells nothing of itself.",
        "Write a card for the model beside it, after the pattern of the catalogue's cards.",
    )


def _not_found(reference: str, known: list[str]) -> EngineError:
    near = difflib.get_close_matches(reference.lower(), known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known are {', '.join(known)}."
    return EngineError(
        ErrorCode.MODEL_NOT_FOUND, f"There is no model or card file «{reference}».", hint
    )


def _is_candidate(card: ModelCard) -> bool:
    output = card.output
    return len(card.inputs) == 1 and bool(output.classes) and output.is_on_input


def _undecided(cards: Iterable[ModelCard]) -> EngineError:
    named = "; ".join(f"{c.id} ({', '.join(k.name for k in c.output.classes)})" for c in cards)
    return EngineError(
        ErrorCode.MODEL_UNSUITABLE,
        f"Several models of the catalogue fit these bands: {named}.",
        "Name one of them with --model.",
    )


def _missing(card: ModelCard, roles: Collection[str]) -> list[str]:
    return [b for b in card.input.bands if b not in roles]


def _wrong_quantity(quantity: str, cards: Iterable[ModelCard]) -> EngineError:
    known = sorted({_words(c.input.quantity) for c in cards})
    return EngineError(
        ErrorCode.MODEL_UNSUITABLE,
        f"No model of the catalogue takes {_words(quantity)}; they take {' or '.join(known)}.",
        "Say with --input-profile what the numbers mean, or name a model with --model.",
    )


def _bands_missing(roles: Collection[str], cards: Iterable[ModelCard]) -> EngineError:
    nearest = min(cards, key=lambda c: (len(_missing(c, roles)), len(c.input.bands)))
    found = ", ".join(r for r in roles if r) or "none with a known role"
    return EngineError(
        ErrorCode.MODEL_UNSUITABLE,
        f"No model of the catalogue fits these bands ({found}): {nearest.id}, which comes "
        f"nearest, also needs {', '.join(_missing(nearest, roles))}.",
        "Name the bands by role, add the missing ones, or name a model with --model.",
    )


def _words(quantity: str) -> str:
    names = {
        "toa_reflectance": "top-of-atmosphere reflectance",
        "surface_reflectance": "surface reflectance",
        "rgb": "8-bit pictures",
        "backscatter_db": "radar backscatter in dB",
        "raw": "raw numbers",
    }
    return names.get(quantity, quantity)

"""Users' models become cards: tried, measured, checked, and only then written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.tiling import TileRule
from engine.models.advice import advise
from engine.models.card import MergeRule, ModelCard, ModelFile, ModelOutput
from engine.models.cardfile import card_from_json, card_to_json, is_model_id
from engine.models.catalogue import load_catalogue
from engine.models.disk import whole_file
from engine.models.known import Known, classes_for, id_of, input_of
from engine.models.receptive import ReceptiveField, explore
from engine.models.runtime import open_model
from engine.models.shapes import noise
from engine.models.store import ModelStore
from engine.models.told import Found
from engine.models.trial import STRIDE, TILE, Trial

LARGEST_TILE = 2048
"""Pixels; a network that sees further than its tiles is run with fading ones."""
SHARE = 4
"""A margin of at most one of so many parts of a tile leaves half of it in use."""
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Draft:
    """A card that is not kept yet."""

    card: ModelCard
    notes: tuple[str, ...]
    """Sentences: what was measured, and what is to be seen to."""


def draft_card(found: Found, known: Known, trial: Trial, store: ModelStore, name: str) -> Draft:
    """The card of a model that has been tried; its margin and stride are measured.

    Args:
        found: The model's file.
        known: All that the file and its owner tell; nothing is ``missing``.
        trial: What running it showed.
        store: Where a packed network is kept.
        name: The card's id.

    Raises:
        EngineError: ``MODEL_INVALID`` for facts that contradict each other or the network; what
            opening and running the model raises.
    """
    card = _checked(_card(found, known, trial, name))
    with _at_hand(found, store) as path:
        card = _checked(replace(card, file=replace(card.file, uri=path.as_uri())))
        card, notes = _measured(card, known, trial, path)
        model = open_model(card, path, "cpu", threads=1)
        try:
            model.predict(*noise(card, card.tiling.padded(card.tiling.stride)))
        finally:
            model.close()
    return Draft(card, notes)


def choose_id(given: str | None, found: Found, known: Known, store: ModelStore) -> str:
    """An id that no other model has.

    Args:
        given: What the user wants; None: made from the model's name.
        found: The model's file; a card of the very same file is replaced.
        known: Its title.
        store: Whose cards there are.

    Raises:
        EngineError: ``REQUEST_INVALID`` for an id that another model has, or that is none.
    """
    sha256 = hashlib.sha256(found.subject.content).hexdigest()
    taken = {card.id: card.file.sha256 for card in (*store.cards(), *load_catalogue())}
    shipped = {card.id for card in load_catalogue()}
    if given is None:
        wanted = id_of(known.title or found.title)
        names = [wanted, *(f"{wanted}-{n}" for n in range(2, len(taken) + 3))]
        return next(n for n in names if n not in taken or (taken[n] == sha256 and n not in shipped))
    if not is_model_id(given):
        raise _refused(f"«{given[:60]}» is no id.", "Use small letters, digits, '-', '.' and '_'.")
    if given in shipped or taken.get(given, sha256) != sha256:
        raise _refused(f"Another model has the id {given} already.", "Give it another id.")
    return given


def keep(draft: Draft, found: Found, store: ModelStore, output: Path | None) -> Path:
    """Write a card: into the store, or as a file of its own; the card's path.

    Args:
        draft: What to write.
        found: Whose network stands beside a card of its own, or is put there.
        store: Of models.
        output: A ``.json`` file; None: the store.

    Raises:
        EngineError: ``OUTPUT_EXISTS``, ``REQUEST_INVALID``, ``DISK_FULL``, ``STATE_UNUSABLE``.
    """
    if output is None:
        if found.network is None:
            _write(_place(found, store), found.subject.content)
        store.add_card(draft.card)
        return store.root / "cards" / f"{draft.card.id}.json"
    check_output(output, found)
    network = found.network or output.with_suffix(Path(found.subject.name).suffix)
    if found.network is None:
        _write(network, found.subject.content)
    card = replace(draft.card, file=replace(draft.card.file, uri=network.absolute().as_uri()))
    data = card_to_json(card)
    if network.absolute().parent == output.absolute().parent:
        data["assets"]["model"]["href"] = network.name
    _write(output, json.dumps(data, indent=2, ensure_ascii=False).encode())
    return output


def check_output(output: Path, found: Found) -> None:
    """Refuse a card's file that would take the place of another.

    Raises:
        EngineError: ``OUTPUT_EXISTS``, ``REQUEST_INVALID``.
    """
    if output.suffix.lower() != ".json":
        raise _refused(f"{output.name} is no name for a card.", "Let it end in .json.")
    network = found.network or output.with_suffix(Path(found.subject.name).suffix)
    for path in (output, *([network] if found.network is None else [])):
        if path.exists():
            raise EngineError(
                ErrorCode.OUTPUT_EXISTS,
                f"{path} exists already.",
                "Name another file for the card, or remove this one.",
            )


@contextlib.contextmanager
def _at_hand(found: Found, store: ModelStore) -> Iterator[Path]:
    """The network as a file; a packed one for as long as the context."""
    if found.network is not None:
        yield found.network
        return
    path = _place(found, store)
    is_new = not path.exists()
    try:
        _write(path, found.subject.content)
        yield path
    finally:
        if is_new:
            shutil.rmtree(path.parent, ignore_errors=True)


def _place(found: Found, store: ModelStore) -> Path:
    """Where a packed network is kept, beside those that were fetched."""
    sha256 = hashlib.sha256(found.subject.content).hexdigest()
    return store.root.absolute() / "sha256" / sha256[:2] / sha256 / found.subject.name


def _write(path: Path, content: bytes) -> None:
    with whole_file(path) as file:
        file.write(content)


def _card(found: Found, known: Known, trial: Trial, name: str) -> ModelCard:
    subject, title = found.subject, known.title or found.title
    sha256 = hashlib.sha256(subject.content).hexdigest()
    file = found.network.as_uri() if found.network else "packed://"
    rule = _first_rule(known, trial)
    return ModelCard(
        id=name,
        version="1",
        title=title,
        summary=known.summary or f"Added from {found.subject.name}.",
        tasks=(_task(known, trial),),
        inputs=(input_of(known, trial.axes),),
        tiling=rule,
        merge="crop",
        output=_output(subject.name, known, trial),
        file=ModelFile(file, sha256, len(subject.content), subject.format, subject.network),
        license=known.licence or UNKNOWN,
        attribution=known.attribution or UNKNOWN,
        citation=UNKNOWN,
        not_for=known.not_for or (),
        architecture=known.architecture or "",
    )


def _output(name: str, known: Known, trial: Trial) -> ModelOutput:
    shape = ModelOutput(cell=trial.cell, zoom=trial.zoom, axes=trial.gives_axes)
    if known.classes is None:
        values = known.values or ()
        if len(values) != trial.channels:
            raise EngineError(
                ErrorCode.MODEL_INVALID,
                f"{name} gives {trial.channels} values a pixel, and {len(values)} are named.",
                "Name each of them once, in its order.",
            )
        return replace(shape, values=values, activation=known.activation or "none")
    classes = classes_for(known, trial.channels, name)
    ids = {member.id for member in classes}
    nodata = next(number for number in range(255, -1, -1) if number not in ids)
    activation = known.activation or trial.activation
    told = replace(shape, classes=classes, activation=activation)
    return replace(told, nodata=nodata, threshold=known.threshold)


def _task(known: Known, trial: Trial) -> str:
    is_tile = trial.cell == trial.tile
    if known.classes is not None:
        return "scene-classification" if is_tile else "semantic-segmentation"
    if trial.zoom > 1:
        return "super-resolution"
    return "similarity-search" if is_tile else "regression"


def _first_rule(known: Known, trial: Trial) -> TileRule:
    """Before anything is measured: a stride that nearly all networks follow."""
    if trial.cell > 1 or trial.zoom > 1 or trial.is_fixed:
        stride = trial.cell
        margin = 0 if trial.cell == trial.tile else _fading(trial.tile, stride)
        margin = known.margin if known.margin is not None else margin
        return TileRule(trial.tile, margin, stride)
    tile = math.ceil(trial.tile / STRIDE) * STRIDE
    margin = known.margin if known.margin is not None else _fading(tile, STRIDE)
    return TileRule(tile, margin, STRIDE, fixed=False)


def _fading(size: int, stride: int) -> int:
    """An eighth of a tile, in whole strides."""
    return min(math.ceil(size / 8 / stride), (size // stride - 1) // 2) * stride


def _measured(
    card: ModelCard, known: Known, trial: Trial, path: Path
) -> tuple[ModelCard, tuple[str, ...]]:
    """The card with the margin and stride that its network needs, if they can be measured."""
    if known.margin is not None or not card.output.is_on_input or trial.tile == 1:
        return card, ()
    model = open_model(card, path, "cpu", threads=1)
    try:
        field = explore(model)
    except EngineError as error:
        if error.code is not ErrorCode.MODEL_FAILED:
            raise
        return card, (f"Its margin could not be measured: {error.message}",)
    finally:
        model.close()
    rule, merge = _fitted(card, field)
    card = replace(card, tiling=rule, merge=merge)
    advice = advise(card, field)
    how = "tiles fade into each other" if merge == "weighted" else "tiles agree"
    sentence = f"Measured: with a margin of {rule.margin} pixels {how}."
    return card, (sentence, *advice.warnings)


def _fitted(card: ModelCard, field: ReceptiveField) -> tuple[TileRule, MergeRule]:
    """The tiling of a network whose sight is known."""
    rule = card.tiling
    if field.margin is None or field.stride is None:
        return replace(rule, margin=_fading(rule.size, rule.stride)), "weighted"
    if rule.fixed:
        stride = math.gcd(rule.size, field.stride)
        for reach in (field.margin, field.class_margin):
            margin = math.ceil((reach or 0) / stride) * stride
            if reach is not None and margin <= rule.size // SHARE:
                return TileRule(rule.size, margin, stride), "crop"
        return replace(rule, margin=_fading(rule.size, rule.stride)), "weighted"
    stride = math.lcm(STRIDE, field.stride)
    margin = math.ceil(field.margin / field.stride) * field.stride
    size = math.ceil(max(rule.size, TILE, SHARE * margin) / stride) * stride
    if size > LARGEST_TILE:
        return rule, "weighted"
    return TileRule(size, margin, stride, fixed=False), "crop"


def _checked(card: ModelCard) -> ModelCard:
    """The card as whoever reads it will have it.

    Raises:
        EngineError: ``MODEL_INVALID``, naming the first wrong field.
    """
    return card_from_json(card_to_json(card), f"of {card.title}")


def _refused(message: str, hint: str) -> EngineError:
    return EngineError(ErrorCode.REQUEST_INVALID, message, hint)

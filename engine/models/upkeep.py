"""Looking after the store: what is whole in it, and what can go."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.contract.errors import EngineError, ErrorCode
from engine.models.card import ModelCard
from engine.models.catalogue import known_cards
from engine.models.checksum import sha256_of
from engine.models.disk import translated
from engine.models.lock import exclusive
from engine.models.store import ModelStore, local_path, never

State = Literal["ok", "damaged", "missing"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found where a model's file should be."""

    model: str
    state: State
    path: Path
    remedy: str = ""
    """What to do, when it is not well; a sentence."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What a removal did."""

    model: str
    freed: int
    """Bytes."""
    card: bool
    """Whether a card that the user had added is gone too."""
    kept: str = ""
    """Why the model's file is still there, where it is; a sentence."""


def check(card: ModelCard, store: ModelStore) -> Checked:
    """Read all of a model's file; nothing is changed.

    Raises:
        EngineError: ``STATE_UNUSABLE`` when it cannot be read.
    """
    path = store.place(card)
    state: State = "missing"
    if path.is_file():
        with translated(path):
            state = "ok" if sha256_of(path) == card.file.sha256 else "damaged"
    return Checked(card.id, state, path, "" if state == "ok" else _remedy(card))


def worth_checking(store: ModelStore) -> tuple[ModelCard, ...]:
    """The known cards whose file should be here: installed ones, and those of local files."""

    def should_be_here(card: ModelCard) -> bool:
        return local_path(card) is not None or store.place(card).exists()

    return tuple(filter(should_be_here, known_cards(store)))


def remove(cards: Collection[ModelCard], store: ModelStore) -> tuple[Removed, ...]:
    """Take models out of the store: their files, their packages, and the user's own cards of them.

    A file that another known card needs stays, and so does a package as long as another model from
    it is installed. What the user accepted stays known.

    Raises:
        EngineError: ``REQUEST_INVALID`` for a model that comes with Swath and for a file of the
            user's own that has no card in the store (nothing is removed then);
            ``STATE_UNUSABLE``.
    """
    for card in cards:
        local = local_path(card)
        if local is not None and not _has_own_card(card, store):
            raise _not_ours(card, local)
        if local is None and not store.place(card).exists() and not _has_own_card(card, store):
            raise EngineError(
                ErrorCode.MODEL_NOT_INSTALLED,
                f"The model {card.id} is not installed.",
                "`swath models list` shows which models are.",
            )
    going = {card.id for card in cards}
    others = [c for c in known_cards(store) if c.id not in going]
    return tuple(_remove(card, others, store) for card in cards)


def removable(store: ModelStore) -> tuple[ModelCard, ...]:
    """The known cards of which ``remove`` would take something away."""

    def has_something(card: ModelCard) -> bool:
        is_fetched = local_path(card) is None and store.place(card).exists()
        return is_fetched or _has_own_card(card, store)

    return tuple(filter(has_something, known_cards(store)))


def _remove(card: ModelCard, others: list[ModelCard], store: ModelStore) -> Removed:
    kept, freed = _kept(card, others, store), 0
    if not kept:
        freed = _delete(card, others, store)
    has_own = _has_own_card(card, store)
    return Removed(card.id, freed, has_own and store.forget_card(card.id), kept)


def _has_own_card(card: ModelCard, store: ModelStore) -> bool:
    """Whether it is the card that the user keeps in the store."""
    return store.card(card.id) == card


def _kept(card: ModelCard, others: list[ModelCard], store: ModelStore) -> str:
    local = local_path(card)
    if local is not None:
        return f"The file {local} is yours and stays."
    users = [c.id for c in others if store.place(c) == store.place(card)]
    return f"Its file stays for {', '.join(users)}." if users else ""


def _delete(card: ModelCard, others: list[ModelCard], store: ModelStore) -> int:
    """Delete the model's file and, unless others need it, its package, while nobody fetches it."""
    from engine.models.fetch import lock_path  # noqa: PLC0415 - loads the network libraries

    with translated(store.root), exclusive(lock_path(card.file.uri, store.root), never):
        return _delete_file(card, store) + _delete_package(card, others, store)


def _delete_file(card: ModelCard, store: ModelStore) -> int:
    place = store.place(card)
    part = store.root / "partial" / f"{card.file.sha256}.part"
    before = _size(place.parent) + _size(part)
    store.remove(card)
    with translated(part):
        part.unlink(missing_ok=True)
    return before - _size(place.parent)


def _delete_package(card: ModelCard, others: list[ModelCard], store: ModelStore) -> int:
    from engine.models.fetch import archive_folder  # noqa: PLC0415 - loads the network libraries

    name = archive_folder(card.file.uri)
    siblings = (c for c in others if archive_folder(c.file.uri) == name)
    if name is None or any(store.is_installed(c) for c in siblings):
        return 0
    folder = store.root / "archives" / name
    freed = _size(folder)
    with translated(folder):
        if folder.is_dir():
            shutil.rmtree(folder)
    return freed


def _remedy(card: ModelCard) -> str:
    remedies = {
        "swath": "Install the engine again: this file comes with it.",
        "file": "Put the file back that the card was written for.",
        "bundle": "Import its bundle again with `swath models import`.",
    }
    mend = f"Install it again with `swath models install {card.id}`."
    return remedies.get(card.file.uri.partition(":")[0], mend)


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 when it is not there."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(p.stat().st_size for p in files if p.is_file())


def _not_ours(card: ModelCard, local: Path) -> EngineError:
    if card.file.uri.startswith("swath:"):
        message, hint = (
            f"The model {card.id} comes with Swath and stays.",
            "There is nothing to do.",
        )
    else:
        message = f"The model {card.id} is not in the store: its file {local} is yours."
        hint = "Delete the file yourself when you need it no more."
    return EngineError(ErrorCode.REQUEST_INVALID, message, hint)

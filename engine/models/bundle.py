"""Installed models as one file, for machines without a network.

A bundle is a zip file that holds ``bundle.json`` and a folder for every model: ``card.json``, the
``model`` file, and the ``config.json`` of weights that need one. Nothing in it is compressed, so
that it unpacks to no more than its own size. It may come from anywhere: an import believes nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from engine.contract.errors import EngineError, ErrorCode
from engine.models.archive import BROKEN
from engine.models.card import ModelCard
from engine.models.cardfile import LARGEST_CARD, MODEL_ID, card_from_json, card_to_json
from engine.models.catalogue import MODEL_SUFFIXES, load_catalogue
from engine.models.checksum import CHUNK, mismatch, sha256_of
from engine.models.content import keep_checked
from engine.models.disk import whole_file
from engine.models.licence import not_accepted
from engine.models.store import BESIDE, ModelStore, local_path

TABLE = "bundle.json"
FORMAT = "swath-bundle-1"
ENTRY = re.compile(rf"({MODEL_ID})/(card\.json|config\.json|model[a-z0-9.]*)")
FETCHED = ("pypi", "hf", "https", "http", "bundle")
"""Schemes of addresses that a card in a bundle may have: none that names a local file."""
MOST_MODELS = 200
LARGEST_TEXT = LARGEST_CARD
"""Bytes of an entry that is read into memory."""
DAY_ONE = (1980, 1, 1, 0, 0, 0)
"""The date of every entry: equal models make equal bundles."""
Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _Packed:
    """A model on its way into a bundle."""

    card: ModelCard
    path: Path
    beside: Path | None


class Bundle:
    """A bundle whose every entry but the models' bytes has been checked."""

    def __init__(
        self, file: zipfile.ZipFile, cards: tuple[ModelCard, ...], hashes: dict[str, str]
    ) -> None:
        self.cards = cards
        self._file = file
        self._hashes = hashes

    def install(self, store: ModelStore, progress: Told = lambda _done, _total: None) -> None:
        """Put all models into the store, or none.

        Raises:
            EngineError: ``LICENCE_NOT_ACCEPTED``, ``MODEL_INVALID`` for an id that means another
                model here, ``MODEL_HASH_MISMATCH``, ``DISK_FULL``, ``STATE_UNUSABLE``.
        """
        wanted = [_as_known(card, store) for card in self.cards]
        for card in wanted:
            if store.has_open_terms(card):
                raise not_accepted(
                    card, f"swath models import {Path(str(self._file.filename)).name}"
                )
        total, done = sum(card.file.size for card in wanted), 0
        with contextlib.ExitStack() as undo:
            for card in wanted:
                if local_path(card) is None:
                    self._take(card, store, undo)
                done += card.file.size
                progress(done, total)
            self._add_cards(store, undo)
            undo.pop_all()

    def _take(self, card: ModelCard, store: ModelStore, undo: contextlib.ExitStack) -> None:
        """The model's file into its place, unless it lies there whole."""
        place = store.place(card)
        if not (place.is_file() and sha256_of(place) == card.file.sha256):
            undo.callback(store.remove, card)
            self._keep(_model_entry(self._file, card.id), place, card.file.size)
        name = f"{card.id}/{BESIDE}"
        beside = place.with_name(BESIDE)
        if name in self._hashes and not beside.exists():
            undo.callback(beside.unlink, missing_ok=True)
            self._keep(name, beside, LARGEST_TEXT)

    def _add_cards(self, store: ModelStore, undo: contextlib.ExitStack) -> None:
        known = {card.id for card in load_catalogue()}
        for card in self.cards:
            if card.id not in known and store.card(card.id) is None:
                undo.callback(store.forget_card, card.id)
                store.add_card(card)

    def _keep(self, entry: str, place: Path, limit: int) -> None:
        with _reading(str(self._file.filename)), self._file.open(entry) as stream:
            keep_checked(stream, place, self._hashes[entry], limit, lambda: None)


def write_bundle(
    cards: Iterable[ModelCard], store: ModelStore, target: Path, *, overwrite: bool = False
) -> tuple[ModelCard, ...]:
    """Write installed models into one file.

    Args:
        cards: Of the models. Those that come with Swath are left out: every engine has them.
        store: Where the models are.
        target: The zip file.
        overwrite: Whether to replace it.

    Returns:
        The cards as they are in the bundle: a file of the user's own has an address of its own.

    Raises:
        EngineError: ``MODEL_NOT_INSTALLED``, ``MODEL_HASH_MISMATCH``, ``LICENCE_NOT_ACCEPTED``,
            ``OUTPUT_EXISTS``, ``REQUEST_INVALID`` when there is nothing to bundle, ``DISK_FULL``.
    """
    packed = [_pack(card, store) for card in cards if not card.file.uri.startswith("swath:")]
    _check_request(packed, target, overwrite=overwrite)
    hashes: dict[str, str] = {}
    with whole_file(target) as out, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        for model in packed:
            text = json.dumps(card_to_json(model.card), indent=2, ensure_ascii=False).encode()
            hashes[f"{model.card.id}/card.json"] = _write(file, f"{model.card.id}/card.json", text)
            name = f"{model.card.id}/model{_suffix(model.card)}"
            hashes[name] = _copy(file, name, model.path, model.card.file.sha256)
            if model.beside is not None:
                name = f"{model.card.id}/{BESIDE}"
                hashes[name] = _write(file, name, model.beside.read_bytes())
        table = {"format": FORMAT, "models": [p.card.id for p in packed], "sha256": hashes}
        _write(file, TABLE, json.dumps(table, indent=2).encode())
    return tuple(model.card for model in packed)


@contextlib.contextmanager
def opened_bundle(path: Path) -> Iterator[Bundle]:
    """A bundle, with everything checked but the models' bytes.

    Raises:
        EngineError: ``INPUT_NOT_FOUND``; ``MODEL_INVALID`` for whatever ``write_bundle`` would not
            have written: other names, links, encrypted, compressed or doubled entries, broken
            cards; ``MODEL_HASH_MISMATCH``.
    """
    if not path.is_file():
        raise EngineError(ErrorCode.INPUT_NOT_FOUND, f"There is no file {path}.", "Check the path.")
    with contextlib.ExitStack() as stack:
        with _reading(path.name):
            file = stack.enter_context(zipfile.ZipFile(path))
            _check_entries(file, path)
            bundle = _read(file)
        yield bundle


def _pack(card: ModelCard, store: ModelStore) -> _Packed:
    path = store.verify(card)
    beside = path.with_name(BESIDE)
    needs_it = card.file.format == "safetensors" and beside.is_file()
    if local_path(card) is not None:
        uri = f"bundle://{card.id}/model{_suffix(card)}"
        card = replace(card, file=replace(card.file, uri=uri))
    return _Packed(card, path, beside if needs_it else None)


def _check_request(packed: list[_Packed], target: Path, *, overwrite: bool) -> None:
    if not packed:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            "There is nothing to bundle: these models come with Swath.",
            "Name models that were fetched, or your own.",
        )
    if len({p.card.id for p in packed}) != len(packed):
        raise EngineError(
            ErrorCode.REQUEST_INVALID, "A model is named twice.", "Name each model once."
        )
    if target.exists() and not overwrite:
        raise EngineError(
            ErrorCode.OUTPUT_EXISTS,
            f"{target} exists already.",
            "Choose another name, or replace it with --overwrite.",
        )


def _suffix(card: ModelCard) -> str:
    suffix = PurePosixPath(urlsplit(card.file.uri).path).suffix.lower()
    return suffix if suffix in MODEL_SUFFIXES else ""


def _write(file: zipfile.ZipFile, name: str, content: bytes) -> str:
    file.writestr(zipfile.ZipInfo(name, DAY_ONE), content)
    return hashlib.sha256(content).hexdigest()


def _copy(file: zipfile.ZipFile, name: str, path: Path, sha256: str) -> str:
    """The model's file as an entry; it must still be the one that was checked."""
    entry = zipfile.ZipInfo(name, DAY_ONE)
    entry.file_size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as source, file.open(entry, "w") as target:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            target.write(chunk)
    if digest.hexdigest() != sha256:
        raise mismatch(str(path), sha256, digest.hexdigest(), "Try again.")
    return sha256


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EngineError(
            ErrorCode.INPUT_UNREADABLE,
            f"{name} cannot be read: {error.strerror or error}.",
            "Check the file and its permissions.",
        ) from error
    except BROKEN as error:
        raise _refused(f"it is damaged ({str(error) or type(error).__name__})") from error


def _check_entries(file: zipfile.ZipFile, path: Path) -> None:
    """All that can be told from the table of contents, before anything is read."""
    entries = file.infolist()
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise _refused("it has two entries of one name")
    if len(names) > 3 * MOST_MODELS + 1 or TABLE not in names:
        raise _refused("it has too many entries" if TABLE in names else f"it has no {TABLE}")
    for entry in entries:
        _check_entry(entry)
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise _refused("its entries are larger than itself")


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name, kind = entry.filename, stat.S_IFMT(entry.external_attr >> 16)
    if name != TABLE and not ENTRY.fullmatch(name):
        raise _refused(f"it has an entry «{name[:80]}»")
    if kind not in (0, stat.S_IFREG):
        raise _refused(f"{name} is no plain file")
    if entry.flag_bits & 1:
        raise _refused(f"{name} is encrypted")
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        raise _refused(f"{name} is compressed")


def _read(file: zipfile.ZipFile) -> Bundle:
    table = _json(_text(file, TABLE), TABLE)
    hashes = table.get("sha256") if isinstance(table, dict) else None
    if not isinstance(hashes, dict) or table.get("format") != FORMAT:
        raise _refused(f"its {TABLE} is of another kind or a newer version")
    if {*hashes, TABLE} != {*file.namelist()}:
        raise _refused(f"its entries are not those that its {TABLE} names")
    names = sorted({name.partition("/")[0] for name in hashes})
    cards = tuple(_card(file, name, hashes) for name in names)
    if not cards:
        raise _refused("it holds no model")
    return Bundle(file, cards, hashes)


def _card(file: zipfile.ZipFile, model_id: str, hashes: dict[str, str]) -> ModelCard:
    name = f"{model_id}/card.json"
    if name not in hashes:
        raise _refused(f"{model_id} has no card")
    text = _text(file, name)
    found = hashlib.sha256(text).hexdigest()
    if found != hashes[name]:
        raise mismatch(name, str(hashes[name]), found, _AGAIN)
    card = card_from_json(_json(text, name), name)
    entry = file.getinfo(_model_entry(file, model_id))
    if card.id != model_id or card.file.uri.partition("://")[0] not in FETCHED:
        raise _refused(f"{name} is the card of another or a local model")
    if (entry.file_size, hashes[entry.filename]) != (card.file.size, card.file.sha256):
        raise _refused(f"the file of {model_id} is not the one that its card names")
    return card


def _model_entry(file: zipfile.ZipFile, model_id: str) -> str:
    names = [n for n in file.namelist() if n.startswith(f"{model_id}/model")]
    if len(names) != 1:
        raise _refused(f"{model_id} has {len(names) or 'no'} model files")
    return names[0]


def _text(file: zipfile.ZipFile, name: str) -> bytes:
    if file.getinfo(name).file_size > LARGEST_TEXT:
        raise _refused(f"{name} is too large")
    return file.read(name)


def _json(text: bytes, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(f"{name} is no JSON ({error})") from None


def _as_known(card: ModelCard, store: ModelStore) -> ModelCard:
    """The card under this id here, when it means the same model; else the bundle's."""
    catalogue = {known.id: known for known in load_catalogue()}
    here = catalogue.get(card.id)
    if here is not None and here.file.sha256 == card.file.sha256:
        return here
    kept = store.card(card.id)
    if here is None and kept in (None, card):
        return card
    where = "Swath's own catalogue" if here is not None else "this machine"
    raise EngineError(
        ErrorCode.MODEL_INVALID,
        f"The bundle's model {card.id} is not the one that {where} knows under this name.",
        "Use the same version of Swath here and there."
        if here is not None
        else f"Remove the one here first: `swath models remove {card.id}`.",
    )


_AGAIN = "Nothing was installed; copy the bundle again, or have it made anew."


def _refused(why: str) -> EngineError:
    return EngineError(ErrorCode.MODEL_INVALID, f"The file is no sound bundle: {why}.", _AGAIN)

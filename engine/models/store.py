"""Where model files are kept: by content, checked when they come in and when they are used."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from engine.contract.errors import EngineError, ErrorCode
from engine.models.card import ModelCard
from engine.models.cardfile import card_to_json, is_model_id, read_card
from engine.models.checksum import mismatch, sha256_of
from engine.models.content import keep_checked
from engine.models.disk import translated, whole_file
from engine.models.inline import inline_content
from engine.models.licence import Licences, not_accepted

SHIPPED = Path(__file__).parents[2] / "resources" / "models"
"""Models that come with Swath: ``swath://NAME``."""
BESIDE = "config.json"
"""What some files of weights need in their folder."""
PLAIN_NAME = re.compile(r"[A-Za-z0-9_%+-][A-Za-z0-9._%+-]*")
"""File names that lead nowhere else on any system."""
Progress = Callable[[int, int], None]
"""Bytes so far, bytes in all (0 while unknown)."""
Cancelled = Callable[[], bool]


def silent(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


def never() -> bool:
    """Nobody cancels."""
    return False


class ModelStore:
    """Model files under one folder; several processes may use it at once.

    ``sha256/<first two>/<sha256>/<file>`` are the models, ``archives/`` the packages they were
    taken from, ``cards/`` cards that users added, ``licences/`` the terms that they accepted. A
    ``file:`` model is used where it lies, and so is one that comes with Swath; for both nobody
    is asked about terms.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.licences = Licences(root / "licences")

    def is_installed(self, card: ModelCard) -> bool:
        """Whether the model's file is there; one of ours also in its right size."""
        with contextlib.suppress(OSError):
            found = self.place(card).stat()
            is_file = stat.S_ISREG(found.st_mode)  # a device or pipe might never end
            return is_file and (found.st_size == card.file.size or local_path(card) is not None)
        return False

    def path(self, card: ModelCard) -> Path:
        """The model's file; ``open_model`` checks its content on every use.

        Raises:
            EngineError: ``MODEL_NOT_INSTALLED``, ``LICENCE_NOT_ACCEPTED``.
        """
        if self.is_installed(card):
            self.require_terms(card)
            return self.place(card)
        local = local_path(card)
        if local is not None:
            raise EngineError(
                ErrorCode.MODEL_NOT_INSTALLED,
                f"The file of the model {card.id} is not at {local}.",
                card.export or "Put the file back, or correct the model's card.",
            )
        raise EngineError(
            ErrorCode.MODEL_NOT_INSTALLED,
            f"The model {card.id} is not installed.",
            f"Install it with `swath models install {card.id}`.",
        )

    def install(
        self, card: ModelCard, progress: Progress = silent, cancelled: Cancelled = never
    ) -> Path:
        """Fetch the model's file unless it is there, check it, and say where it is.

        Raises:
            EngineError: ``MODEL_HASH_MISMATCH`` (nothing is kept), ``MODEL_DOWNLOAD_FAILED``,
                ``LICENCE_NOT_ACCEPTED`` (nothing is fetched), ``DISK_FULL``, ``STATE_UNUSABLE``.
            CancelledError: when ``cancelled`` says so; what came in is kept for the next try.
        """
        target = self.place(card)
        if local_path(card) is not None:
            return self.verify(card)
        self.require_terms(card)
        if self.is_installed(card) and sha256_of(target) == card.file.sha256:
            return target
        content = inline_content(card.file.uri)
        if content is not None:
            keep_checked(io.BytesIO(content), target, card.file.sha256, len(content), lambda: None)
            return target
        from engine.models.fetch import fetch_member  # noqa: PLC0415 - loads the network libraries

        fetch_member(
            card.file.uri,
            card.file.sha256,
            target,
            cache=self.root,
            size=card.file.size,
            progress=progress,
            cancelled=cancelled,
        )
        return target

    def has_open_terms(self, card: ModelCard) -> bool:
        """Whether the user has to accept the model's licence, and has not."""
        return local_path(card) is None and self.licences.is_open(card)

    def require_terms(self, card: ModelCard) -> None:
        """Go on only under terms that the user has accepted, where that is needed.

        Raises:
            EngineError: ``LICENCE_NOT_ACCEPTED``.
        """
        if self.has_open_terms(card):
            raise not_accepted(card)

    def verify(self, card: ModelCard) -> Path:
        """The model's file, after reading all of it; a wrong one of ours is deleted.

        Raises:
            EngineError: ``MODEL_NOT_INSTALLED``, ``MODEL_HASH_MISMATCH``.
        """
        path = self.path(card)
        found = sha256_of(path)
        if found == card.file.sha256:
            return path
        if local_path(card) is not None:
            hint = "Take the file that the card was written for, or write a card for this one."
            raise mismatch(str(path), card.file.sha256, found, hint)
        self.remove(card)
        hint = f"It was deleted; install it again with `swath models install {card.id}`."
        raise mismatch(str(path), card.file.sha256, found, hint)

    def remove(self, card: ModelCard) -> None:
        """Delete the model's file; a ``file:`` model is its owner's and stays."""
        place = self.place(card)
        if local_path(card) is not None or not place.parent.exists():
            return
        with translated(place):
            place.unlink(missing_ok=True)
            if all(other.name == BESIDE for other in place.parent.iterdir()):
                shutil.rmtree(place.parent)

    def files(self) -> tuple[Path, ...]:
        """Every model file kept here."""
        found = (self.root / "sha256").glob("*/*/*")
        return tuple(sorted(p for p in found if p.name != BESIDE and not p.name.startswith(".")))

    def clean_archives(self) -> int:
        """Delete packages and unfinished downloads; the number of bytes freed."""
        freed = 0
        for name in ("archives", "partial"):
            folder = self.root / name
            files = [p for p in folder.rglob("*") if p.is_file()]
            freed += sum(p.stat().st_size for p in files)
            with translated(folder):
                for path in files:
                    path.unlink(missing_ok=True)
        return freed

    def cards(self) -> tuple[ModelCard, ...]:
        """Cards that users added; a broken one is named once its id is asked for."""
        found = []
        for path in sorted((self.root / "cards").glob("*.json")):
            with contextlib.suppress(EngineError):
                found.append(read_card(path))
        return tuple(found)

    def card(self, model_id: str) -> ModelCard | None:
        """The card that a user added under this id.

        Raises:
            EngineError: ``MODEL_INVALID`` when it is broken.
        """
        path = self._card_path(model_id)
        return None if path is None else read_card(path)

    def _card_path(self, model_id: str) -> Path | None:
        path = self.root / "cards" / f"{model_id}.json"
        return path if is_model_id(model_id) and path.is_file() else None

    def add_card(self, card: ModelCard) -> None:
        """Keep a card, so that its id is known from now on."""
        text = json.dumps(card_to_json(card), indent=2, ensure_ascii=False)
        with whole_file(self.root / "cards" / f"{card.id}.json") as file:
            file.write(text.encode())

    def forget_card(self, model_id: str) -> bool:
        """Delete the card that a user added under this id; whether there was one."""
        path = self._card_path(model_id)
        if path is None:
            return False
        with translated(path):
            path.unlink()
        return True

    def place(self, card: ModelCard) -> Path:
        """Where the model's file is, or would be."""
        local = local_path(card)
        if local is not None:
            return local
        name = urlsplit(card.file.uri).path.rsplit("/", 1)[-1]
        if name == BESIDE or not PLAIN_NAME.fullmatch(name):
            name = "model.onnx"
        sha256 = card.file.sha256
        return self.root / "sha256" / sha256[:2] / sha256 / name


def local_path(card: ModelCard) -> Path | None:
    """The path behind a ``file:`` URI, or behind the ``swath:`` one of a model that we ship."""
    parts = urlsplit(card.file.uri)
    if parts.scheme == "swath":
        return SHIPPED / parts.netloc
    if parts.scheme != "file":
        return None
    from urllib.request import url2pathname  # noqa: PLC0415 - loads an HTTP client, for this alone

    share = f"//{parts.netloc}" if parts.netloc not in ("", "localhost") else ""
    return Path(url2pathname(share + parts.path))

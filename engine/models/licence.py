"""What a model's licence asks of its users, and what they have accepted.

The licence of the weights decides; what the model was trained on is shown beside it. Terms that ask
for no more than naming the authors need no acceptance, all others do, unknown ones among them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.contract.errors import EngineError, ErrorCode
from engine.models.card import ModelCard
from engine.models.disk import whole_file

FREE = re.compile(
    r"(mit(-0)?|apache-2\.0|(0bsd|bsd-[123]-clause)(-clear)?|isc|zlib|unlicense|bsl-1\.0|ncsa"
    r"|cc0-1\.0|pddl-1\.0|odc-by-1\.0|cdla-permissive-[12]\.0|cc-by-[1-4]\.[05](-[a-z]+)?"
    r"|etalab-2\.0|ogl-uk-[123]\.0|dl-de-(by|zero)-2\.0)"
)
"""SPDX identifiers, in small letters, of licences that ask for naming the authors at most."""
NOT_FOR_TRADE = re.compile(r"(^|-)nc(-|$)|non-?commercial|research|academic|education|personal")
NO_CHANGES = re.compile(r"(^|-)nd(-|$)|no-?deriv")
SHARED_ALIKE = re.compile(r"(^|-)sa(-|$)|share-?alike|odbl|gpl|mpl-|eupl|osl-|cdla-sharing|gfdl")
COMMONS = re.compile(r"cc-(by[a-z-]*)-(\d\.\d)")


@dataclass(frozen=True, slots=True)
class Acceptance:
    """That a user has agreed to a model's terms."""

    model: str
    licence: str
    data_licence: str
    sha256: str
    """Of the terms, as ``terms_digest`` makes it: other terms are asked about anew."""
    accepted: str
    """UTC, ISO 8601."""


class Licences:
    """Which terms the user has accepted: one small file a model, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def accepted(self, card: ModelCard) -> Acceptance | None:
        """The user's agreement to the card's terms as they are now."""
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            found = Acceptance(**json.loads(self._path(card).read_text("utf-8")))
            return found if found.sha256 == terms_digest(card) else None
        return None

    def accept(self, card: ModelCard) -> Acceptance:
        """Remember that the user agrees.

        Raises:
            EngineError: ``DISK_FULL``, ``STATE_UNUSABLE``.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        given = Acceptance(card.id, card.license, card.data_license, terms_digest(card), now)
        fields = {name: getattr(given, name) for name in Acceptance.__slots__}
        with whole_file(self._path(card)) as file:
            file.write(json.dumps(fields, indent=2, ensure_ascii=False).encode())
        return given

    def is_open(self, card: ModelCard) -> bool:
        """Whether the user has yet to agree."""
        return bool(demands(card.license)) and self.accepted(card) is None

    def _path(self, card: ModelCard) -> Path:
        return self._folder / f"{card.id}.json"


def not_accepted(card: ModelCard, command: str = "") -> EngineError:
    """The refusal of a model whose terms the user has not accepted; ``command`` accepts them."""
    command = command or f"swath models install {card.id}"
    return EngineError(
        ErrorCode.LICENCE_NOT_ACCEPTED,
        f"The model {card.id} is under {described(card.license)}, and these terms are not accepted "
        "yet.",
        f"Read them ({address(card.license) or card.citation}); if you agree, say so with "
        f"`{command} --accept-licence`.",
    )


def demands(licence: str) -> tuple[str, ...]:
    """What a licence asks beyond naming the authors; empty: nothing.

    Args:
        licence: An SPDX identifier, an expression of several, or words.
    """
    choices = [_parts(choice) for choice in _choices(licence)]
    if any(all(FREE.fullmatch(part) for part in choice) for choice in choices):
        return ()
    found = {demand for choice in choices for part in choice for demand in _demands(part)}
    return tuple(sorted(found)) or ("terms of its own",)


def described(licence: str) -> str:
    """A licence with what it asks for, for people."""
    asked = ", ".join(demands(licence))
    return f"{licence} ({asked})" if asked else licence


def credit(card: ModelCard) -> str:
    """Terms and authors of a model in a line, for the record of a run."""
    data = f"; trained on data under: {card.data_license}" if card.data_license else ""
    return f"Licence {described(card.license)}{data}. By {card.attribution.rstrip('.')}."


def address(licence: str) -> str:
    """Where the licence can be read; "" for what is no single SPDX identifier."""
    commons = COMMONS.fullmatch(licence.casefold())
    if commons:
        return f"https://creativecommons.org/licenses/{commons[1]}/{commons[2]}/"
    is_single = re.fullmatch(r"(?!LicenseRef-)[A-Za-z0-9.+-]*\d[A-Za-z0-9.+-]*", licence)
    return f"https://spdx.org/licenses/{licence}.html" if is_single else ""


def terms_digest(card: ModelCard) -> str:
    """Hexadecimal sha256 of the terms that a user is shown."""
    terms: list[Any] = [card.license, card.data_license]
    return hashlib.sha256(json.dumps(terms).encode()).hexdigest()


def _choices(licence: str) -> list[str]:
    """The terms among which a user may choose; with brackets all of them count."""
    if "(" in licence:
        return [re.sub(r"\s+OR\s+", " AND ", re.sub(r"[()]", " ", licence))]
    return re.split(r"\s+OR\s+", licence.strip())


def _parts(choice: str) -> list[str]:
    words = re.split(r"\s+(?:AND|WITH)\s+", choice.strip())
    return [re.sub(r"[\s_]+", "-", word.strip().casefold()) for word in words]


def _demands(part: str) -> list[str]:
    known = (
        (NOT_FOR_TRADE, "no commercial use"),
        (NO_CHANGES, "no changed versions"),
        (SHARED_ALIKE, "share alike"),
    )
    found = [text for pattern, text in known if pattern.search(part)]
    return found if found or FREE.fullmatch(part) else ["terms of its own"]

"""The bundled model cards, read as plain JSON: no engine is needed."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

EMBEDDINGS = "similarity-search"
CLASS_MAPS = ("semantic-segmentation", "scene-classification")
"""Tasks, in the words of the extension, whose result is a raster of classes."""


@dataclass(frozen=True)
class CardChoice:
    """What a user chooses a model by."""

    id: str
    title: str
    summary: str
    tasks: Tuple[str, ...]
    """In the words of STAC's machine learning model extension."""
    bands: Tuple[str, ...]
    gsd: float
    license: str
    of_two_dates: bool = False
    """Whether it looks at the same bands twice."""
    classifies: bool = False
    """Whether it gives each pixel of one raster a class."""
    embeds: bool = False
    """Whether it gives embeddings, which can be compared."""


def read_cards(folder: Path, tasks: Tuple[str, ...] = ()) -> Tuple[CardChoice, ...]:
    """The cards of ``folder`` for some tasks, or for any, by id; what is no card is passed over."""
    found = (_read_card(path) for path in folder.glob("*.json"))
    cards = (c for c in found if c is not None and (not tasks or set(tasks) & set(c.tasks)))
    return tuple(sorted(cards, key=lambda card: card.id))


def known_cards(bundled: Path, added: Path) -> Tuple[CardChoice, ...]:
    """All that come with Swath, then those that the user has added to the engine's store."""
    ours = read_cards(bundled)
    taken = {card.id for card in ours}
    return (*ours, *(card for card in read_cards(added) if card.id not in taken))


def cards_of_file(model: str) -> Tuple[CardChoice, ...]:
    """The card that a file is or has beside it; none for the id of a model."""
    card = _read_card(Path(model).with_suffix(".json"))
    return () if card is None else (card,)


def _read_card(path: Path) -> Optional[CardChoice]:
    try:
        card = json.loads(path.read_text("utf-8"))
        return CardChoice(
            id=card["id"],
            title=card["mlm:name"],
            summary=card["description"],
            tasks=tuple(card["mlm:tasks"]),
            bands=tuple(card["mlm:input"][0]["bands"]),
            gsd=float(card["mlm:input"][0]["gsd"]),
            license=card["license"],
            of_two_dates=_is_of_two_dates(card["mlm:input"]),
            classifies=_classifies(card["mlm:input"], card["mlm:tasks"]),
            embeds=EMBEDDINGS in card["mlm:tasks"],
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _is_of_two_dates(inputs: List[Dict[str, Any]]) -> bool:
    return len(inputs) == 2 and inputs[0]["bands"] == inputs[1]["bands"]  # noqa: PLR2004 - a pair


def _classifies(inputs: List[Dict[str, Any]], tasks: List[str]) -> bool:
    return len(inputs) == 1 and CLASS_MAPS[0] in tasks and not inputs[0].get("swath:dates")


def licence_of(cards: Tuple[CardChoice, ...], model: str) -> str:
    """The licence of a model's weights; "" when it is in no card."""
    return next((card.license for card in cards if card.id == model), "")


def title_of(cards: Tuple[CardChoice, ...], model: str) -> str:
    """The title of a model for people; its own name when it is in no card."""
    return next((card.title for card in cards if card.id == model), Path(model).stem)

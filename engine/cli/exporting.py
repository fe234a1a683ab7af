"""``swath models export``: what other programs can read of a model's card."""

from __future__ import annotations

import json
from pathlib import Path

from engine.cli.printing import note, say
from engine.contract.errors import EngineError, ErrorCode
from engine.models.card import ModelCard


def export_mlm(card: ModelCard, output: Path | None, *, overwrite: bool) -> None:
    """Write the card's STAC item to a file, or print it.

    Raises:
        EngineError: ``OUTPUT_EXISTS``, ``OUTPUT_UNWRITABLE``, ``DISK_FULL``.
    """
    from engine.io.staging import already_there, write_text  # noqa: PLC0415 - lazily
    from engine.models.mlm import mlm_item  # noqa: PLC0415 - lazily

    text = json.dumps(mlm_item(card), indent=2, ensure_ascii=False, allow_nan=False)
    if output is None:
        say(text)
        return
    if output.exists() and not overwrite:
        raise already_there(output)
    write_text(output, f"{text}\n")
    note(f"{output} describes {card.id}.")


def no_form() -> EngineError:
    """Nothing says what to write."""
    return EngineError(
        ErrorCode.REQUEST_INVALID,
        "It was not said as what to export the model.",
        "Add --mlm for a STAC item.",
    )

"""``swath models ensemble``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.printing import note, say
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.places import state_dir


def ensemble(
    models: Annotated[
        list[str],
        typer.Argument(metavar="ID|FILE", help="ONNX models of one value, exported alike."),
    ],
    *,
    output: Annotated[
        Path, typer.Option(metavar="FILE.onnx", help="The model to write; its card goes beside it.")
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
) -> None:
    """Join several models into one that gives their mean and standard deviation."""
    from engine.models.cardfile import card_to_json  # noqa: PLC0415 - lazily
    from engine.models.catalogue import find_card  # noqa: PLC0415 - lazily
    from engine.models.content import read_checked  # noqa: PLC0415 - lazily
    from engine.models.disk import whole_file  # noqa: PLC0415 - lazily
    from engine.models.ensemble import Member, ensemble_card, joined  # noqa: PLC0415 - lazily
    from engine.models.known import id_of  # noqa: PLC0415 - lazily
    from engine.models.store import ModelStore  # noqa: PLC0415 - lazily

    place = _checked(output, overwrite=overwrite)
    store = ModelStore(state_dir() / "models")
    cards = [find_card(model, store) for model in models]
    members = [Member(card, read_checked(card, store.path(card))) for card in cards]
    content = joined(members)
    made = ensemble_card(cards, content, output.name, id_of(output.stem))
    for path, data in (
        (output, content),
        (place, json.dumps(card_to_json(made), indent=2).encode()),
    ):
        with whole_file(path) as file:
            file.write(data)
    note(f"{made.title}; licence {made.license}. Run it with --model {output}.")
    say(str(output))


def _checked(output: Path, *, overwrite: bool) -> Path:
    """Where the card goes.

    Raises:
        EngineError: ``REQUEST_INVALID``, ``OUTPUT_EXISTS``.
    """
    from engine.io.staging import already_there  # noqa: PLC0415 - lazily

    if output.suffix.lower() != ".onnx":
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"{output.name} is no name for an ONNX model.",
            "Give a name that ends with .onnx.",
        )
    place = output.with_suffix(".json")
    for path in (output, place):
        if path.exists() and not overwrite:
            raise already_there(path)
    return place

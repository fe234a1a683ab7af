"""``swath models add``: a user's own model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import describing
from engine.cli.printing import note, say, say_json
from engine.contract.places import state_dir

if TYPE_CHECKING:
    from engine.models.card import ModelCard
    from engine.models.known import Known
    from engine.models.told import Found
    from engine.models.trial import Trial


def add(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A network (.onnx, TorchScript .pt, .pt2, .safetensors), or Esri's definition "
            "(.emd) or package (.dlpk) of one.",
        ),
    ],
    *,
    bands: Annotated[
        str | None,
        typer.Option(metavar="NAME,…", help="Bands in the network's order: red,green,blue."),
    ] = None,
    quantity: Annotated[
        str | None,
        typer.Option(
            metavar="WORD",
            help="What its numbers are before normalisation: rgb (8-bit pictures as 0 to 1), "
            "toa_reflectance, surface_reflectance, reflectance, backscatter_db or raw.",
        ),
    ] = None,
    normalise: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="none, imagenet, 0-255, -1-1, MEAN,…/DEVIATION,…, minmax:LOW,…/HIGH,… or times:N.",
        ),
    ] = None,
    valid_range: Annotated[
        str | None,
        typer.Option("--range", metavar="LOW,HIGH", help="Plausible numbers, of raw ones."),
    ] = None,
    gsd: Annotated[
        float | None, typer.Option(metavar="METRES", help="Pixel size that it was made for.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="NAME[#RRGGBB],…", help="Classes in the order of its scores."),
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(metavar="NAME[:UNIT],…", help="Values that it gives instead of classes."),
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(metavar="WORD", help="softmax, sigmoid or none; tried out if not given."),
    ] = None,
    tile: Annotated[
        int | None, typer.Option(metavar="PIXELS", min=1, help="Edge of its tiles.")
    ] = None,
    margin: Annotated[
        int | None,
        typer.Option(metavar="PIXELS", min=0, help="Margin of its tiles; measured if not given."),
    ] = None,
    licence: Annotated[
        str | None, typer.Option(metavar="SPDX", help="Licence of its weights.")
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Its name for people.")] = None,
    model_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Its name for --model.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the card there (.json), not into the catalogue."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Add a model of your own: read what its file tells, ask for the rest, and try it."""
    from engine.models.told import read_model  # noqa: PLC0415 - lazily

    found = read_model(file.expanduser())
    texts = {
        "bands": bands,
        "quantity": quantity,
        "transforms": normalise,
        "valid_range": valid_range,
        "gsd": gsd,
        "classes": classes,
        "values": values,
        "activation": activation,
        "tile": tile,
        "margin": margin,
        "licence": licence,
        "title": title,
    }
    told = found.known | describing.understood(texts)
    if texts["values"] is not None or texts["classes"] is not None:
        told = describing.only(told, "values" if classes is None else "classes")
    known, trial = _complete(found, told)
    _finish(found, known, trial, model_id, output, as_json=as_json)


def _complete(found: Found, told: Known) -> tuple[Known, Trial]:
    """Everything that a card needs: by questions on a terminal, else by options alone."""
    from engine.models.trial import try_out  # noqa: PLC0415 - lazily

    is_terminal = sys.stdin.isatty() and sys.stderr.isatty()
    if not is_terminal:
        describing.check_complete(found, told)
        return told, try_out(found.subject, told)
    if told.bands is None:
        told |= describing.asked("bands", told, None)
    note(f"Trying {found.subject.name}.")
    trial = try_out(found.subject, told)
    while told.missing:
        told |= describing.asked(told.missing[0], told, trial)
    if told.licence is None:
        told |= describing.asked("licence", told, trial)
    return told, trial


def _finish(
    found: Found,
    known: Known,
    trial: Trial,
    model_id: str | None,
    output: Path | None,
    *,
    as_json: bool,
) -> None:
    """Measure, check and keep."""
    from engine.models.adding import check_output, choose_id, draft_card, keep  # noqa: PLC0415
    from engine.models.catalogue import model_info  # noqa: PLC0415 - lazily
    from engine.models.store import ModelStore  # noqa: PLC0415 - lazily

    store = ModelStore(state_dir() / "models")
    if output is not None:
        check_output(output, found)
    name = choose_id(model_id, found, known, store)
    note(f"Measuring {name}; this can take a minute.")
    draft = draft_card(found, known, trial, store, name)
    replaced = output is None and store.card(name) is not None
    path = keep(draft, found, store, output)
    if replaced:
        note(f"Your earlier model {name} is replaced.")
    for sentence in (_decided(draft.card), *draft.notes, *draft.card.not_for):
        note(sentence)
    if as_json:
        say_json(model_info(draft.card, store))
        return
    note(f"{name} is added; run it with `swath apply INPUT OUTPUT --model {output or name}`.")
    say(str(path))


def _decided(card: ModelCard) -> str:
    """What the card says in the main, whoever told it."""
    given = card.input
    members = [member.name for member in card.output.classes or card.output.values]
    shown = ", ".join(members[:8]) + (" and more" if len(members) > 8 else "")  # noqa: PLR2004
    return (
        f"It takes {', '.join(given.bands)} ({given.quantity.replace('_', ' ')}, {given.gsd:g} m) "
        f"and gives {shown}; licence {card.license}."
    )

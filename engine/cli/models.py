"""``swath models``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import needs, storing
from engine.cli.adding import add
from engine.cli.ensembling import ensemble
from engine.cli.printing import columns, note, say, say_json
from engine.cli.progress import counting_bytes, display
from engine.contract.messages import ModelInfo, ModelList
from engine.contract.places import state_dir

if TYPE_CHECKING:
    from engine.models.card import ModelCard
    from engine.models.store import ModelStore

app = typer.Typer(help="The models: what there is, and what is installed.", no_args_is_help=True)
app.command()(add)
app.command()(ensemble)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
ModelId = Annotated[str, typer.Argument(metavar="ID", help="As in `swath models list`.")]


@app.command("list")
def list_models(*, as_json: AsJson = False) -> None:
    """List the models: the catalogue's, and those of your own."""
    from engine.models.catalogue import known_cards, model_info  # noqa: PLC0415 - lazily

    store = _store()
    infos = tuple(model_info(card, store) for card in known_cards(store))
    if as_json:
        say_json(ModelList(infos))
        return
    head = ("id", "installed", "bands", "gsd", "license", "title")
    for line in columns([head, *map(_row, infos)]):
        say(line)


@app.command()
def show(model: ModelId, *, as_json: AsJson = False) -> None:
    """Show all that is known of a model."""
    from engine.models.catalogue import find_card, model_info  # noqa: PLC0415 - lazily

    store = _store()
    card = find_card(model, store)
    info = model_info(card, store)
    if as_json:
        say_json(info)
        return
    for line in columns(_facts(card, info)):
        say(line)


@app.command()
def install(
    model: ModelId,
    *,
    accept_licence: storing.Accept = False,
    quiet: storing.Quiet = False,
) -> None:
    """Fetch a model with your own package index settings, and check it."""
    from engine.models.catalogue import find_card  # noqa: PLC0415 - lazily

    store = _store()
    card = find_card(model, store)
    storing.settle_terms(card, store, accept=accept_licence, quiet=quiet)
    with display(quiet=quiet) as show_event:
        path = store.install(card, counting_bytes(show_event, "model"))
    if not quiet:
        note(f"{card.id} is installed.")
        say(str(path))


app.command()(storing.verify)
app.command()(storing.remove)
app.command()(storing.bundle)
app.command("import")(storing.import_models)


@app.command()
def measure(
    model: Annotated[
        str, typer.Argument(metavar="ID|FILE", help="As --model of `swath segment` takes it.")
    ],
    *,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="As --device of `swath segment`.")
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure a model once on this machine: margin, stride, speed and memory."""
    from engine.cli import measuring  # noqa: PLC0415 - lazily
    from engine.models.advice import advise  # noqa: PLC0415 - lazily
    from engine.models.catalogue import find_card  # noqa: PLC0415 - lazily
    from engine.models.measure import measured  # noqa: PLC0415 - lazily
    from engine.models.receptive import receptive_field  # noqa: PLC0415 - lazily

    store = _store()
    card = find_card(model, store)
    path, folder = store.path(card), store.root / "measurements"
    note(f"Measuring {card.id}; the first time this can take a minute.")
    speed = measured(card, path, device, folder)
    field = receptive_field(card, path, folder)
    advice = advise(card, field)
    if as_json:
        say_json({"model": card.id, "speed": speed, "field": field, "advice": advice})
        return
    for line in [*measuring.speed_lines(speed), *measuring.field_lines(card, field, advice)]:
        say(line)


@app.command()
def export(
    model: Annotated[
        str, typer.Argument(metavar="ID|FILE", help="As --model of `swath segment` takes it.")
    ],
    *,
    mlm: Annotated[
        bool, typer.Option("--mlm", help="As a STAC item of the MLM extension 1.5.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write it; stdout if not given.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there.")
    ] = False,
) -> None:
    """Describe a model for other programs."""
    from engine.cli import exporting  # noqa: PLC0415 - lazily
    from engine.models.catalogue import find_card  # noqa: PLC0415 - lazily

    if not mlm:
        raise exporting.no_form()
    exporting.export_mlm(find_card(model, _store()), output, overwrite=overwrite)


def _store() -> ModelStore:
    from engine.models.store import ModelStore  # noqa: PLC0415 - lazily

    return ModelStore(state_dir() / "models")


def _row(info: ModelInfo) -> tuple[str, ...]:
    installed = "yes" if info.installed else "no"
    bands, gsd = ",".join(info.bands), f"{info.gsd:g} m"
    return info.id, installed, bands, gsd, info.license, info.title


def _facts(card: ModelCard, info: ModelInfo) -> list[tuple[str, str]]:
    low, high = card.input.gsd_range
    several = [("not for", text) for text in card.not_for]
    several += [("figures", text) for text in card.metrics]
    return [
        ("id", f"{card.id} (version {card.version})"),
        ("title", card.title),
        ("summary", card.summary),
        *needs.taken(card),
        ("gsd", f"{card.input.gsd:g} m (as it is from {low:g} to {high:g} m)"),
        *needs.given(card),
        *several,
        *([("its file", card.export)] if card.export else []),
        ("license", storing.licence_line(card, _store())),
        *([("trained on", card.data_license)] if card.data_license else []),
        ("made by", card.attribution),
        ("cite", card.citation),
        ("source", f"{card.file.uri} ({card.file.size / 1e6:.1f} MB)"),
        ("sha256", card.file.sha256),
        ("installed", "yes" if info.installed else f"no: swath models install {card.id}"),
    ]

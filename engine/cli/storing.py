"""``swath models`` verify, remove, bundle and import; and the question about a model's terms."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.exits import FAILED
from engine.cli.printing import columns, note, say, say_json
from engine.cli.progress import MEGABYTE, counting_bytes, display
from engine.contract.places import state_dir

if TYPE_CHECKING:
    from engine.models.card import ModelCard
    from engine.models.store import ModelStore
    from engine.models.upkeep import Checked, Removed

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Accept = Annotated[
    bool, typer.Option("--accept-licence", help="You accept the terms, where a model has any.")
]
SomeIds = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="As in `swath models list`.")
]
Ids = Annotated[list[str], typer.Argument(metavar="ID", help="As in `swath models list`.")]


def verify(models: SomeIds = None, *, as_json: AsJson = False) -> None:
    """Check that installed models, or some of them, are whole."""
    from engine.models.upkeep import check, worth_checking  # noqa: PLC0415 - lazily

    store = _store()
    cards = _find(models, store) if models else worth_checking(store)
    found = [check(card, store) for card in cards]
    whole = all(one.state == "ok" for one in found)
    if as_json:
        rows = [{"id": one.model, "state": one.state, "path": str(one.path)} for one in found]
        say_json({"ok": whole, "models": rows})
    else:
        _tell_checked(found)
    raise typer.Exit(0 if whole else FAILED)


def remove(
    models: SomeIds = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Everything in the store, what is half fetched too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete models and what only they need: packages, and your own cards of them.

    A file of your own stays where it is, and so do the models that come with Swath.
    """
    from engine.models.upkeep import removable  # noqa: PLC0415 - lazily
    from engine.models.upkeep import remove as take_out  # noqa: PLC0415 - lazily

    if bool(models) == everything:
        raise typer.BadParameter("Name the models, or say --all.")
    store = _store()
    cards = removable(store) if everything else _find(models or [], store)
    gone = take_out(cards, store)
    freed = sum(one.freed for one in gone) + (store.clean_archives() if everything else 0)
    if as_json:
        rows = [{"id": r.model, "freed_bytes": r.freed, "kept": r.kept} for r in gone]
        say_json({"removed": rows, "freed_bytes": freed})
        return
    for one in gone:
        say(_removal(one))
    note(f"{freed / MEGABYTE:.1f} MB freed.")


def bundle(
    models: Ids,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The bundle, a .zip file.")],
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write installed models into one file, for use without network."""
    from engine.models.bundle import write_bundle  # noqa: PLC0415 - lazily

    store = _store()
    cards = _find(models, store)
    written = write_bundle(cards, store, file.absolute(), overwrite=overwrite)
    left_out = {card.id for card in cards} - {card.id for card in written}
    for model in sorted(left_out):
        note(f"{model} comes with Swath and needs no bundle.")
    size = file.stat().st_size / MEGABYTE
    note(f"{', '.join(card.id for card in written)} written, {size:.1f} MB.")
    say(str(file.absolute()))


def import_models(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="As `swath models bundle` wrote it.")
    ],
    *,
    accept_licence: Accept = False,
    quiet: Quiet = False,
) -> None:
    """Install the models of a bundle, all or none, without network."""
    from engine.models.bundle import opened_bundle  # noqa: PLC0415 - lazily

    store = _store()
    with opened_bundle(file.absolute()) as found:
        for card in found.cards:
            settle_terms(card, store, accept=accept_licence, quiet=quiet)
        with display(quiet=quiet) as show:
            found.install(store, counting_bytes(show, "models"))
        if not quiet:
            note(f"{', '.join(card.id for card in found.cards)} installed.")


def settle_terms(card: ModelCard, store: ModelStore, *, accept: bool, quiet: bool) -> None:
    """Show under which terms a model is, and keep a yes to them where one is needed.

    Who says no, or cannot be asked, is refused by the store.
    """
    if not quiet:
        for line in columns(_terms(card)):
            note(line)
    if not store.has_open_terms(card):
        return
    if not accept and sys.stdin.isatty() and sys.stderr.isatty():
        accept = typer.confirm(f"Do you accept the terms of {card.id}?", err=True)
    if accept:
        store.licences.accept(card)


def licence_line(card: ModelCard, store: ModelStore) -> str:
    """The licence, what it asks for, and when the user accepted it."""
    from engine.models.licence import described  # noqa: PLC0415 - lazily

    given = store.licences.accepted(card)
    return described(card.license) + (f", accepted {given.accepted[:10]}" if given else "")


def _terms(card: ModelCard) -> list[tuple[str, str]]:
    from engine.models.licence import address, described  # noqa: PLC0415 - lazily

    rows = [("model", f"{card.title} ({card.id}, version {card.version})")]
    rows += [("licence", described(card.license)), ("", address(card.license))]
    rows += [("trained on", card.data_license), ("made by", card.attribution)]
    return [row for row in rows if row[1]]


def _tell_checked(found: list[Checked]) -> None:
    if not found:
        note("No model is installed.")
        return
    for line in columns((one.model, one.state, str(one.path)) for one in found):
        say(line)
    for one in found:
        if one.state != "ok":
            note(f"{one.model} is {one.state}. {one.remedy}")


def _removal(removed: Removed) -> str:
    """What became of one model, in words."""
    if removed.kept:
        what = f"the card of {removed.model} is removed" if removed.card else removed.model
        return f"{what}. {removed.kept}"
    return f"{removed.model} is removed, {removed.freed / MEGABYTE:.1f} MB."


def _find(references: list[str], store: ModelStore) -> list[ModelCard]:
    from engine.models.catalogue import find_card  # noqa: PLC0415 - lazily

    return [find_card(reference, store) for reference in references]


def _store() -> ModelStore:
    from engine.models.store import ModelStore  # noqa: PLC0415 - lazily

    return ModelStore(state_dir() / "models")

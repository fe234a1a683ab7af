"""The grammar of the command ``swath``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import jobs, models
from engine.cli.assess import assess, sample
from engine.cli.biomass import biomass
from engine.cli.calibrate import calibrate
from engine.cli.change import change
from engine.cli.exits import FAILED
from engine.cli.printing import columns, say, say_json
from engine.cli.segment import segment
from engine.cli.totals import totals
from engine.cli.update import update
from engine.contract.places import state_dir
from engine.version import VERSION

app = typer.Typer(
    name="swath",
    help="Swath: tiled, seamless, resumable inference on rasters.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(segment)
app.command(
    "apply", help="Run any model: changes of two dates, values, embeddings, labels of tiles."
)(segment)
app.command()(change)
app.command()(update)
app.command()(calibrate)
app.command()(biomass)
app.command()(assess)
app.command()(sample)
app.command()(totals)
app.add_typer(models.app, name="models")
app.add_typer(jobs.app, name="jobs")


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"swath {VERSION}")
        raise typer.Exit


@app.callback()
def _start(
    *,
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    *,
    stay: Annotated[
        bool, typer.Option("--stay", help="Go on when no program needs the engine any more.")
    ] = False,
    for_pid: Annotated[
        int | None,
        typer.Option(metavar="PID", help="Leave when this program and all others have gone."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The state folder; $SWATH_STATE if not given."),
    ] = None,
) -> None:
    """Run the local engine that QGIS talks to."""
    from engine.server.serve import serve as run_server  # noqa: PLC0415 - lazily

    run_server((state or state_dir()).expanduser().absolute(), for_pid, stay=stay)


@app.command()
def doctor(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False
) -> None:
    """Find out whether the engine can work here, and what to do if not."""
    from engine.cli.doctor import examine  # noqa: PLC0415 - lazily

    findings = examine(state_dir())
    broken = [f for f in findings if not f.ok]
    if as_json:
        say_json({"ready": not broken, "findings": findings})
    else:
        for line in columns(("ok" if f.ok else "BROKEN", f.name, f.text) for f in findings):
            say(line)
        for finding in broken:
            say(f"{finding.name}: {finding.hint}")
        say("NOT READY" if broken else "READY")
    raise typer.Exit(FAILED if broken else 0)


@app.command()
def demo(
    output: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the results go.")] = Path(
        "build/demo"
    ),
) -> None:
    """Show the main job: clouds and their shadows in a Landsat 8 scene, both fetched."""
    from engine.cli.demo import run_demo  # noqa: PLC0415 - lazily

    raise typer.Exit(run_demo(output))

"""``swath totals``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import asking, options
from engine.cli.running import conclude, submit_here
from engine.contract.analyses import TotalsRequest
from engine.contract.messages import Submission, TaskName


def totals(
    map_: Annotated[
        str,
        typer.Argument(
            metavar="MAP",
            help="A map of amounts per hectare (GeoTIFF), standard deviations in its second band.",
        ),
    ],
    zones: Annotated[
        str, typer.Argument(metavar="ZONES", help="Polygons: FILE or FILE|layername=NAME.")
    ],
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="The polygons with totals (GeoPackage).")
    ],
    *,
    report: Annotated[
        str | None, typer.Option(metavar="FILE", help="Also write a page (HTML).")
    ] = None,
    later: Annotated[
        str | None,
        typer.Option(metavar="MAP", help="A map of a later date: the change is added up too."),
    ] = None,
    correlation: Annotated[
        float | None,
        typer.Option(
            metavar="METRES",
            min=0,
            help="Distance within which errors of pixels resemble each other; as the map's file "
            "says if not given.",
        ),
    ] = None,
    deviation: Annotated[
        float | None,
        typer.Option(
            metavar="AMOUNT",
            min=0,
            help="Standard deviation of every pixel, for maps without a second band.",
        ),
    ] = None,
    systematic: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Standard deviation of the error that all pixels share, such as 0.05.",
        ),
    ] = 0.0,
    between_dates: Annotated[
        float,
        typer.Option(
            metavar="CORRELATION", help="Of the errors of both dates at one place, 0 to 1."
        ),
    ] = 0.0,
    carbon_fraction: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Carbon in dry biomass (0.47: IPCC 2006)."),
    ] = 0.47,
    plots: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Plots drawn at random over the zones: the total is corrected by them.",
        ),
    ] = None,
    field: Annotated[
        str | None, typer.Option(metavar="NAME", help="Field of the plots with the amounts.")
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Add a map of amounts up in polygons, with standard errors and intervals."""
    request = TotalsRequest(
        map=asking.absolute(map_),
        zones=asking.vector_reference(zones),
        output=asking.absolute(output),
        report=report and asking.absolute(report),
        later=later and asking.absolute(later),
        correlation_m=correlation,
        deviation=deviation,
        systematic=systematic,
        between_dates=between_dates,
        carbon_fraction=carbon_fraction,
        plots=plots and asking.vector_reference(plots),
        field=field,
        overwrite=overwrite,
    )
    job = submit_here(Submission(TaskName.TOTALS, request, Path(map_).stem), quiet=quiet)
    raise typer.Exit(conclude(job, as_json=as_json, quiet=quiet))

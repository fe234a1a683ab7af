"""``swath assess`` and ``swath sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import asking, options
from engine.cli.running import conclude, submit_here
from engine.contract.analyses import AssessRequest, SampleRequest
from engine.contract.messages import Submission, TaskName

Map = Annotated[str, typer.Argument(metavar="MAP", help="A finished map (GeoTIFF).")]


def assess(
    map_: Map,
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REFERENCE",
            help="Points, polygons (FILE or FILE|layername=NAME) or a raster with what is true.",
        ),
    ],
    *,
    report: Annotated[
        str, typer.Option(metavar="FILE", help="The page to write (HTML); tables go beside it.")
    ],
    field: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Field of the reference: true class or amount."),
    ] = None,
    strata: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Field with the map class that each point was drawn in, where that is not the "
            "class of this map there.",
        ),
    ] = None,
    values: Annotated[
        bool, typer.Option("--values", help="The map holds amounts rather than classes.")
    ] = False,
    probability: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The map's raster of probabilities: do they mean what they say at the points?",
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Tell how good a map is, and correct its areas for its errors."""
    request = AssessRequest(
        map=asking.absolute(map_),
        reference=asking.vector_reference(reference),
        report=asking.absolute(report),
        field=field,
        strata=strata,
        values=values,
        probability=probability and asking.absolute(probability),
        overwrite=overwrite,
    )
    job = submit_here(Submission(TaskName.ASSESS, request, Path(map_).stem), quiet=quiet)
    raise typer.Exit(conclude(job, as_json=as_json, quiet=quiet))


def sample(
    map_: Map,
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="The layer of points to write (GeoPackage).")
    ],
    *,
    size: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Points in all; by --target-error if not given."),
    ] = None,
    target_error: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Standard error of the overall accuracy that is aimed at."
        ),
    ] = 0.01,
    least: Annotated[
        int, typer.Option(metavar="N", min=2, help="Points in every class at least.")
    ] = 50,
    seed: Annotated[int, typer.Option(metavar="N", help="Another one draws other points.")] = 0,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw points at which to look what is true, at random within a map's classes."""
    request = SampleRequest(
        map=asking.absolute(map_),
        output=asking.absolute(output),
        size=size,
        target_error=target_error,
        least=least,
        seed=seed,
        overwrite=overwrite,
    )
    job = submit_here(Submission(TaskName.SAMPLE, request, Path(map_).stem), quiet=quiet)
    raise typer.Exit(conclude(job, as_json=as_json, quiet=quiet))

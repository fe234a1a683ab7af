"""``swath calibrate``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from engine.cli import asking, options
from engine.cli.running import conclude, submit_here
from engine.contract.analyses import CalibrateRequest, Predictor
from engine.contract.messages import Submission, TaskName
from engine.jobs.submission import check_submission

_NAMED = re.compile(
    r"((?P<name>[\w-]+)(@(?P<date>[\d:T+Z-]+))?=)?(?P<file>.+?)(::(?P<profile>.+))?"
)


def calibrate(
    plots: Annotated[
        str,
        typer.Argument(metavar="PLOTS", help="Points or polygons: FILE, or FILE|layername=NAME."),
    ],
    *,
    field: Annotated[
        str,
        typer.Option(metavar="NAME", help="What was found on the plots: an amount, or a class."),
    ],
    predictors: Annotated[
        list[str],
        typer.Option(
            metavar="[NAME[@DATE]=]FILE…",
            help="Rasters, all of whose bands are used; the first one gives the grid. "
            "FILE::PROFILE says what its numbers mean.",
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="CARD", help="The card to write (JSON).")
    ],
    classes: Annotated[
        bool, typer.Option("--classes", help="The field holds classes, not amounts.")
    ] = False,
    method: Annotated[
        str, typer.Option(metavar="NAME", help="Of amounts: forest, boosting or ridge.")
    ] = "forest",
    radius: Annotated[
        float | None,
        typer.Option(
            metavar="M",
            help="Radius of plots around points; the pixel below the point if not given.",
        ),
    ] = None,
    error: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Field with the standard error of what was found."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Field that says which plots belong together; in validation they are held out "
            "together.",
        ),
    ] = None,
    block: Annotated[
        float | None,
        typer.Option(
            metavar="M",
            min=0,
            help="Edge of the blocks of ground that are held out together; if not given, as far as "
            "what was found resembles itself.",
        ),
    ] = None,
    unit: Annotated[str, typer.Option(metavar="UNIT", help="Of the amounts.")] = "Mg/ha",
    index: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Add ndvi, ndwi, ndmi or nbr where the bands are known."),
    ] = None,
    texture: Annotated[
        int,
        typer.Option(
            metavar="PIXELS",
            min=0,
            help="Add mean and spread of every band in a window of so many pixels (odd).",
        ),
    ] = 0,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Use the embeddings of this model instead of the bands; predictors are then named "
            "and dated as its inputs are, as in s2@2024-06-07=JUNE.tif.",
        ),
    ] = None,
    gsd: options.Gsd = None,
    report: Annotated[
        str | None, typer.Option(metavar="FILE", help="Also write a page about it (HTML).")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of everything that is drawn.")] = 0,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit a model to your own plots: amounts such as biomass, or classes."""
    request = CalibrateRequest(
        plots=asking.vector_reference(plots),
        field=field,
        predictors=tuple(_predictor(text) for text in predictors),
        output=asking.absolute(output),
        report=report and asking.absolute(report),
        classes=classes,
        method=method,
        radius=radius,
        error=error,
        group=group,
        block=block,
        indices=tuple(index or ()),
        texture=texture,
        encoder=encoder,
        gsd=gsd,
        unit=unit,
        seed=seed,
        overwrite=overwrite,
    )
    submission = Submission(TaskName.CALIBRATE, request, Path(output).stem)
    check_submission(submission)
    job = submit_here(submission, quiet=quiet)
    raise typer.Exit(conclude(job, as_json=as_json, quiet=quiet))


def _predictor(text: str) -> Predictor:
    """A raster from ``FILE``, ``NAME=FILE`` or ``NAME@DATE=FILE::PROFILE``."""
    found = _NAMED.fullmatch(text)
    if found is None:
        raise asking.wrong("--predictors", text, "height.tif or s2@2024-07-31=july.tif")
    return Predictor(
        asking.absolute(found["file"]),
        found["name"] or "",
        found["date"],
        found["profile"] or "auto",
    )

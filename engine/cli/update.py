"""``swath update``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import asking, options
from engine.cli.running import conclude, submit_here
from engine.contract.messages import (
    InputSpec,
    OutputSpec,
    PolygonOptions,
    Region,
    SegmentRequest,
    Submission,
    TaskName,
    UpdateRequest,
)
from engine.contract.update import UpdateOptions
from engine.jobs.submission import check_submission

Classes = list[str] | None


def update(
    old: Annotated[
        str,
        typer.Argument(
            metavar="MAP", help="The polygons to bring up to date: FILE or FILE|layername=NAME."
        ),
    ],
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The image of the later date.")],
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="The layer to write (GeoPackage).")
    ],
    *,
    model: Annotated[
        str,
        typer.Option(
            metavar="ID|FILE",
            help="A model that marks the map's kind of objects, such as buildings.",
            show_default=False,
        ),
    ],
    iou: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Intersection over union from which on an object is the same as before.",
        ),
    ] = 0.5,
    field: Annotated[
        str | None, typer.Option(metavar="NAME", help="The field of the map with its classes.")
    ] = None,
    wanted: Annotated[
        Classes,
        typer.Option(
            "--class",
            metavar="CLASS",
            help="A class of the model that is objects; all but its first one if not given.",
        ),
    ] = None,
    hidden: Annotated[
        Classes,
        typer.Option(
            "--hidden-by",
            metavar="CLASS",
            help="A class of the model that hides the ground, such as cloud: what lies below is "
            "unseen, not gone.",
        ),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A raster over the image that is not 0 where something hides the ground.",
        ),
    ] = None,
    keep_outlines: Annotated[
        bool,
        typer.Option("--keep-outlines", help="Leave objects that are the same their old outline."),
    ] = False,
    map_date: Annotated[
        str | None, typer.Option(metavar="DATE", help="When the map was made, as 2020-07-31.")
    ] = None,
    date: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="When the image was acquired, as 2024-07-31."),
    ] = None,
    bands: options.BandsByRole = None,
    input_profile: options.InputProfile = "auto",
    nodata: options.Nodata = None,
    gsd: options.Gsd = None,
    bounds: options.Bounds = None,
    bounds_crs: options.BoundsCrs = None,
    aoi: options.AreaOfInterest = None,
    device: options.Device = "auto",
    precision: options.InPrecision = "exact",
    min_area: options.MinArea = 0.0,
    fill_holes: options.FillHoles = 0.0,
    simplify: options.Simplify = 0.0,
    square: Annotated[
        Classes, typer.Option(metavar="CLASS", help="Give objects of this class right angles.")
    ] = None,
    memory: options.Memory = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Bring a map of objects, such as buildings, up to date with a later image."""
    profile = input_profile
    scene = InputSpec(
        asking.input_uris([image]),
        profile,
        asking.bands_by_role(bands or []),
        nodata,
        gsd,
        date=date,
        mask=mask and asking.absolute(mask),
    )
    run = SegmentRequest(
        input=scene,
        output=OutputSpec("", overwrite=overwrite),
        model=asking.model_reference(model),
        region=Region(bounds, bounds_crs, aoi and asking.vector_reference(aoi)),
        device=device,
        precision=precision,
        polygons=PolygonOptions(
            min_area, fill_holes, simplify, tuple(square or ()), tuple(wanted or ())
        ),
        memory=memory,
    )
    asked = UpdateOptions(
        map=asking.vector_reference(old),
        output=asking.absolute(output),
        field=field,
        hidden=tuple(hidden or ()),
        least_iou=iou,
        keep_outlines=keep_outlines,
        date=map_date,
    )
    submission = Submission(TaskName.UPDATE, UpdateRequest(asked, run), Path(image).stem)
    check_submission(submission)
    job = submit_here(submission, quiet=quiet)
    raise typer.Exit(conclude(job, as_json=as_json, quiet=quiet))

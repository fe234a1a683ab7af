"""``swath change``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import asking, options
from engine.cli.running import conclude, submit_here
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import (
    ChangeMethod,
    ChangeOptions,
    InputSpec,
    NamedInput,
    OutputSpec,
    PolygonOptions,
    Region,
    SegmentRequest,
    Submission,
    TaskName,
)
from engine.jobs.submission import check_parts

Date = Annotated[str | None, typer.Option(metavar="DATE", help="When, as 2024-07-31.")]
AFTER = "after"
CHANGED = "change"
"""The class of a comparison whose polygons are wanted."""


def change(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="The scene of the first date.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The scene of the second date.")],
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="The raster of change to write (GeoTIFF).")
    ],
    *,
    method: Annotated[
        ChangeMethod | None,
        typer.Option(
            help="Without a model: irmad (optical, any number of bands; the default), cva, "
            "logratio (radar), or classes (two class maps: which class became which)."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="ID|FILE", help="A model of two dates, as --model of `swath apply`."),
    ] = None,
    false_alarm: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Share of unchanged pixels that may be taken for change, such as 0.001; if not "
            "given, change begins where the statistic falls into two groups (Otsu).",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="ROOT",
            min=0,
            help="Where change begins instead, as the root of the statistic: 4 is four standard "
            "deviations of noise for one band.",
        ),
    ] = None,
    coregister: Annotated[
        bool,
        typer.Option(
            "--coregister", help="Move AFTER by the shift that is found between both images first."
        ),
    ] = False,
    before_date: Date = None,
    after_date: Date = None,
    after_profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:KEY=VALUE]", help="As --input-profile, where AFTER has another one."
        ),
    ] = None,
    vector: options.Vector = None,
    probability: options.Probability = None,
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
    memory: options.Memory = None,
    work: options.Work = None,
    shard: options.PartOfRun = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Find what changed between two dates."""
    decided = [value for value in (method, false_alarm, threshold) if value is not None]
    if model is not None and decided:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            "A model decides by itself what changed: --method, --false-alarm and --threshold are "
            "for comparisons without one.",
            "Leave out --model, or the others.",
        )
    roles = asking.bands_by_role(bands or [])
    first = InputSpec(
        asking.input_uris([before]), input_profile, roles, nodata, gsd, date=before_date
    )
    second = InputSpec(
        asking.input_uris([after]),
        after_profile or input_profile,
        roles,
        nodata,
        gsd,
        date=after_date,
    )
    request = SegmentRequest(
        input=first,
        others=(NamedInput(AFTER, second),),
        output=OutputSpec(
            raster=asking.absolute(output),
            vector=vector and asking.absolute(vector),
            probability=probability and asking.absolute(probability),
            overwrite=overwrite,
        ),
        model="auto" if model is None else asking.model_reference(model),
        change=None if model else ChangeOptions(method or "irmad", false_alarm, threshold),
        coregister=coregister,
        region=Region(bounds, bounds_crs, aoi and asking.vector_reference(aoi)),
        device=device,
        precision=precision,
        polygons=PolygonOptions(
            min_area, fill_holes, simplify, classes=() if model else (CHANGED,)
        ),
        memory=memory,
        work=work and asking.absolute(work),
        shard=asking.shard(shard),
    )
    check_parts(request)
    job = submit_here(Submission(TaskName.CHANGE, request, Path(after).stem), quiet=quiet)
    raise typer.Exit(conclude(job, as_json=as_json, quiet=quiet))

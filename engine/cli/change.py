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
    CloudRule,
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
AFTER, ALSO = "after", "also"
OF_MODELS = ("classes", "embedding")
"""Methods that can compare what a model makes of each date."""


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
            "logratio (radar), flood (radar before and after), embedding (of an encoder: --model, "
            "or the one that fits the bands), or classes (which class became which: of two class "
            "maps, or with --model of two scenes that it classifies)."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="ID|FILE",
            help="A model of two dates, as --model of `swath apply`; with --method classes one of "
            "a single date, with --method embedding an encoder.",
        ),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A map of before for models that take one: a class raster, or polygons as "
            "FILE|layername=NAME|field=NAME with the field of their classes.",
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCENE",
            help="A further date of the same place for logratio: it tells what never changes, so "
            "that houses and borders leave less noise. Repeat it for each.",
        ),
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
            "deviations of noise for one band. Of flood: the drop of backscatter in dB, 3 unless "
            "given.",
        ),
    ] = None,
    coregister: Annotated[
        bool,
        typer.Option(
            "--coregister", help="Move AFTER by the shift that is found between both images first."
        ),
    ] = False,
    clouds: Annotated[
        CloudRule,
        typer.Option(
            help="mask leaves clouds and their shadows out, where a cloud model of the catalogue "
            "fits the scenes and is installed; ignore takes them for ground."
        ),
    ] = "mask",
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
    report: options.ReportPage = None,
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
    decision = (false_alarm, threshold)
    _check_words(method, model, prior, decision)
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
    more = (
        InputSpec(asking.input_uris([one]), input_profile, roles, nodata, gsd) for one in also or []
    )
    request = SegmentRequest(
        input=first,
        others=(
            NamedInput(AFTER, second),
            *_earlier_map(prior),
            *(NamedInput(ALSO, spec) for spec in more),
        ),
        output=OutputSpec(
            raster=asking.absolute(output),
            vector=vector and asking.absolute(vector),
            probability=probability and asking.absolute(probability),
            overwrite=overwrite,
            report=report and asking.absolute(report),
        ),
        model="auto" if model is None else asking.model_reference(model),
        change=None if model and not method else ChangeOptions(method or "irmad", *decision),
        coregister=coregister,
        clouds=clouds,
        region=Region(bounds, bounds_crs, aoi and asking.vector_reference(aoi)),
        device=device,
        precision=precision,
        polygons=PolygonOptions(min_area, fill_holes, simplify),
        memory=memory,
        work=work and asking.absolute(work),
        shard=asking.shard(shard),
    )
    check_parts(request)
    job = submit_here(Submission(TaskName.CHANGE, request, Path(after).stem), quiet=quiet)
    raise typer.Exit(conclude(job, as_json=as_json, quiet=quiet))


def _earlier_map(prior: str | None) -> tuple[NamedInput, ...]:
    """A class map under the name that the model's card has for it."""
    if prior is None:
        return ()
    return (NamedInput("", InputSpec((asking.vector_reference(prior),), "raw")),)


def _check_words(
    method: ChangeMethod | None,
    model: str | None,
    prior: str | None,
    decision: tuple[float | None, float | None],
) -> None:
    """Refuse options that exclude each other."""
    decided = [value for value in (method, *decision) if value is not None]
    if model is not None and decided and method not in OF_MODELS:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            "A model decides by itself what changed: --method, --false-alarm and --threshold are "
            "for comparisons without one.",
            "Leave out --model, or the others.",
        )
    if model is None and prior is not None:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            "Comparisons without a model take no map of before.",
            "Name a model that does with --model, or leave out --prior.",
        )

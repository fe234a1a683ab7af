"""``swath biomass``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import asking, options
from engine.cli.running import run_here
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import (
    AllometryName,
    AllometryOptions,
    InputSpec,
    OutputSpec,
    Region,
    SegmentRequest,
    TaskName,
)


def biomass(
    *,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="For a model, files of one scene, as `swath apply` takes them.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="The raster of biomass to write (GeoTIFF).")
    ],
    model: Annotated[
        str | None,
        typer.Option(metavar="ID|FILE", help="A model of biomass, instead of --height."),
    ] = None,
    others: options.FurtherInputs = None,
    bands: options.BandsByRole = None,
    input_profile: options.InputProfile = "auto",
    date: options.Acquired = None,
    height: Annotated[
        str | None,
        typer.Option(metavar="CHM", help="A canopy height model, metres."),
    ] = None,
    allometry: Annotated[
        AllometryName,
        typer.Option(
            help="Formula of whole plots: asner-mascaro-2014 (tropical forests; the default), "
            "longo-2016 (Brazilian Amazon), or power (your own)."
        ),
    ] = "asner-mascaro-2014",
    factor: Annotated[
        float | None,
        typer.Option(metavar="A", help="Of power: biomass in Mg/ha is A * height ^ B."),
    ] = None,
    exponent: Annotated[float | None, typer.Option(metavar="B", help="Of power.")] = None,
    residual: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Of power: standard deviation of plots around it, as a share of the estimate.",
        ),
    ] = None,
    plot: Annotated[
        float | None,
        typer.Option(
            metavar="METRES",
            min=0,
            help="Side of the plots over which heights are averaged first; the formula's own if "
            "not given.",
        ),
    ] = None,
    height_error: Annotated[
        float,
        typer.Option(
            metavar="METRES", min=0, help="Standard deviation of the mean height of a plot."
        ),
    ] = 0.0,
    carbon_fraction: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Carbon in dry biomass, for formulas of carbon (0.47: IPCC 2006).",
        ),
    ] = 0.47,
    nodata: options.Nodata = None,
    gsd: options.Gsd = None,
    bounds: options.Bounds = None,
    bounds_crs: options.BoundsCrs = None,
    aoi: options.AreaOfInterest = None,
    device: options.Device = "auto",
    precision: options.InPrecision = "exact",
    memory: options.Memory = None,
    work: options.Work = None,
    shard: options.PartOfRun = None,
    report: options.ReportPage = None,
    output_type: options.OutputType = "float32",
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Map above-ground biomass and its standard deviation.

    From canopy height by a published formula, or by a model from whatever its card says.
    """
    read = _what_is_read(inputs or [], model, height)
    scene = InputSpec(
        asking.input_uris(read),
        input_profile,
        asking.bands_by_role(bands or []),
        nodata,
        gsd,
        date=date,
    )
    formula = AllometryOptions(
        allometry, factor, exponent, residual, plot, height_error, carbon_fraction
    )
    request = SegmentRequest(
        input=scene,
        others=asking.named_inputs(others or [], scene),
        output=OutputSpec(
            asking.absolute(output),
            overwrite=overwrite,
            report=report and asking.absolute(report),
            value_type=output_type,
        ),
        model="auto" if model is None else asking.model_reference(model),
        allometry=formula if model is None else None,
        region=Region(bounds, bounds_crs, aoi and asking.vector_reference(aoi)),
        device="cpu" if model is None else device,
        precision=precision,
        memory=memory,
        work=work and asking.absolute(work),
        shard=asking.shard(shard),
    )
    label = Path(read[0]).stem
    raise typer.Exit(run_here(TaskName.BIOMASS, request, label, as_json=as_json, quiet=quiet))


def _what_is_read(inputs: list[str], model: str | None, height: str | None) -> list[str]:
    """The files of the main scene.

    Raises:
        EngineError: ``REQUEST_INVALID`` unless there are a model and its scene, or a height alone.
    """
    if (model is None) == (height is None):
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            "Biomass is made either of canopy height by a formula, or by a model.",
            "Give one of --height CHM.tif and --model ID.",
        )
    if model is not None and not inputs:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            "The model has nothing to look at.",
            "Name its scene before OUTPUT, and its further inputs by --with NAME=FILE.",
        )
    if height is not None and inputs:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"A formula takes a canopy height alone, and {inputs[0]} is given too.",
            "Give only --height and OUTPUT, or name a model with --model.",
        )
    return inputs if height is None else [height]

"""``swath segment``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import asking, options
from engine.cli.running import run_here
from engine.contract.messages import (
    InputSpec,
    OutputSpec,
    PolygonOptions,
    Region,
    SegmentRequest,
    TaskName,
)


def segment(
    context: typer.Context,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Files of one scene: a raster, bands as separate files, tiles of a mosaic, "
            "a folder, a /vsi… path or a STAC item.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="The class raster to write (GeoTIFF).")
    ],
    *,
    model: Annotated[
        str,
        typer.Option(
            metavar="ID|FILE",
            help="A model of `swath models list`, or a model or card file; auto takes the best "
            "one for the bands.",
        ),
    ] = "auto",
    vector: options.Vector = None,
    probability: options.Probability = None,
    report: options.ReportPage = None,
    bands: options.BandsByRole = None,
    query: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A picture of what is looked for; of models that give embeddings, the result is "
            "then how similar each place is to it.",
        ),
    ] = None,
    input_profile: options.InputProfile = "auto",
    others: options.FurtherInputs = None,
    date: options.Acquired = None,
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
        list[str] | None,
        typer.Option(metavar="CLASS", help="Give polygons of this class right angles."),
    ] = None,
    memory: options.Memory = None,
    work: options.Work = None,
    shard: options.PartOfRun = None,
    output_type: options.OutputType = "float32",
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn a scene into a raster of classes, such as clouds and their shadows."""
    scene = InputSpec(
        uris=asking.input_uris(inputs),
        profile=input_profile,
        bands=asking.bands_by_role(bands or []),
        nodata=nodata,
        gsd=gsd,
        date=date,
    )
    request = SegmentRequest(
        input=scene,
        others=asking.named_inputs(others or [], scene),
        output=OutputSpec(
            raster=asking.absolute(output),
            vector=vector and asking.absolute(vector),
            probability=probability and asking.absolute(probability),
            overwrite=overwrite,
            report=report and asking.absolute(report),
            value_type=output_type,
        ),
        model=asking.model_reference(model),
        query=query and asking.absolute(query),
        region=Region(bounds, bounds_crs, aoi and asking.vector_reference(aoi)),
        device=device,
        precision=precision,
        polygons=PolygonOptions(min_area, fill_holes, simplify, tuple(square or ())),
        memory=memory,
        work=work and asking.absolute(work),
        shard=asking.shard(shard),
    )
    label = Path(inputs[0]).stem if shard is None else f"{Path(inputs[0]).stem} {shard}"
    task = TaskName(context.info_name or TaskName.SEGMENT)
    raise typer.Exit(run_here(task, request, label, as_json=as_json, quiet=quiet))

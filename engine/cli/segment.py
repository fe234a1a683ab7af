"""``swath segment``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli import asking
from engine.cli.running import conclude, submit_here
from engine.contract.messages import (
    InputSpec,
    OutputSpec,
    PolygonOptions,
    Precision,
    Region,
    SegmentRequest,
    Submission,
    TaskName,
)
from engine.jobs.submission import check_parts

Bounds = tuple[float, float, float, float]


def segment(
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
    vector: Annotated[
        str | None, typer.Option(metavar="FILE", help="Also write polygons (GeoPackage).")
    ] = None,
    probability: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Also write the probability of every class (GeoTIFF)."),
    ] = None,
    bands: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=BAND,…",
            help="Bands by role: a number, a description or a file name, as in blue=2,green=3.",
        ),
    ] = None,
    input_profile: Annotated[
        str,
        typer.Option(
            metavar="NAME[:KEY=VALUE]",
            help="What the stored numbers mean; auto reads it from the metadata.",
        ),
    ] = "auto",
    others: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="NAME[@DATE]=FILE",
            help="A further input of the model, under the name that its card has for it, such as "
            "after=july.tif; FILE::PROFILE where its numbers mean something else.",
        ),
    ] = None,
    date: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="When the scene was acquired, as 2024-07-31."),
    ] = None,
    nodata: Annotated[
        float | None,
        typer.Option(metavar="VALUE", help="A value without data, besides what the files say."),
    ] = None,
    gsd: Annotated[
        float | None,
        typer.Option(metavar="METRES", help="Pixel size of an image without georeference."),
    ] = None,
    bounds: Annotated[
        Bounds | None,
        typer.Option(metavar="W S E N", help="Only this extent; also as W,S,E,N."),
    ] = None,
    bounds_crs: Annotated[
        str | None,
        typer.Option(metavar="CRS", help="CRS of the extent; the scene's own if not given."),
    ] = None,
    aoi: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Only inside the polygons of FILE, or FILE|layername=NAME."
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="DEVICE",
            help="auto (a GPU that works, else the CPU), cpu, cuda, cuda:1 and so on, tensorrt, "
            "coreml, directml or openvino.",
        ),
    ] = "auto",
    precision: Annotated[
        Precision,
        typer.Option(
            help="exact computes in float32; fast in bfloat16 on CPUs that can, if OpenVINO is "
            "installed, and in TF32 or float16 on GPUs."
        ),
    ] = "exact",
    min_area: Annotated[
        float,
        typer.Option(metavar="M2", min=0, help="Smallest polygon to keep, in square metres."),
    ] = 0.0,
    fill_holes: Annotated[
        float, typer.Option(metavar="M2", min=0, help="Close holes of polygons below this area.")
    ] = 0.0,
    simplify: Annotated[
        float,
        typer.Option(metavar="M", min=0, help="Drop details of outlines below this size."),
    ] = 0.0,
    square: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Give polygons of this class right angles."),
    ] = None,
    memory: Annotated[
        int | None,
        typer.Option(metavar="MIB", min=400, help="Memory that the run may use, in MiB."),
    ] = None,
    work: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Folder for plan and blocks; shards of one run share it. What is there is taken, "
            "and goes when all is done.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Only part I of N of the blocks, left in --work; without it, the rest, and then "
            "the outputs.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the finished job as JSON on stdout.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
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
        ),
        model=asking.model_reference(model),
        region=Region(bounds, bounds_crs, aoi and asking.vector_reference(aoi)),
        device=device,
        precision=precision,
        polygons=PolygonOptions(min_area, fill_holes, simplify, tuple(square or ())),
        memory=memory,
        work=work and asking.absolute(work),
        shard=asking.shard(shard),
    )
    check_parts(request)
    label = Path(inputs[0]).stem if shard is None else f"{Path(inputs[0]).stem} {shard}"
    job = submit_here(Submission(TaskName.SEGMENT, request, label), quiet=quiet)
    raise typer.Exit(conclude(job, as_json=as_json, quiet=quiet))

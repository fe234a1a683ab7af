"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.contract.messages import Precision, ValueType

Extent = tuple[float, float, float, float]

Vector = Annotated[
    str | None, typer.Option("--vector", metavar="FILE", help="Also write polygons (GeoPackage).")
]
Probability = Annotated[
    str | None,
    typer.Option(
        "--probability",
        metavar="FILE",
        help="Also write the probability of every class (GeoTIFF).",
    ),
]
ReportPage = Annotated[
    str | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Also write a page about the run: pictures, areas, checks, how it was made (HTML).",
    ),
]
BandsByRole = Annotated[
    list[str] | None,
    typer.Option(
        "--bands",
        metavar="ROLE=BAND,…",
        help="Bands by role: a number, a description or a file name, as in blue=2,green=3.",
    ),
]
InputProfile = Annotated[
    str,
    typer.Option(
        "--input-profile",
        metavar="NAME[:KEY=VALUE]",
        help="What the stored numbers mean; auto reads it from the metadata.",
    ),
]
FurtherInputs = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="NAME[@DATE]=FILE",
        help="A further input of the model, under the name that its card has for it, such as "
        "after=july.tif; FILE::PROFILE where its numbers mean something else.",
    ),
]
Acquired = Annotated[
    str | None,
    typer.Option("--date", metavar="DATE", help="When the scene was acquired, as 2024-07-31."),
]
Nodata = Annotated[
    float | None,
    typer.Option(
        "--nodata", metavar="VALUE", help="A value without data, besides what the files say."
    ),
]
Gsd = Annotated[
    float | None,
    typer.Option("--gsd", metavar="METRES", help="Pixel size of an image without georeference."),
]
Bounds = Annotated[
    Extent | None,
    typer.Option("--bounds", metavar="W S E N", help="Only this extent; also as W,S,E,N."),
]
BoundsCrs = Annotated[
    str | None,
    typer.Option(
        "--bounds-crs", metavar="CRS", help="CRS of the extent; the scene's own if not given."
    ),
]
AreaOfInterest = Annotated[
    str | None,
    typer.Option(
        "--aoi", metavar="FILE", help="Only inside the polygons of FILE, or FILE|layername=NAME."
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="auto (a GPU that works, else the CPU), cpu, cuda, cuda:1 and so on, tensorrt, "
        "coreml, directml or openvino.",
    ),
]
InPrecision = Annotated[
    Precision,
    typer.Option(
        "--precision",
        help="exact computes in float32; fast in bfloat16 on CPUs that can, if OpenVINO is "
        "installed, and in TF32 or float16 on GPUs.",
    ),
]
MinArea = Annotated[
    float,
    typer.Option(
        "--min-area", metavar="M2", min=0, help="Smallest polygon to keep, in square metres."
    ),
]
FillHoles = Annotated[
    float,
    typer.Option(
        "--fill-holes", metavar="M2", min=0, help="Close holes of polygons below this area."
    ),
]
Simplify = Annotated[
    float,
    typer.Option(
        "--simplify", metavar="M", min=0, help="Drop details of outlines below this size."
    ),
]
Memory = Annotated[
    int | None,
    typer.Option("--memory", metavar="MIB", min=400, help="Memory that the run may use, in MiB."),
]
Work = Annotated[
    str | None,
    typer.Option(
        "--work",
        metavar="DIR",
        help="Folder for plan and blocks; shards of one run share it. What is there is taken, "
        "and goes when all is done.",
    ),
]
PartOfRun = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only part I of N of the blocks, left in --work; without it, the rest, and then "
        "the outputs.",
    ),
]
OutputType = Annotated[
    ValueType,
    typer.Option(
        "--output-type",
        help="Of a map of values: float32, or uint16, rounded to whole numbers from 0 to 65534 "
        "with 65535 for no data.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the finished job as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]

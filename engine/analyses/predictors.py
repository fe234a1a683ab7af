"""The rasters of a calibration, read as the pipeline will read them for the map."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, cast, get_args

import numpy as np
import numpy.typing as npt

from engine.calibrate.samples import F32
from engine.calibrate.texture import Texture
from engine.contract.analyses import CalibrateRequest, Predictor
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.scene import open_scene
from engine.io.source import Scene, Source
from engine.models.card import Derived, ModelInput, Quantity
from engine.models.encode import Encoding
from engine.models.known import TOLERANCE, id_of
from engine.pipeline.tensors import encoding_for

INDICES = {
    "ndvi": ("nir", "red"),
    "ndwi": ("green", "nir"),
    "ndmi": ("nir", "swir16"),
    "nbr": ("nir", "swir22"),
}
"""Normalised differences by their bands' roles."""
FILL = -1e6
"""What the network sees where there is no data."""
ANYTHING = (-1e30, 1e30)
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Opened:
    """Rasters that have been understood."""

    scenes: tuple[Scene, ...]
    inputs: tuple[ModelInput, ...]
    """How a card describes them, in the same order."""

    @property
    def grid(self) -> Grid:
        """The first one's, as far as the bands used have it."""
        with contextlib.closing(self.scenes[0].source(self.inputs[0].bands)) as source:
            return source.grid

    @property
    def names(self) -> tuple[str, ...]:
        """Of every channel."""
        pairs = zip(self.scenes, self.inputs, strict=True)
        found = (_channel_names(scene, given, len(self.inputs)) for scene, given in pairs)
        return tuple(name for several in found for name in several)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Pixels]:
        """Everything on the first raster's grid, open as long as the context.

        Raises:
            EngineError: ``INPUT_GRID_MISMATCH``.
        """
        grid = self.grid
        with contextlib.ExitStack() as stack:
            sources = tuple(
                stack.enter_context(contextlib.closing(scene.source(given.bands, grid)))
                for scene, given in zip(self.scenes, self.inputs, strict=True)
            )
            pairs = zip(self.inputs, sources, strict=True)
            yield Pixels(grid, sources, tuple(encoding_for(*pair) for pair in pairs))


@dataclass(frozen=True)
class Pixels:
    """Open rasters."""

    grid: Grid
    sources: tuple[Source, ...]
    encodings: tuple[Encoding, ...]

    def read(self, window: Window) -> tuple[F32, Mask]:
        """Channels ``[C, H, W]`` as the network gets them, and where all rasters have data."""
        chips = [source.read(window) for source in self.sources]
        parts = [
            encode(chip.data, chip.valid)
            for encode, chip in zip(self.encodings, chips, strict=True)
        ]
        return np.concatenate(parts), np.logical_and.reduce([chip.valid for chip in chips])


class Textured:
    """Channels with those that a texture adds."""

    def __init__(self, pixels: Pixels, texture: Texture) -> None:
        import onnxruntime  # noqa: PLC0415 - heavy

        self._pixels, self._texture = pixels, texture
        content = texture.network().SerializeToString()
        self._session: Any = onnxruntime.InferenceSession(
            content, providers=["CPUExecutionProvider"]
        )

    @property
    def grid(self) -> Grid:
        """As ``Pixels``."""
        return self._pixels.grid

    def read(self, window: Window) -> tuple[F32, Mask]:
        """As ``Pixels``: what the network of the map computes of the same pixels."""
        half = self._texture.edge // 2
        wide = window.expand(half, half).intersect(self.grid.window)
        channels, valid = self._pixels.read(wide)
        whole = self._session.run(None, {"pixels": channels[None]})[0][0]
        inside = window.slices_in(wide)
        return whole[:, *inside], valid[inside]


def open_predictors(request: CalibrateRequest) -> Opened:
    """Understand all rasters.

    Raises:
        EngineError: what opening a scene raises; ``REQUEST_INVALID``, ``BAND_MISSING``.
    """
    if not request.predictors:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            "No raster is given to tell amounts from.",
            "Name at least one with --predictors.",
        )
    scenes = tuple(_scene(given, request.gsd) for given in request.predictors)
    names = _unique([p.name or id_of(PurePath(p.file).stem) for p in request.predictors])
    pairs = zip(scenes, names, strict=True)
    inputs = tuple(_input(scene, name, request.indices, request.gsd) for scene, name in pairs)
    wanting = [i for i in request.indices if not any(_has(given, i) for given in inputs)]
    if wanting:
        raise _no_bands(wanting[0], inputs)
    return Opened(scenes, inputs)


def centred(pixels: Pixels, windows: Sequence[Window], edge: int) -> Texture:
    """The texture of these rasters, about the mean of what is seen in some windows."""
    seen = [pixels.read(window) for window in windows]
    every = np.concatenate([channels[:, valid] for channels, valid in seen], axis=1)
    centre = every.mean(axis=1) if every.size else np.zeros(len(every))
    return Texture(edge, centre.astype(np.float64), FILL)


def _scene(given: Predictor, gsd: float | None) -> Scene:
    """A raster of which nothing tells what its numbers mean is taken as it is."""
    spec = InputSpec((given.file,), given.profile, gsd=gsd, date=given.date)
    try:
        return open_scene(spec)
    except EngineError as error:
        if error.code is not ErrorCode.SCALE_UNKNOWN:
            raise
        return open_scene(replace(spec, profile="raw"))


def _input(scene: Scene, name: str, indices: Sequence[str], gsd: float | None) -> ModelInput:
    roles = tuple(band.role for band in scene.bands)
    is_told = all(roles) and len(set(roles)) == len(roles)
    bands = roles if is_told else tuple(f"band-{n}" for n in range(1, len(roles) + 1))
    size = scene.grid.pixel_size_m
    edge = size[1] if size else gsd or 1.0
    quantity = scene.profile.quantity
    derived = tuple(
        Derived("normalized-difference", INDICES[index])
        for index in indices
        if set(INDICES[index]) <= set(bands)
    )
    return ModelInput(
        bands=bands,
        quantity=cast("Quantity", quantity) if quantity in get_args(Quantity) else "raw",
        valid_range=ANYTHING,
        transforms=(),
        gsd=edge,
        gsd_range=(edge / TOLERANCE, edge * TOLERANCE),
        name=name,
        derived=derived,
        fill=FILL,
    )


def _has(given: ModelInput, index: str) -> bool:
    return any(derived.bands == INDICES[index] for derived in given.derived)


def _no_bands(index: str, inputs: Sequence[ModelInput]) -> EngineError:
    found = ", ".join(dict.fromkeys(band for given in inputs for band in given.bands))
    return EngineError(
        ErrorCode.BAND_MISSING,
        f"The index {index} needs {' and '.join(INDICES[index])}, and no raster has both "
        f"(found: {found[:200]}).",
        "Give a raster whose bands are described or named by role, or leave the index out.",
    )


def _unique(names: Sequence[str]) -> list[str]:
    """Names of which none comes twice."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        plain = name.replace(".", "-")
        seen[plain] += 1
        found.append(plain if seen[plain] == 1 else f"{plain}-{seen[plain]}")
    return found


def _channel_names(scene: Scene, given: ModelInput, inputs: int) -> tuple[str, ...]:
    """With the raster's name where there are several; a raster of one band by that alone."""
    names = (*_band_names(scene, given), *_index_names(given))
    if inputs == 1:
        return names
    return (given.name,) if len(names) == 1 else tuple(f"{given.name} {name}" for name in names)


def _band_names(scene: Scene, given: ModelInput) -> Iterator[str]:
    for band, role in zip(scene.bands, given.bands, strict=True):
        yield role if band.role == role else band.name or role


def _index_names(given: ModelInput) -> Iterator[str]:
    words = {bands: index for index, bands in INDICES.items()}
    return (words[derived.bands] for derived in given.derived if derived.bands in words)

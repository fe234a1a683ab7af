"""The immutable recipe of a run, and how a request becomes one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from affine import Affine

from engine.contract.codec import from_plain, to_plain
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec, OutputSpec, SegmentRequest
from engine.geo.crs import transform_bounds
from engine.geo.grid import Grid
from engine.geo.lattice import Lattice
from engine.geo.tiling import Block, TileRule, Tiling
from engine.geo.window import Window
from engine.io.aoi import Aoi, read_aoi
from engine.io.plausibility import check_plausible
from engine.io.scene import open_scene
from engine.io.source import Scene
from engine.io.staging import check_outputs
from engine.models.card import ModelCard
from engine.models.cardfile import card_from_json, card_to_json
from engine.models.catalogue import choose_model, find_card, quantity_note
from engine.models.store import ModelStore
from engine.pipeline.destination import Destination
from engine.pipeline.fingerprint import InputFile, fingerprint
from engine.version import VERSION

BLOCK_EDGE = 1024
"""Source pixels along a block's edge, about."""
SAME_SCALE = 1e-6
"""Lattices closer to the source than this are the source."""


@dataclass(frozen=True)
class Recipe:
    """Everything that the pixels of the result depend on, and nothing else."""

    input: InputSpec
    """Resolved: nothing left to find out."""
    files: tuple[InputFile, ...]
    card: ModelCard
    grid: Grid
    """The scene's whole grid."""
    region: Window
    """The part of the grid that is computed and written."""
    aoi: str | None
    aoi_digest: str | None
    factors: tuple[float, float]
    """Source pixels per pixel of the model's lattice."""
    rule: TileRule
    block: int
    """Pixels of the lattice along a block's edge, about."""
    device: str
    engine: str

    @property
    def lattice(self) -> Lattice:
        """The model's pixels."""
        return Lattice(self.grid.shape, self.factors)

    @property
    def tiling(self) -> Tiling:
        """The tiles, on the lattice."""
        return Tiling(self.lattice.shape, self.lattice.cover(self.region), self.rule)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks, on the lattice."""
        return tuple(self.tiling.blocks(self.block))

    @property
    def output_grid(self) -> Grid:
        """The pixels of the result."""
        return self.grid.crop(self.region)

    @property
    def flat_pixel_area(self) -> float | None:
        """Square metres of a pixel without georeference, when its size was given."""
        gsd = self.input.gsd
        return None if gsd is None or self.grid.is_georeferenced else gsd * gsd

    @property
    def area_field(self) -> str:
        """Name of the polygons' area: square metres, or pixels when nobody knows their size."""
        known = self.grid.is_georeferenced or self.flat_pixel_area is not None
        return "area_m2" if known else "area_px"

    def window_of(self, block: Block) -> Window:
        """The source pixels that a block delivers."""
        return self.lattice.owned(block.window).intersect(self.region)


@dataclass(frozen=True)
class Plan:
    """A recipe and where its results go."""

    recipe: Recipe
    output: OutputSpec
    min_area: float
    notes: tuple[str, ...]
    """Sentences for the user, before the run and in the provenance."""
    scaling: str
    """What turns stored numbers into physical ones, one sentence."""

    @property
    def digest(self) -> str:
        """sha256 of the recipe; files count by content and name, not by folder."""
        plain = recipe_to_plain(self.recipe)
        plain["input"].pop("uris")
        plain["input"].pop("bands")
        plain.pop("aoi")
        for file in plain["files"]:
            file["uri"] = PurePath(file["uri"]).name
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def make_plan(request: SegmentRequest, store: ModelStore) -> Plan:
    """Look at the scene, choose and check the model, and fix every number of the run.

    Raises:
        EngineError: for whatever is wrong with the request; nothing has been written then.
    """
    output = request.output
    places = Destination.of(output)
    inputs = request.input.uris
    check_outputs(places.asked, output.overwrite, sidecars=places.sidecars, inputs=inputs)
    scene = open_scene(request.input)
    card = _card_for(request, scene, store)
    warnings = check_plausible(scene, card.input.bands, card.input.quantity, card.input.valid_range)
    with contextlib.closing(scene.source(card.input.bands)) as source:
        grid = source.grid
    aoi = read_aoi(request.region.aoi, grid) if request.region.aoi else None
    factors, scale_note = _scale(grid, card, request.input.gsd)
    recipe = Recipe(
        input=scene.resolved,
        files=tuple(fingerprint(uri) for uri in scene.resolved.uris),
        card=card,
        grid=grid,
        region=_region(request, grid, aoi),
        aoi=request.region.aoi,
        aoi_digest=aoi.digest if aoi else None,
        factors=factors,
        rule=card.tiling,
        block=max(1, round(BLOCK_EDGE / max(factors))),
        device=request.device,
        engine=VERSION,
    )
    level_note = quantity_note(card, scene.profile.quantity)
    notes = (*scene.notes, *warnings, *(n for n in (level_note, scale_note) if n))
    return Plan(recipe, output, request.min_area, notes, scene.profile.sentence)


def _card_for(request: SegmentRequest, scene: Scene, store: ModelStore) -> ModelCard:
    if request.model != "auto":
        return find_card(request.model, store)
    roles = tuple(b.role for b in scene.bands if b.role)
    return choose_model(roles, scene.profile.quantity)


def _region(request: SegmentRequest, grid: Grid, aoi: Aoi | None) -> Window:
    """The pixels asked for by extent and polygons together.

    Raises:
        EngineError: ``EXTENT_OUTSIDE``, ``EXTENT_INVALID``, ``CRS_MISSING``.
    """
    window = grid.window if aoi is None else aoi.window
    bounds = request.region.bounds
    if bounds is None:
        return window
    west, south, east, north = bounds
    if not (west < east and south < north):
        raise EngineError(
            ErrorCode.EXTENT_INVALID,
            f"The extent {bounds} is empty.",
            "Give west, south, east, north with west < east and south < north.",
        )
    both = grid.window_of(_in_grid(bounds, request.region.bounds_crs, grid)).intersect(window)
    if both.is_empty:
        raise EngineError(
            ErrorCode.EXTENT_OUTSIDE,
            "The extent and the mask polygons do not overlap.",
            "Choose an extent that contains part of the polygons.",
        )
    return both


def _in_grid(
    bounds: tuple[float, float, float, float], crs: str | None, grid: Grid
) -> tuple[float, float, float, float]:
    if crs is None:
        return bounds
    if grid.crs is None:
        raise EngineError(
            ErrorCode.CRS_MISSING,
            "The extent has a CRS, but the raster has no georeference.",
            "Give the extent in pixel coordinates (x = column, y = -row) without a CRS.",
        )
    return transform_bounds(bounds, crs, grid.crs)


def _scale(
    grid: Grid, card: ModelCard, gsd: float | None
) -> tuple[tuple[float, float], str | None]:
    """Source pixels per lattice pixel, and a sentence when they differ or were assumed."""
    need = card.input
    size = grid.pixel_size_m or ((gsd, gsd) if gsd else None)
    if size is None:
        return (1.0, 1.0), f"Without georeference, pixels are taken to be {need.gsd:g} m wide."
    low, high = need.gsd_range
    if all(low <= edge <= high for edge in size):
        return (1.0, 1.0), None
    rows, cols = (_factor(need.gsd / edge) for edge in size)
    sentence = (
        f"The raster's pixels are {size[1]:.3g} m wide; the model works at {need.gsd:g} m, so it "
        f"sees the scene resampled and its scores are brought back to the raster's pixels."
    )
    return (rows, cols), sentence


def _factor(ratio: float) -> float:
    return float(round(ratio)) if abs(ratio - round(ratio)) < SAME_SCALE * ratio else ratio


def recipe_to_plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON values."""
    plain: dict[str, Any] = {
        name: to_plain(getattr(recipe, name)) for name in recipe.__dataclass_fields__
    }
    plain["card"] = card_to_json(recipe.card)
    plain["grid"] = {
        "crs": recipe.grid.crs,
        "transform": list(recipe.grid.transform[:6]),
        "shape": list(recipe.grid.shape),
    }
    return plain


def recipe_from_plain(plain: dict[str, Any]) -> Recipe:
    """The recipe that ``recipe_to_plain`` wrote.

    Raises:
        EngineError: ``REQUEST_INVALID`` or ``MODEL_INVALID`` when it was not written by it.
    """
    grid = plain["grid"]
    return Recipe(
        input=from_plain(InputSpec, plain["input"]),
        files=from_plain(tuple[InputFile, ...], plain["files"]),
        card=card_from_json(plain["card"]),
        grid=Grid(grid["crs"], Affine(*grid["transform"]), tuple(grid["shape"])),
        region=from_plain(Window, plain["region"]),
        aoi=plain["aoi"],
        aoi_digest=plain["aoi_digest"],
        factors=tuple(plain["factors"]),
        rule=from_plain(TileRule, plain["rule"]),
        block=plain["block"],
        device=plain["device"],
        engine=plain["engine"],
    )


def plan_to_json(plan: Plan) -> str:
    """The plan as text, for the job's folder and for other workers."""
    plain = {
        "recipe": recipe_to_plain(plan.recipe),
        "output": to_plain(plan.output),
        "min_area": plan.min_area,
        "notes": list(plan.notes),
        "scaling": plan.scaling,
    }
    return json.dumps(plain, indent=1, sort_keys=True) + os.linesep


def plan_from_json(text: str) -> Plan:
    """The plan that ``plan_to_json`` wrote."""
    plain = json.loads(text)
    return Plan(
        recipe=recipe_from_plain(plain["recipe"]),
        output=from_plain(OutputSpec, plain["output"]),
        min_area=plain["min_area"],
        notes=tuple(plain["notes"]),
        scaling=plain["scaling"],
    )

"""The immutable recipe of a run, and its form as JSON."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, cast

from affine import Affine

from engine.contract.codec import from_plain, to_plain
from engine.contract.messages import (
    InputSpec,
    NamedInput,
    OutputSpec,
    PolygonOptions,
    Precision,
    SegmentRequest,
)
from engine.geo.cells import Cells
from engine.geo.grid import Grid
from engine.geo.lattice import Lattice
from engine.geo.tiling import Block, Tile, TileRule, Tiling
from engine.geo.window import Window
from engine.models.card import ModelCard
from engine.models.cardfile import card_from_json, card_to_json
from engine.pipeline.destination import Destination
from engine.pipeline.fingerprint import InputFile
from engine.pipeline.preflight import Preflight
from engine.tasks.task import Detail


@dataclass(frozen=True)
class Recipe:
    """Everything that the pixels of the result depend on, and nothing else."""

    input: InputSpec
    """Of the card's first input, resolved: nothing left to find out."""
    others: tuple[NamedInput, ...]
    """Of its further inputs, resolved too."""
    files: tuple[InputFile, ...]
    """Of all inputs."""
    card: ModelCard
    grid: Grid
    """The whole grid of the first input."""
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
    precision: Precision
    """Settled: ``fast`` only where the device can."""
    engine: str

    @property
    def uris(self) -> tuple[str, ...]:
        """What was named as input."""
        named = (uri for other in self.others for uri in other.input.uris)
        return (*self.input.uris, *named)

    @property
    def lattice(self) -> Lattice:
        """The model's pixels."""
        return Lattice(self.grid.shape, self.factors)

    @property
    def cells(self) -> Cells:
        """The result's pixels beside the lattice's."""
        return Cells(self.card.output.cell, self.card.output.zoom)

    @property
    def tiling(self) -> Tiling:
        """The tiles, on the lattice."""
        return Tiling(self.lattice.shape, self._covered, self.rule)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks, on the lattice."""
        return tuple(self.tiling.blocks(self.block))

    @functools.cached_property
    def frame(self) -> Grid:
        """The whole grid on which results lie: the scene's, or that of the lattice's cells."""
        if self.cells.are_pixels:
            return self.grid
        rows, cols = (f * self.cells.cell / self.cells.zoom for f in self.factors)
        transform = self.grid.transform @ Affine.scale(cols, rows)
        return Grid(self.grid.crs, transform, self.cells.shape(self.lattice.shape))

    @property
    def result(self) -> Window:
        """The part of the frame that is delivered."""
        return self.region if self.cells.are_pixels else self.cells.window(self._covered)

    @property
    def output_grid(self) -> Grid:
        """The pixels of the result."""
        return self.frame.crop(self.result)

    @property
    def is_on_lattice(self) -> bool:
        """Whether scores are decided where the model gave them, not brought to the source."""
        return self.lattice.is_source or not self.cells.are_pixels

    @property
    def stands_alone(self) -> bool:
        """Whether each pixel of the result depends on one tile only."""
        return self.card.merge == "crop" and self.is_on_lattice

    @property
    def flat_pixel_area(self) -> float | None:
        """Square metres of a pixel without georeference, when its size was given."""
        gsd = self.input.gsd
        if gsd is None or self.grid.is_georeferenced:
            return None
        return gsd * gsd * abs(self.frame.transform.determinant / self.grid.transform.determinant)

    @property
    def area_field(self) -> str:
        """Name of the polygons' area: square metres, or pixels when nobody knows their size."""
        known = self.grid.is_georeferenced or self.flat_pixel_area is not None
        return "area_m2" if known else "area_px"

    def window_of(self, block: Block) -> Window:
        """The pixels of the frame that a block delivers."""
        return self.delivered(block.window).intersect(self.result)

    def delivered(self, window: Window) -> Window:
        """The pixels of the frame that belong to a lattice window."""
        if self.cells.are_pixels:
            return self.lattice.owned(window)
        return self.cells.window(window)

    def scored(self, tile: Tile) -> Tile:
        """The tile in the pixels of its scores."""
        if self.cells.are_pixels:
            return tile
        return Tile(tile.index, self.cells.window(tile.read), self.cells.window(tile.keep))

    @property
    def _covered(self) -> Window:
        """The lattice pixels that the region touches, in whole cells."""
        return self.cells.snapped(self.lattice.cover(self.region), self.lattice.shape)


@dataclass(frozen=True)
class Plan:
    """A recipe and where its results go."""

    recipe: Recipe
    output: OutputSpec
    polygons: PolygonOptions
    notes: tuple[str, ...]
    """Sentences for the user, before the run and in the provenance."""
    acquired: str | None
    """Of the scene: UTC, ISO 8601."""
    scaling: str
    """What turns stored numbers into physical ones, one sentence."""
    preflight: Preflight | None = None
    """Of two dates: whether they can be compared."""
    asked: SegmentRequest | None = None
    """What the plan was made for, to tell how to ask for it again."""

    @property
    def detail(self) -> Detail:
        """What the outputs need beside the classes."""
        if not self.recipe.card.output.classes:
            return "class"
        if self.output.probability is not None:
            return "every"
        return "class" if self.output.vector is None else "confidence"

    @property
    def destination(self) -> Destination:
        """Every file that it delivers."""
        return Destination.by(self.recipe.card, self.output)

    @property
    def digest(self) -> str:
        """sha256 of the recipe; files count by content and name, not by folder."""
        plain = recipe_to_plain(self.recipe)
        for spec in (plain["input"], *(other["input"] for other in plain["others"])):
            layers = [uri.partition("|")[2] for uri in spec.pop("uris")]
            if any(layers):
                spec["layers"] = layers
            spec.pop("bands")
            spec.pop("mask")
        plain.pop("aoi")
        for file in plain["files"]:
            file["uri"] = PurePath(file["uri"]).name
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


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
        others=from_plain(tuple[NamedInput, ...], plain["others"]),
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
        precision=cast("Precision", plain["precision"]),
        engine=plain["engine"],
    )


def plan_to_json(plan: Plan) -> str:
    """The plan as text, for the job's folder and for other workers."""
    plain = {
        "recipe": recipe_to_plain(plan.recipe),
        "output": to_plain(plan.output),
        "polygons": to_plain(plan.polygons),
        "notes": list(plan.notes),
        "acquired": plan.acquired,
        "scaling": plan.scaling,
        "preflight": to_plain(plan.preflight),
        "asked": to_plain(plan.asked),
    }
    return json.dumps(plain, indent=1, sort_keys=True) + os.linesep


def plan_from_json(text: str) -> Plan:
    """The plan that ``plan_to_json`` wrote."""
    plain = json.loads(text)
    return Plan(
        recipe=recipe_from_plain(plain["recipe"]),
        output=from_plain(OutputSpec, plain["output"]),
        polygons=from_plain(PolygonOptions, plain["polygons"]),
        notes=tuple(plain["notes"]),
        acquired=plain["acquired"],
        scaling=plain["scaling"],
        preflight=from_plain(Preflight, seen) if (seen := plain.get("preflight")) else None,
        asked=from_plain(SegmentRequest, asked) if (asked := plain.get("asked")) else None,
    )

"""The immutable recipe of a run, and its form as JSON."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from affine import Affine

from engine.contract.codec import from_plain, to_plain
from engine.contract.messages import InputSpec, OutputSpec, PolygonOptions
from engine.geo.grid import Grid
from engine.geo.lattice import Lattice
from engine.geo.tiling import Block, TileRule, Tiling
from engine.geo.window import Window
from engine.models.card import ModelCard
from engine.models.cardfile import card_from_json, card_to_json
from engine.pipeline.fingerprint import InputFile
from engine.tasks.segment import Detail


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
    def stands_alone(self) -> bool:
        """Whether each pixel of the result depends on one tile only."""
        return self.card.merge == "crop" and self.lattice.is_source

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
    polygons: PolygonOptions
    notes: tuple[str, ...]
    """Sentences for the user, before the run and in the provenance."""
    acquired: str | None
    """Of the scene: UTC, ISO 8601."""
    scaling: str
    """What turns stored numbers into physical ones, one sentence."""

    @property
    def detail(self) -> Detail:
        """What the outputs need beside the classes."""
        if self.output.probability is not None:
            return "every"
        return "class" if self.output.vector is None else "confidence"

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
        "polygons": to_plain(plan.polygons),
        "notes": list(plan.notes),
        "acquired": plan.acquired,
        "scaling": plan.scaling,
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
    )

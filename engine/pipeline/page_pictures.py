"""Pictures of a run: its scenes, and what was found in them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import numpy.typing as npt

from engine.contract.errors import EngineError
from engine.contract.messages import ClassArea
from engine.geo.grid import Grid
from engine.io.picture import U8
from engine.io.quicklook import (
    Coloring,
    Look,
    Thin,
    coarse_grid,
    encoded,
    look_at,
    look_at_codes,
    painted,
    ramped,
    thin_result,
)
from engine.io.style import RAMP
from engine.models.two_dates import tells_change, unchanged_class
from engine.pipeline.inputs import Given, Inputs
from engine.pipeline.plan import Plan
from engine.pipeline.preflight import BEFORE
from engine.report import charts
from engine.report.page import Block, Picture, Text
from engine.tasks.transition import transition_of

MOST_SCENES = 4
PAIR = 2
TAILS = (2, 98)
"""Percentiles between which the colours of values run, as in the result's style."""
STRETCH = "stretched between the 1st and 99th percentile"


@dataclass(frozen=True)
class Shown:
    """One scene of a run with what it is called."""

    title: str
    given: Given
    is_class_map: bool
    place: int
    """Among the card's inputs, from 0."""

    @property
    def name(self) -> str:
        """Its file's."""
        return PurePath(self.given.named.input.uris[0]).name


@dataclass(frozen=True)
class Gallery:
    """What pictures are made of."""

    plan: Plan
    scenes: Sequence[Shown]
    raster: Path
    """The result, where it is written now."""
    areas: Sequence[ClassArea]
    pause: Callable[[], None]
    """Called between pictures; may stop the work."""

    @functools.cached_property
    def coarse(self) -> Grid:
        """The pixels of all pictures."""
        return coarse_grid(self.plan.recipe.output_grid)

    @functools.cached_property
    def result(self) -> Thin:
        """Some of the result's pixels."""
        return thin_result(self.raster, self.coarse)

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """Of a result of values, some of them."""
        found: npt.NDArray[np.float64] = self.result.values[self.result.valid].astype(np.float64)
        return found

    def file(self, colors: U8, *, is_photo: bool) -> bytes:
        """A picture on its way to the page."""
        return encoded(colors, self.coarse, is_photo=is_photo, gsd=self.plan.recipe.input.gsd)


def shown_scenes(plan: Plan, inputs: Inputs) -> tuple[Shown, ...]:
    """The scenes of a run under their names, in the order of time where they are two dates."""
    card = plan.recipe.card
    found = [
        Shown(wanted.name, one, wanted.is_class_map, place)
        for place, (several, wanted) in enumerate(zip(inputs.given, card.inputs, strict=True))
        for one in several
    ]
    if len(found) == PAIR and tells_change(card):
        if found[1].given.named.name == BEFORE != found[0].given.named.name:
            found.reverse()
        titles = ("Before", "After")
        return tuple(
            Shown(title, one.given, one.is_class_map, one.place)
            for title, one in zip(titles, found, strict=True)
        )
    if len(found) == 1:
        return (Shown("Scene", found[0].given, found[0].is_class_map, 0),)
    return tuple(found)


def pictures_of(gallery: Gallery) -> tuple[Block, ...]:
    """The scenes, the result, and what its colours mean where they are values."""
    blocks: list[Block] = []
    ground = None
    for scene in gallery.scenes[:MOST_SCENES]:
        gallery.pause()
        try:
            look = _look(gallery, scene)
        except EngineError as error:  # the result is there; a picture less is no reason to lose it
            blocks.append(Text(f"No picture of {scene.name}: {error.message}"))
            continue
        ground = ground if scene.is_class_map else look.colors
        blocks.append(_picture(gallery, scene, look))
    if len(gallery.scenes) > MOST_SCENES:
        blocks.append(Text(f"… and {len(gallery.scenes) - MOST_SCENES} more scenes."))
    gallery.pause()
    return (*blocks, *_result(gallery, ground))


def _look(gallery: Gallery, shown: Shown) -> Look:
    scene, card = shown.given.scene, gallery.plan.recipe.card
    if not shown.is_class_map:
        return look_at(scene, gallery.coarse)
    role = card.inputs[shown.place].bands[0]
    return look_at_codes(scene, gallery.coarse, role, _code_colors(gallery, shown))


def _code_colors(gallery: Gallery, shown: Shown) -> Coloring:
    """The colours of a class map's codes, where the run knows them."""
    card = gallery.plan.recipe.card
    if card.file.format != "transition":
        return lambda _code: None
    legend = transition_of(card)
    renumbered: Mapping[int, int] = dict(legend.renumber if shown.place else ())
    return lambda code: legend.color(renumbered.get(code, code))


def _picture(gallery: Gallery, shown: Shown, look: Look) -> Picture:
    data = gallery.file(look.colors, is_photo=not shown.is_class_map)
    date = f", {day[:10]}" if (day := shown.given.date) else ""
    how = "" if shown.is_class_map else f"; {', '.join(look.bands)}, {STRETCH}"
    caption = f"{shown.title}{date}: {shown.name}{how}"
    return Picture(data, caption, f"{shown.title}: the scene {shown.name}{date}")


def _result(gallery: Gallery, ground: npt.NDArray[np.uint8] | None) -> Iterator[Block]:
    plan = gallery.plan
    if not gallery.areas:
        yield from _values(gallery)
        return
    same = unchanged_class(plan.recipe.card)
    colors = {area.class_id: area.color for area in gallery.areas}
    if same is not None and ground is not None:
        colors.pop(same.id, None)  # so that the ground is seen
    pixels = painted(gallery.result, colors.get, ground)
    kind = "Change" if tells_change(plan.recipe.card) else "Result"
    above = " above the scene in grey" if ground is not None else ""
    caption = f"{kind}{above}: {plan.destination.raster.name}"
    names = ", ".join(area.name for area in gallery.areas[:12])
    yield Picture(gallery.file(pixels, is_photo=ground is not None), caption, f"Map of {names}")


def _values(gallery: Gallery) -> Iterator[Block]:
    band = gallery.plan.recipe.card.output.values[0]
    label = f"{band.name} ({band.unit})" if band.unit else band.name
    name = gallery.plan.destination.raster.name
    values = gallery.values
    if not values.size:
        yield Text("The result has no pixel with a value.")
        return
    low, high = (float(v) for v in np.percentile(values, TAILS))
    ends = (low, high) if low < high else (low - 0.5, low + 0.5)
    pixels = ramped(gallery.result, ends, RAMP)
    data = gallery.file(pixels, is_photo=False)
    yield Picture(data, f"Result: {name}", f"Map of {label}")
    yield Picture(charts.color_ramp(RAMP, ends, label), "Colours of the result", label)

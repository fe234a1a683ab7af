"""The scenes that a model looks at, each under the name that its card has for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec, NamedInput
from engine.geo.grid import Grid
from engine.io.inputs import is_layer
from engine.io.profiles import AUTO
from engine.io.scene import open_scene
from engine.io.source import Scene, Source
from engine.models.card import ModelCard, ModelInput
from engine.pipeline.naming import naming_notes, with_names

Sources = tuple[tuple[Source, ...], ...]
"""For each input of a card: none, one, or those of a series in the order of its dates."""


@dataclass(frozen=True)
class Given:
    """One scene for one input of a card."""

    scene: Scene
    date: str | None
    """ISO 8601; None when nobody knows."""
    named: NamedInput
    """As a recipe keeps it: resolved and dated."""


@dataclass(frozen=True)
class Inputs:
    """All scenes of a run."""

    card: ModelCard
    given: tuple[tuple[Given, ...], ...]
    """For each input of the card."""
    notes: tuple[str, ...] = ()
    """Sentences for the user: which input a raster without a name is."""

    @property
    def main(self) -> Scene:
        """The scene that gives the grid."""
        return self.given[0][0].scene

    @property
    def acquired(self) -> str | None:
        """When that scene was acquired."""
        return self.given[0][0].date

    @property
    def every(self) -> tuple[Given, ...]:
        """All of them in a row."""
        return tuple(one for several in self.given for one in several)

    @property
    def grid(self) -> Grid:
        """The first scene's grid, as far as the bands that the model wants have it."""
        with contextlib.closing(self.main.source(self.card.input.bands)) as source:
            return source.grid

    @property
    def others(self) -> tuple[NamedInput, ...]:
        """What a recipe keeps of all but the first."""
        return tuple(one.named for one in self.every[1:])

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that is read."""
        return tuple(dict.fromkeys(uri for one in self.every for uri in one.scene.files))

    @contextlib.contextmanager
    def sources(self, stand_in: Callable[[str], str] | None = None) -> Iterator[Sources]:
        """All bands on the first scene's grid, open as long as the context.

        Args:
            stand_in: Names the file whose pixels are read for a URI.

        Raises:
            EngineError: ``BAND_MISSING``, ``INPUT_GRID_MISMATCH``.
        """
        grid = self.grid
        with contextlib.ExitStack() as stack:
            yield tuple(
                tuple(
                    stack.enter_context(contextlib.closing(_source(one, wanted, grid, stand_in)))
                    for one in several
                )
                for several, wanted in zip(self.given, self.card.inputs, strict=True)
            )


def open_inputs(card: ModelCard, main: InputSpec, others: Sequence[NamedInput]) -> Inputs:
    """Open every scene of a request under the card's names.

    Args:
        card: Says which inputs there are.
        main: The scene for the card's first input.
        others: The further ones; a name that comes again is a series, with the first input's
            name further dates of the main scene; "" where the card tells the name.

    Raises:
        EngineError: ``REQUEST_INVALID`` for names that the card does not have or does not tell,
            inputs that are missing or too many; or what opening a scene raises.
    """
    named = with_names(card, others)
    _check_names(card, named)
    whole = [NamedInput(card.input.name, main), *named]
    first = _opened(card, card.input, whole)
    grid = Inputs(card, (first,)).grid
    given = (first, *(_opened(card, wanted, whole, grid) for wanted in card.inputs[1:]))
    return Inputs(card, given, naming_notes(others, named))


def _opened(
    card: ModelCard, wanted: ModelInput, whole: Sequence[NamedInput], grid: Grid | None = None
) -> tuple[Given, ...]:
    """All scenes of one input; ``grid`` is the first one's, None while that is not open."""
    main = whole[0].input
    alike = main.bands if wanted.bands == card.input.bands else {}
    mine = [
        _burnt(named, wanted, card, grid)
        if is_layer(named.input.uris[0])
        else _given(_by_itself(named, wanted, card, main), wanted, alike)
        for named in whole
        if named.name == wanted.name
    ]
    fewest, most = wanted.dates or (0 if wanted.is_optional else 1, 1)
    if wanted.dates and card.timeline == "months":  # several of a month are one step
        most = max(most, len(mine))
    if wanted.is_optional and not mine:
        return ()
    if not fewest <= len(mine) <= most:
        count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"The model takes {count} rasters as «{wanted.name}», and {len(mine)} are given.",
            f"Give each of them with --with {wanted.name}=FILE.",
        )
    return tuple(sorted(mine, key=lambda g: g.date or "")) if wanted.dates else tuple(mine)


def _by_itself(
    named: NamedInput, wanted: ModelInput, card: ModelCard, main: InputSpec
) -> NamedInput:
    """A further scene of raw numbers, which do not mean what those of the main scene do."""
    spec = named.input
    is_other = wanted.quantity == "raw" != card.input.quantity
    if not is_other or spec.profile != main.profile:
        return named
    return replace(named, input=replace(spec, profile=AUTO))


def _given(named: NamedInput, wanted: ModelInput, alike: Mapping[str, str]) -> Given:
    """A scene under its name.

    Args:
        named: As asked for.
        wanted: What the model takes under that name.
        alike: Bands by role of the main scene where the model wants the same ones: they count for
            a scene, of the same make, that tells none of them and of which nobody said any.
    """
    check_date(named.input.date)
    scene = _scene(named.input, wanted)
    told = {band.role for band in scene.bands} & set(wanted.bands)
    if alike and not named.input.bands and not told:
        scene = open_scene(replace(named.input, bands=dict(alike)))
    date = named.input.date or scene.acquired
    return Given(scene, date, replace(named, input=replace(scene.resolved, date=date)))


def _scene(spec: InputSpec, wanted: ModelInput) -> Scene:
    """A scene; where nothing tells what its numbers mean, a model of raw ones takes them so."""
    if spec.nodata is None:
        spec = replace(spec, nodata=wanted.nodata)
    try:
        return open_scene(spec)
    except EngineError as error:
        if error.code is not ErrorCode.SCALE_UNKNOWN or wanted.quantity != "raw":
            raise
        return open_scene(replace(spec, profile="raw"))


def _burnt(named: NamedInput, wanted: ModelInput, card: ModelCard, grid: Grid | None) -> Given:
    """A class map that is given as polygons.

    Raises:
        EngineError: ``REQUEST_INVALID`` where the model takes a raster; what ``open_burnt`` raises.
    """
    if grid is None or not wanted.is_class_map:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"The model {card.id} takes a raster as «{wanted.name}», and polygons are given.",
            "Give a raster; polygons can be a class map that is a further input.",
        )
    from engine.io.burnt import open_burnt  # noqa: PLC0415 - runs without do without pyogrio

    check_date(named.input.date)
    scene = open_burnt(named.input, card.output.classes, grid)
    return Given(scene, named.input.date, replace(named, input=scene.resolved))


def check_date(text: str | None) -> None:
    """Refuse what is no date, ISO 8601; None is fine.

    Raises:
        EngineError: ``REQUEST_INVALID``.
    """
    try:
        datetime.fromisoformat(text or "2000-01-01")
    except ValueError:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"«{text}» is not a date.",
            "Write it like 2024-07-31.",
        ) from None


def _source(
    given: Given, wanted: ModelInput, grid: Grid, stand_in: Callable[[str], str] | None
) -> Source:
    return given.scene.source(wanted.bands, grid, stand_in, is_class_map=wanted.is_class_map)


def _check_names(card: ModelCard, others: Sequence[NamedInput]) -> None:
    known = [wanted.name for wanted in card.inputs]
    unknown = sorted({named.name for named in others} - set(known))
    if unknown:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"The model {card.id} has no input «{unknown[0]}».",
            f"Its inputs are {', '.join(known)}."
            if len(known) > 1
            else "It looks at one raster only: use a model of several.",
        )

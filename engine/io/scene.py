"""Open the files of one scene and understand them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from affine import Affine

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec
from engine.geo.grid import Grid
from engine.io.arrange import Arrangement, Group, arrange, clues, separate
from engine.io.calibrate import BandFacts, Evidence, find_calibration
from engine.io.choose import chosen_number, pick
from engine.io.handles import Handles
from engine.io.inputs import Inputs, gather
from engine.io.masked import MaskedSource
from engine.io.mosaic import Mosaic, fitted, place
from engine.io.mtl import Mtl
from engine.io.plausibility import SAMPLE_PIXELS
from engine.io.product import Product, agreed, product_of_mtl, product_of_name, product_of_tags
from engine.io.profiles import Calibration, profile_sensor
from engine.io.raster import FileInfo, Pixels, Raster, describe
from engine.io.roles import NUMBERED, THERMAL, Clues, check_role_words, find_roles, sensor_of_bands
from engine.io.sensors import band_token
from engine.io.source import Band, ResolvedProfile, Scene, Source
from engine.io.stac_input import StacBand
from engine.io.stack import Layer, StackSource

ASIDE = THERMAL | {"", "pan"}
"""Roles that have no say in the scene's grid."""
LARGE_PIECE = 512 * 2**20
"""Bytes to read one pixel above which a user is told."""


@dataclass(frozen=True)
class Slot:
    """Where a band's pixels are, before it is understood."""

    group: int
    index: int
    """Band number in the group's files, from 1."""
    number: int
    """Band number in the scene, from 1: what ``--bands`` counts."""
    clues: Clues
    stac: StacBand | None

    @property
    def token(self) -> str:
        """The sensor's number of the band, or ""."""
        stem = PurePath(self.clues.file_name).stem
        return band_token(self.clues.description) or band_token(stem)


@dataclass(frozen=True)
class Draft:
    """A scene whose scaling is not known yet."""

    groups: tuple[Group, ...]
    slots: tuple[Slot, ...]
    roles: tuple[str, ...]
    """Of each slot."""
    nodata: tuple[tuple[float, ...], ...]
    """Of each slot: values that the user or the metadata call nodata."""

    def first_file(self, slot: Slot) -> FileInfo:
        """The file that tells what a band is like."""
        return self.groups[slot.group].first


@dataclass(frozen=True)
class FileScene:
    """A ``Scene`` from files; it keeps none of them open."""

    grid: Grid
    bands: tuple[Band, ...]
    profile: ResolvedProfile
    resolved: InputSpec
    notes: tuple[str, ...]
    acquired: str | None
    groups: tuple[Group, ...]
    slots: tuple[Slot, ...]
    """Of each band."""
    ignored: tuple[tuple[float, ...], ...]
    """Values that are nodata in each band besides what the files declare."""
    times: float = 1.0
    """Pixels of the files along one that is read, where it was thinned."""

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that is read, also those of a folder or a STAC item."""
        read = (info.uri for group in self.groups for info in group.files)
        mask = () if self.resolved.mask is None else (self.resolved.mask,)
        return tuple(dict.fromkeys((*self.resolved.uris, *read, *mask)))

    def thinned(self, times: float) -> FileScene:
        """The same scene with pixels so many times as long, for looking at it."""
        own = _pixel_length(self.grid)
        groups = (g.thinned(times * own / _pixel_length(g.grid)) for g in self.groups)
        return replace(self, groups=tuple(groups), times=times)

    def source(
        self,
        roles: tuple[str, ...],
        grid: Grid | None = None,
        stand_in: Callable[[str], str] | None = None,
        *,
        is_class_map: bool = False,
    ) -> Source:
        """The bands of these roles, in this order; an empty tuple: all bands.

        ``stand_in`` names the file whose pixels are read for a URI, as ``spool.Spool`` does.

        Raises:
            EngineError: ``BAND_MISSING``, ``BAND_UNKNOWN``, ``INPUT_GRID_MISMATCH``.
        """
        check_role_words(roles)
        grid = grid or self.grid
        chosen = self._chosen(roles)
        handles = Handles(stand_in=stand_in)
        by_group: dict[int, list[int]] = defaultdict(list)
        for position, number in enumerate(chosen):
            by_group[self.slots[number].group].append(position)
        layers = [
            Layer(
                self._raster(group, handles, grid, is_class_map=is_class_map),
                tuple(self.slots[chosen[p]].index for p in positions),
                tuple(positions),
            )
            for group, positions in by_group.items()
        ]
        bands = tuple(self.bands[i] for i in chosen)
        asked = zip(roles, bands, strict=True) if roles else ()
        bands = tuple(replace(b, role=role) for role, b in asked) or bands
        source = StackSource(grid, bands, layers, handles)
        return source if self.resolved.mask is None else self._masked(source, stand_in)

    def _masked(self, source: Source, stand_in: Callable[[str], str] | None) -> Source:
        """The source without what the scene's mask hides, which moves along with the scene."""
        spec = InputSpec((self.resolved.mask or "",), "raw", offset=self.resolved.offset)
        scene = open_scene(spec).thinned(self.times)
        mask = scene.source((), source.grid, stand_in, is_class_map=True)
        return MaskedSource(source, mask)

    def _chosen(self, roles: tuple[str, ...]) -> tuple[int, ...]:
        """Positions of the bands; the only one, unless it is another, needs no name."""
        is_single = len(roles) == len(self.bands) == 1 and not self.bands[0].role
        if not roles or is_single:
            return tuple(range(len(self.bands)))
        numbers = [NUMBERED.fullmatch(role) for role in roles]
        places = [int(found[1]) - 1 for found in numbers if found]
        if len(places) == len(roles) and max(places) < len(self.bands):
            return tuple(places)
        return pick(roles, self.bands)

    def _raster(self, number: int, handles: Handles, grid: Grid, *, is_class_map: bool) -> Raster:
        """A group's pixels on a grid."""
        group = self.groups[number]
        ignored = {
            slot.index: values
            for slot, values in zip(self.slots, self.ignored, strict=True)
            if slot.group == number
        }
        raster = group.raster(handles, ignored)
        if group.grid == grid:
            return raster
        spot = place(group.grid, grid)
        if spot is None:
            raise EngineError(
                ErrorCode.INPUT_GRID_MISMATCH,
                f"«{group.first.name}» does not overlap the other files.",
                "Give files of one place.",
            )
        sharp = self.resolved.offset is not None
        return Mosaic(grid, [fitted(raster, grid, spot, is_class_map=is_class_map, is_sharp=sharp)])


def open_scene(spec: InputSpec) -> Scene:
    """Understand the files of one scene: their grid, bands, roles and scaling.

    Raises:
        EngineError: ``INPUT_NOT_FOUND``, ``INPUT_UNREADABLE``, ``INPUT_ROTATED``,
            ``INPUT_GRID_MISMATCH``, ``BAND_UNKNOWN``, ``BAND_COUNT``, ``PROFILE_UNKNOWN``,
            ``PROFILE_PARAMETER``, ``SCALE_UNKNOWN``.
    """
    check_role_words(spec.bands)
    inputs = gather(spec.uris)
    handles = Handles()
    try:
        return _understood(spec, inputs, handles)
    finally:
        handles.close()


def _pixel_length(grid: Grid) -> float:
    """Metres; units of the grid without georeference."""
    rows, cols = grid.pixel_size_m or (abs(grid.transform.e), abs(grid.transform.a))
    return math.sqrt(rows * cols)


def _understood(spec: InputSpec, inputs: Inputs, handles: Handles) -> FileScene:
    infos = [
        _moved(_used_as_data(describe(uri, handles), spec, inputs), spec.offset)
        for uri in inputs.files
    ]
    arrangement = separate(infos) if inputs.stac else arrange(infos)
    slots = _slots(arrangement, inputs)
    product = _product(inputs, infos)
    sensor = product.sensor or profile_sensor(spec.profile)
    product = replace(product, sensor=sensor or sensor_of_bands([s.clues for s in slots]))
    roles = _roles(slots, spec, product.sensor)
    nodata = tuple(_extra_nodata(spec, slot) for slot in slots)
    draft = Draft(arrangement.groups, slots, roles, nodata)
    calibration, profile = find_calibration(
        spec.profile, _evidence(draft, product, inputs.mtl, handles)
    )
    grid = _scene_grid(draft)
    ignored = tuple(
        tuple(dict.fromkeys((*values, *calibration.ignored(role))))
        for values, role in zip(nodata, roles, strict=True)
    )
    return FileScene(
        grid=grid,
        bands=_bands(draft, ignored, calibration),
        profile=profile,
        resolved=replace(
            spec,
            uris=inputs.kept,
            profile=profile.name,
            bands={r: str(s.number) for r, s in zip(roles, slots, strict=True) if r},
        ),
        acquired=product.acquired,
        notes=(*inputs.notes, *arrangement.notes, *_grid_notes(grid, draft), *_piece_notes(infos)),
        groups=arrangement.groups,
        slots=slots,
        ignored=ignored,
    )


def _used_as_data(info: FileInfo, spec: InputSpec, inputs: Inputs) -> FileInfo:
    """The file, its alpha band taken as data when the user chose it by number."""
    if len(inputs.files) == 1 and info.alpha and str(info.alpha) in spec.bands.values():
        return info.with_alpha_as_data()
    return info


def _moved(info: FileInfo, offset: tuple[float, float] | None) -> FileInfo:
    """The file, its georeference put right by what the user or a comparison found out."""
    if offset is None:
        return info
    transform = Affine.translation(*offset) @ info.grid.transform
    return replace(info, grid=replace(info.grid, transform=transform))


def _slots(arrangement: Arrangement, inputs: Inputs) -> tuple[Slot, ...]:
    slots: list[Slot] = []
    for number, group in enumerate(arrangement.groups):
        info = group.first
        told = inputs.stac.get(info.uri, ())
        for position, index in enumerate(info.data_bands):
            stac = told[position] if position < len(told) else None
            known = clues(info, index)
            if stac:
                known = replace(
                    known,
                    common_name=stac.common_name,
                    description=known.description or stac.name,
                )
            count = index if len(arrangement.groups) == 1 else len(slots) + 1
            slots.append(Slot(number, index, count, known, stac))
    return tuple(slots)


def _product(inputs: Inputs, infos: Sequence[FileInfo]) -> Product:
    if inputs.product is not None:
        return inputs.product
    if inputs.mtl is not None:
        return product_of_mtl(inputs.mtl)
    tagged = agreed(product_of_tags(info.tags) for info in infos)
    return tagged if tagged.sensor else agreed(product_of_name(info.uri) for info in infos)


def _roles(slots: Sequence[Slot], spec: InputSpec, sensor: str) -> tuple[str, ...]:
    """The role of each slot; what the user names counts before what is found."""
    found = list(find_roles([s.clues for s in slots], sensor))
    names = [(s.number, s.clues, s.stac.name if s.stac else "") for s in slots]
    chosen = {chosen_number(text, role, names): role for role, text in spec.bands.items()}
    kept = ("" if role in spec.bands else role for role in found)
    return tuple(chosen.get(s.number, role) for s, role in zip(slots, kept, strict=True))


def _scene_grid(draft: Draft) -> Grid:
    """The finest grid among bands that models look at; panchromatic and heat do not count."""
    told = list(zip(draft.slots, draft.roles, strict=True))
    optical = {slot.group for slot, role in told if role not in ASIDE}
    known = {slot.group for slot, role in told if role}
    candidates = sorted(optical or known or range(len(draft.groups)))
    grids = [draft.groups[i].grid for i in candidates]
    return min(grids, key=_fineness)


def _fineness(grid: Grid) -> float:
    """Pixel area, rounded so that equal sizes tie in spite of noise in the last digits."""
    size = grid.pixel_size_m or (1.0, 1.0)
    return float(f"{size[0] * size[1]:.4g}")


def _extra_nodata(spec: InputSpec, slot: Slot) -> tuple[float, ...]:
    told = slot.stac.nodata if slot.stac else None
    return tuple(v for v in (told, spec.nodata) if v is not None)


def _evidence(draft: Draft, product: Product, mtl: Mtl | None, handles: Handles) -> Evidence:
    def sample(position: int) -> Pixels:
        slot = draft.slots[position]
        raster = draft.groups[slot.group].raster(handles, {slot.index: draft.nodata[position]})
        return raster.sample((slot.index,), SAMPLE_PIXELS // 4)[0]

    facts = (
        BandFacts(
            role=role,
            number=slot.number,
            token=slot.token,
            dtype=draft.first_file(slot).dtypes[slot.index - 1],
            file_scalings=tuple(f.scalings[slot.index - 1] for f in draft.groups[slot.group].files),
            stac=slot.stac,
        )
        for slot, role in zip(draft.slots, draft.roles, strict=True)
    )
    return Evidence(tuple(facts), product, sample, mtl)


def _bands(
    draft: Draft, ignored: Sequence[tuple[float, ...]], calibration: Calibration
) -> tuple[Band, ...]:
    bands = []
    for slot, role, extra in zip(draft.slots, draft.roles, ignored, strict=True):
        info = draft.first_file(slot)
        declared = info.nodata[slot.index - 1]
        bands.append(
            Band(
                role=role,
                name=_name(slot),
                dtype=info.dtypes[slot.index - 1],
                nodata=declared if declared is not None else next(iter(extra), None),
                scaling=calibration.scaling(role, slot.number),
            )
        )
    return tuple(bands)


def _name(slot: Slot) -> str:
    alone = PurePath(slot.clues.file_name).stem
    return slot.clues.description or alone or f"band {slot.number}"


def _piece_notes(infos: Sequence[FileInfo]) -> list[str]:
    return [
        f"«{info.name}» is stored in pieces that take about {info.piece // 2**20} MiB of memory "
        "to read any pixel of; written anew with tiles (gdal_translate -co TILED=YES) it needs "
        "little."
        for info in infos
        if info.piece > LARGE_PIECE
    ]


def _grid_notes(grid: Grid, draft: Draft) -> list[str]:
    if not grid.is_georeferenced:
        bare = "The image has no georeference: results are in pixel coordinates"
        return [f"{bare} (x = column, y = -row)."]
    moved = [
        role
        for slot, role in zip(draft.slots, draft.roles, strict=True)
        if role not in ASIDE and draft.groups[slot.group].grid != grid
    ]
    if not moved:
        return []
    metres = (grid.pixel_size_m or (1.0, 1.0))[1]
    listed = ", ".join(moved)
    return [f"Bands on another grid are interpolated to the finest one ({metres:.3g} m): {listed}."]

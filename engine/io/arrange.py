"""Which files are tiles of the same bands, and which are other bands of the same place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.contract.errors import EngineError, ErrorCode
from engine.geo.grid import Grid
from engine.io.handles import Handles
from engine.io.mosaic import Mosaic, Place, bounds_on, fitted, place, spanning_grid
from engine.io.raster import FileInfo, FileRaster, Raster
from engine.io.roles import Clues, label

COINCIDE = 0.9
"""Share of the smaller of two files from which they show the same place."""


@dataclass(frozen=True)
class Group:
    """Files with the same bands: one file, or the tiles of a mosaic."""

    files: tuple[FileInfo, ...]
    grid: Grid
    places: tuple[Place, ...]

    @property
    def first(self) -> FileInfo:
        """The file that tells what the bands are."""
        return self.files[0]

    @property
    def is_warped(self) -> bool:
        """Whether some tile lies on another lattice than the first."""
        return not all(p.is_aligned for p in self.places)

    def thinned(self, times: float) -> Group:
        """The same files with pixels so many times as long."""
        return self if times <= 1 else _group([info.thinned(times) for info in self.files])

    def raster(self, handles: Handles, ignored: Mapping[int, tuple[float, ...]]) -> Raster:
        """The pixels of all files together."""
        rasters = (FileRaster(info, handles, ignored) for info in self.files)
        placed = zip(rasters, self.places, strict=True)
        return Mosaic(self.grid, [fitted(r, self.grid, p) for r, p in placed])


@dataclass(frozen=True)
class Arrangement:
    """All files of a scene in groups; each group holds other bands."""

    groups: tuple[Group, ...]
    notes: tuple[str, ...]


def separate(files: Sequence[FileInfo]) -> Arrangement:
    """Every file a group of its own, as a STAC item's assets are."""
    return _checked([_group([f]) for f in files], [])


def arrange(files: Sequence[FileInfo]) -> Arrangement:
    """Find stacks and mosaics among the files.

    Files with the same band names are tiles of a mosaic, files with other names are other bands.
    Files without names are bands when they show the same place, and tiles when they do not.

    Raises:
        EngineError: ``INPUT_GRID_MISMATCH`` when they fit neither way.
    """
    _check_places(files)
    named: dict[tuple[str, ...], list[FileInfo]] = {}
    for info in files:
        named.setdefault(names_of(info), []).append(info)
    sets = list(named.values())
    if len(sets) > 1 and _are_all_apart(files):
        sets = [list(files)] if len({len(f.data_bands) for f in files}) == 1 else sets
    notes: list[str] = []
    groups = [g for members in sets for g in _split(members, notes)]
    return _checked(groups, notes)


def names_of(info: FileInfo) -> tuple[str, ...]:
    """The labels of a file's data bands."""
    return tuple(label(clues(info, index)) for index in info.data_bands)


def clues(info: FileInfo, index: int) -> Clues:
    """What a file tells of one band."""
    return Clues(
        description=info.descriptions[index - 1],
        file_name=info.name if len(info.data_bands) == 1 else "",
        color=info.colors[index - 1],
    )


def _split(members: list[FileInfo], notes: list[str]) -> list[Group]:
    """Files of equal names: a mosaic, or unnamed bands of one place."""
    if len(members) == 1:
        return [_group(members)]
    has_names = all(names_of(members[0]))
    if not has_names and _coincides(members[0], members[1]):
        notes.append("Files that show the same place are taken as its bands.")
        return [_group([m]) for m in members]
    if not members[0].grid.is_georeferenced:
        raise EngineError(
            ErrorCode.INPUT_GRID_MISMATCH,
            f"«{members[0].name}» and «{members[1].name}» hold the same bands and have no "
            "georeference, so it is not known how they lie to each other.",
            "Give one image at a time, or georeference them first.",
        )
    return [_group(_finest_copies(members))]


def _finest_copies(members: list[FileInfo]) -> list[FileInfo]:
    """Without coarser copies of the same band, as Sentinel-2 level 2A products hold them."""
    finest = min(_pixel_area(m.grid) for m in members)
    fine = [m for m in members if _pixel_area(m.grid) <= finest * 1.5]
    coarse = (m for m in members if m not in fine)
    return fine + [m for m in coarse if not any(_coincides(m, f) for f in fine)]


def _group(files: Sequence[FileInfo]) -> Group:
    grid = spanning_grid([f.grid for f in files])
    places = [place(f.grid, grid) for f in files]
    return Group(tuple(files), grid, tuple(p for p in places if p is not None))


def _checked(groups: list[Group], notes: list[str]) -> Arrangement:
    for group in groups:
        if len(group.files) > 1:
            notes.append(
                f"{len(group.files)} files are joined to one mosaic of "
                f"{group.grid.shape[1]} x {group.grid.shape[0]} pixels; where they overlap, the "
                "first one counts."
            )
        if group.is_warped:
            notes.append(
                f"Tiles that lie on another grid are resampled to that of «{group.first.name}»."
            )
    return Arrangement(tuple(groups), tuple(dict.fromkeys(notes)))


def _check_places(files: Sequence[FileInfo]) -> None:
    """Refuse files of which nobody knows how they lie to each other."""
    first, *rest = files
    for other in rest:
        if first.grid.is_georeferenced != other.grid.is_georeferenced:
            bare = other if first.grid.is_georeferenced else first
            why = f"«{bare.name}» has no georeference, the other files have"
        elif not first.grid.is_georeferenced and first.grid.shape != other.grid.shape:
            sizes = " and ".join(f"{g.shape[1]} x {g.shape[0]}" for g in (first.grid, other.grid))
            why = f"«{first.name}» and «{other.name}» have no georeference and differ in size"
            why += f" ({sizes} pixels)"
        else:
            continue
        raise EngineError(
            ErrorCode.INPUT_GRID_MISMATCH,
            f"The files cannot be laid on each other: {why}.",
            "Give files of one scene, all georeferenced or all of one size.",
        )


def _are_all_apart(files: Sequence[FileInfo]) -> bool:
    """Whether no two files share more than a rim, so that their names cannot be bands."""
    if not files[0].grid.is_georeferenced:
        return False
    return not any(
        _overlap(a, b) > 1 - COINCIDE for i, a in enumerate(files) for b in files[i + 1 :]
    )


def _coincides(one: FileInfo, other: FileInfo) -> bool:
    return _overlap(one, other) >= COINCIDE


def _overlap(one: FileInfo, other: FileInfo) -> float:
    """Share of the smaller file that lies within the other."""
    if not one.grid.is_georeferenced:
        return float(one.grid.shape == other.grid.shape)
    mine, theirs = one.grid.bounds, bounds_on(other.grid, one.grid)
    width = min(mine[2], theirs[2]) - max(mine[0], theirs[0])
    height = min(mine[3], theirs[3]) - max(mine[1], theirs[1])
    smaller = min((b[2] - b[0]) * (b[3] - b[1]) for b in (mine, theirs))
    return max(width, 0.0) * max(height, 0.0) / smaller


def _pixel_area(grid: Grid) -> float:
    size = grid.pixel_size_m
    return size[0] * size[1] if size else 1.0

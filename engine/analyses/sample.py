"""Points at which to look what is true, drawn within the classes of a map."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import shapely

from engine.analyses.desk import GEOPACKAGE, Desk
from engine.analyses.finished import FinishedMap, codes, legend_of, open_map
from engine.assess.sampling import (
    Allocation,
    Blocks,
    Drawn,
    allocate,
    choose_ordinals,
    count_classes,
    locate,
    sample_size,
)
from engine.contract.analyses import SampleRequest
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ModelClass
from engine.io.geopackage import PolygonBatch, VectorLayout, write_polygons
from engine.io.handles import Handles
from engine.io.style import point_qml
from engine.pipeline.outcome import Outcome

EXPECTED = 0.8
"""User's accuracy that is planned with where nobody knows any."""
FIELDS = {
    "point": "int32",
    "stratum": "int32",
    "stratum_name": "str",
    "true_class": "str",
    "remark": "str",
}


def draw_sample(request: SampleRequest, desk: Desk) -> Outcome:
    """Write the layer of points.

    Raises:
        EngineError: what opening the map raises, ``REQUEST_INVALID`` for impossible sizes.
    """
    with contextlib.closing(Handles()) as handles:
        found = open_map(request.map, handles)
        classes = _classes(found)
        ids = [c.id for c in classes]
        counts = count_classes(_blocks(found, desk, "count"), ids)
        wanted = _allocated(request, counts, desk)
        chosen = choose_ordinals(counts, wanted, request.seed)
        points = sorted(
            locate(_blocks(found, desk, "draw"), chosen),
            key=lambda p: (p.row, p.col),
        )
        _write(request, found, classes, points, desk)
    for member in classes:
        if counts[member.id]:
            desk.note(f"{member.name}: {wanted[member.id]} points of {counts[member.id]} pixels.")
    desk.note(
        "Fill in true_class (name or number) without looking at stratum, then run `swath assess "
        "MAP POINTS --field true_class --strata stratum`."
    )
    return desk.outcome("stratified random sample", sum(counts.values()))


def _classes(found: FinishedMap) -> tuple[ModelClass, ...]:
    present = set[int]()
    for window in found.windows():
        present |= set(np.unique(codes(found, window)).tolist())
    return legend_of(found, np.array(sorted(present), np.int64))


def _blocks(found: FinishedMap, desk: Desk, stage: str) -> Blocks:
    windows = list(found.windows())
    for number, window in enumerate(windows, 1):
        yield window, codes(found, window)
        desk.step(stage, number, len(windows), "windows")


def _allocated(request: SampleRequest, counts: dict[int, int], desk: Desk) -> dict[int, int]:
    """Points of each class."""
    there = [count for count in counts.values() if count]
    size = request.size
    try:
        if size is None:
            needed = sample_size(there, [EXPECTED] * len(there), request.target_error)
            size = max(needed, request.least * len(there))
            desk.note(
                f"{size} points: for a standard error of the overall accuracy of "
                f"{request.target_error:g} where user's accuracies are {EXPECTED:g} (Cochran 1977, "
                f"equation 5.25), and {request.least} in each class at least."
            )
        least = min(request.least, size // len(there))
        if least < request.least:
            desk.note(f"{size} points suffice for {least} in each class, not {request.least}.")
        return allocate(size, counts, method=Allocation.PROPORTIONAL, least=least)
    except ValueError as error:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"No such sample can be drawn: {error}.",
            "Ask for more points (--size) or for fewer in each class (--least).",
        ) from None


def _write(
    request: SampleRequest,
    found: FinishedMap,
    classes: tuple[ModelClass, ...],
    points: list[Drawn],
    desk: Desk,
) -> None:
    names = {c.id: c.name for c in classes}
    centres = np.array([(p.col + 0.5, p.row + 0.5) for p in points], np.float64).reshape(-1, 2)
    empty = np.full(len(points), "", object)
    fields = {
        "point": np.arange(1, len(points) + 1),
        "stratum": np.array([p.class_id for p in points], np.int64),
        "stratum_name": np.array([names[p.class_id] for p in points], object),
        "true_class": empty,
        "remark": empty,
    }
    layout = VectorLayout(
        "sample",
        found.grid.crs,
        FIELDS,
        point_qml(),
        f"Stratified random sample of {Path(request.map).name}, seed {request.seed}",
        geometry="Point",
    )
    path = Path(request.output)

    def batches() -> Iterator[PolygonBatch]:
        yield PolygonBatch(shapely.points(found.grid.place(centres)), fields)

    write_polygons(desk.place("vector", path, GEOPACKAGE), layout, batches())

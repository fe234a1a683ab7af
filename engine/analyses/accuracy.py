"""How good a map is, judged by a reference."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from engine.analyses.accuracy_of_values import assess_values
from engine.analyses.accuracy_page import class_page, shown_overall
from engine.analyses.desk import PAGE, TABLE, Desk
from engine.analyses.finished import FinishedMap, codes, legend_of, open_map
from engine.analyses.judgement import Judgement, Truth, judged
from engine.analyses.reference import (
    Places,
    at_points,
    check_some,
    in_polygon,
    is_raster,
    numbers_of,
    read_places,
)
from engine.analyses.reliability import reliability, reliability_blocks
from engine.assess.confusion import Confusion, count_confusion
from engine.assess.mapped import MappedArea
from engine.contract.analyses import AssessRequest
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ClassArea, InputSpec, ModelClass
from engine.io.burnt import codes_of
from engine.io.handles import Handles
from engine.io.scene import open_scene
from engine.io.tables import write_table
from engine.pipeline.outcome import Outcome
from engine.report.html import rendered
from engine.report.page import Section

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Beside:
    """Tables that go with a page."""

    confusion: Path
    classes: Path

    @classmethod
    def of(cls, page: str) -> Beside:
        """Named after it."""
        path = Path(page)
        names = (f"{path.stem}_confusion.csv", f"{path.stem}_classes.csv")
        return cls(*(path.with_name(name) for name in names))


def assess(request: AssessRequest, desk: Desk) -> Outcome:
    """Write the page and tables of a map's accuracy.

    Raises:
        EngineError: what opening the files raises, ``FIELD_MISSING``, ``FIELD_INVALID``,
            ``CLASS_UNKNOWN``, ``INPUT_GRID_MISMATCH`` when the reference lies elsewhere.
    """
    with contextlib.closing(Handles()) as handles:
        found = open_map(request.map, handles)
        if request.values:
            return assess_values(request, found, desk)
        judgement = _judge(request, found, desk)
        more = _reliability(request, found, judgement.mapped)
    _write(request, found, judgement, more, desk)
    desk.note(f"Overall accuracy: {shown_overall(judgement)}.")
    pixels = sum(row.pixels for row in judgement.mapped)
    return desk.outcome("accuracy of classes", pixels, judgement.mapped)


def _judge(request: AssessRequest, found: FinishedMap, desk: Desk) -> Judgement:
    mapped = _mapped(found, desk)
    classes = tuple(ModelClass(row.class_id, row.name, row.color) for row in mapped)
    if is_raster(request.reference):
        confusion, extra = _against_raster(request.reference, found, classes, desk)
        return judged(Truth("raster", confusion, None, None), (*mapped, *extra), desk)
    if request.field is None:
        raise EngineError(
            ErrorCode.FIELD_MISSING,
            "Nobody says which field of the reference holds the true class.",
            "Name it with --field.",
        )
    wanted = (request.field,) if request.strata is None else (request.field, request.strata)
    places = read_places(request.reference, wanted, found.grid)
    truth, extra = _true_classes(places, request.field, classes)
    every = (*mapped, *extra)
    if places.kind == "polygons":
        return judged(_in_polygons(places, truth, found, every), every, desk)
    return judged(_at_points(request, places, truth, found, every), every, desk)


def _mapped(found: FinishedMap, desk: Desk) -> tuple[ClassArea, ...]:
    """Areas of all classes of the map."""
    windows = list(found.windows())
    present = set[int]()
    for number, window in enumerate(windows, 1):
        present |= set(np.unique(codes(found, window)).tolist())
        desk.step("read", number, 2 * len(windows), "windows")
    classes = legend_of(found, np.array(sorted(present), np.int64))
    area = MappedArea(found.grid, classes, None)
    for number, window in enumerate(windows, 1):
        area.add(window, codes(found, window))
        desk.step("read", len(windows) + number, 2 * len(windows), "windows")
    return area.table()


def _true_classes(
    places: Places, field: str, classes: tuple[ModelClass, ...]
) -> tuple[I64, tuple[ClassArea, ...]]:
    """``[n]`` the class of each feature, -1 where none is given; and classes not on the map."""
    texts = [_text(value) for value in places.fields[field]]
    where = f"The field «{field}» of {places.layer.shown}"
    told = codes_of(sorted(set(texts) - {""}), classes, where)
    known = {c.id for c in classes}
    extra = tuple(
        ClassArea(code, f"class {code}", "#808080", 0, 0.0, 0.0)
        for code in sorted(set(told.values()) - known)
    )
    return np.array([told.get(text, -1) for text in texts], np.int64), extra


def _text(value: object) -> str:
    """A field's value as ``codes_of`` wants it."""
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    text = str(value).strip()
    return text.removesuffix(".0")


def _at_points(
    request: AssessRequest,
    places: Places,
    truth: I64,
    found: FinishedMap,
    classes: tuple[ClassArea, ...],
) -> Truth:
    said = at_points(places.shapes, found.grid.shape, lambda w: codes(found, w), np.int64(-1))
    check_some(int((said >= 0).sum()), places, found)
    ids = [row.class_id for row in classes]
    confusion = count_confusion(said, truth, ids, nodata=[-1])
    both = (said >= 0) & (truth >= 0)
    strata = said
    if request.strata is not None:
        strata = numbers_of(places, request.strata).astype(np.int64)
    return Truth("points", confusion, (said[both], truth[both]), strata[both])


def _in_polygons(
    places: Places, truth: I64, found: FinishedMap, classes: tuple[ClassArea, ...]
) -> Truth:
    """Pixels of polygons, of which each counts as one sample whatever its size."""
    said, there, weight = [], [], []
    for shape, code in zip(places.shapes, truth.tolist(), strict=True):
        inside = in_polygon(shape, found.grid.shape, lambda w: codes(found, w)).astype(np.int64)
        said.append(inside)
        there.append(np.full(len(inside), code, np.int64))
        weight.append(np.full(len(inside), 1 / max(1, len(inside))))
    pixels = np.concatenate(said)
    check_some(int((pixels >= 0).sum()), places, found)
    ids = [row.class_id for row in classes]
    confusion = count_confusion(
        pixels, np.concatenate(there), ids, weights=np.concatenate(weight), nodata=[-1]
    )
    return Truth("polygons", confusion, None, None)


def _against_raster(
    reference: str, found: FinishedMap, classes: tuple[ModelClass, ...], desk: Desk
) -> tuple[Confusion, tuple[ClassArea, ...]]:
    """All pixels of both; the reference is brought to the map's grid by its nearest pixel."""
    scene = open_scene(InputSpec((reference,), "raw"))
    source = scene.source((), found.grid, is_class_map=True)
    total: dict[tuple[int, int], int] = {}
    windows = list(found.windows())
    with contextlib.closing(source):
        for number, window in enumerate(windows, 1):
            chip = source.read(window)
            true = np.where(chip.valid, chip.data[0], -1).astype(np.int64)
            pairs = np.stack([codes(found, window).ravel(), true.ravel()])
            names, counts = np.unique(pairs, axis=1, return_counts=True)
            for said, truth, count in zip(*names.tolist(), counts.tolist(), strict=True):
                total[said, truth] = total.get((said, truth), 0) + count
            desk.step("compare", number, len(windows), "windows")
    known = {c.id for c in classes}
    strange = sorted({truth for _, truth in total} - known - {-1})
    extra = tuple(ClassArea(c, f"class {c}", "#808080", 0, 0.0, 0.0) for c in strange)
    said, truth = (np.array(v, np.int64) for v in zip(*total, strict=True))
    counts = np.array(list(total.values()))
    if not ((said >= 0) & (truth >= 0)).any():
        raise EngineError(
            ErrorCode.INPUT_GRID_MISMATCH,
            f"No pixel has data both in {found.name} and in the reference.",
            "Give a reference of the same place.",
        )
    ids = [c.id for c in (*classes,)] + strange
    return count_confusion(said, truth, ids, weights=counts.astype(np.float64), nodata=[-1]), extra


def _reliability(
    request: AssessRequest, found: FinishedMap, classes: tuple[ClassArea, ...]
) -> tuple[Section, ...]:
    """Whether probabilities mean what they say, if there are some."""
    if request.probability is None:
        return ()
    if is_raster(request.reference) or request.field is None:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            "Probabilities are judged at points, and the reference is a raster.",
            "Give points, or leave --probability out.",
        )
    shares = open_map(request.probability, found.handles)
    places = read_places(request.reference, (request.field,), shares.grid)
    known = tuple(ModelClass(row.class_id, row.name, row.color) for row in classes)
    truth, _ = _true_classes(places, request.field, known)
    points = shapely.centroid(places.shapes)
    blocks = reliability_blocks(reliability(shares, points, truth, classes))
    return (Section("Do the probabilities mean what they say?", blocks),)


def _write(
    request: AssessRequest,
    found: FinishedMap,
    judgement: Judgement,
    more: tuple[Section, ...],
    desk: Desk,
) -> None:
    page = rendered(class_page(request, found.name, judgement, more))
    desk.write("report", Path(request.report), PAGE, page)
    beside = Beside.of(request.report)
    names = [row.name for row in judgement.mapped]
    matrix = judgement.confusion.matrix.tolist()
    write_table(
        desk.place("matrix", beside.confusion, TABLE),
        ("map \\ reference", *names),
        ((name, *row) for name, row in zip(names, matrix, strict=True)),
    )
    write_table(
        desk.place("accuracy", beside.classes, TABLE), judgement.header, judgement.table_rows()
    )

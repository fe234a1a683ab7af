"""A map of objects brought up to date: polygons of before, an image of today, a segmentation."""

import csv
import json
import sqlite3
from collections import Counter
from dataclasses import replace

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.merge import merge

from engine.contract.errors import CancelledError, EngineError, ErrorCode
from engine.contract.messages import (
    InputSpec,
    OutputSpec,
    PolygonOptions,
    Region,
    SegmentRequest,
    UpdateRequest,
)
from engine.contract.update import UpdateOptions
from engine.geo.crs import reproject_geometry
from engine.models.store import ModelStore
from engine.pipeline.report import Silence
from engine.pipeline.update import run_update

CRS = "EPSG:32632"
LEFT, TOP, PIXEL = 500_000, 5_000_000, 10
SHAPE = (150, 200)
NEW = {"a": (10, 10), "b": (10, 40), "c": (10, 70), "d": (60, 0), "e": (60, 100)}
"""Row and column of the squares of 12 pixels that the image shows."""
EDGE = 12


def square(row, col, height=EDGE, width=EDGE):
    return shapely.box(
        LEFT + PIXEL * col,
        TOP - PIXEL * (row + height),
        LEFT + PIXEL * (col + width),
        TOP - PIXEL * row,
    )


def write(path, shapes, crs=CRS, kind="MultiPolygon"):
    names = np.array(["house"] * len(shapes), object)
    pyogrio.raw.write(
        path,
        shapely.to_wkb(np.array(shapes, object)),
        field_data=[names],
        fields=np.array(["kind"], object),
        layer="map",
        driver="GPKG",
        geometry_type=kind,
        promote_to_multi=kind == "MultiPolygon",
        crs=crs,
    )
    return path


def rows_of(path):
    """The layer's rows, each a dictionary with its shape."""
    meta, _, shapes, columns = pyogrio.raw.read(path, layer=path.stem)
    table = [dict(zip(meta["fields"], row, strict=True)) for row in zip(*columns, strict=True)]
    return [r | {"shape": s} for r, s in zip(table, shapely.from_wkb(shapes), strict=True)], meta


@pytest.fixture
def scene(lab):
    def make(nodata=(), name="today.tif"):
        data = np.full((2, *SHAPE), 0.05, np.float32)
        for row, col in NEW.values():
            data[0, row : row + EDGE, col : col + EDGE] = 0.95
        for rows, cols in nodata:
            data[:, rows, cols] = np.nan
        return lab.scene(data, name)

    return make


@pytest.fixture
def update(lab):
    """Bring a map up to date; the rows of the layer."""
    card = lab.card()
    lab.work.mkdir()

    def go(old, image, report=None, **options):
        work = options.pop("work", "work")
        output = lab.folder / options.pop("name", "out.gpkg")
        run = SegmentRequest(
            InputSpec((str(image),), "reflectance", date=options.pop("image_date", None)),
            OutputSpec("", overwrite=options.pop("overwrite", False)),
            model=str(card),
            region=options.pop("region", Region()),
            polygons=options.pop("polygons", PolygonOptions(classes=("red",))),
            device="cpu",
        )
        request = UpdateRequest(UpdateOptions(str(old), str(output), **options), run)
        store = lab.store
        (lab.folder / work).mkdir(exist_ok=True)
        outcome = run_update(
            request, store, lab.folder / work, report or Silence(), lambda _card: None
        )
        return rows_of(output)[0], outcome

    return go


@pytest.fixture
def old(lab):
    """One object of each fate; ``image`` shows the squares of ``NEW``."""
    shapes = [
        square(10, 10),  # a: kept
        square(9, 39, 20, 20),  # b: larger than what is there now
        square(10, 70, 5),  # c: two that became one
        square(16, 70, 6),
        square(110, 150),  # gone
        square(60, -6, 12, 18),  # d: half of it outside; what is inside is the same
        square(140, 195, 30, 30),  # nothing of it there, and it reaches over the edge
        square(600, 600),  # far away
    ]
    return write(lab.folder / "old.gpkg", shapes)


def test_every_object_has_its_fate(update, old, scene):
    rows, outcome = update(old, scene(), field="kind", date="2020-05-01", image_date="2024-05-01")
    found = [(r["status"], r["old_id"], r["new_id"] is not None) for r in rows]
    assert found == [
        ("kept", "1", True),
        ("reshaped", "2", True),
        ("merged", "3,4", True),
        ("gone", "5", False),
        ("kept", "6", True),
        ("outside", "7", False),
        ("outside", "8", False),
        ("new", None, True),
    ]
    kept, reshaped, merged, gone, cut = rows[:5]
    assert kept["iou"] == pytest.approx(1, abs=0.05)
    assert kept["old_area_m2"] == pytest.approx(120 * 120, rel=2e-3)
    assert kept["shift_m"] < 5
    assert kept["confidence"] > 0.5
    assert (kept["old_class"], kept["new_class"]) == ("house", "red")
    assert (kept["date_from"], kept["date_to"][:10]) == ("2020-05-01", "2024-05-01")
    assert reshaped["iou"] == pytest.approx(144 / 400, abs=0.05)
    assert merged["iou"] == pytest.approx(132 / 144, abs=0.05)
    assert np.isnan(gone["iou"])
    assert gone["new_class"] is None
    assert cut["seen"] == pytest.approx(12 / 18, abs=0.01)
    assert shapely.get_parts(cut["shape"])[0].equals(square(60, -6, 12, 18))
    counts = {c.status: (c.old, c.new) for c in outcome.summary.objects}
    assert counts == {
        "kept": (2, 2),
        "reshaped": (1, 1),
        "split": (0, 0),
        "merged": (2, 1),
        "new": (0, 1),
        "gone": (1, 0),
        "unseen": (0, 0),
        "outside": (2, 0),
    }
    assert "Of 8 objects of the old map: 2 kept" in outcome.summary.notes[-1]


def test_what_lies_beside_the_layer(update, old, scene, lab):
    _, outcome = update(old, scene())
    assert [a.role for a in outcome.artifacts] == ["vector", "statuses", "item"]
    names = {p.name for p in lab.folder.glob("out*")}
    assert names == {"out.gpkg", "out.qml", "out_statuses.csv", "out.json"}
    with (lab.folder / "out_statuses.csv").open() as file:
        table = {row["status"]: row for row in csv.DictReader(file)}
    assert table["merged"]["old_objects"] == "2"
    assert float(table["gone"]["old_area_m2"]) == pytest.approx(14_400, rel=2e-3)
    with sqlite3.connect(lab.folder / "out.gpkg") as database:
        style = database.execute("select styleQML from layer_styles").fetchone()[0]
    assert style == (lab.folder / "out.qml").read_text("utf-8")
    assert 'attr="status"' in style
    item = json.loads((lab.folder / "out.json").read_text())
    inputs = [i["uri"] for i in item["properties"]["swath:inputs"]]
    assert [i.rsplit("/")[-1] for i in inputs] == ["old.gpkg", "today.tif"]
    assert item["properties"]["swath:options"]["update"]["least_iou"] == 0.5


def test_what_has_no_data_is_unseen(update, old, scene):
    image = scene(nodata=((slice(105, 130), slice(145, 170)), (slice(8, 18), slice(8, 24))))
    rows, _ = update(old, image)
    by_id = {r["old_id"]: r for r in rows}
    assert by_id["5"]["status"] == "unseen"
    assert by_id["5"]["seen"] == 0
    assert by_id["1"]["status"] == "kept", "what is seen of it is the same"
    assert by_id["1"]["seen"] == pytest.approx(4 / 12, abs=0.02)
    assert shapely.area(by_id["1"]["shape"]) == pytest.approx(14_400), "a part would be no outline"


def test_classes_that_hide_the_ground_are_like_no_data(update, old, lab):
    data = np.full((2, *SHAPE), 0.05, np.float32)
    data[1, 100:130, 140:170] = 0.95
    image = lab.scene(data, "cloudy.tif")
    rows, _ = update(old, image, hidden=("green",))
    assert {r["old_id"]: r["status"] for r in rows}["5"] == "unseen"
    rows, _ = update(old, image, name="plain.gpkg", work="other")
    assert {r["old_id"]: r["status"] for r in rows}["5"] == "gone"


def test_what_was_not_asked_for_is_outside(update, old, scene, lab):
    mask = write(lab.folder / "aoi.gpkg", [square(0, 0, 50, 100)])
    rows, _ = update(old, scene(), region=Region(aoi=str(mask)))
    found = {r["old_id"]: r["status"] for r in rows}
    assert found == {
        "1": "kept",
        "2": "reshaped",
        "3,4": "merged",
        "5": "outside",
        "6": "outside",
        "7": "outside",
        "8": "outside",
    }
    bounds = (LEFT, TOP - 500, LEFT + 1000, TOP)
    same, _ = update(old, scene(), region=Region(bounds=bounds), name="box.gpkg", work="other")
    assert {r["old_id"]: r["status"] for r in same} == found


def test_a_map_in_another_crs_keeps_its_crs(update, scene, lab):
    shapes = np.array([square(*NEW["a"]), square(110, 150), square(*NEW["e"])], object)
    degrees = reproject_geometry(shapes, CRS, "EPSG:4326")
    path = write(lab.folder / "degrees.gpkg", list(degrees), crs="EPSG:4326")
    rows, _ = update(path, scene(), keep_outlines=True)
    assert [r["status"] for r in rows] == ["kept", "gone", "kept", "new", "new", "new"]
    assert rows_of(lab.folder / "out.gpkg")[1]["crs"] == "EPSG:4326"
    assert shapely.get_parts(rows[0]["shape"])[0].equals_exact(degrees[0], 0)
    back = reproject_geometry(np.array([rows[3]["shape"]]), "EPSG:4326", CRS)[0]
    assert shapely.box(LEFT, TOP - 1500, LEFT + 2000, TOP).contains(back)
    assert rows[0]["old_area_m2"] == pytest.approx(14_400, rel=2e-3)


def test_equal_runs_give_equal_bytes(update, old, scene, lab):
    image = scene()
    (lab.folder / "again").mkdir()
    update(old, image)
    update(old, image, name="again/out.gpkg", work="other")
    for name in ("out.gpkg", "out.qml", "out_statuses.csv"):
        assert (lab.folder / name).read_bytes() == (lab.folder / "again" / name).read_bytes()


class Stopping(Silence):
    """Cancels once a stage has begun."""

    def __init__(self, stage):
        self.stage, self.seen = stage, set()

    def progress(self, stage, *_):
        self.seen.add(stage)

    def cancelled(self):
        return self.stage in self.seen


@pytest.mark.parametrize("stage", ["segment", "compare", "polygons"])
def test_a_stopped_update_leaves_nothing_and_goes_on(stage, update, old, scene, lab):
    image = scene()
    with pytest.raises(CancelledError):
        update(old, image, report=Stopping(stage))
    assert not list(lab.folder.glob("out*"))
    assert not list(lab.folder.glob(".swath*"))
    again = Stopping("never")
    rows, _ = update(old, image, report=again)
    assert len(rows) == 8
    if stage == "compare":
        assert "segment" not in again.seen, "the run on the image was whole"


def test_an_image_without_any_object(update, old, lab):
    rows, _ = update(old, lab.scene(np.full((2, *SHAPE), 0.05, np.float32)))
    assert Counter(r["status"] for r in rows) == {"gone": 5, "outside": 3}


BAD = {
    "points": (ErrorCode.LAYER_EMPTY, "points"),
    "empty": (ErrorCode.LAYER_EMPTY, "no feature"),
    "far": (ErrorCode.EXTENT_OUTSIDE, "overlaps the image"),
    "crs": (ErrorCode.CRS_MISSING, "reference"),
    "field": (ErrorCode.FIELD_MISSING, "kind"),
    "layer": (ErrorCode.INPUT_UNREADABLE, "It holds map"),
    "iou": (ErrorCode.REQUEST_INVALID, "intersection over union"),
    "class": (ErrorCode.REQUEST_INVALID, "no class roof"),
    "hidden": (ErrorCode.REQUEST_INVALID, "no class fog"),
    "same": (ErrorCode.OUTPUT_UNWRITABLE, "input"),
    "suffix": (ErrorCode.OUTPUT_UNWRITABLE, ".gpkg"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_anything_is_computed(case, update, old, scene, lab):
    code, word = BAD[case]
    paths = {
        "points": lambda p: write(p, [shapely.Point(LEFT, TOP)], kind="Point"),
        "empty": lambda p: write(p, []),
        "far": lambda p: write(p, [square(900, 900)]),
        "crs": lambda p: write(p, [square(10, 10)], crs=None),
        "layer": lambda _p: f"{old}|layername=nothing",
    }
    options = {
        "field": {"field": "type"},
        "iou": {"least_iou": 0.0},
        "class": {"polygons": PolygonOptions(classes=("roof",))},
        "hidden": {"hidden": ("fog",)},
        "same": {"name": "old.gpkg", "overwrite": True},
        "suffix": {"name": "out.shp"},
    }
    path = paths.get(case, lambda _p: old)(lab.folder / "bad.gpkg")
    before = old.read_bytes()
    report = Stopping("segment")
    with pytest.raises(EngineError) as caught:
        update(path, scene(), report=report, **options.get(case, {}))
    assert caught.value.code is code
    assert word in str(caught.value)
    assert caught.value.hint
    assert not report.seen
    assert old.read_bytes() == before
    assert not list(lab.folder.glob("out*"))


# --- real roofs -------------------------------------------------------------------------------


REMOVED, MOVED = (144, 132, 127), 149
"""Ids of outlines in OpenStreetMap that stand alone, and that the model finds."""
FALSE = ((3628375, 9046, 9), (3628418, 9040, 8), (3628331, 9063, 8))
"""West, south (less 30000) and edge of outlines where only grass, trees and a road are."""


@pytest.fixture(scope="module")
def kampala(request, tmp_path_factory):
    """Twelve tiles of a drone picture as one image, and OpenStreetMap with planted edits."""
    conftest = next(
        p for p in request.config.pluginmanager.get_plugins() if hasattr(p, "shared_folder")
    )
    data = conftest.shared_folder() / "data" / "fair_kampala_buildings"
    folder = tmp_path_factory.mktemp("kampala")
    tiles = sorted(data.glob("z20/OAM-61922*-20.tif"))
    pixels, transform = merge(tiles)
    with rasterio.open(tiles[0]) as source:
        profile = {**source.profile, "transform": transform, "blockysize": 256, "tiled": True}
    profile |= {"height": pixels.shape[1], "width": pixels.shape[2]}
    with rasterio.open(folder / "kampala.tif", "w", **profile) as target:
        target.write(pixels)
    _, ids, shapes, _ = pyogrio.raw.read(data / "buildings_osm.gpkg", return_fids=True)
    known = dict(zip(ids.tolist(), shapely.from_wkb(shapes), strict=True))
    outlines = [s for i, s in known.items() if i not in (*REMOVED, MOVED)]
    outlines.append(shapely.transform(known[MOVED], lambda xy: xy + np.array((17, -2))))
    outlines += [shapely.box(x, 30_000 + y, x + e, 30_000 + y + e) for x, y, e in FALSE]
    return folder, write(folder / "edited.gpkg", outlines, crs="EPSG:3857"), known


@pytest.mark.shared
def test_planted_edits_in_real_outlines_are_found(kampala):
    folder, edited, known = kampala
    run = SegmentRequest(
        InputSpec((str(folder / "kampala.tif"),)),
        OutputSpec(""),
        model="buildings",
        polygons=PolygonOptions(min_area=5, square=("building",)),
        device="cpu",
    )
    store = ModelStore(folder / "models")
    output = folder / "updated.gpkg"
    request = UpdateRequest(UpdateOptions(str(edited), str(output)), run)

    def provide(card):
        store.install(card, lambda _done, _total: None, lambda: False)

    (folder / "work").mkdir()
    outcome = run_update(request, store, folder / "work", Silence(), provide)
    rows = rows_of(output)[0]
    print(outcome.summary.notes[-1])  # noqa: T201 - figures for people

    def at(shape):
        """Statuses of what lies there."""
        middle = shape.representative_point()
        return {r["status"] for r in rows if r["shape"].contains(middle)}

    assert [at(known[n]) for n in REMOVED] == [{"new"}] * 3
    assert at(known[MOVED]) == {"new"}
    last = len(known) - len(REMOVED) - 1
    planted = {str(last + 1 + n) for n in range(4)}
    fates = {r["old_id"]: r["status"] for r in rows}
    assert {fates[n] for n in planted} == {"gone"}
    counts = {c.status: c for c in outcome.summary.objects}
    assert sum(c.old for c in counts.values()) == len(known) + len(FALSE) - len(REMOVED)
    assert counts["kept"].old == 24
    assert counts["new"].new == 7, "four planted, three that OpenStreetMap lacks"
    assert counts["gone"].old == 9, "four planted, and five kiosks of about 5 m2"


def test_a_request_keeps_its_parts():
    run = SegmentRequest(InputSpec(("/a.tif",)), OutputSpec("", overwrite=True), query="/q.png")
    request = UpdateRequest(UpdateOptions("/m.gpkg", "/o.gpkg"), run)
    assert request.files_read == ("/m.gpkg", "/a.tif", "/q.png")
    assert request.files_written == ("/o.gpkg",)
    assert request.device == replace(run).device

"""Two class maps to a map of transitions, from the files to the files."""

import csv
import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import scipy.ndimage
import shapely
from rasterio.transform import from_origin
from rasterio.warp import reproject

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import (
    ChangeOptions,
    InputSpec,
    ModelClass,
    NamedInput,
    OutputSpec,
    PolygonOptions,
    Region,
    SegmentRequest,
)
from engine.io.pam import pam_xml
from engine.io.stac_input import is_stac_item
from engine.pipeline import planning, transitions
from engine.pipeline.planning import settled_plan
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

NAMES = ("water", "forest", "crops", "built", "bare")
LEGEND = tuple(ModelClass(n + 1, name, f"#{n * 40 + 20:02x}8040") for n, name in enumerate(NAMES))
NODATA = 255
UTM = "EPSG:32632"


def class_map(seed, classes=5, shape=(150, 230), first=1, dtype=np.uint8):
    """Codes in patches."""
    noise = scipy.ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 3)
    cuts = np.quantile(noise, np.linspace(0, 1, classes + 1)[1:-1])
    return (np.digitize(noise, cuts) + first).astype(dtype)


def written(lab, codes, name, legend=LEGEND, *, pixel=10.0, nodata=NODATA, crs=UTM):
    path = lab.folder / name
    where = {"crs": crs, "transform": from_origin(500_000, 5_000_000, pixel, pixel)}
    layout = {"driver": "GTiff", "dtype": codes.dtype.name, "count": 1, "nodata": nodata}
    layout |= {"height": codes.shape[0], "width": codes.shape[1], **(where if crs else {})}
    with rasterio.open(path, "w", **layout) as target:
        target.write(codes, 1)
    if legend:
        path.with_name(f"{name}.aux.xml").write_text(pam_xml(legend), "utf-8")
    return path


def compare(lab, before, after, name="out", *, spec=None, dates=(None, None), **more):
    known = spec or {}
    output = more.pop("output", {})
    options = more.pop("options", {})
    request = SegmentRequest(
        InputSpec((str(before),), date=dates[0], **known),
        OutputSpec(str(lab.folder / f"{name}.tif"), **output),
        others=(NamedInput("after", InputSpec((str(after),), date=dates[1], **known)),),
        change=ChangeOptions("classes", **options),
        **more,
    )
    work = lab.folder / f"work-{name}"
    plan = settled_plan(request, lab.store, work, lab.store.install)
    return plan, run_plan(plan, lab.store, work, Silence())


def pixels(lab, name="out"):
    with rasterio.open(lab.folder / f"{name}.tif") as source:
        return source.read(1), source.nodata


def table(lab, kind="transitions", name="out"):
    with (lab.folder / f"{name}_{kind}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def polygons(path):
    meta, _, shapes, fields = pyogrio.raw.read(path, layer=path.stem)
    return shapely.from_wkb(shapes), dict(zip(meta["fields"], fields, strict=True))


def refusal(lab, before, after, **more):
    with pytest.raises(EngineError) as caught:
        compare(lab, before, after, **more)
    assert not list(lab.folder.glob("out*"))
    return caught.value


@pytest.fixture
def pair(lab):
    one, two = class_map(1), class_map(2)
    return one, two, written(lab, one, "a.tif"), written(lab, two, "b.tif")


def test_each_pixel_says_what_it_was_and_what_it_became(lab, pair):
    one, two, before, after = pair
    compare(lab, before, after)
    found, nodata = pixels(lab)
    np.testing.assert_array_equal(found, 10 * one + two)
    assert (found.dtype, nodata) == (np.uint8, 255)


def test_rows_and_columns_of_the_table_sum_to_the_class_areas_exactly(lab, pair):
    one, two, before, after = pair
    _, outcome = compare(lab, before, after)
    rows, classes = table(lab), table(lab, "areas")
    for side, codes, kind in (("from", one, "before"), ("to", two, "after")):
        for member in classes:
            mine = [r for r in rows if r[f"{side}_id"] == member["class_id"]]
            count = sum(int(r["pixels"]) for r in mine)
            assert count == int(member[f"pixels_{kind}"])
            assert count == (codes == int(member["class_id"])).sum()
            area = sum(round(100 * float(r["area_m2"])) for r in mine) / 100
            assert f"{area:.2f}" == member[f"area_{kind}_m2"]
    assert outcome.summary.pixels == one.size
    assert sum(a.share for a in outcome.summary.areas) == pytest.approx(1)
    assert {r["from_class"] for r in rows} == set(NAMES)


def test_identical_maps_show_no_change(lab, pair):
    _, _, before, _ = pair
    vector = lab.folder / "p.gpkg"
    _, outcome = compare(lab, before, before, output={"vector": str(vector)})
    assert [a.name for a in outcome.summary.areas] == ["no change"]
    assert outcome.summary.areas[0].share == 1
    assert len(polygons(vector)[0]) == 0


def test_swapped_maps_give_the_transposed_table(lab, pair):
    _, _, before, after = pair
    compare(lab, before, after, "forth")
    compare(lab, after, before, "back")
    forth = {(r["from_id"], r["to_id"]): r["area_m2"] for r in table(lab, name="forth")}
    back = {(r["to_id"], r["from_id"]): r["area_m2"] for r in table(lab, name="back")}
    assert forth == back


@pytest.mark.parametrize("edge", [1024, 64])
def test_polygons_cover_just_what_changed(lab, edge, monkeypatch):
    """Also when they are stitched from many blocks."""
    monkeypatch.setattr(planning, "BLOCK_EDGE", edge)
    shape = (700, 1100)
    one, two = class_map(1, shape=shape), class_map(2, shape=shape)
    one[:30, :30] = NODATA
    before, after = written(lab, one, "a.tif"), written(lab, two, "b.tif")
    vector = lab.folder / "p.gpkg"
    plan, outcome = compare(
        lab, before, after, output={"vector": str(vector)}, dates=("2019-05-01", "2024-05-03")
    )
    assert len(plan.recipe.blocks) > (1 if edge == 64 else 0)
    shapes, fields = polygons(vector)
    changed = (one != two) & (one != NODATA)
    assert shapely.area(shapes).sum() == changed.sum() * 100
    assert shapely.is_valid(shapes).all()
    total = sum(a.area_m2 for a in outcome.summary.areas if a.name != "no change")
    assert fields["area_m2"].sum() == pytest.approx(total, rel=1e-9)
    assert set(fields["date_from"]) == {"2019-05-01"}
    assert set(fields["date_to"]) == {"2024-05-03"}
    for before_name, after_name in ((NAMES[0], NAMES[1]), (NAMES[4], NAMES[2])):
        mine = (fields["from_class"] == before_name) & (fields["to_class"] == after_name)
        codes = NAMES.index(before_name) + 1, NAMES.index(after_name) + 1
        assert (
            shapely.area(shapes[mine]).sum() == 100 * ((one == codes[0]) & (two == codes[1])).sum()
        )
    labels = sum(
        scipy.ndimage.label((one == a) & (two == b))[1]
        for a in range(1, 6)
        for b in range(1, 6)
        if a != b
    )
    assert len(shapes) == labels


def test_small_changes_can_be_left_out(lab, pair):
    _, _, before, after = pair
    vector = lab.folder / "p.gpkg"
    wanted = PolygonOptions(min_area=5000, classes=("change",))
    compare(lab, before, after, output={"vector": str(vector)}, polygons=wanted)
    shapes, fields = polygons(vector)
    assert len(shapes)
    assert fields["area_m2"].min() >= 5000
    assert all(value is None for value in fields["date_from"])


def test_simplified_polygons_do_not_overlap(lab, pair):
    _, _, before, after = pair
    vector = lab.folder / "p.gpkg"
    compare(
        lab, before, after, output={"vector": str(vector)}, polygons=PolygonOptions(simplify=15)
    )
    shapes = polygons(vector)[0]
    union = shapely.area(shapely.union_all(shapes))
    assert union == pytest.approx(shapely.area(shapes).sum(), rel=1e-9)


def test_nodata_at_either_date_is_nodata_in_the_result(lab):
    one, two = class_map(1), class_map(2)
    one[:20, :30] = NODATA
    two[100:, 200:] = 77
    before = written(lab, one, "a.tif")
    after = written(lab, two, "b.tif", nodata=77)
    compare(lab, before, after)
    found, nodata = pixels(lab)
    np.testing.assert_array_equal(found == nodata, (one == NODATA) | (two == 77))


def test_maps_without_a_place_in_common_with_data_give_an_empty_result(lab):
    one, two = class_map(1), class_map(2)
    one[:100], two[100:] = NODATA, NODATA
    _, outcome = compare(lab, written(lab, one, "a.tif"), written(lab, two, "b.tif"))
    found, nodata = pixels(lab)
    assert (found == nodata).all()
    assert outcome.summary.areas == ()


def test_a_part_can_be_asked_for(lab, pair):
    one, two, before, after = pair
    bounds = (500_000 + 400, 5_000_000 - 1200, 500_000 + 1500, 5_000_000 - 300)
    _, outcome = compare(lab, before, after, region=Region(bounds))
    part = (slice(30, 120), slice(40, 150))
    np.testing.assert_array_equal(pixels(lab)[0], (10 * one + two)[part])
    assert outcome.summary.pixels == 90 * 110


def test_the_picture_of_many_classes_shows_the_largest(lab):
    one, two = class_map(1, 60), class_map(2, 60)
    compare(lab, written(lab, one, "a.tif", ()), written(lab, two, "b.tif", ()))
    root = ET.parse(lab.folder / "out_transitions.svg").getroot()
    texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "the 40 largest classes" in texts[0]


def test_more_than_fifteen_classes_fit(lab):
    one, two = (class_map(seed, 23, (300, 1100)) for seed in (1, 2))
    names = tuple(ModelClass(n, f"class {n}", "#204060") for n in range(1, 24))
    vector = lab.folder / "p.gpkg"
    before, after = written(lab, one, "a.tif", names), written(lab, two, "b.tif", names)
    plan, _ = compare(lab, before, after, output={"vector": str(vector)})
    assert len(plan.recipe.blocks) > 1
    found, nodata = pixels(lab)
    np.testing.assert_array_equal(found, 100 * one.astype(int) + two)
    assert (found.dtype, nodata) == (np.uint16, 65535)
    assert len(table(lab)) == len(np.unique(found)) > 300
    shapes, fields = polygons(vector)
    covered = np.bincount(fields["class_id"], shapely.area(shapes), minlength=2400) / 100
    counts = np.bincount(found[one != two], minlength=2400)
    np.testing.assert_array_equal(covered, counts)
    picture = ET.parse(lab.folder / "out_transitions.svg").getroot()
    assert picture.tag.endswith("svg")


def test_codes_as_worldcover_has_them_stay_readable(lab):
    one, two = (class_map(s, 10) * 10 for s in (1, 2))
    compare(lab, written(lab, one, "a.tif", ()), written(lab, two, "b.tif", ()))
    found, nodata = pixels(lab)
    np.testing.assert_array_equal(found, 1000 * one.astype(int) + two)
    assert (found.dtype, nodata) == (np.uint32, 2**32 - 1)
    assert table(lab)[1]["from_class"] == "10"


def test_codes_that_the_legend_lacks_are_shown_as_numbers(lab):
    one, two = class_map(1, 7), class_map(2, 7)
    compare(lab, written(lab, one, "a.tif"), written(lab, two, "b.tif"))
    names = {r["to_class"] for r in table(lab)}
    assert names == {*NAMES, "6", "7"}


def test_what_a_legend_calls_no_data_is_no_class(lab, pair):
    one, two, _, after = pair
    before = written(lab, one, "n.tif", (*LEGEND, ModelClass(NODATA, "cloud", "#ffffff")))
    compare(lab, before, after)
    np.testing.assert_array_equal(pixels(lab)[0], 10 * one + two)


def test_names_match_maps_that_number_their_classes_differently(lab, pair):
    one, _, before, _ = pair
    other = tuple(ModelClass(9 - c.id, c.name, c.color) for c in LEGEND)
    renumbered = written(lab, (9 - one).astype(np.uint8), "c.tif", other)
    plan, outcome = compare(lab, before, renumbered)
    assert [a.name for a in outcome.summary.areas] == ["no change"]
    assert any("matched by name" in note for note in plan.notes)


def test_a_code_that_may_mean_two_classes_is_refused(lab, pair):
    one, _, before, _ = pair
    other = tuple(ModelClass(9 - c.id, c.name, c.color) for c in LEGEND)
    unclear = (9 - one).astype(np.uint8)
    unclear[5, 5] = 2  # «forest» of the first map; the second one's legend has no such code
    error = refusal(lab, before, written(lab, unclear, "c.tif", other))
    assert error.code is ErrorCode.MODEL_UNSUITABLE
    assert "holds the code 2" in error.message


def test_one_code_with_two_names_is_refused(lab, pair):
    _, two, before, _ = pair
    renamed = (*LEGEND[:4], ModelClass(5, "rock", "#000000"))
    error = refusal(lab, before, written(lab, two, "c.tif", renamed))
    assert error.code is ErrorCode.REQUEST_INVALID
    assert "5 is «bare» in the first and «rock» in the second" in error.message


def test_another_grid_and_crs_are_brought_together_by_the_nearest_pixel(lab, pair):
    one, two, before, _ = pair
    fine = two.repeat(2, axis=0).repeat(2, axis=1)
    plan, _ = compare(lab, before, written(lab, fine, "b5.tif", pixel=5.0))
    assert any("by the nearest pixel" in note for note in plan.notes)
    np.testing.assert_array_equal(pixels(lab)[0], 10 * one + two)
    with rasterio.open(before) as source:
        where = {"src_transform": source.transform, "src_crs": source.crs}
    onto = from_origin(8.9995, 45.156, 0.00005, 0.00005)
    moved = np.full((400, 700), NODATA, np.uint8)
    reproject(two, moved, dst_transform=onto, dst_crs="EPSG:4326", dst_nodata=NODATA, **where)
    path = written(lab, moved, "w.tif", crs="EPSG:4326")
    with rasterio.open(path, "r+") as target:
        target.transform = onto
    plan, _ = compare(lab, before, path, "far")
    found, nodata = pixels(lab, "far")
    there = found != nodata
    assert there.mean() > 0.8
    assert (found == 10 * one + two)[there].mean() > 0.9
    assert any("by the nearest pixel" in note for note in plan.notes)


def test_much_finer_pixels_of_the_second_map_are_warned_of(lab, pair):
    _, two, before, _ = pair
    fine = two.repeat(4, axis=0).repeat(4, axis=1)
    plan, _ = compare(lab, before, written(lab, fine, "b2.tif", pixel=2.5))
    assert any("of about 16 pixels one is looked at" in note for note in plan.notes)


def test_maps_of_other_places_are_refused(lab, pair):
    _, _, before, after = pair
    with rasterio.open(after, "r+") as target:
        target.transform = from_origin(900_000, 5_000_000, 10, 10)
    assert refusal(lab, before, after).code is ErrorCode.INPUT_GRID_MISMATCH


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fractions_are_no_codes(dtype, lab, pair):
    one, _, before, _ = pair
    error = refusal(lab, before, written(lab, one.astype(dtype), "f.tif"))
    assert error.code is ErrorCode.MODEL_UNSUITABLE
    assert "«f.tif» holds float" in error.message


@pytest.mark.parametrize(("code", "dtype"), [(70_000, np.int32), (-3, np.int16)])
def test_numbers_beyond_codes_are_refused(code, dtype, lab, pair):
    one, _, before, _ = pair
    odd = one.astype(dtype)
    odd[7, 9] = code
    error = refusal(lab, before, written(lab, odd, "o.tif", nodata=None))
    assert error.code is ErrorCode.MODEL_UNSUITABLE
    assert str(code) in error.message
    compare(lab, before, lab.folder / "o.tif", spec={"nodata": code})
    assert (pixels(lab)[0] == 255).sum() == 1


def test_a_number_that_the_sample_missed_stops_the_run(lab, pair, monkeypatch):
    monkeypatch.setattr(transitions, "SAMPLE", 30)
    one, _, before, _ = pair
    odd = one.astype(np.int32)
    odd[70, 90] = 70_000
    error = refusal(lab, before, written(lab, odd, "o.tif", nodata=None))
    assert error.code is ErrorCode.MODEL_UNSUITABLE
    assert "second class map holds the number 70000" in error.message


def test_a_picture_is_no_class_map(lab, pair):
    _, _, before, _ = pair
    picture = np.random.default_rng(1).integers(0, 60_000, (150, 230)).astype(np.uint16)
    error = refusal(lab, before, written(lab, picture, "p.tif", nodata=None))
    assert error.code is ErrorCode.MODEL_UNSUITABLE
    assert "no class map" in error.message


def test_several_bands_need_a_word_about_which(lab, pair):
    one, two, before, _ = pair
    path = lab.folder / "s.tif"
    with rasterio.open(before) as source:
        profile = {**source.profile, "count": 2}
    with rasterio.open(path, "w", **profile) as target:
        target.write(np.stack([one, two]))
    assert refusal(lab, before, path).code is ErrorCode.BAND_COUNT


@pytest.mark.parametrize(
    "wrong",
    [
        {"options": {"threshold": 3.0}},
        {"options": {"false_alarm": 0.1}},
        {"coregister": True},
        {"spec": {"profile": "reflectance"}},
        {"output": {"probability": "p.tif"}},
        {"polygons": PolygonOptions(classes=("water",))},
    ],
)
def test_options_of_scenes_are_refused(wrong, lab, pair):
    _, _, before, after = pair
    error = refusal(lab, before, after, **wrong)
    assert error.code is ErrorCode.REQUEST_INVALID


@pytest.mark.parametrize("kind", ["transitions.csv", "transitions.svg", "areas.csv"])
def test_no_output_is_replaced_unasked(kind, lab, pair):
    _, _, before, after = pair
    there = lab.folder / f"out_{kind}"
    there.write_text("mine")
    with pytest.raises(EngineError) as caught:
        compare(lab, before, after)
    assert caught.value.code is ErrorCode.OUTPUT_EXISTS
    assert there.read_text() == "mine"


def test_a_resumed_run_takes_the_blocks_that_are_there(lab, pair, monkeypatch):
    monkeypatch.setattr(planning, "BLOCK_EDGE", 64)
    _, _, before, after = pair
    compare(lab, before, after, "whole")
    request = SegmentRequest(
        InputSpec((str(before),)),
        OutputSpec(str(lab.folder / "out.tif")),
        others=(NamedInput("after", InputSpec((str(after),))),),
        change=ChangeOptions("classes"),
    )
    plan = settled_plan(request, lab.store, lab.work, lab.store.install)
    monkeypatch.setattr("engine.pipeline.run.publish", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_plan(plan, lab.store, lab.work, Silence())
    monkeypatch.undo()
    monkeypatch.setattr("engine.pipeline.run._merged", lambda *_: 1 / 0)
    again = settled_plan(request, lab.store, lab.work, lab.store.install)
    run_plan(again, lab.store, lab.work, Silence())
    np.testing.assert_array_equal(pixels(lab)[0], pixels(lab, "whole")[0])


def test_the_result_brings_its_legend_and_style(lab, pair):
    _, _, before, after = pair
    _, outcome = compare(lab, before, after)
    roles = {a.role: Path(a.uri) for a in outcome.artifacts}
    assert set(roles) == {"raster", "areas", "transitions", "matrix", "item"}
    assert all(path.is_file() for path in roles.values())
    style = ET.parse(lab.folder / "out.qml").getroot()
    entries = {e.get("label"): e for e in style.iter("paletteEntry")}
    assert entries["water → forest"].get("alpha") == "255"
    assert entries["water → water"].get("alpha") != "255"
    rows = ET.parse(lab.folder / "out.tif.aux.xml").getroot().iter("Row")
    assert ["12", "water → forest"] in [[f.text for f in row][:2] for row in rows]
    item = json.loads(roles["item"].read_text("utf-8"))
    assert is_stac_item(roles["item"])
    assert "matrix" in item["assets"]


def test_legends_come_from_a_stac_item_too_and_so_does_the_date(lab, pair):
    _, _, before, after = pair
    after.with_name("b.tif.aux.xml").unlink()
    classes = [
        {"value": c.id, "name": f"c-{c.id}", "title": c.name, "color_hint": "102030"}
        for c in LEGEND
    ]
    asset = {"href": "./b.tif", "type": "image/tiff", "classification:classes": classes}
    item = {"type": "Feature", "stac_version": "1.1.0", "assets": {"raster": asset}}
    item["properties"] = {"datetime": "2023-04-05T10:00:00Z"}
    after.with_suffix(".json").write_text(json.dumps(item))
    plan, _ = compare(lab, before, after)
    assert {r["to_class"] for r in table(lab)} == set(NAMES)
    assert plan.recipe.others[0].input.date == "2023-04-05T10:00:00Z"


@pytest.mark.shared
def test_a_models_map_of_dubai_against_the_one_drawn_by_hand(lab):
    """The matrix is then that of confusion, which is counted here in another way."""
    beside = Path(__file__).resolve().parents[3] / "shared"
    folder = Path(os.environ.get("SWATH_SHARED") or beside) / "data" / "dubai_mbrsc" / "tile_4"
    image, mask = (
        folder / k / f"image_part_001.{e}" for k, e in (("images", "jpg"), ("masks", "png"))
    )
    made = lab.folder / "model.tif"
    request = SegmentRequest(
        InputSpec((str(image),), profile="rgb8", gsd=1.0), OutputSpec(str(made)), "landcover"
    )
    work = lab.folder / "model"
    plan = settled_plan(
        request, lab.store, work, lambda c: lab.store.install(c, lambda *_: None, lambda: False)
    )
    run_plan(plan, lab.store, work, Silence())
    vector = lab.folder / "p.gpkg"
    _, outcome = compare(lab, mask, made, spec={"gsd": 1.0}, output={"vector": str(vector)})
    with rasterio.open(mask) as one, rasterio.open(made) as two:
        drawn, found, none = one.read(1), two.read(1), two.nodata
    valid = found != none
    wanted = np.zeros((256, 256), int)
    np.add.at(wanted, (drawn[valid], found[valid]), 1)
    rows = table(lab)
    counted = np.zeros_like(wanted)
    for row in rows:
        counted[int(row["from_id"]), int(row["to_id"])] = int(row["pixels"])
    np.testing.assert_array_equal(counted, wanted)
    changed = (drawn != found) & valid
    assert shapely.area(polygons(vector)[0]).sum() == changed.sum()
    share = changed.sum() / valid.sum()
    print(f"Dubai: {len(rows)} pairs, {100 * share:.1f} % differ")  # noqa: T201 - a figure
    assert outcome.summary.pixels == valid.sum()

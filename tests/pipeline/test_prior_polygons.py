"""A map of before as a further input: the same from a raster and from polygons."""

import hashlib
import json

import fiona
import numpy as np
import onnx
import pytest
import rasterio
import shapely
from onnx import TensorProto, helper, numpy_helper
from rasterio.features import shapes as traced
from rasterio.transform import from_origin
from rasterio.warp import transform_geom

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec, ModelClass, NamedInput
from engine.geo.tiling import TileRule
from engine.geo.window import Window
from engine.io.scene import open_scene
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput, Transform
from engine.models.cardfile import card_to_json
from engine.pipeline.inputs import open_inputs

BANDS = ("red", "nir")
LEGEND = {3: "Field", 5: "Built up", 8: "Water"}
CRS = "EPSG:32632"
SHAPE = (190, 230)
PLACE = {"crs": CRS, "transform": from_origin(500_000, 5_000_000, 10, 10)}


@pytest.fixture
def card(lab):
    """A network of three inputs: the class of before, but «Built up» where red has risen."""
    weight = np.zeros((3, 7, 1, 1), np.float32)
    weight[0, 4] = weight[1, 5] = weight[2, 6] = 1
    weight[1, [0, 2], 0, 0] = -5, 5
    path = lab.folder / "prior.onnx"
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "prior",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 7, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [numpy_helper.from_array(weight, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    dates = [
        ModelInput(BANDS, "reflectance", (-0.2, 2), (), 10, (8, 12), name=name)
        for name in ("before", "after")
    ]
    one_hot = (Transform("one-hot", tuple(map(float, LEGEND))),)
    prior = ModelInput(
        ("class",), "raw", (0, 9), one_hot, 10, (8, 12), name="prior", is_class_map=True
    )
    data = path.read_bytes()
    made = ModelCard(
        id="three",
        version="1",
        title="Three",
        summary="A test network",
        tasks=("semantic-segmentation",),
        inputs=(*dates, prior),
        tiling=TileRule(64, 4, 4, fixed=False),
        merge="crop",
        output=ModelOutput(
            tuple(ModelClass(i, n, "#777777") for i, n in LEGEND.items()), "softmax"
        ),
        file=ModelFile(path.as_uri(), hashlib.sha256(data).hexdigest(), len(data), "onnx"),
        license="CC0-1.0",
        attribution="Swath",
        citation="none",
    )
    place = path.with_suffix(".json")
    place.write_text(json.dumps(card_to_json(made)))
    return place, made


@pytest.fixture
def dates(lab):
    before = lab.data(*SHAPE)
    after = before.copy()
    after[0, 20:60, 30:90] += 0.9
    return [lab.scene(numbers, f"{n}.tif") for n, numbers in enumerate((before, after))]


@pytest.fixture
def codes():
    """Patches of three classes, and one without any."""
    found = np.full(SHAPE, 3, np.uint8)
    found[:, 100:] = 8
    found[70:150, 50:140] = 5
    found[100:110, 200:] = 0
    return found


@pytest.fixture
def raster(lab, codes):
    path = lab.folder / "prior.tif"
    layout = {"driver": "GTiff", "dtype": "uint8", "count": 1, "nodata": 0, **PLACE}
    with rasterio.open(path, "w", height=SHAPE[0], width=SHAPE[1], **layout) as target:
        target.write(codes[None])
        target.descriptions = ("class",)
    return path


@pytest.fixture
def made(raster, codes):
    """The same as a file and as an array."""
    return raster, codes


def polygons(codes, values=LEGEND, crs=CRS):
    """The same as polygons; value of the field by code."""
    for shape, code in traced(codes, mask=codes > 0, transform=PLACE["transform"]):
        yield transform_geom(CRS, crs, shape) if crs != CRS else shape, values[int(code)]


def write(path, rows, *, crs=CRS, kind="str", geometry="Polygon", layer="zones"):
    schema = {"geometry": geometry, "properties": {"class": kind, "note": "str"}}
    how = {"driver": "GPKG", "layer": layer, "crs": crs, "schema": schema}
    with fiona.open(path, "w", **how) as target:
        for shape, value in rows:
            properties = {"class": value, "note": "x"}
            target.write({"geometry": shape, "properties": properties})
    return f"{path}|layername={layer}|field=class"


def spec(uri):
    return NamedInput("", InputSpec((str(uri),), profile="raw"))


@pytest.fixture
def run(lab, card, dates):
    """The class raster that a map of before gives, as bytes of its pixels."""

    def go(uri, name="out"):
        after = NamedInput("after", InputSpec((str(dates[1]),), profile="reflectance"))
        plan = lab.plan(dates[0], card[0], name, others=(after, spec(uri)))
        lab.store.install(card[1], lambda _done, _total: None, lambda: False)
        lab.carry_out(plan)
        with rasterio.open(lab.folder / f"{name}.tif") as made:
            return made.read(1), plan

    return go


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (LEGEND, "str"),
        ({3: "FIELD", 5: "built UP", 8: " water"}, "str"),
        ({3: "3", 5: "5.0", 8: "8"}, "str"),
        ({3: 3, 5: 5, 8: 8}, "int"),
        ({3: 3.0, 5: 5.0, 8: 8.0}, "float"),
    ],
)
def test_names_and_numbers_give_the_bytes_of_the_raster(values, kind, run, made, lab):
    raster, codes = made
    wanted, _ = run(raster, "by raster")
    found, plan = run(write(lab.folder / "map.gpkg", polygons(codes, values), kind=kind))
    np.testing.assert_array_equal(found, wanted)
    assert (found[codes == 0] == 255).all()
    assert (found[25:55, 35:85] == 5).all()
    assert set(np.unique(found)) == {3, 5, 8, 255}
    assert any("map.gpkg" in note and "holds its centre" in note for note in plan.notes)


def test_polygons_of_another_crs_come_to_the_grid(run, raster, codes, lab):
    wanted, _ = run(raster, "by raster")
    rows = polygons(codes, crs="EPSG:4326")
    found, _ = run(write(lab.folder / "lonlat.gpkg", rows, crs="EPSG:4326"))
    assert (found != wanted).mean() < 2e-3, "only pixels whose centre lies on an edge"


def test_a_polygon_without_a_class_has_no_data_and_the_last_one_wins(run, codes, lab):
    whole = shapely.box(500_000, 4_998_100, 502_300, 5_000_000)
    part = shapely.box(500_500, 4_999_000, 501_000, 4_999_500)
    alone = shapely.box(501_500, 4_998_200, 502_000, 4_998_500)
    rows = [(shapely.geometry.mapping(s), v) for s, v in ((whole, "water"), (part, "field"))]
    found, _ = run(write(lab.folder / "two.gpkg", rows))
    assert (found[60:100, 50:100] == 3).all()
    assert (found[105:, 105:] == 8).all()
    empty, _ = run(
        write(lab.folder / "none.gpkg", [rows[1], (shapely.geometry.mapping(alone), None)]), "none"
    )
    assert (empty[160:175, 155:195] == 255).all()
    assert np.isin(empty, (3, 5)).sum() == 50 * 50


def test_every_window_shows_the_same(card, codes, dates, lab):
    uri = write(lab.folder / "map.gpkg", polygons(codes, crs="EPSG:4326"), crs="EPSG:4326")
    main = InputSpec((str(dates[0]),), profile="reflectance")
    others = (NamedInput("after", main), spec(uri))
    with open_inputs(card[1], main, others).sources() as sources:
        source = sources[2][0]
        whole = source.read(Window(0, 0, *SHAPE))
        for window in (Window(0, 0, 33, 47), Window(60, 40, 100, 111), Window(189, 0, 1, 230)):
            chip = source.read(window)
            rows, cols = window.slices
            np.testing.assert_array_equal(chip.data[0], whole.data[0][rows, cols])
            np.testing.assert_array_equal(chip.valid, whole.valid[rows, cols])


def test_the_plan_knows_field_and_layer(run, codes, lab):
    path = lab.folder / "map.gpkg"
    digests = set()
    for layer in ("one", "two"):
        rows = list(polygons(codes))
        with fiona.open(
            path,
            "w",
            driver="GPKG",
            layer=layer,
            crs=CRS,
            schema={"geometry": "Polygon", "properties": {"class": "str", "other": "str"}},
        ) as target:
            for shape, value in rows:
                target.write({"geometry": shape, "properties": {"class": value, "other": value}})
    for field in ("class", "other"):
        for layer in ("one", "two"):
            digests.add(run(f"{path}|layername={layer}|field={field}")[1].digest)
            for made in lab.folder.glob("out*"):
                made.unlink()
    assert len(digests) == 4


def broken(lab, codes):
    """Layers that cannot be a map of before: reference, code, and a word of the message."""
    folder = lab.folder
    line = {"type": "LineString", "coordinates": [(500_000, 5_000_000), (501_000, 4_999_000)]}
    good = list(polygons(codes))
    far = shapely.geometry.mapping(shapely.box(900_000, 4_998_100, 900_300, 4_998_400))
    odd = [(good[0][0], "forest"), (good[1][0], "Swamp"), *good[2:]]
    mixed = [(good[0][0], "field"), (good[1][0], "8")]
    return {
        "field": (
            write(folder / "f.gpkg", good).replace("field=class", "field=kind"),
            ErrorCode.FIELD_MISSING,
            "class, note",
        ),
        "no field": (
            write(folder / "n.gpkg", good).replace("|field=class", ""),
            ErrorCode.FIELD_MISSING,
            "class, note",
        ),
        "lines": (
            write(folder / "l.gpkg", [(line, "field")], geometry="LineString"),
            ErrorCode.LAYER_EMPTY,
            "lines",
        ),
        "empty": (write(folder / "e.gpkg", []), ErrorCode.LAYER_EMPTY, "no feature"),
        "layer": (
            write(folder / "y.gpkg", good).replace("=zones", "=zone"),
            ErrorCode.INPUT_UNREADABLE,
            "It holds zones",
        ),
        "file": (f"{folder / 'no.gpkg'}|field=class", ErrorCode.INPUT_NOT_FOUND, "no.gpkg"),
        "values": (write(folder / "v.gpkg", odd), ErrorCode.CLASS_UNKNOWN, "Swamp, forest"),
        "mixed": (write(folder / "m.gpkg", mixed), ErrorCode.CLASS_UNKNOWN, "mixes"),
        "null": (
            write(folder / "0.gpkg", [(good[0][0], None)]),
            ErrorCode.CLASS_UNKNOWN,
            "is empty",
        ),
        "crs": (write(folder / "c.gpkg", good, crs=None), ErrorCode.CRS_MISSING, "reference"),
        "place": (
            write(folder / "p.gpkg", [(far, "field")]),
            ErrorCode.INPUT_GRID_MISMATCH,
            "overlaps",
        ),
    }


CASES = (
    *("field", "no field", "lines", "empty", "layer", "file"),
    *("values", "mixed", "null", "crs", "place"),
)


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_a_map_is_refused_before_anything_is_written(case, run, codes, lab):
    uri, code, word = broken(lab, codes)[case]
    with pytest.raises(EngineError) as caught:
        run(uri)
    assert caught.value.code is code
    assert word in str(caught.value)
    assert caught.value.hint
    assert not (lab.folder / "out.tif").exists()


def test_polygons_are_no_image(lab, card, dates, codes):
    uri = write(lab.folder / "map.gpkg", polygons(codes))
    main = InputSpec((str(dates[0]),), profile="reflectance")
    with pytest.raises(EngineError) as caught:
        open_inputs(card[1], main, (NamedInput("after", InputSpec((uri,))), spec(uri)))
    assert caught.value.code is ErrorCode.REQUEST_INVALID
    assert "«after»" in caught.value.message
    with pytest.raises(EngineError):
        open_inputs(card[1], InputSpec((uri,)), ())
    assert open_scene(main).grid.shape == SHAPE

"""Every pattern of input and output that a card can say, on a real raster from end to end."""

import dataclasses
import hashlib
import json

import numpy as np
import onnx
import pytest
import rasterio
from onnx import TensorProto, helper, numpy_helper
from rasterio.transform import from_origin

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec, ModelClass, NamedInput
from engine.geo.tiling import TileRule
from engine.models.card import (
    Derived,
    ModelCard,
    ModelFile,
    ModelInput,
    ModelOutput,
    Transform,
    ValueBand,
)
from engine.models.cardfile import card_from_json, card_to_json
from engine.models.encode import encoding_of

BANDS = ("red", "nir")
TWO = (ModelClass(0, "same", "#888888"), ModelClass(1, "changed", "#d03030"))
PLACE = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 10, 10)}


def given(name="image", bands=BANDS, **changes):
    return ModelInput(bands, "reflectance", (-0.2, 2), (), 10, (8, 12), name=name, **changes)


def save(path, nodes, inputs, output, constants=()):
    """A network of float32 arrays of any size."""
    graph = helper.make_graph(
        nodes,
        "pattern",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


@pytest.fixture
def install(lab):
    """The card of a saved network, as a file."""

    def go(path, inputs, output, rule, **changes):
        data = path.read_bytes()
        card = ModelCard(
            id="pattern",
            version="1",
            title="Pattern",
            summary="A test network",
            tasks=changes.pop("tasks", ("semantic-segmentation",)),
            inputs=inputs,
            tiling=rule,
            merge=changes.pop("merge", "crop"),
            output=output,
            file=ModelFile(path.as_uri(), hashlib.sha256(data).hexdigest(), len(data), "onnx"),
            license="CC0-1.0",
            attribution="Swath",
            citation="none",
            **changes,
        )
        assert card_from_json(json.loads(json.dumps(card_to_json(card)))) == card
        place = path.with_suffix(".json")
        place.write_text(json.dumps(card_to_json(card)))
        return place

    return go


def read(lab, name="out"):
    with rasterio.open(lab.folder / f"{name}.tif") as raster:
        return raster.read(), raster.profile, raster.descriptions, raster.units


def other(name, path, date=None):
    return NamedInput(name, InputSpec((str(path),), profile="reflectance", date=date))


ANY = ["n", 2, "h", "w"]
FREE = TileRule(64, 4, 4, fixed=False)


@pytest.mark.parametrize("joining", ["channels", "separate", "stacked"])
def test_two_dates_give_changes(lab, install, joining):
    path = lab.folder / "change.onnx"
    difference = [
        helper.make_node("Sub", ["p", "q"], ["d"]),
        helper.make_node("Abs", ["d"], ["a"]),
        helper.make_node("ReduceSum", ["a", "axis"], ["s"], keepdims=1),
        helper.make_node("Sub", ["s", "limit"], ["y"]),
    ]
    constants = [("axis", np.array([1])), ("limit", np.float32(0.2))]
    if joining == "separate":
        inputs = [("p", ANY), ("q", ANY)]
        nodes = difference
    elif joining == "channels":
        inputs = [("x", ["n", 4, "h", "w"])]
        nodes = [helper.make_node("Split", ["x"], ["p", "q"], axis=1, num_outputs=2), *difference]
        nodes[0] = helper.make_node("Split", ["x", "parts"], ["p", "q"], axis=1)
        constants.append(("parts", np.array([2, 2])))
    else:
        inputs = [("x", ["n", 2, 2, "h", "w"])]
        first = helper.make_node("Gather", ["x", "zero"], ["p"], axis=1)
        second = helper.make_node("Gather", ["x", "one"], ["q"], axis=1)
        nodes = [first, second, *difference]
        constants += [("zero", np.array(0)), ("one", np.array(1))]
    save(path, nodes, inputs, ["n", 1, "h", "w"], constants)
    card = install(
        path,
        (given("before"), given("after")),
        ModelOutput(TWO, "sigmoid"),
        FREE,
        joining=joining,
    )
    before = lab.data(150, 130)
    after = before.copy()
    after[:, 40:90, 30:60] = 1 - after[:, 40:90, 30:60]
    one, two = lab.scene(before, "one.tif"), lab.scene(after, "two.tif")
    lab.run(one, card, others=(other("after", two),))
    found = read(lab)[0][0]
    wanted = np.abs(before - after).sum(axis=0) >= 0.2
    np.testing.assert_array_equal(found == 1, wanted)


def test_two_dates_and_a_map_of_before(lab, install):
    path = lab.folder / "prior.onnx"
    # the class of before, unless the bands say otherwise: 3 channels of the map, 2 + 2 bands
    weight = np.zeros((3, 7, 1, 1), np.float32)
    weight[0, 4] = weight[1, 5] = weight[2, 6] = 1
    weight[1, [0, 2], 0, 0] = -5, 5
    save(
        path,
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        [("x", ["n", 7, "h", "w"])],
        ["n", 3, "h", "w"],
        [("w", weight)],
    )
    classes = tuple(ModelClass(i, n, "#777777") for i, n in ((3, "a"), (5, "b"), (8, "c")))
    prior = ModelInput(
        ("class",),
        "raw",
        (0, 9),
        (Transform("one-hot", (3.0, 5.0, 8.0)),),
        10,
        (8, 12),
        name="prior",
        is_class_map=True,
    )
    card = install(
        path, (given("before"), given("after"), prior), ModelOutput(classes, "softmax"), FREE
    )
    before = lab.data(90, 80)
    after = before.copy()
    after[0, 20:40, 20:40] = before[0, 20:40, 20:40] + 0.9
    codes = np.full((1, 90, 80), 3, np.uint8)
    codes[0, :, 40:] = 8
    scenes = [lab.scene(before, "one.tif"), lab.scene(after, "two.tif")]
    path = lab.folder / "prior.tif"
    layout = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": 90, "width": 80, **PLACE}
    with rasterio.open(path, "w", **layout) as target:
        target.write(codes)
        target.descriptions = ("class",)
    spec = InputSpec((str(path),), profile="raw")
    lab.run(scenes[0], card, others=(other("after", scenes[1]), NamedInput("prior", spec)))
    wanted = codes[0].copy()
    wanted[20:40, 20:40] = 5
    np.testing.assert_array_equal(read(lab)[0][0], wanted)


@pytest.mark.parametrize("merge", ["crop", "weighted"])
@pytest.mark.parametrize("pixel", [10.0, 5.0])
def test_a_stack_gives_a_value_and_how_sure_it_is(lab, install, merge, pixel):
    path = lab.folder / "value.onnx"
    weight = np.array([[100, 50], [0, 0]], np.float32)[:, :, None, None]
    bias = np.array([3, 2 * np.log(7)], np.float32)
    save(
        path,
        [helper.make_node("Conv", ["x", "w", "b"], ["y"])],
        [("x", ANY)],
        ["n", 2, "h", "w"],
        [("w", weight), ("b", bias)],
    )
    output = ModelOutput(
        values=(
            ValueBand("biomass", "Mg/ha", (0, 120)),
            ValueBand("standard deviation", "Mg/ha", measure="log-variance"),
        )
    )
    card = install(path, (given(),), output, FREE, tasks=("regression",), merge=merge)
    data = lab.data(130, 100)
    data[:, 5:20, 7:30] = np.nan
    lab.run(lab.scene(data, pixel=pixel), card)
    found, profile, names, units = read(lab)
    assert names == ("biomass", "standard deviation")
    assert units == ("Mg/ha", "Mg/ha")
    assert profile["dtype"] == "float32"
    assert np.isnan(profile["nodata"])
    empty = np.isnan(data[0])
    assert np.isnan(found[:, empty]).all()
    np.testing.assert_allclose(found[1][~empty], 7, rtol=1e-5)
    wanted = np.clip(100 * data[0] + 50 * data[1] + 3, 0, 120)
    error = np.abs(found[0] - wanted)[~empty]
    assert error.max() < 1e-3 if pixel == 10 else np.median(error) < 2


@pytest.mark.parametrize("merge", ["crop", "weighted"])
def test_a_raster_gives_embeddings_of_patches(lab, install, merge):
    path = lab.folder / "embed.onnx"
    weight = np.random.default_rng(0).normal(size=(5, 2, 4, 4)).astype(np.float32)
    save(
        path,
        [helper.make_node("Conv", ["x", "w"], ["y"], strides=[4, 4])],
        [("x", ANY)],
        ["n", 5, "h", "w"],
        [("w", weight)],
    )
    bands = tuple(ValueBand(f"dimension {n}") for n in range(5))
    card = install(
        path,
        (given(),),
        ModelOutput(values=bands, cell=4),
        TileRule(32, 8, 4, fixed=False),
        tasks=("similarity-search",),
        merge=merge,
    )
    data = lab.data(100, 72)
    lab.run(lab.scene(data), card)
    found, profile, names, _ = read(lab)
    assert found.shape == (5, 25, 18)
    assert profile["transform"] == PLACE["transform"] @ rasterio.Affine.scale(4)
    assert names[4] == "dimension 4"
    patches = data.reshape(2, 25, 4, 18, 4)
    wanted = np.einsum("kcij,crixj->krx", weight, patches)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_part_of_the_raster_gives_the_same_patches(lab, install):
    path = lab.folder / "embed.onnx"
    weight = np.ones((1, 2, 4, 4), np.float32)
    save(
        path,
        [helper.make_node("Conv", ["x", "w"], ["y"], strides=[4, 4])],
        [("x", ANY)],
        ["n", 1, "h", "w"],
        [("w", weight)],
    )
    card = install(
        path, (given(),), ModelOutput(values=(ValueBand("sum"),), cell=4), TileRule(32, 0, 4)
    )
    scene = lab.scene(lab.data(70, 90))
    lab.run(scene, card, "whole")
    from engine.contract.messages import Region  # noqa: PLC0415

    west, north = 500_000 + 170, 5_000_000 - 110
    lab.run(scene, card, "part", region=Region((west, north - 300, west + 400, north)))
    whole, place, *_ = read(lab, "whole")
    part, where, *_ = read(lab, "part")
    col, row = ~place["transform"] @ (where["transform"].c, where["transform"].f)
    assert (col, row) == (4, 2)
    np.testing.assert_array_equal(part, whole[:, 2 : 2 + part.shape[1], 4 : 4 + part.shape[2]])


def test_tiles_get_labels_and_a_layer_of_squares(lab, install):
    import pyogrio  # noqa: PLC0415

    path = lab.folder / "label.onnx"
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0),
    ]
    save(path, nodes, [("x", ["n", 2, 16, 16])], ["n", 2])
    classes = (ModelClass(2, "red", "#aa0000"), ModelClass(4, "nir", "#00aa00"))
    card = install(
        path,
        (given(),),
        ModelOutput(classes, "softmax", cell=16),
        TileRule(16, 0, 16),
        tasks=("scene-classification",),
    )
    data = lab.data(80, 100)
    data[:, 60:, :20] = np.nan
    vector = str(lab.folder / "squares.gpkg")
    lab.run(lab.scene(data), card, output={"vector": vector})
    found = read(lab)[0][0]
    assert found.shape == (5, 7)
    for row in range(5):
        for col in range(6):
            part = data[:, row * 16 : row * 16 + 16, col * 16 : col * 16 + 16]
            share = np.isfinite(part[0]).mean()
            if share == 1:
                means = part.mean(axis=(1, 2))
                assert found[row, col] == (2 if means[0] >= means[1] else 4)
            elif share < 0.5:
                assert found[row, col] == 255
    _, _, geometry, _ = pyogrio.raw.read(vector, layer="squares")
    assert len(geometry) == (found != 255).sum()


def test_a_finer_raster_comes_back(lab, install):
    path = lab.folder / "finer.onnx"
    save(
        path,
        [helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest")],
        [("x", ANY)],
        ["n", 2, "h", "w"],
        [("scales", np.array([1, 1, 2, 2], np.float32))],
    )
    bands = (ValueBand("red"), ValueBand("nir"))
    card = install(
        path,
        (given(),),
        ModelOutput(values=bands, zoom=2),
        FREE,
        tasks=("super-resolution",),
        merge="weighted",
    )
    data = lab.data(75, 90)
    lab.run(lab.scene(data), card)
    found, profile, *_ = read(lab)
    np.testing.assert_allclose(found, data.repeat(2, 1).repeat(2, 2), rtol=1e-6)
    assert profile["transform"] == PLACE["transform"] @ rasterio.Affine.scale(0.5)


def test_a_series_of_dates_with_months(lab, install):
    path = lab.folder / "series.onnx"
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["a"], axes=[1], keepdims=0),
        helper.make_node("ReduceSum", ["m", "axis"], ["b"], keepdims=1),
        helper.make_node("Reshape", ["b", "shape"], ["c"]),
        helper.make_node("Add", ["a", "c"], ["y"]),
    ]
    constants = [("axis", np.array([1])), ("shape", np.array([-1, 1, 1, 1]))]
    inputs = [("x", ["n", "t", 2, "h", "w"]), ("m", ["n", "t"])]
    save(path, nodes, inputs, ANY, constants)
    bands = (ValueBand("red"), ValueBand("nir"))
    card = install(
        path, (given(dates=(2, 6)),), ModelOutput(values=bands), FREE, tasks=("regression",)
    )
    series = [lab.data(60, 50, seed) for seed in range(3)]
    paths = [lab.scene(d, f"{n}.tif") for n, d in enumerate(series)]
    dates = ("2024-03-01", "2024-01-15", "2024-11-30")
    others = tuple(other("image", p, d) for p, d in zip(paths[1:], dates[1:], strict=True))
    lab.run(paths[0], card, others=others, input={"date": dates[0]})
    np.testing.assert_allclose(read(lab)[0], np.mean(series, axis=0) + 3 + 1 + 11, rtol=1e-6)
    with pytest.raises(EngineError, match="tell no date"):
        lab.run(paths[0], card, "undated", others=others)
    with pytest.raises(EngineError, match="takes 2 to 6 rasters"):
        lab.run(paths[0], card, "alone", input={"date": dates[0]})
    assert not (lab.folder / "alone.tif").exists()
    for scene in paths:
        with rasterio.open(scene, "r+") as target:
            target.descriptions = (None, None)
    named = {"date": dates[0], "bands": {"red": "1", "nir": "2"}}  # which count for the others too
    lab.run(paths[0], card, "named", others=others, input=named)
    np.testing.assert_array_equal(read(lab, "named")[0], read(lab)[0])


def test_inputs_on_other_grids_are_brought_to_the_first(lab, install):
    path = lab.folder / "sum.onnx"
    save(
        path,
        [helper.make_node("Add", ["p", "q"], ["y"])],
        [("p", ["n", 1, "h", "w"]), ("q", ["n", 1, "h", "w"])],
        ["n", 1, "h", "w"],
    )
    one, two = given("image", ("red",)), given("height", ("nir",))
    card = install(
        path,
        (one, two),
        ModelOutput(values=(ValueBand("sum"),)),
        FREE,
        joining="separate",
        tasks=("regression",),
    )
    rows, cols = np.mgrid[:60, :60].astype(np.float32) / 100
    fine = lab.scene(np.stack([rows, cols]), "fine.tif")
    rows, cols = (np.mgrid[:30, :30].astype(np.float32) * 2 + 0.5) / 100
    coarse = lab.scene(np.stack([rows, cols]), "coarse.tif", pixel=20.0)
    outcome = lab.run(fine, card, others=(other("height", coarse),))
    found = read(lab)[0][0]
    rows, cols = np.mgrid[:60, :60] / 100
    np.testing.assert_allclose(found[2:-2, 2:-2], (rows + cols)[2:-2, 2:-2], atol=1e-4)
    assert any("«height»" in note for note in outcome.summary.notes)


@pytest.mark.parametrize(
    ("others", "says"),
    [((), "takes 1 rasters as «after»"), (("sideways",), "has no input «sideways»")],
)
def test_missing_and_unknown_inputs(lab, install, others, says):
    path = lab.folder / "sum.onnx"
    save(path, [helper.make_node("Add", ["p", "q"], ["y"])], [("p", ANY), ("q", ANY)], ANY)
    bands = (ValueBand("a"), ValueBand("b"))
    card = install(
        path,
        (given("before"), given("after")),
        ModelOutput(values=bands),
        FREE,
        joining="separate",
    )
    scene = lab.scene(lab.data(20, 20))
    with pytest.raises(EngineError) as caught:
        lab.run(scene, card, others=tuple(other(name, scene) for name in others))
    assert caught.value.code is ErrorCode.REQUEST_INVALID
    assert says in caught.value.message
    assert not (lab.folder / "out.tif").exists()


def test_where_a_pixel_is_can_be_a_channel(lab, install):
    path = lab.folder / "where.onnx"
    save(
        path,
        [helper.make_node("Identity", ["x"], ["y"])],
        [("x", ["n", 6, "h", "w"])],
        ["n", 6, "h", "w"],
    )
    kinds = ("lat-cos", "lat-sin", "lon-cos", "lon-sin")
    derived = tuple(Derived(kind) for kind in kinds)
    bands = tuple(ValueBand(n) for n in (*BANDS, *kinds))
    card = install(path, (given(derived=derived),), ModelOutput(values=bands), FREE)
    lab.run(lab.scene(lab.data(40, 30)), card)
    found = read(lab)[0]
    import pyproj  # noqa: PLC0415

    moved = pyproj.Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)
    lon, lat = moved.transform(500_000 + 10 * 12.5, 5_000_000 - 10 * 30.5)
    wanted = [
        (np.cos(np.pi * lat / 90) + 1) / 2,
        (np.sin(np.pi * lat / 90) + 1) / 2,
        (np.cos(np.pi * lon / 180) + 1) / 2,
        (np.sin(np.pi * lon / 180) + 1) / 2,
    ]
    np.testing.assert_allclose(found[2:, 30, 12], wanted, atol=1e-6)
    assert np.ptp(found[2]) > 0


def test_steps_follow_each_other_as_the_card_says():
    steps = (
        Transform("scale", (2.0,)),
        Transform("decibel", (0.01,)),
        Transform("clip", (-15.0,), (5.0,)),
        Transform("min-max", (-15.0,), (5.0,)),
    )
    wanted = dataclasses.replace(given(), transforms=steps)
    encode = encoding_of(wanted, (0.5, 0.5), (0, 0))
    stored = np.array([[[1.0, 1e-9]], [[100.0, 10.0]]], np.float32)
    np.testing.assert_allclose(encode(stored, None), [[[0.75, 0]], [[1, 1]]], atol=1e-6)


def test_classes_stay_bytes(lab):
    with pytest.raises(EngineError, match="gives classes, which are bytes"):
        lab.plan(lab.scene(lab.data(20, 20)), lab.card(), output={"value_type": "uint16"})


def test_codes_can_lie_on_a_circle():
    wanted = dataclasses.replace(given(), transforms=(Transform("cycle", (100.0,)),))
    assert wanted.channels == 4
    encode = encoding_of(wanted, (1, 1), (0, 0))
    found = encode(np.array([[[0.0, 25.0]], [[50.0, 125.0]]], np.float32), None)
    assert found[:, 0, 0] == pytest.approx([1, 0.5, 0, 0.5], abs=1e-6)
    assert found[:, 0, 1] == pytest.approx([0.5, 1, 0.5, 1], abs=1e-6)


def test_indices_are_channels():
    wanted = given(derived=(Derived("normalized-difference", ("nir", "red")),))
    encode = encoding_of(wanted, (1, 1), (0, 0))
    stored = np.array([[[0.1, 0.0]], [[0.3, 0.0]]], np.float32)
    np.testing.assert_allclose(encode(stored, None)[2], [[0.5, 0]], atol=1e-6)

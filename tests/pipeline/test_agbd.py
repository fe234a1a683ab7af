"""Biomass from seven layers by a card, as AGBD defines its channels, end to end."""

import dataclasses
import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import rasterio
from onnx import TensorProto, helper
from typer.testing import CliRunner

from engine.cli.app import app
from engine.contract.errors import EngineError, ErrorCode
from engine.models.card import ModelOutput, ValueBand
from engine.models.cardfile import card_to_json, read_card
from engine.models.channels import KEY, channels_of
from engine.models.onnx_facts import facts_of

sys.path.append(str(Path(__file__).parent))
import agbd_scene
from agbd_scene import (
    AFTER,
    BEFORE,
    COL,
    HEIGHT,
    ROW,
    STATISTICS,
    WIDTH,
    by_hand,
    make_sources,
    write_statistics,
)

agbd_network = agbd_scene.agbd_network

CHANNELS = 24
WIDTHS = agbd_network.WIDTHS


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("SWATH_STATE", str(tmp_path / "state"))


@pytest.fixture
def card(tmp_path):
    """With percentiles, without a file."""
    return agbd_network.card_with(
        agbd_network.read_statistics(write_statistics(tmp_path / "statistics.pkl"))
    )


def weights(seed=0, channels=CHANNELS):
    """A checkpoint's arrays under Lightning's names."""
    rng = np.random.default_rng(seed)
    state, into = {}, channels
    for number, out in enumerate(WIDTHS):
        name = f"model.model.conv_layers.{3 * number}"
        state[f"{name}.weight"] = rng.normal(0, (into * 9) ** -0.5, (out, into, 3, 3))
        state[f"{name}.bias"] = rng.normal(0, 0.1, out)
        name = f"model.model.conv_layers.{3 * number + 1}"
        state[f"{name}.weight"] = rng.uniform(0.5, 1.5, out)
        state[f"{name}.bias"] = rng.normal(0.2, 0.1, out)
        state[f"{name}.running_mean"] = rng.normal(0, 0.1, out)
        state[f"{name}.running_var"] = rng.uniform(0.2, 1, out)
        state[f"{name}.num_batches_tracked"] = np.array(7)
        into = out
    state["model.model.conv_output.weight"] = rng.normal(5, 1, (1, into, 1, 1))
    state["model.model.conv_output.bias"] = rng.normal(0, 0.1, 1)
    return {name: np.asarray(array, np.float32) for name, array in state.items()}


def save(card, content, path):
    """A file with its card beside it."""
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    told = agbd_network.filed(card, content, path.name, digest)
    path.with_suffix(".json").write_text(json.dumps(card_to_json(told)), encoding="utf-8")
    return path


@pytest.fixture
def network(card, tmp_path):
    """Its file, made from arrays."""
    layers = agbd_network.layers_of(weights(), CHANNELS)
    return save(card, agbd_network.network_of(layers, card), tmp_path / "fcn.onnx")


@pytest.fixture
def mirror(card, tmp_path):
    """A network that gives its channels back, and so shows them."""
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", CHANNELS, "h", "w"])
        for name in "xy"
    ]
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "mirror", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    values = tuple(ValueBand(name) for name in channels_of(card))
    card = dataclasses.replace(card, output=ModelOutput(values=values))
    return save(card, model.SerializeToString(), tmp_path / "mirror.onnx")


def biomass(*words):
    return CliRunner().invoke(app, ["biomass", *map(str, words)])


def read(path):
    with rasterio.open(path) as raster:
        return raster.read(), raster.nodata, raster.descriptions


def test_channels_are_those_of_the_definition(mirror, tmp_path):
    sources = make_sources(tmp_path)
    result = biomass(sources.s2, tmp_path / "o.tif", "--model", mirror, *sources.options)
    assert result.exit_code == 0, result.output
    found, _, names = read(tmp_path / "o.tif")
    assert names[12:16] == ("s2:lat-cos", "s2:lat-sin", "s2:lon-cos", "s2:lon-sin")
    pixel = found[:, ROW, COL]
    # Sentinel-2, B01 stored as 1100: (1100 - 1000) / 10000 = 0.01, the 1st percentile
    # B04, 1400: 0.04, percentiles 0.01 and 0.24; B12, 2200: 0.12, percentiles 0.01 and 0.32
    assert pixel[[0, 3, 11]] == pytest.approx([0, 0.03 / 0.23, 0.11 / 0.31], abs=1e-5)
    # 30 N, 60 E: both half turns are 60 degrees, cosine 1/2, sine 0.8660254
    assert pixel[12:16] == pytest.approx([0.75, 0.9330127, 0.75, 0.9330127], abs=1e-6)
    # 20 log10 4000 = 72.0412, less 83 is -10.9588 dB between -20 and 0; 2000 gives -16.9794
    assert pixel[16:18] == pytest.approx([0.452060, 0.520824], abs=1e-5)
    # 5 + 0.2 * 24 = 9.8 m of 40; 3 m between 1 and 5
    assert pixel[18:20] == pytest.approx([0.245, 0.5], abs=1e-5)
    # code 20: 72 degrees, cosine 0.309017, sine 0.9510565; 80 %
    assert pixel[20:23] == pytest.approx([0.6545085, 0.9755283, 0.8], abs=1e-5)
    # 512 m between 12 and 2012
    assert pixel[23] == pytest.approx(0.25, abs=1e-5)
    # east of it, code 111 is 39.6 degrees beyond a whole turn
    assert found[20:22, ROW, 45] == pytest.approx([0.8852566, 0.8187120], abs=1e-5)
    wanted = by_hand(sources, offset=1)
    whole = sources.numbers[0] > 0
    np.testing.assert_allclose(found[:, whole], wanted[:, whole], atol=2e-5)
    assert np.isnan(found[:, ~whole]).all()


def test_latitude_differs_from_row_to_row(mirror, tmp_path):
    sources = make_sources(tmp_path)
    biomass(sources.s2, tmp_path / "o.tif", "--model", mirror, *sources.options)
    cosine, sine, lon_cosine, _ = read(tmp_path / "o.tif")[0][12:16]
    assert len(np.unique(cosine[:, 0])) == len(np.unique(sine[:, 0])) == HEIGHT
    assert len(np.unique(lon_cosine[0])) == WIDTH
    assert (cosine == cosine[:, :1])[:, 20:].all()
    assert (np.diff(cosine[:, 0]) > 0).all()  # southwards, nearer to the equator


@pytest.mark.parametrize(("product", "offset"), [(AFTER, 1), (BEFORE, 0)])
@pytest.mark.parametrize("told", [True, False], ids=["metadata", "profile"])
def test_the_offset_goes_by_the_date_of_processing(mirror, tmp_path, product, offset, told):
    sources = make_sources(tmp_path, product)
    scene, options = sources.s2, []
    if not told:
        scene = sources.s2.rename(tmp_path / "scene.tif")
        options = ["--input-profile", f"sentinel2-l2a{'-0400' if offset else ''}"]
    result = biomass(scene, tmp_path / "o.tif", "--model", mirror, *sources.options, *options)
    assert result.exit_code == 0, result.output
    found = read(tmp_path / "o.tif")[0]
    red = {1: 0.03 / 0.23, 0: 0.13 / 0.23}[offset]
    assert found[3, ROW, COL] == pytest.approx(red, abs=1e-5)
    np.testing.assert_allclose(found[:, ROW], by_hand(sources, offset)[:, ROW], atol=2e-5)


def test_gaps_of_further_layers_are_zero_and_have_a_result(mirror, tmp_path):
    sources = make_sources(tmp_path)
    for name, value in (("alos", 0), ("dem", -9999), ("landcover", 255)):
        with rasterio.open(sources.others[name], "r+") as raster:
            data = raster.read()
            data[:, 1:] = value
            raster.write(data)
    result = biomass(sources.s2, tmp_path / "o.tif", "--model", mirror, *sources.options)
    assert result.exit_code == 0, result.output
    found = read(tmp_path / "o.tif")[0]
    assert (found[[16, 17, 20, 21, 22, 23], ROW, COL] == 0).all()
    assert found[18, ROW, COL] == pytest.approx(0.245, abs=1e-5)


def test_each_layer_is_said_to_be_warped_once(mirror, tmp_path):
    sources = make_sources(tmp_path)
    result = biomass(sources.s2, tmp_path / "o.tif", "--model", mirror, *sources.options, "--json")
    notes = json.loads(result.stdout)["summary"]["notes"]
    moved = [note for note in notes if "brought to the first raster's grid" in note]
    assert len(moved) == 6
    assert any("«landcover»" in note and "nearest" in note for note in moved)
    assert any("«alos»" in note and "linear" in note for note in moved)


def test_the_network_sees_what_was_stacked_by_hand(network, tmp_path):
    sources = make_sources(tmp_path)
    result = biomass(sources.s2, tmp_path / "o.tif", "--model", network, *sources.options)
    assert result.exit_code == 0, result.output
    found = read(tmp_path / "o.tif")[0][0]
    stacked = by_hand(sources, offset=1).astype(np.float32)
    stacked[:16, sources.numbers[0] == 0] = 0
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"channels": stacked[None]})[0][0, 0]
    whole = sources.numbers[0] > 0
    assert np.ptp(wanted[whole]) > 1
    np.testing.assert_allclose(found[whole], np.clip(wanted, 0, None)[whole], rtol=2e-3)


def test_the_card_without_weights_says_how_to_make_them(tmp_path):
    sources = make_sources(tmp_path)
    result = biomass(sources.s2, tmp_path / "o.tif", "--model", "agbd-fcn", *sources.options)
    assert result.exit_code != 0
    assert "MODEL_NOT_INSTALLED" in result.output
    assert "scripts/convert/agbd" in result.output
    shown = CliRunner().invoke(app, ["models", "show", "agbd-fcn"]).output
    assert "CC-BY-NC-4.0 (no commercial use)" in shown
    assert "Models/download.sh" in shown


def test_the_template_is_written_as_this_version_writes_it():
    told = json.loads(agbd_network.TEMPLATE.read_text(encoding="utf-8"))
    written = card_to_json(read_card(agbd_network.TEMPLATE))
    written["assets"]["model"]["href"] = told["assets"]["model"]["href"]
    assert written == told


def test_a_layer_left_out_is_named(network, tmp_path):
    sources = make_sources(tmp_path)
    result = biomass(sources.s2, tmp_path / "o.tif", "--model", network, *sources.options[:-4])
    assert result.exit_code != 0
    assert "takes 1 rasters as «landcover-probability», and 0 are given" in result.output


def test_whole_numbers(network, tmp_path):
    sources = make_sources(tmp_path)
    words = [sources.s2, "--model", network, *sources.options]
    biomass(*words[:1], tmp_path / "f.tif", *words[1:])
    told = biomass(*words[:1], tmp_path / "o.tif", *words[1:], "--output-type", "uint16", "--json")
    assert told.exit_code == 0, told.output
    found, nodata, _ = read(tmp_path / "o.tif")
    plain = read(tmp_path / "f.tif")[0]
    assert found.dtype == np.uint16
    assert nodata == 65535
    empty = np.isnan(plain)
    assert empty.any()
    assert (found[empty] == 65535).all()
    np.testing.assert_array_equal(found[~empty], np.rint(plain[~empty]))
    notes = json.loads(told.stdout)["summary"]["notes"]
    assert any("65535 means no data" in note for note in notes)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "either of canopy height by a formula, or by a model"),
        (["--model", "agbd-fcn", "--height", "chm.tif"], "Give one of"),
        (["--model", "agbd-fcn"], "nothing to look at"),
        (["scene.tif", "--height", "chm.tif"], "canopy height alone"),
    ],
)
def test_a_formula_or_a_model(tmp_path, words, says):
    inputs = [word for word in words if word == "scene.tif"]
    result = biomass(*inputs, tmp_path / "o.tif", *words[len(inputs) :])
    assert isinstance(result.exception, EngineError)
    assert result.exception.code is ErrorCode.REQUEST_INVALID
    assert says in f"{result.exception.message} {result.exception.hint}"


# --- the converter -----------------------------------------------------------------------------


def test_a_file_tells_the_order_of_its_channels(network):
    told = json.loads(facts_of(network.read_bytes()).metadata[KEY])
    card = read_card(network.with_suffix(".json"))
    assert tuple(told) == channels_of(card)
    assert told[:2] == ["s2:coastal", "s2:blue"]
    assert told[12:] == [
        *(f"s2:{name}" for name in ("lat-cos", "lat-sin", "lon-cos", "lon-sin")),
        "alos:hh",
        "alos:hv",
        "height:band-1",
        "height-deviation:band-1",
        "landcover:band-1:cos",
        "landcover:band-1:sin",
        "landcover-probability:band-2",
        "dem:band-1",
    ]


def test_a_wrong_order_of_channels_is_refused(network, card, tmp_path):
    sources = make_sources(tmp_path)
    s2, *rest = card.inputs
    bands = (s2.bands[1], s2.bands[0], *s2.bands[2:])
    turned = dataclasses.replace(card, inputs=(dataclasses.replace(s2, bands=bands), *rest))
    save(turned, network.read_bytes(), network)
    result = biomass(sources.s2, tmp_path / "o.tif", "--model", network, *sources.options)
    assert result.exit_code != 0
    assert "takes «s2:coastal» as channel 1; its card says «s2:blue»" in result.output


def test_a_wrong_number_of_channels_is_refused(network, card, tmp_path):
    sources = make_sources(tmp_path)
    fewer = dataclasses.replace(card, inputs=card.inputs[:-1])
    for content in (network.read_bytes(), untold(network)):
        save(fewer, content, network)
        words = sources.options[:-4] + sources.options[-2:]
        result = biomass(sources.s2, tmp_path / "o.tif", "--model", network, *words)
        assert result.exit_code != 0
        assert "24" in result.output
        assert "23" in result.output


def untold(path):
    """The file without what it says of its channels."""
    model = onnx.load(path)
    del model.metadata_props[:]
    return model.SerializeToString()


def test_statistics_run_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return subprocess.call, (["true"],)

    path = tmp_path / "statistics.pkl"
    path.write_bytes(pickle.dumps({"S2_bands": Evil()}))
    with pytest.raises(agbd_network.NoNetworkError, match=r"want to run subprocess\.call"):
        agbd_network.read_statistics(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_statistics_of_any_age_are_read(tmp_path, protocol):
    path = tmp_path / "statistics.pkl"
    path.write_bytes(pickle.dumps(STATISTICS | {"more": np.arange(3.0)}, protocol))
    found = agbd_network.read_statistics(path)
    assert found["S2_bands"]["B03"]["p99"] == pytest.approx(0.23)
    assert found["more"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"DEM": {"mean": 1.0}}, "no DEM / p1"),
        ({"CH": {"ch": {"p1": 5.0, "p99": 5.0}, "std": {"p1": 0, "p99": 1}}}, "CH / ch"),
        ({"S2_bands": {b: {"p1": 3.0, "p99": 4e3} for b in agbd_network.BANDS}}, "stored numbers"),
    ],
)
def test_wrong_statistics_are_named(change, says):
    with pytest.raises(agbd_network.NoNetworkError, match=says):
        agbd_network.card_with(STATISTICS | change)


@pytest.mark.parametrize("channels", [22, 24])
def test_other_networks_are_refused(channels):
    state = weights(channels=channels)
    if channels == CHANNELS:
        state = {name: array for name, array in state.items() if ".1." not in name}
    with pytest.raises(agbd_network.NoNetworkError):
        agbd_network.layers_of(state, CHANNELS)

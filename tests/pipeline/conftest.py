"""A real scene, a real (small) network and a real store, made in a second."""

import dataclasses
import hashlib

import numpy as np
import onnx
import pytest
import rasterio
from onnx import TensorProto, helper, numpy_helper
from rasterio.transform import from_origin

from engine.contract.messages import (
    InputSpec,
    ModelClass,
    OutputSpec,
    SegmentRequest,
    TaskName,
)
from engine.geo.tiling import TileRule
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput, Normalisation
from engine.models.cardfile import card_to_json
from engine.models.store import ModelStore

BANDS = ("red", "nir")
KERNEL = np.array(
    [
        [np.zeros((3, 3)), np.zeros((3, 3))],
        [np.full((3, 3), 4 / 9), np.zeros((3, 3))],
        [np.zeros((3, 3)), np.full((3, 3), 4 / 9)],
    ],
    np.float32,
)
BIAS = np.array([0, -2, -2], np.float32)
"""Logits: 0, and four times a band's 3 x 3 mean less one half."""


def save_network(path, size):
    """One 3 x 3 convolution, so that a pixel's scores depend on its neighbours alone."""
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1])
    graph = helper.make_graph(
        [node],
        "box",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, size, size])],
        [numpy_helper.from_array(KERNEL, "w"), numpy_helper.from_array(BIAS, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models")


@pytest.fixture
def make_card(tmp_path, store):
    """A factory of installed cards; the path of the card file is what a request names."""

    def make(rule=None, **changes):
        rule = rule or TileRule(64, 4, 4)
        path = tmp_path / f"box{rule.size}.onnx"
        save_network(path, rule.size)
        data = path.read_bytes()
        need = ModelInput(
            BANDS, "reflectance", (-0.2, 2), Normalisation((0, 0), (1, 1)), 10, (8, 12)
        )
        classes = (
            ModelClass(0, "ground", "#808080"),
            ModelClass(1, "red", "#d03030"),
            ModelClass(2, "green", "#30a040"),
        )
        card = ModelCard(
            id="box",
            version="1",
            title="Box",
            summary="A test network",
            task=TaskName.SEGMENT,
            input=dataclasses.replace(need, **changes),
            tiling=rule,
            merge="crop",
            output=ModelOutput(classes, "softmax"),
            file=ModelFile(path.as_uri(), hashlib.sha256(data).hexdigest(), len(data), "onnx"),
            license="CC0-1.0",
            attribution="",
            citation="",
        )
        store.install(card, lambda _done, _total: None, lambda: False)
        card_path = path.with_suffix(".json")
        import json

        card_path.write_text(json.dumps(card_to_json(card)))
        return card_path

    return make


@pytest.fixture
def write_scene(tmp_path):
    """Write reflectance ``[2, H, W]`` (NaN: nodata) as a float GeoTIFF."""

    def write(data, name="scene.tif", pixel=10.0, crs="EPSG:32632", **profile):
        path = tmp_path / name
        transform = from_origin(500_000, 5_000_000, pixel, pixel)
        layout = {"driver": "GTiff", "dtype": data.dtype.name, "count": len(data)}
        size = {"height": data.shape[1], "width": data.shape[2]}
        where = {"crs": crs, "transform": transform} if crs else {}
        with rasterio.open(path, "w", **layout, **size, **where, **profile) as target:
            target.write(data)
            target.descriptions = BANDS
        return path

    return write


@pytest.fixture
def scene_data():
    """Smooth random fields in 0..1, so that all three classes occur in patches."""

    def make(height, width, seed=0):
        import scipy.ndimage

        rng = np.random.default_rng(seed)
        noise = scipy.ndimage.gaussian_filter(rng.random((2, height, width)), (0, 4, 4))
        spread = np.ptp(noise, axis=(1, 2), keepdims=True)
        low = noise.min(axis=(1, 2), keepdims=True)
        return ((noise - low) / np.maximum(spread, 1e-9)).astype(np.float32)

    return make


@pytest.fixture
def make_request(tmp_path):
    def make(scene, card, name="out", **kwargs):
        out = tmp_path / f"{name}.tif"
        extra = kwargs.pop("output", {})
        spec = kwargs.pop("input", {})
        return SegmentRequest(
            InputSpec((str(scene),), **spec),
            OutputSpec(str(out), **extra),
            model=str(card),
            **kwargs,
        )

    return make

"""A real scene, a real (small) network and a real store, made in a second."""

import hashlib
import json

import numpy as np
import onnx
import pytest
import rasterio
import scipy.ndimage
from onnx import TensorProto, helper, numpy_helper
from rasterio.transform import from_origin

from engine.contract.messages import (
    InputSpec,
    ModelClass,
    OutputSpec,
    SegmentRequest,
)
from engine.geo.tiling import TileRule
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput, Transform
from engine.models.cardfile import card_to_json
from engine.models.store import ModelStore
from engine.pipeline.planning import make_plan
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

BANDS = ("red", "nir")
CLASSES = (
    ModelClass(0, "ground", "#808080"),
    ModelClass(1, "red", "#d03030"),
    ModelClass(2, "green", "#30a040"),
)
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
    """One 3 x 3 convolution: a pixel's scores depend on its neighbours. Any tile size if None."""
    edges = [size, size] if size else ["h", "w"]
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1])
    graph = helper.make_graph(
        [node],
        "box",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, *edges])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, *edges])],
        [numpy_helper.from_array(KERNEL, "w"), numpy_helper.from_array(BIAS, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


def make_card(path, rule):
    """The card of a saved network."""
    data = path.read_bytes()
    unscaled = (Transform("z-score", (0, 0), (1, 1)),)
    return ModelCard(
        id="box",
        version="1",
        title="Box",
        summary="A test network",
        tasks=("semantic-segmentation",),
        inputs=(ModelInput(BANDS, "reflectance", (-0.2, 2), unscaled, 10, (8, 12)),),
        tiling=rule,
        merge="crop",
        output=ModelOutput(CLASSES, "softmax"),
        file=ModelFile(path.as_uri(), hashlib.sha256(data).hexdigest(), len(data), "onnx"),
        license="CC0-1.0",
        attribution="Swath",
        citation="none",
    )


class Lab:
    """Makes scenes, cards and requests in one folder, and runs them."""

    def __init__(self, folder):
        self.folder = folder
        self.store = ModelStore(folder / "models")
        self.work = folder / "work"

    def card(self, rule=None):
        """An installed card; its file's path is what a request names."""
        rule = rule or TileRule(64, 4, 4)
        path = self.folder / f"box{rule.size}{'' if rule.fixed else 'free'}.onnx"
        save_network(path, rule.size if rule.fixed else None)
        card = make_card(path, rule)
        self.store.install(card, lambda _done, _total: None, lambda: False)
        place = path.with_suffix(".json")
        place.write_text(json.dumps(card_to_json(card)))
        return place

    def data(self, height, width, seed=0):
        """Smooth random reflectance, so that all three classes occur in patches."""
        rng = np.random.default_rng(seed)
        noise = scipy.ndimage.gaussian_filter(rng.random((2, height, width)), (0, 4, 4))
        spread = np.ptp(noise, axis=(1, 2), keepdims=True)
        low = noise.min(axis=(1, 2), keepdims=True)
        return (0.05 + 0.9 * (noise - low) / np.maximum(spread, 1e-9)).astype(np.float32)

    def scene(self, data, name="scene.tif", pixel=10.0, crs="EPSG:32632", **profile):
        """Write ``[2, H, W]`` (NaN: nodata) as a GeoTIFF."""
        path = self.folder / name
        where = {"crs": crs, "transform": from_origin(500_000, 5_000_000, pixel, pixel)}
        layout = {"driver": "GTiff", "dtype": data.dtype.name, "count": len(data)}
        layout |= {"height": data.shape[1], "width": data.shape[2], **profile}
        with rasterio.open(path, "w", **layout, **(where if crs else {})) as target:
            target.write(data)
            target.descriptions = BANDS
        return path

    def request(self, scene, card, name="out", **kwargs):
        output = kwargs.pop("output", {})
        return SegmentRequest(
            InputSpec((str(scene),), profile="reflectance", **kwargs.pop("input", {})),
            OutputSpec(str(self.folder / f"{name}.tif"), **output),
            model=str(card),
            **kwargs,
        )

    def plan(self, scene, card, name="out", **kwargs):
        return make_plan(self.request(scene, card, name, **kwargs), self.store)

    def run(self, scene, card, name="out", **kwargs):
        return self.carry_out(self.plan(scene, card, name, **kwargs))

    def carry_out(self, plan, report=None):
        return run_plan(plan, self.store, self.work, report or Silence())


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


@pytest.fixture(scope="session")
def lab_class():
    """For a lab that lives longer than one test."""
    return Lab

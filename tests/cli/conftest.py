"""A real scene, a real small network, and the command as a user types it."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
import rasterio
from onnx import TensorProto, helper, numpy_helper
from rasterio.transform import from_origin

from engine.contract.messages import ModelClass
from engine.geo.tiling import TileRule
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput, Transform
from engine.models.cardfile import card_to_json

BANDS = ("red", "nir")


@dataclass
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def error(self):
        """The error's code, on a line of its own, with a hint below and no traceback."""
        lines = self.err.splitlines()
        place = next(i for i, line in enumerate(lines) if line.startswith("error "))
        assert lines[place + 1].startswith("hint: ")
        assert "Traceback" not in self.err
        return lines[place].split()[1].rstrip(":")


@pytest.fixture
def state(tmp_path):
    return tmp_path / "Zustand ä"


@pytest.fixture
def environment(state):
    """A user's environment with a state folder of its own."""
    plain = {**os.environ, "SWATH_STATE": str(state), "COLUMNS": "80", "NO_COLOR": "1"}
    plain["PYTHONIOENCODING"] = "utf-8"
    return plain


@pytest.fixture
def start(environment, tmp_path):
    """Start the command without waiting for it."""
    started = []

    def begin(*words, **variables):
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "engine.cli", *map(str, words)],
            cwd=tmp_path,
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def swath(start):
    """Run the command to its end."""

    def call(*words, **variables):
        process = start(*words, **variables)
        out, err = process.communicate(timeout=120)
        return Said(process.returncode, out, err)

    return call


def save_network(path, size, passes):
    """A 3 x 3 mean of the bands as logits of two classes, ``passes`` times over."""
    kernel = np.zeros((2, 2, 3, 3), np.float32)
    kernel[0, 0] = kernel[1, 1] = 1 / 9
    nodes = [
        helper.make_node("Conv", [f"x{i}", "w"], [f"x{i + 1}"], pads=[1, 1, 1, 1])
        for i in range(passes)
    ]
    shape = ["n", 2, size, size]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"x{passes}", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(kernel, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)


@pytest.fixture
def model(tmp_path):
    """A model file with its card beside it; more ``passes`` make it slower."""

    def make(passes=1):
        path = tmp_path / f"mean {passes}.onnx"
        save_network(path, 64, passes)
        data = path.read_bytes()
        classes = (ModelClass(1, "red", "#d03030"), ModelClass(2, "green", "#30a040"))
        card = ModelCard(
            id="mean",
            version="1",
            title="Mean",
            summary="Which band is brighter.",
            tasks=("semantic-segmentation",),
            inputs=(
                ModelInput(
                    BANDS,
                    "reflectance",
                    (-0.2, 2),
                    (Transform("z-score", (0, 0), (1, 1)),),
                    10,
                    (8, 12),
                ),
            ),
            tiling=TileRule(64, 4, 4),
            merge="crop",
            output=ModelOutput(classes, "softmax"),
            file=ModelFile(path.as_uri(), hashlib.sha256(data).hexdigest(), len(data), "onnx"),
            license="CC0-1.0",
            attribution="Swath",
            citation="none",
        )
        path.with_suffix(".json").write_text(json.dumps(card_to_json(card)), encoding="utf-8")
        return path

    return make


@pytest.fixture
def scene(tmp_path):
    """A raster whose left half is red and whose right half is green; its first row is nodata."""

    def make(name="Küste 1.tif", height=150, width=200, **changes):
        data = np.full((2, height, width), 0.2, np.float32)
        data[0, :, : width // 2] = data[1, :, width // 2 :] = 0.8
        data[:, 0] = np.nan
        path = tmp_path / name
        profile = {
            "driver": "GTiff",
            "dtype": "float32",
            "count": 2,
            "height": height,
            "width": width,
            "crs": "EPSG:32632",
            "transform": from_origin(500_000, 5_000_000, 10, 10),
            **changes,
        }
        with rasterio.open(path, "w", **profile) as target:
            target.write(data[: profile["count"]])
            target.descriptions = BANDS[: profile["count"]]
        return path

    return make

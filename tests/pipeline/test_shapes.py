"""Rasters of any size and layout, tiles of any rule: every pixel comes out at its own place.

The partition itself is shown in tests/geo/test_tiling.py, the merges in test_merge.py; here it is
whole runs, from a real file to a real file, of a network that hands on what it is given.
"""

import dataclasses
import hashlib
import json

import numpy as np
import onnx
import pytest
import rasterio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from engine.geo.tiling import TileRule
from engine.io import spool
from engine.models.cardfile import card_to_json, read_card

LOW, CODES = 50, 200
STEP = np.float32(0.004)
"""Probabilities are stored in these steps: what lies on them comes back exactly."""
NODATA = 255


def passing_card(lab, rule, merge):
    """A network whose first two scores are its two bands, and whose third is nothing."""
    card = read_card(lab.card(rule))
    network = onnx.load(lab.folder / f"box{rule.size}{'' if rule.fixed else 'free'}.onnx")
    kernel = np.zeros((3, 2, 3, 3), np.float32)
    kernel[0, 0, 1, 1] = kernel[1, 1, 1, 1] = 1
    for old, new in zip(network.graph.initializer, (kernel, np.zeros(3, np.float32)), strict=True):
        old.CopyFrom(numpy_helper.from_array(new, old.name))
    path = lab.folder / "passing.onnx"
    onnx.save(network, path)
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    file = dataclasses.replace(card.file, uri=path.as_uri(), sha256=digest, size=len(data))
    output = dataclasses.replace(card.output, activation="none")
    card = dataclasses.replace(card, id="passing", merge=merge, file=file, output=output)
    lab.store.install(card, lambda _done, _total: None, lambda: False)
    place = path.with_suffix(".json")
    place.write_text(json.dumps(card_to_json(card)))
    return place


def coded(shape):
    """Where a pixel is: ``[2, H, W]``, row and column, as stored probabilities."""
    rows, cols = np.indices(shape)
    return (LOW + np.stack([rows, cols]) % CODES).astype(np.uint8)


@st.composite
def rules(draw):
    stride = draw(st.sampled_from([1, 2, 7, 8, 32]))
    margin = draw(st.integers(0, 24))
    least = -(-(2 * margin + max(stride, 8)) // stride)
    return TileRule(stride * (least + draw(st.integers(0, 9))), margin, stride, draw(st.booleans()))


@st.composite
def layouts(draw, shape):
    common = {
        "interleave": draw(st.sampled_from(["pixel", "band"])),
        "compress": draw(st.sampled_from(["deflate", "none"])),
    }
    if draw(st.booleans()):
        rows, cols = draw(st.sampled_from([(16, 16), (16, 64), (256, 32)]))
        return common | {"tiled": True, "blockxsize": cols, "blockysize": rows}
    return common | {"BLOCKYSIZE": draw(st.integers(1, shape[0]))}


@dataclasses.dataclass(frozen=True)
class Case:
    shape: tuple
    rule: TileRule
    merge: str
    layout: dict
    hole: bool


@st.composite
def cases(draw):
    rule = draw(rules())
    longest = min(6 * (rule.size - 2 * rule.margin), 400)
    shape = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    merge = draw(st.sampled_from(["crop", "weighted"]))
    return Case(shape, rule, merge, draw(layouts(shape)), draw(st.booleans()))


def case(*shape, **layout):
    return Case(shape, TileRule(64, 4, 4), "crop", layout, hole=False)


@settings(deadline=None, max_examples=25)
@given(case=cases())
@example(case=case(1, 1))
@example(case=case(1, 5000))
@example(case=case(5000, 1))
@example(case=case(3, 3000, BLOCKYSIZE=3, compress="deflate"))
@example(case=case(65, 129, tiled=True, blockxsize=16, blockysize=16))
def test_every_pixel_comes_out_at_its_own_place(case, lab_class, tmp_path_factory):
    lab = lab_class(tmp_path_factory.mktemp("shapes"))
    wanted = coded(case.shape)
    data = wanted * STEP
    if case.hole:
        hole = tuple(slice(n // 3, n // 2) for n in case.shape)
        data[:, *hole], wanted[:, *hole] = np.nan, NODATA
    scene = lab.scene(data, nodata=np.nan, **case.layout)
    probability = lab.folder / "probability.tif"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.pipeline.run.WORTH_MEASURING", 10**9)
        patch.setattr(spool, "CACHE_BYTES", 0)
        card = passing_card(lab, case.rule, case.merge)
        lab.run(scene, card, output={"probability": str(probability)})
    with rasterio.open(probability) as source:
        np.testing.assert_array_equal(source.read((1, 2)), wanted)
        with rasterio.open(scene) as given_grid:
            assert source.transform == given_grid.transform

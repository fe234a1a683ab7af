"""Runs that stay on a device: only stored numbers go there, only decisions come back.

PyTorch's own arrays on the CPU take the same way through the pipeline as a GPU's; where there is
a GPU, it is compared too.
"""

import hashlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio

torch = pytest.importorskip("torch", reason="needs PyTorch (scripts/environment --torch)")

from engine.contract.errors import EngineError, ErrorCode  # noqa: E402 - after the skip
from engine.geo.tiling import TileRule  # noqa: E402 - after the skip
from engine.models import torch_model  # noqa: E402 - after the skip
from engine.models.card import ModelFile, ModelOutput, ValueBand  # noqa: E402 - after the skip
from engine.models.cardfile import card_to_json, read_card  # noqa: E402 - after the skip
from engine.models.network_model import telling_memory  # noqa: E402 - after the skip
from engine.pipeline import forward, merge  # noqa: E402 - after the skip
from engine.pipeline.planning import make_plan  # noqa: E402 - after the skip

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning"),
]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA or AMD GPU")
PROFILE = "custom:quantity=reflectance,scale=0.00002"
VALUES = (
    ValueBand("height", "m", (0.0, 1.0)),
    ValueBand("spread", "m", scale=2.0, measure="log-variance"),
    ValueBand("other"),
)


class Box(torch.nn.Module):
    """The network of the other tests here: a 3 x 3 mean of each band, as scores."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 3, padding=1)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[1, 0] = self.conv.weight[2, 1] = 4 / 9
            self.conv.bias.copy_(torch.tensor([0.0, -2.0, -2.0]))

    def forward(self, x):
        return self.conv(x)


@pytest.fixture
def card(lab):
    """A card of the same network as TorchScript; ``changes`` to it."""

    def make(name, **changes):
        plain = read_card(lab.card(TileRule(64, 8, 8)))
        out = io.BytesIO()
        torch.jit.save(torch.jit.trace(Box().eval(), torch.rand(1, 2, 64, 64)), out)
        path = lab.folder / f"{name}.pt"
        path.write_bytes(out.getvalue())
        digest = hashlib.sha256(out.getvalue()).hexdigest()
        file = ModelFile(path.as_uri(), digest, len(out.getvalue()), "torchscript")
        place = path.with_suffix(".json")
        place.write_text(json.dumps(card_to_json(replace(plain, id=name, file=file, **changes))))
        return place

    return make


@pytest.fixture
def kept(monkeypatch):
    """All arrays are PyTorch's, on the CPU; what was brought back to memory, by type."""
    brought = []

    def noted(array):
        if not isinstance(array, np.ndarray):
            brought.append(str(array.dtype).removeprefix("torch."))
        return array if isinstance(array, np.ndarray) else array.numpy()

    def begin():
        monkeypatch.setattr(torch_model, "KEPT_ON", ("cpu", "cuda"))
        for module in (forward, merge):
            monkeypatch.setattr(module, "in_memory", noted)
        return brought

    return begin


def pixels(lab, name):
    with rasterio.open(lab.folder / f"{name}.tif") as source:
        return source.read()


def scene(lab, pixel=10.0):
    """With a hole, of a size that is no multiple of anything, in numbers of a product."""
    stored = np.round(lab.data(150, 203) * 50_000).astype(np.uint16)  # beyond signed numbers
    stored[:, 40:90, 100:190] = 0
    return lab.scene(stored, pixel=pixel, nodata=0)


def of(lab, kind):
    """What a kind of model has otherwise than the plain one."""
    usual = read_card(lab.card(TileRule(64, 8, 8))).output
    return {
        "crop": {},
        "threshold": {"output": replace(usual, threshold=0.4)},
        "weighted": {"merge": "weighted"},
        "values": {"tasks": ("regression",), "output": ModelOutput(values=VALUES)},
    }[kind]


def run(lab, image, place, name, **options):
    """Carry it out; the raster's pixels, and those of the probabilities."""
    is_classes = bool(read_card(place).output.classes)
    chances = {"probability": str(lab.folder / f"{name}-p.tif")} if is_classes else {}
    request = lab.request(image, place, name, output=chances, **options)
    request = replace(request, input=replace(request.input, profile=PROFILE))
    lab.carry_out(make_plan(request, lab.store))
    return pixels(lab, name), pixels(lab, f"{name}-p") if is_classes else None


@pytest.mark.parametrize("pixel", [10.0, 5.0, 17.0])
@pytest.mark.parametrize("kind", ["crop", "threshold", "weighted"])
def test_classes_decided_on_a_device_are_those_decided_in_memory(kind, pixel, lab, card, kept):
    image, place = scene(lab, pixel), card(kind, **of(lab, kind))
    memory, likely = run(lab, image, place, "memory")
    brought = kept()
    there, chances = run(lab, image, place, "kept")
    np.testing.assert_array_equal(there, memory)
    assert np.abs(chances.astype(int) - likely).max() <= 1
    assert set(brought) == {"uint8"}
    assert len(np.unique(there)) == 4


@pytest.mark.parametrize("pixel", [10.0, 17.0])
def test_values_computed_on_a_device_are_those_computed_in_memory(pixel, lab, card, kept):
    image, place = scene(lab, pixel), card("values", **of(lab, "values"))
    memory, _ = run(lab, image, place, "memory")
    brought = kept()
    there, _ = run(lab, image, place, "kept")
    np.testing.assert_allclose(there, memory, rtol=1e-5, atol=1e-6)
    assert np.isnan(there).any()
    assert set(brought) == {"float32"}


@needs_gpu
@pytest.mark.parametrize("kind", ["crop", "threshold", "weighted", "values"])
def test_a_gpu_gives_what_the_cpu_gives(kind, lab, card):
    image, place = scene(lab, 5.0), card(kind, **of(lab, kind))
    memory, _ = run(lab, image, place, "memory", device="cpu")
    there, _ = run(lab, image, place, "there", device="cuda")
    if kind == "values":
        np.testing.assert_allclose(there, memory, rtol=1e-4, atol=1e-5)
    else:
        assert (there != memory).mean() <= 0.0005


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_stored_numbers_arrive_whole(kind):
    info = np.finfo(kind) if kind.startswith("float") else np.iinfo(kind)
    largest = min(info.max, 2**24)  # what float32 counts exactly
    stored = np.array([[0, 1, largest], [max(info.min, -largest), 7, largest - 1]]).astype(kind)
    network = torch_model.TorchNetwork(Box(), "cpu", 1)
    arrived = network.upload(stored).to(torch.float32).numpy()
    np.testing.assert_array_equal(arrived, stored.astype(np.float32))


def test_what_was_uploaded_is_a_copy():
    stored = np.zeros((2, 3), np.uint8)
    stored.flags.writeable = False
    torch_model.TorchNetwork(Box(), "cpu", 1).upload(stored).add_(1)
    assert not stored.any()


def test_a_full_device_is_told_as_such(lab):
    plain = read_card(lab.card())
    with pytest.raises(EngineError) as caught, telling_memory(plain):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert caught.value.code is ErrorCode.OUT_OF_MEMORY
    with pytest.raises(RuntimeError, match="another thing"), telling_memory(plain):
        raise RuntimeError("another thing")

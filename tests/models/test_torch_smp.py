"""Networks of segmentation-models-pytorch, as the library itself saves them."""

import contextlib
import json
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (scripts/environment --torch)")
HOW = "needs segmentation-models-pytorch (scripts/environment --torch --smp)"

from engine.contract.errors import EngineError, ErrorCode  # noqa: E402 - after the skip
from engine.geo.tiling import TileRule  # noqa: E402 - after the skip
from engine.models.runtime import open_model  # noqa: E402 - after the skip
from engine.models.torch_smp import read_config, settings_beside  # noqa: E402 - after the skip

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def smp():
    """The library; torchvision may be of another build than PyTorch, which is mended for tests."""
    try:
        import torchvision  # noqa: F401, PLC0415 - may be missing
    except ImportError:
        pytest.skip(HOW)
    except RuntimeError:
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        sys.torchvision_operators = library
    return pytest.importorskip("segmentation_models_pytorch", reason=HOW)


@pytest.fixture(scope="module")
def saved(smp, tmp_path_factory):
    folder = tmp_path_factory.mktemp("un réseau")
    torch.manual_seed(0)
    net = smp.Unet("mobilenet_v2", encoder_weights=None, in_channels=2, classes=3).eval()
    with contextlib.redirect_stdout(None):
        net.save_pretrained(folder)
    return net, folder


@pytest.fixture
def opened(saved, make_card, tmp_path):
    def go(changes=None, metadata=None, *, told=True):
        place = tmp_path / "model.safetensors"
        content = (saved[1] / "model.safetensors").read_bytes()
        config = json.loads((saved[1] / "config.json").read_text("utf-8"))
        config |= changes or {}
        if metadata is not None:
            content = with_metadata(content, metadata)
        else:
            (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
        network = json.dumps(config) if told and metadata is None else ""
        place.write_bytes(content)
        card = make_card(content, tiling=TileRule(256, 32, 32))
        card = replace(card, file=replace(card.file, format="safetensors", network=network))
        return open_model(card, place, "cpu")

    return go


def with_metadata(content, metadata):
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def test_scores_are_the_networks(saved, opened):
    batch = np.random.default_rng(1).random((2, 2, 96, 64), np.float32)
    with torch.inference_mode():
        wanted = saved[0](torch.tensor(batch)).numpy()
    np.testing.assert_allclose(opened().predict(batch), wanted, atol=1e-5)
    text = (saved[1] / "config.json").read_text("utf-8")
    np.testing.assert_allclose(opened(metadata={"config": text}).predict(batch), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"_model_class": "Evil"}, "Evil"),
        ({"_model_class": None}, "arch"),
        ({"encoder_name": "tu-hf_hub:someone/else"}, "fetched"),
        ({"surprise": 1}, "surprise"),
        ({"classes": 5}, "2 of its tensors"),
        ({"decoder_channels": "many"}, ""),
    ],
)
def test_configurations_that_do_not_fit(opened, changes, says):
    with pytest.raises(EngineError) as caught:
        opened(changes)
    assert caught.value.code is ErrorCode.MODEL_INVALID
    assert says in caught.value.message


def test_a_config_that_no_checksum_covers_is_not_used(opened):
    with pytest.raises(EngineError, match="swath:network") as caught:
        opened(told=False)
    assert caught.value.code is ErrorCode.MODEL_INVALID


def test_what_a_card_holds_of_a_config(saved, opened):
    folder = saved[1]
    content = (folder / "model.safetensors").read_bytes()
    text = settings_beside(content, folder)
    assert "\n" not in text
    assert json.loads(text) == json.loads((folder / "config.json").read_text("utf-8"))
    assert settings_beside(with_metadata(content, {"config": text}), folder) == ""
    with pytest.raises(ValueError, match="more channels"):
        read_config(
            with_metadata(
                content, {"config": text.replace('"in_channels": 2', '"in_channels": 10000000')}
            ),
            folder,
        )


def test_weights_from_elsewhere_are_not_fetched(opened, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", None)
    assert opened({"encoder_weights": "imagenet"}).device == "cpu"

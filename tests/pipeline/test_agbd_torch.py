"""A checkpoint as AGBD keeps them: converted, run on layers of several grids, and compared."""

import itertools
import pickle
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs PyTorch (scripts/environment --torch)")
sys.path.append(str(Path(__file__).parent))
from agbd_scene import by_hand, make_sources, write_statistics  # noqa: E402 - after the skip

from engine.cli.app import app  # noqa: E402 - the same
from engine.models.cardfile import read_card  # noqa: E402 - the same

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")]
PROGRAM = Path(__file__).resolve().parents[2] / "scripts" / "converting" / "agbd.py"


class Whole(torch.nn.Module):
    """The network as its authors describe it, with random weights, within wrappers."""

    def __init__(self):
        super().__init__()
        widths, layers = (24, 32, 32, 64, 128, 128, 128), []
        for into, out in itertools.pairwise(widths):
            layers += [
                torch.nn.Conv2d(into, out, 3, padding=1),
                torch.nn.BatchNorm2d(out),
                torch.nn.ReLU(),
            ]
        self.conv_layers = torch.nn.Sequential(*layers)
        self.conv_output = torch.nn.Conv2d(128, 1, 1)

    def forward(self, channels):
        return self.conv_output(self.conv_layers(channels))


@pytest.fixture
def network():
    torch.manual_seed(3)
    whole = Whole()
    for module in whole.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.01, 0.1)
    whole.conv_output.weight.data.mul_(5)
    whole.conv_output.bias.data.fill_(500)
    return whole.eval()


def save_checkpoint(network, path, **more):
    """As Lightning does."""
    state = {f"model.model.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 9, "global_step": 1000, "state_dict": state, **more}, path)
    return path


def convert(*words):
    return subprocess.run(
        [sys.executable, "-W", "ignore", PROGRAM, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_converted_checkpoint_says_what_it_did(network, tmp_path, monkeypatch):
    monkeypatch.setenv("SWATH_STATE", str(tmp_path / "state"))
    checkpoint = save_checkpoint(network, tmp_path / "best.ckpt", hyper_parameters={"lr": 1e-3})
    statistics, out = write_statistics(tmp_path / "statistics.pkl"), tmp_path / "fcn.onnx"
    refused = convert(checkpoint, statistics, out)
    assert refused.returncode == 1
    assert "CC-BY-NC-4.0 (no commercial use)" in refused.stderr
    assert not out.exists()
    done = convert("--accept-licence", checkpoint, statistics, out)
    assert done.returncode == 0, done.stderr
    card = read_card(out.with_suffix(".json"))
    assert (card.license, card.export) == ("CC-BY-NC-4.0", "")
    sources = make_sources(tmp_path)
    words = [sources.s2, tmp_path / "o.tif", "--model", out, *sources.options]
    result = CliRunner().invoke(app, ["biomass", *map(str, words)])
    assert result.exit_code == 0, result.output
    with rasterio.open(tmp_path / "o.tif") as raster:
        found = raster.read(1)
    whole = sources.numbers[0] > 0
    stacked = by_hand(sources, offset=1).astype(np.float32)
    stacked[:16, ~whole] = 0
    with torch.inference_mode():
        wanted = network(torch.from_numpy(stacked)[None])[0, 0].numpy()
    assert np.ptp(wanted[whole]) > 5
    assert wanted[whole].min() > 0
    np.testing.assert_allclose(found[whole], wanted[whole], rtol=1e-4)
    assert np.isnan(found[~whole]).all()


class Evil:
    def __reduce__(self):
        return subprocess.call, (["true"],)


@pytest.mark.parametrize(
    ("more", "says"),
    [({"hyper_parameters": Evil()}, "more than weights"), ({"hyper_parameters": None}, "")],
)
def test_only_weights_are_read_of_a_checkpoint(network, tmp_path, more, says):
    checkpoint = save_checkpoint(network, tmp_path / "best.ckpt", **more)
    statistics = write_statistics(tmp_path / "statistics.pkl")
    done = convert("--accept-licence", checkpoint, statistics, tmp_path / "fcn.onnx")
    assert (done.returncode == 0) == (not says), done.stderr
    assert says in done.stderr


def test_settings_of_the_usual_kind_are_no_obstacle(network, tmp_path):
    settings = Namespace(lr=1e-3, model="fcn")
    checkpoint = save_checkpoint(network, tmp_path / "best.ckpt", hyper_parameters=settings)
    statistics = write_statistics(tmp_path / "statistics.pkl")
    done = convert("--accept-licence", checkpoint, statistics, tmp_path / "fcn.onnx")
    assert done.returncode == 0, done.stderr


def test_weights_of_another_network_are_refused(tmp_path):
    checkpoint = tmp_path / "other.ckpt"
    torch.save({"state_dict": torch.nn.Conv2d(24, 1, 3).state_dict()}, checkpoint)
    statistics = write_statistics(tmp_path / "statistics.pkl")
    done = convert("--accept-licence", checkpoint, statistics, tmp_path / "fcn.onnx")
    assert done.returncode == 1
    assert "the checkpoint has convolutions of [(1, 24, 3, 3)]" in done.stderr
    (tmp_path / "no.ckpt").write_bytes(pickle.dumps({"state_dict": 1}))
    done = convert("--accept-licence", tmp_path / "no.ckpt", statistics, tmp_path / "fcn.onnx")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr

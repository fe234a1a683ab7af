"""Published networks of two dates, each by its card alone: as large, and with the same classes.

The networks stand in ``tests/models/change_networks.py``: the published structure with random
numbers, brought to the scenes so that both classes occur. What is compared is what the engine makes
of a real pair of scenes, and what the network itself gives for the same pixels.
"""

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

torch = pytest.importorskip("torch", reason="needs PyTorch (scripts/environment --torch)")

from engine.contract.messages import (  # noqa: E402 - after the skip
    InputSpec,
    ModelClass,
    NamedInput,
    OutputSpec,
    SegmentRequest,
)
from engine.geo.tiling import TileRule  # noqa: E402 - after the skip
from engine.models.card import (  # noqa: E402 - after the skip
    ModelCard,
    ModelFile,
    ModelInput,
    ModelOutput,
    Transform,
)
from engine.models.cardfile import card_from_json, card_to_json  # noqa: E402 - after the skip
from engine.pipeline.planning import make_plan  # noqa: E402 - after the skip

HOW = "needs timm and segmentation-models-pytorch (scripts/environment --torch --smp)"
LIBRARIES = ("timm", "segmentation_models_pytorch", "torchvision")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.shared,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.skipif(not all(map(importlib.util.find_spec, LIBRARIES)), reason=HOW),
]
CHECKOUT = Path(__file__).resolve().parents[2]
SIZE = 256
SHAPE = (SIZE, 352)
"""Of the scenes: two tiles, the second one's origin on a multiple of 32."""
CLASSES = (ModelClass(0, "same", "#808080"), ModelClass(1, "changed", "#d03030"))
IMAGENET = (Transform("z-score", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),)
PLUS_MINUS_ONE = (Transform("z-score", (0.5,), (0.5,)),)
OSCD = (
    Transform(
        "z-score", (0.12549329, 0.12571083, 0.13513319), (0.07264053, 0.05089674, 0.03945567)
    ),
)
"""B04, B03 and B02 of TorchGeo's OSCDDataModule, whose numbers are reflectance times 10 000."""
FIXED = TileRule(SIZE, 32, 32)
FREE = TileRule(SIZE, 32, 32, fixed=False)
AS_LENET = TileRule(SIZE, 43, 1)
"""Windows of 256 every 170 pixels, as its authors' ``slide`` mode."""
MOST_OFF = 0.02
NEAR = 1e-4
"""Probabilities this near to a half may fall on either side of it."""
MOST_NEAR = 0.01


@dataclass(frozen=True)
class Case:
    """A network, and what its authors say of it."""

    make: str
    published: float
    """Parameters."""
    joining: str
    steps: tuple[Transform, ...]
    activation: str
    format: str
    rule: TileRule = FIXED
    merge: str = "weighted"
    index: int = 0
    pair: str = "dubai"


CASES = {
    # 0.28 million: Codegoni et al. 2022, arXiv 2207.13159
    "tinycd": Case("TinyCD", 0.28e6, "separate", IMAGENET, "none", "torchscript"),
    # 3.55 million for BIT-S4: github.com/wgcban/ChangeFormer, issue 13
    "bit": Case("BIT", 3.55e6, "separate", PLUS_MINUS_ONE, "softmax", "pt2"),
    # 41 million: the same
    "changeformer": Case(
        "ChangeFormerV6", 41e6, "separate", PLUS_MINUS_ONE, "softmax", "onnx", index=-1
    ),
    # no figure published: see LENET below
    "lenet": Case("LENet", 165.7e6, "channels", IMAGENET, "softmax", "pt2", AS_LENET),
    # none either: see FC_SIAM below
    "fc-siam-conc": Case("conc", 40.35e6, "stacked", (), "sigmoid", "onnx", FREE),
    "fc-siam-diff": Case(
        "diff", 32.52e6, "stacked", OSCD, "sigmoid", "torchscript", FREE, "crop", pair="ftw"
    ),
    # a bit more than the 32.5 million of the library's ResNet-50 U-Net: six channels come in
    "u-net": Case("unet", 32.53e6, "channels", PLUS_MINUS_ONE, "sigmoid", "safetensors", FREE),
}


# --- parameters, where no figure is published -------------------------------------------------


def exchange(width):
    """Two pairs of convolutions with their norms."""
    return 4 * (9 * width**2 + 2 * width)


def swin_block(width, heads):
    """Attention without an offset for its keys, two layers of four times the width, two norms."""
    return 12 * width**2 + 12 * width + heads * (1 + 512) + 3 * 512


def lenet_by_hand():
    """What its code says, from timm's figure for the backbone and the widths of all layers."""
    backbone = 87.92e6 - 1024 * 1000 - 1000 - 2 * 1024  # without classes and the norm before them
    exchanges = sum(map(exchange, (128, 128, 256, 512, 1024, 256, 256, 256)))
    pyramid = sum(256 * w + 256 for w in (128, 256, 512, 1024)) + 4 * (9 * 256**2 + 256)
    windows = sum(2 * swin_block(256, heads) for heads in (4, 8, 16, 32))
    squeezed = 4 * (2 * 512 * 32 + 32 + 512 + 512 * 256 + 2 * 256)
    last = 9 * 512 * 256 + 2 * 256 + 2 * 256 + 2
    return backbone + exchanges + 2 * (pyramid + windows + squeezed) + last


def fc_siam_by_hand(times):
    """ResNet-50 without its classes, and a decoder that sees ``times`` its features."""
    found = 25_557_032 - 2_049_000 + 9 * 16 + 1
    ins, skips = (2048 * times, 256, 128, 64, 32), (1024, 512, 256, 64, 0)
    for into, skip, out in zip(ins, skips, (256, 128, 64, 32, 16), strict=True):
        found += 9 * (into + times * skip) * out + 9 * out**2 + 4 * out
    return found


def test_figures_that_nobody_published_follow_from_the_widths():
    assert CASES["lenet"].published == pytest.approx(lenet_by_hand(), rel=1e-3)
    assert CASES["fc-siam-conc"].published == pytest.approx(fc_siam_by_hand(2), rel=1e-3)
    assert CASES["fc-siam-diff"].published == pytest.approx(fc_siam_by_hand(1), rel=1e-3)
    three_more_channels = fc_siam_by_hand(1) + 3 * 64 * 7 * 7
    assert CASES["u-net"].published == pytest.approx(three_more_channels, rel=1e-3)


# --- the pairs of scenes ----------------------------------------------------------------------


@dataclass(frozen=True)
class Dates:
    """Two scenes as files, and their physical numbers ``[3, H, W]``."""

    paths: tuple[Path, Path]
    numbers: tuple[np.ndarray, np.ndarray]
    profile: str
    quantity: str


@pytest.fixture(scope="module")
def pairs(request, tmp_path_factory):
    """Dubai in 8 bits, from OSCD; fields in Bavaria in 16 bits."""
    conftest = next(
        p for p in request.config.pluginmanager.get_plugins() if hasattr(p, "shared_folder")
    )
    data, folder = conftest.shared_folder() / "data", tmp_path_factory.mktemp("dates")
    dubai = [
        np.asarray(Image.open(data / "oscd_dubai_nc" / f"{name}.png").convert("RGB"))
        for name in ("before", "after")
    ]
    dubai = [np.moveaxis(d, 2, 0)[:, : SHAPE[0], : SHAPE[1]] for d in dubai]
    with rasterio.open(data / "ftw_s2_two_dates" / "s2_two_dates.tif") as source:
        fields = source.read()[:, : SHAPE[0]]
    fields = [fields[:3], fields[4:7]]
    return {
        "dubai": saved(folder, "dubai", dubai, 255, ("rgb8", "rgb")),
        "ftw": saved(folder, "ftw", fields, 10_000, ("sentinel2-l1c", "toa_reflectance")),
    }


def saved(folder, name, stored, whole, kind):
    paths = tuple(folder / f"{name} {n}.tif" for n in (1, 2))
    where = {"crs": "EPSG:32640", "transform": rasterio.transform.from_origin(3e5, 28e5, 10, 10)}
    for path, numbers in zip(paths, stored, strict=True):
        count, height, width = numbers.shape
        shape = {"count": count, "height": height, "width": width, "dtype": numbers.dtype}
        with rasterio.open(path, "w", driver="GTiff", **shape, **where) as target:
            target.write(numbers)
            target.descriptions = ("red", "green", "blue")
    return Dates(paths, tuple(n.astype(np.float32) / whole for n in stored), *kind)


# --- the networks -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def networks():
    place = CHECKOUT / "tests" / "models" / "change_networks.py"
    spec = importlib.util.spec_from_file_location("change_networks", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(networks, case):
    torch.manual_seed(0)
    if case.make in ("conc", "diff"):
        return networks.Siamese(is_difference=case.make == "diff")
    return getattr(networks, case.make)()


def given(case, dates, rows=slice(0, SIZE), cols=slice(0, SIZE)):
    """What the network takes of both dates, normalised without the engine."""
    encoded = []
    for numbers in dates.numbers:
        x = numbers[:, rows, cols]
        for step in case.steps:
            mean, deviation = (
                np.array(c, np.float32)[:, None, None] for c in (step.first, step.second)
            )
            x = (x - mean) / deviation
        encoded.append(torch.from_numpy(np.ascontiguousarray(x))[None])
    if case.joining == "stacked":
        return (torch.stack(encoded, 1),)
    return (torch.cat(encoded, 1),) if case.joining == "channels" else tuple(encoded)


def change_of(case, found):
    """The probability of change, ``[H, W]``, from the network's last result."""
    last = (found[case.index] if isinstance(found, (list, tuple)) else found)[0]
    if case.activation == "softmax":
        return torch.sigmoid(last[1] - last[0])
    return last[0] if case.activation == "none" else torch.sigmoid(last[0])


def brought_to(net, case, args):
    """The last layer such that it gives change for half of the scene."""
    with torch.no_grad():
        score = torch.logit(change_of(case, net.eval()(*args)).double())
        scale, median = float(score.std()), float(score.median())
        net.head.weight /= scale
        net.head.bias /= scale
        net.head.bias[-1] -= median / scale
    return net


def save(net, case, args, folder):
    """The network as a file of its format."""
    path = folder / "model"
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        if case.format == "torchscript":
            torch.jit.save(torch.jit.trace(net, args, check_trace=False), path)
        elif case.format == "pt2":
            torch.export.save(torch.export.export(net, args), path)
        elif case.format == "onnx":
            free = {} if case.rule.fixed else {"x0": {3: "h", 4: "w"}, "y0": {2: "h", 3: "w"}}
            names = {"input_names": [f"x{n}" for n in range(len(args))]}
            names["output_names"] = [f"y{n}" for n in range(5 if case.index else 1)]
            options = {"dynamic_axes": free, "opset_version": 17, "dynamo": False}
            torch.onnx.export(net, args, path, **names, **options)
        else:
            head = net.__dict__["_modules"].pop("head")
            net.save_pretrained(folder)
            net.head = head
            (folder / "model.safetensors").rename(path)
    return path


def card_of(case, path, dates):
    content = path.read_bytes()
    config = path.with_name("config.json")
    network = config.read_text("utf-8") if case.format == "safetensors" else ""
    digest = hashlib.sha256(content).hexdigest()
    bands = ("red", "green", "blue")
    inputs = tuple(
        ModelInput(bands, dates.quantity, (0.0, 1.0), case.steps, 10, (5, 20), name=name)
        for name in ("before", "after")
    )
    return ModelCard(
        id="change-network",
        version="1",
        title="Change",
        summary="What changed between two dates.",
        tasks=("semantic-segmentation",),
        inputs=inputs,
        tiling=case.rule,
        merge=case.merge,
        output=ModelOutput(CLASSES, case.activation, threshold=0.5, index=case.index),
        file=ModelFile(path.as_uri(), digest, len(content), case.format, network),
        license="CC0-1.0",
        attribution="Nobody",
        citation="None",
        joining=case.joining,
    )


@pytest.fixture
def prepared(networks, pairs, tmp_path):
    """A network of a name, in evaluation mode, and its card's file."""

    def go(name):
        case = CASES[name]
        dates = pairs[case.pair]
        args = given(case, dates)
        net = brought_to(made(networks, case), case, args)
        card = card_of(case, save(net, case, args, tmp_path), dates)
        assert card_from_json(json.loads(json.dumps(card_to_json(card)))) == card
        place = tmp_path / "card.json"
        place.write_text(json.dumps(card_to_json(card)), "utf-8")
        return case, dates, net, place

    yield go
    (tmp_path / "model").unlink(missing_ok=True)  # the largest one has 660 MB


def request_of(dates, card, output):
    first, second = (InputSpec((str(p),), profile=dates.profile) for p in dates.paths)
    others = (NamedInput("after", second),)
    return SegmentRequest(
        first, OutputSpec(str(output)), model=str(card), others=others, device="cpu"
    )


def by_itself(net, case, dates, plan):
    """Change as the network gives it tile by tile; NaN where tiles fade into each other."""
    found = np.full(dates.numbers[0].shape[1:], np.nan, np.float32)
    tiles = list(plan.recipe.tiling.tiles())
    assert len(tiles) == 2
    margin = plan.recipe.rule.margin if case.merge == "weighted" else 0
    several = np.zeros(found.shape, int)
    for tile in tiles:
        rows, cols = tile.read.slices_in(type(tile.read)(0, 0, *found.shape))
        with torch.inference_mode():
            change = change_of(case, net(*given(case, dates, rows, cols))).numpy()
        reach = tile.reach(margin)
        whole = type(reach)(0, 0, *found.shape)
        found[reach.slices_in(whole)] = change[reach.slices_in(tile.read)]
        several[reach.slices_in(whole)] += 1
    return np.where(several == 1, found, np.nan)


def compared(classes, change):
    """Share of pixels of another class, of those whose class is beyond doubt; and of the others."""
    alone = np.isfinite(change)
    near = alone & (np.abs(change - 0.5) < NEAR)
    sure = alone & ~near
    assert 0.2 < (change[alone] >= 0.5).mean() < 0.8
    assert near.sum() <= MOST_NEAR * alone.sum()
    return float(np.mean(classes[sure] != (change[sure] >= 0.5))), float(alone.mean())


@pytest.mark.parametrize("name", CASES)
def test_a_published_network_runs_by_its_card(name, prepared, lab, capsys):
    case, dates, net, card = prepared(name)
    count = sum(p.numel() for p in net.parameters())
    assert count == pytest.approx(case.published, rel=MOST_OFF)
    plan = make_plan(request_of(dates, card, lab.folder / "out.tif"), lab.store)
    lab.carry_out(plan)
    with rasterio.open(lab.folder / "out.tif") as raster:
        classes = raster.read(1)
    wrong, share = compared(classes, by_itself(net, case, dates, plan))
    with capsys.disabled():
        told = f"{count:,} parameters ({count / case.published - 1:+.2%}), {case.joining}"
        print(  # noqa: T201 - the figures are what the test is for
            f"\n{name}: {told}, {case.format}; of another class than by the network alone: "
            f"{wrong:.4%} of {share:.0%} of the pixels"
        )
    assert wrong == 0


def test_the_command_runs_a_network_of_two_dates(prepared, lab):
    case, dates, net, card = prepared("tinycd")
    out = lab.folder / "by command.tif"
    words = ["change", *dates.paths, out, "--model", card, "--input-profile", dates.profile]
    done = subprocess.run(
        [sys.executable, "-I", "-m", "engine.cli", *map(str, words), "--device", "cpu"],
        env={**os.environ, "SWATH_STATE": str(lab.folder / "state")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    plan = make_plan(request_of(dates, card, lab.folder / "other.tif"), lab.store)
    with rasterio.open(out) as raster:
        assert compared(raster.read(1), by_itself(net, case, dates, plan))[0] == 0

"""One network in every format of files: the same classes, through the whole pipeline.

A U-Net of segmentation-models-pytorch, whose layers are brought to the scene's colours but not
trained: its three classes meet along many lines, where formats would part if they differed.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import rasterio

torch = pytest.importorskip("torch", reason="needs PyTorch (scripts/environment --torch)")

from engine.contract.messages import InputSpec, ModelClass, OutputSpec, SegmentRequest  # noqa: E402
from engine.geo.tiling import TileRule  # noqa: E402 - after the skip
from engine.models.card import (  # noqa: E402 - after the skip
    ModelCard,
    ModelFile,
    ModelInput,
    ModelOutput,
    Transform,
)
from engine.models.cardfile import card_to_json  # noqa: E402 - after the skip
from engine.pipeline.planning import make_plan  # noqa: E402 - after the skip

pytestmark = [
    pytest.mark.torch,
    pytest.mark.shared,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
SIZE = 256
MOST_DIFFERENT = 1e-4
MOST_DIFFERENT_HALVED = 0.02
CLASSES = tuple(
    ModelClass(i, f"class {i}", c) for i, c in enumerate(("#808080", "#d03030", "#30a040"))
)
CHECKOUT = Path(__file__).resolve().parents[2]
FORMATS = {"onnx": ".onnx", "torchscript": ".pt", "pt2": ".pt2", "safetensors": ".safetensors"}


@pytest.fixture(scope="module")
def smp():
    """The library; torchvision may be of another build than PyTorch, which is mended for tests."""
    how = "needs segmentation-models-pytorch (scripts/environment --torch --smp)"
    try:
        import torchvision  # noqa: F401, PLC0415 - may be missing
    except ImportError:
        pytest.skip(how)
    except RuntimeError:
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        sys.torchvision_operators = library
    return pytest.importorskip("segmentation_models_pytorch", reason=how)


@pytest.fixture(scope="module")
def scene(request):
    """A real picture from a drone, 751 x 708 pixels of 18 mm, 8 bits."""
    conftest = next(
        p for p in request.config.pluginmanager.get_plugins() if hasattr(p, "shared_folder")
    )
    return conftest.shared_folder() / "data" / "deepforest_neon" / "australia.tif"


@pytest.fixture(scope="module")
def network(smp, scene):
    """Layers of seeded random numbers; norms and last offsets as the scene wants them."""
    torch.manual_seed(0)
    net = smp.Unet("mobilenet_v2", encoder_weights=None, in_channels=3, classes=3)
    with rasterio.open(scene) as source:
        picture = source.read().astype(np.float32) / 255
    tiles = [picture[:, y : y + SIZE, x : x + SIZE] for y in (0, 250, 450) for x in (0, 250, 450)]
    batch = torch.from_numpy((np.stack(tiles) - 0.4) / 0.25)
    with torch.no_grad():
        for _ in range(8):
            net.train()(batch)
        scores = net.eval()(batch)
        net.segmentation_head[0].bias -= scores.mean(dim=(0, 2, 3))
    return net.eval()


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    """The network in every format, by its name."""
    folder = tmp_path_factory.mktemp("one network")
    tile = torch.rand(2, 3, SIZE, SIZE)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network, tile, check_trace=False), folder / "model.pt")
        shapes = ({0: torch.export.Dim("n")},)
        exported = torch.export.export(network, (tile,), dynamic_shapes=shapes)
        torch.export.save(exported, folder / "model.pt2")
        network.save_pretrained(folder)
        torch.onnx.export(
            network,
            (tile,),
            folder / "model.onnx",
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "n"}, "output": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )
    return {kind: folder / f"model{suffix}" for kind, suffix in FORMATS.items()}


@pytest.fixture
def mapped(lab, scene):
    """The class raster of a model's file, and the item beside it."""

    def go(path, kind):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        card = lab.folder / f"card {digest[:8]}.json"
        card.write_text(json.dumps(card_to_json(card_of(path, digest, len(content), kind))))
        output = OutputSpec(str(lab.folder / f"{digest[:8]}.tif"))
        spec = InputSpec((str(scene),))
        request = SegmentRequest(spec, output, model=str(card), device="cpu")
        outcome = lab.carry_out(make_plan(request, lab.store))
        item = next(a.uri for a in outcome.artifacts if a.role == "item")
        with rasterio.open(outcome.artifacts[0].uri) as raster:
            return raster.read(1), json.loads(Path(item).read_text("utf-8"))["properties"]

    return go


def card_of(path, digest, size, kind):
    config = path.with_name("config.json")
    network = config.read_text("utf-8") if kind == "safetensors" else ""
    return ModelCard(
        id="unet",
        version="1",
        title="U-Net",
        summary="Three classes of no meaning.",
        tasks=("semantic-segmentation",),
        inputs=(
            ModelInput(
                ("red", "green", "blue"),
                "rgb",
                (0.0, 1.0),
                (Transform("z-score", (0.4,), (0.25,)),),
                0.018,
                (0.01, 0.03),
            ),
        ),
        tiling=TileRule(SIZE, 32, 32),
        merge="crop",
        output=ModelOutput(CLASSES, "softmax"),
        file=ModelFile(path.as_uri(), digest, size, kind, network),
        license="CC0-1.0",
        attribution="Nobody",
        citation="None",
    )


def different(one, other):
    return float(np.mean(one != other))


def test_every_format_gives_the_same_classes(files, mapped, capsys):
    maps = {kind: mapped(path, kind)[0] for kind, path in files.items()}
    first = maps["onnx"]
    shares = np.bincount(first.ravel(), minlength=3)[:3] / first.size
    assert first.shape == (708, 751)
    assert shares.min() > 0.05
    found = {kind: different(first, raster) for kind, raster in maps.items()}
    with capsys.disabled():
        told = ", ".join(f"{kind} {100 * share:.4f} %" for kind, share in found.items())
        print(f"\npixels of another class than by ONNX: {told}")  # noqa: T201 - the figure is what the test is for
    assert max(found.values()) <= MOST_DIFFERENT


def test_halved_weights_change_little(files, mapped, capsys):
    place = CHECKOUT / "scripts" / "training" / "export.py"
    spec = importlib.util.spec_from_file_location("training_export", place)
    export = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(export)
    half = files["onnx"].with_name("half.onnx")
    onnx.save(export.halved(onnx.load(files["onnx"])), half)
    share = different(mapped(files["onnx"], "onnx")[0], mapped(half, "onnx")[0])
    with capsys.disabled():
        print(f"\npixels of another class by weights of 16 bits: {100 * share:.3f} %")  # noqa: T201 - the figure is what the test is for
    assert share <= MOST_DIFFERENT_HALVED


@pytest.mark.parametrize(("kind", "library"), [("onnx", "onnxruntime"), ("pt2", "torch")])
def test_the_result_names_the_library_that_ran(files, mapped, kind, library):
    software = mapped(files[kind], kind)[1]["processing:software"]
    assert software[library] == importlib.metadata.version(library)
    assert len({"onnxruntime", "torch"} & software.keys()) == 1

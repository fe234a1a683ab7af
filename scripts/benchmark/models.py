"""The two networks that are measured, and the cards that tell Swath about them."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmark.progress import tell
from benchmark.workload import Workload
from engine.contract.messages import ModelClass
from engine.geo.tiling import TileRule
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput, Transform
from engine.models.cardfile import card_to_json

CHECKOUT = Path(__file__).resolve().parents[2]
NAMES = ("unet", "tiny")
RULES = {
    "unet": TileRule(1024, margin=32, stride=32, fixed=False),
    "tiny": TileRule(1024, margin=8, stride=8, fixed=False),
}
"""Networks without a fixed size: Swath may take other tiles than these."""
CLASSES = (
    ModelClass(0, "dark", "#4d5a4a"),
    ModelClass(1, "bright", "#d8c48a"),
    ModelClass(2, "texture", "#2f8f4e"),
)
WITHOUT_TORCH = """\
bench: there are no models to measure with.
  Either name the folder that holds models/bench/unet.onnx and tiny.onnx in SWATH_SHARED,
  or let the benchmark train its own, which needs PyTorch: scripts/environment --dev --torch"""


@dataclass(frozen=True)
class BenchModel:
    """A network with free batch, height and width: RGB 0..1 in, softmax of three classes out."""

    name: str
    network: Path
    card: Path
    sha256: str
    """Figures of different networks are not to be compared."""


def bench_models(cache: Path, workload: Workload) -> dict[str, BenchModel]:
    """Both networks with fresh cards: the fixed ones of the data folder, or ones trained here.

    Raises:
        SystemExit: without a data folder and without the means to train.
    """
    fixed = _shared() / "models" / "bench"
    if all((fixed / f"{name}.onnx").is_file() for name in NAMES):
        return {name: _described(name, fixed / f"{name}.onnx", cache) for name in NAMES}
    trained = cache / "models"
    if not all((trained / f"{name}.onnx").is_file() for name in NAMES):
        _train(trained, workload)
    return {name: _described(name, trained / f"{name}.onnx", cache) for name in NAMES}


def _shared() -> Path:
    return Path(os.environ.get("SWATH_SHARED") or CHECKOUT.parent / "shared").absolute()


def _train(folder: Path, workload: Workload) -> None:
    if not all(importlib.util.find_spec(name) for name in ("torch", "onnx")):
        sys.exit(WITHOUT_TORCH)
    from benchmark.training import train_models  # noqa: PLC0415 - PyTorch is often not there

    tell("training the two networks, a few minutes")
    train_models(folder, workload.raster("rgb_5k"))


def _described(name: str, network: Path, cache: Path) -> BenchModel:
    content = network.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    file = ModelFile(network.as_uri(), sha256, len(content), "onnx")
    card = cache / "cards" / f"{name}.json"
    card.parent.mkdir(parents=True, exist_ok=True)
    card.write_text(json.dumps(card_to_json(_card(name, file)), indent=1), encoding="utf-8")
    return BenchModel(name, network, card, sha256)


def _card(name: str, file: ModelFile) -> ModelCard:
    return ModelCard(
        id=f"bench-{name}",
        version="1",
        title=f"Benchmark ({name})",
        summary="Dark, bright and textured ground; made to be measured, not to be used.",
        tasks=("semantic-segmentation",),
        inputs=(
            ModelInput(
                bands=("red", "green", "blue"),
                quantity="rgb",
                valid_range=(0.0, 1.0),
                transforms=(Transform("z-score", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),),
                gsd=0.1,
                gsd_range=(0.05, 0.2),
            ),
        ),
        tiling=RULES[name],
        merge="crop",
        output=ModelOutput(CLASSES, "none"),
        file=file,
        license="GPL-2.0-or-later",
        attribution="Swath",
        citation="Swath's benchmark.",
        not_for=("Anything but measuring speed.",),
    )

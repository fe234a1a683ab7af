"""A network of AGBD from its authors' checkpoint to an ONNX file with a card beside it."""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from agbd_network import (
    EPSILON,
    Layer,
    NoNetworkError,
    card_with,
    filed,
    layers_of,
    network_of,
    read_statistics,
)
from torch.nn import functional

from engine.models.cardfile import card_to_json
from engine.models.channels import channels_of
from engine.models.licence import address, described

AGREE = 1e-4
"""Largest difference between PyTorch and ONNX Runtime, of the largest number."""
SHAPE = (24, 31)


def main() -> None:
    """Convert, compare, say what was written."""
    parser = argparse.ArgumentParser(prog="convert/agbd", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="of a fully convolutional network (fcn)")
    parser.add_argument("statistics", type=Path, help="statistics_….pkl, or the same as JSON")
    parser.add_argument("onnx", type=Path, help="the file to write; its card gets .json")
    parser.add_argument("--accept-licence", action="store_true", help="you agree to its terms")
    asked = parser.parse_args()
    try:
        convert(asked.checkpoint, asked.statistics, asked.onnx, accepted=asked.accept_licence)
    except NoNetworkError as error:
        sys.exit(f"convert: {error}")


def convert(checkpoint: Path, statistics: Path, path: Path, *, accepted: bool) -> None:
    """Write the file and its card, each whole or not at all.

    Raises:
        NoNetworkError: when a file is not what it should be, the licence is not accepted, or the
            file's answers are not PyTorch's.
    """
    card = card_with(read_statistics(statistics))
    if not accepted:
        raise NoNetworkError(
            f"the weights are under {described(card.license)} ({address(card.license)}); if you "
            "agree, add --accept-licence"
        )
    layers = layers_of(state_of(checkpoint), len(channels_of(card)))
    content = network_of(layers, card)
    worst = difference(layers, content)
    if not worst < AGREE:
        raise NoNetworkError(f"the file's answers differ by {worst:.1e} from PyTorch's")
    digest = hashlib.sha256(content).hexdigest()
    text = json.dumps(card_to_json(filed(card, content, path.name, digest)), indent=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    for place, data in ((path, content), (path.with_suffix(".json"), text.encode())):
        unfinished = place.with_name(f".{place.name}")
        unfinished.write_bytes(data)
        unfinished.replace(place)
    print(f"{path}: {len(content)} bytes, sha256 {digest}, differs by {worst:.1e}")


def state_of(checkpoint: Path) -> dict[str, np.ndarray]:
    """A checkpoint's arrays in their order; nothing in it is run."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f"also {named[1]}" if named else "something else"
        raise NoNetworkError(
            f"{checkpoint.name} holds more than weights and plain settings: {what}"
        ) from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else {}
    arrays = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if not arrays:
        raise NoNetworkError(f"{checkpoint.name} holds no weights")
    return {name: value.numpy() for name, value in arrays.items()}


def difference(layers: tuple[Layer, ...], content: bytes) -> float:
    """Between the file and the same layers in PyTorch, as a share of the largest number."""
    shape = (1, layers[0].weight.shape[1], *SHAPE)
    given = np.random.default_rng(0).random(shape, np.float32)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: given})[0]
    wanted = alone(layers, torch.from_numpy(given)).numpy()
    return float(np.abs(found - wanted).max() / max(float(np.abs(wanted).max()), 1e-9))


@torch.inference_mode()
def alone(layers: tuple[Layer, ...], given: torch.Tensor) -> torch.Tensor:
    """What the layers give without a file around them."""
    for layer in layers:
        weight, bias = torch.from_numpy(layer.weight), torch.from_numpy(layer.bias)
        given = functional.conv2d(given, weight, bias, padding=weight.shape[-1] // 2)
        if layer.norm is not None:
            scale, shift, mean, variance = (torch.from_numpy(array) for array in layer.norm)
            given = functional.batch_norm(given, mean, variance, scale, shift, eps=EPSILON)
            given = functional.relu(given)
    return given


if __name__ == "__main__":
    main()

"""Networks of segmentation-models-pytorch: weights as safetensors, the rest in a ``config.json``.

The layout is that of the library's ``save_pretrained``. Nobody's checksum covers that second file,
so it is read once, when the model is added: a model runs with what its card holds of it, or else
with what its weights' own metadata hold under ``config``.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

HEADER = 8
"""Bytes of a safetensors file's first number, the length of its table of contents."""
LARGEST_CONFIG = 100_000
"""Bytes."""
LARGEST_SETTING = 4096
"""Channels and classes; more of them would fill the memory before the weights are compared."""
OWN = {"_model_class", "arch", "encoder_weights"}
"""Settings that are not handed on: the network's name, and weights from elsewhere."""
ENCODER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Names with other letters would be fetched from a hub."""


def load_smp(content: bytes, settings: str) -> Any:
    """The network with its weights, on the CPU.

    Args:
        content: The safetensors file.
        settings: The text of its ``config.json``; that in the file's metadata comes first.

    Raises:
        ImportError: without the libraries.
        ValueError: saying why the file or its configuration is refused.
        RuntimeError, TypeError, KeyError: what the libraries say of a configuration.
    """
    config = _checked(_metadata(content).get("config") or settings or _nowhere())
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is ever fetched
    import safetensors  # noqa: PLC0415 - optional
    import safetensors.torch  # noqa: PLC0415 - optional
    import segmentation_models_pytorch as smp  # noqa: PLC0415 - optional, and slow to load

    kind = smp.MODEL_ARCHITECTURES_MAPPING.get(str(_name(config)).lower())
    if kind is None:
        raise ValueError(f"segmentation-models-pytorch knows no network «{_name(config)}»")
    try:
        weights = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise ValueError(f"it is no safetensors file ({error})") from error
    options = {k: v for k, v in config.items() if k not in OWN}
    unknown = options.keys() - inspect.signature(kind).parameters.keys()
    if unknown:
        raise ValueError(
            f"its config.json has a setting «{min(unknown)}» that no {kind.__name__} has"
        )
    network = kind(encoder_weights=None, **options)
    _check_tensors(network.state_dict(), weights)
    network.load_state_dict(weights)
    return network.eval()


def _check_tensors(own: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
    wrong = sorted(own.keys() ^ weights.keys())
    both = sorted(own.keys() & weights.keys())
    wrong += [name for name in both if own[name].shape != weights[name].shape]
    if wrong:
        raise ValueError(
            f"{len(wrong)} of its tensors are not those of the network in its config.json, "
            f"{wrong[0]} among them"
        )


def read_config(content: bytes, folder: Path) -> dict[str, Any]:
    """The settings of the network, from the file's metadata or beside it.

    Raises:
        ValueError: when there are none, or none that can be used.
    """
    return _checked(_metadata(content).get("config") or _beside(folder))


def settings_beside(content: bytes, folder: Path) -> str:
    """What a card has to hold of the ``config.json`` beside its file: its text, in one line.

    Raises:
        ValueError: when it cannot be used.
    """
    return "" if "config" in _metadata(content) else json.dumps(read_config(content, folder))


def _nowhere() -> NoReturn:
    raise ValueError(
        "neither the file nor its card holds the settings of its network; add it again with "
        "`swath models add`, or put the text of its config.json into the card as swath:network"
    )


def _checked(text: str) -> dict[str, Any]:
    config = json.loads(text)
    if not isinstance(config, dict) or _name(config) is None:
        raise ValueError("its config.json does not name the network (arch)")
    if any(abs(number) > LARGEST_SETTING for number in _numbers(config)):
        raise ValueError("its config.json wants more channels or classes than any network has")
    if not ENCODER.fullmatch(str(config.get("encoder_name", "resnet34"))):
        raise ValueError("its config.json names an encoder that would have to be fetched")
    return config


def _numbers(value: Any) -> Iterator[float]:
    """All numbers in a JSON value."""
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)
    elif isinstance(value, (int, float)):
        yield value


def _name(config: dict[str, Any]) -> Any:
    return config.get("_model_class", config.get("arch"))


def _metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:HEADER], "little")
    if not 0 < length <= len(content) - HEADER:
        raise ValueError("it is no safetensors file")
    header = json.loads(content[HEADER : HEADER + length])
    found = header.get("__metadata__") or {} if isinstance(header, dict) else {}
    return {k: v for k, v in found.items() if isinstance(v, str)}


def _beside(folder: Path) -> str:
    place = folder / "config.json"
    try:
        if not place.is_file() or place.stat().st_size > LARGEST_CONFIG:
            raise ValueError("there is no config.json beside it, or it is too large")
        return place.read_text("utf-8")
    except OSError as error:
        raise ValueError(f"{place} cannot be read ({error.strerror or error})") from error

"""Published weights: a state dict from a file, into a network, and the network ready to run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from engine.contract.errors import EngineError, ErrorCode
from engine.models.encoders.series import F32, Inputs

State = Mapping[str, torch.Tensor]


def read_state(path: Path) -> State:
    """The tensors of a file that ``torch.save`` wrote; no code in it is ever run.

    Raises:
        EngineError: ``MODEL_NOT_INSTALLED``, ``MODEL_INVALID``.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise EngineError(
            ErrorCode.MODEL_NOT_INSTALLED,
            f"The weights {path} cannot be read: {error.strerror or error}.",
            "Install the model again.",
        ) from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, LookupError) as error:
        raise _unlike("it holds no tensors") from error
    if not isinstance(state, Mapping) or not all(map(torch.is_tensor, state.values())):
        raise _unlike("it is no table of tensors")
    return state


def joined(state: State) -> State:
    """One matrix for queries, keys and values where there are three: one product, not three."""
    own = dict(state)
    for name in [n for n in own if ".attn.q." in n]:
        parts = [own.pop(name.replace(".q.", f".{part}.")) for part in "qkv"]
        own[name.replace(".q.", ".qkv.")] = torch.cat(parts)
    return own


def fill(network: nn.Module, state: State) -> None:
    """Give a network its weights: all of them, of the right shapes, and no others.

    Raises:
        EngineError: ``MODEL_INVALID``.
    """
    own = network.state_dict()
    wrong = sorted(own.keys() ^ state.keys())
    wrong += [k for k in sorted(own.keys() & state.keys()) if own[k].shape != state[k].shape]
    if wrong:
        raise _unlike(f"{len(wrong)} tensors are missing or differ, {wrong[0]} among them")
    network.load_state_dict(state)
    network.eval().requires_grad_(requires_grad=False)


class TorchRun:
    """Forward passes of a network on PyTorch; an ``embedding.Run``."""

    def __init__(self, network: nn.Module, device: str, half: bool) -> None:
        self.network = network.to(device)
        self.device = torch.device(device)
        self.half = half

    def __call__(self, inputs: Inputs) -> F32:
        """The network's answer, float32.

        Raises:
            EngineError: ``MODEL_FAILED``.
        """
        kind = self.device.type
        given = {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in inputs.items()}
        try:
            with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=self.half):
                answer = self.network(**{n: a.to(self.device) for n, a in given.items()})
            return np.asarray(answer.float().cpu().numpy())
        except RuntimeError as error:
            raise EngineError(
                ErrorCode.MODEL_FAILED,
                f"The encoder failed: {str(error).strip().splitlines()[0][:300]}.",
                "Use larger chips than a patch, or fewer pixels and dates at once.",
            ) from error


def _unlike(why: str) -> EngineError:
    return EngineError(
        ErrorCode.MODEL_INVALID,
        f"The file of weights does not belong to this encoder: {why}.",
        "Take the file that the model's card names.",
    )

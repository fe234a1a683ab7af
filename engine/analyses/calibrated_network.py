"""The network of a fitted model, compared with what it was made from."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.analyses.calibrated_card import Findings
from engine.calibrate.behind import behind, opset_of
from engine.calibrate.network import SOURCE, VALUES, Source, amount_network, class_network
from engine.contract.errors import EngineError, ErrorCode
from engine.models.store import ModelStore

SAME = 1e-4
"""Of the largest number: more than rounding makes a network differ from what was fitted."""


def network_of(found: Findings, models: ModelStore) -> bytes:
    """The bytes of the model's file, once it is sure to say what was fitted.

    Raises:
        EngineError: ``MODEL_FAILED``.
    """
    features = found.fitted.samples.features
    _check_same(found, _head(found, Source(features.shape[1])).SerializeToString())
    if found.encoder is None:
        channels = sum(given.channels for given in found.inputs)
        head = _head(found, Source(channels, found.texture))
        return bytes(head.SerializeToString())
    encoder = models.path(found.encoder).read_bytes()
    head = _head(found, Source(features.shape[1], opset=opset_of(encoder)))
    index = found.encoder.output.index
    whole = behind(encoder, index if isinstance(index, int) else index[0], head)
    return bytes(whole.SerializeToString())


def _head(found: Findings, source: Source) -> Any:
    fitted = found.fitted
    if fitted.interval is None:
        return class_network(fitted.classes, fitted.area, source)
    return amount_network(fitted.model, fitted.interval, fitted.area, source)


def _check_same(found: Findings, content: bytes) -> None:
    """Compare the network with the model on the plots themselves."""
    import onnxruntime  # noqa: PLC0415 - heavy

    features = found.fitted.samples.features
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    image = np.ascontiguousarray(features.T[None, :, None, :])
    told = session.run([VALUES], {SOURCE: image})[0][0, :, 0, :].T
    wanted = found.fitted.model.predict(features)
    wide = told if found.classes else told[:, :1]
    wanted = wanted if found.classes else wanted[:, :1]
    if np.abs(wide - wanted).max() > SAME * max(float(np.abs(wanted).max()), 1.0):
        raise EngineError(
            ErrorCode.MODEL_FAILED,
            "The network does not say what the fitted model does.",
            "Scale rasters with very large numbers down, or use the method forest.",
        )

"""What a card does to numbers, in the words of the STAC MLM extension.

Where it has no word, an expression in NumPy's names stands instead: of the input ``x`` (bands
first), of a band by its name, or of ``lat`` and ``lon`` in degrees.
"""

from __future__ import annotations

from typing import Any

from engine.models.card import Derived, ModelInput, ModelOutput, Transform
from engine.models.card_input import OWN_STEPS, value_scaling

FORMAT = "numpy"
"""What expressions are to be read as."""
FORMULAS = {
    "z-score": "(x - {0}) / {1}",
    "min-max": "(x - {0}) / ({1} - {0})",
    "scale": "x * {0}",
    "offset": "x + {0}",
    "clip": "clip(x, {0}, {1})",
    "decibel": "10 * log10(maximum(x, {0}))",
    "one-hot": "array([band == value for band in x for value in {0}])",
    "cycle": "array([(wave(2 * pi * band / {0}) + 1) / 2 for band in x for wave in (cos, sin)])",
}
INDICES = {
    "normalized-difference": "({0} - {1}) / ({0} + {1})",
    "ratio": "{0} / {1}",
    "difference": "{0} - {1}",
}
ACTIVATIONS = {"softmax": "exp(x) / exp(x).sum(axis=0)", "sigmoid": "1 / (1 + exp(-x))"}


def scaling_of(given: ModelInput) -> dict[str, Any]:
    """``value_scaling`` for a single step that has a word, else the chain of expressions."""
    steps = given.transforms
    if not steps:
        return {"value_scaling": None}
    if len(steps) == 1 and steps[0].kind not in OWN_STEPS:
        return {"value_scaling": value_scaling(steps[0])}
    if len(steps) == 1:
        return {"value_scaling": [{"type": "processing", **_expression(steps[0])}]}
    return {"value_scaling": None, "pre_processing_function": [_expression(s) for s in steps]}


def derived_band(rule: Derived) -> dict[str, str]:
    """A channel that no raster has, and how it is computed."""
    if rule.bands:
        formula = INDICES[rule.kind].format(*rule.bands)
        name = f"{rule.kind} of {' and '.join(rule.bands)}"
        return {"name": name, "format": FORMAT, "expression": formula}
    axis, _, wave = rule.kind.partition("-")
    angle = "pi * lat / 90" if axis == "lat" else "pi * lon / 180"
    return {"name": rule.kind, "format": FORMAT, "expression": f"({wave}({angle}) + 1) / 2"}


def activation_of(output: ModelOutput) -> dict[str, Any]:
    """What turns the network's numbers into shares; nothing for those that are taken as given."""
    formula = ACTIVATIONS.get(output.activation)
    if formula is None:
        return {}
    return {"post_processing_function": {"format": FORMAT, "expression": formula}}


def _expression(step: Transform) -> dict[str, str]:
    numbers = [_shown(step.first, step.kind), _shown(step.second, step.kind)]
    return {"format": FORMAT, "expression": FORMULAS[step.kind].format(*numbers)}


def _shown(numbers: tuple[float, ...], kind: str) -> str:
    """A number, or a column of one a band."""
    if kind == "one-hot":
        return str(list(numbers))
    if len(numbers) == 1:
        return repr(numbers[0])
    return f"array({list(numbers)})[:, None, None]"

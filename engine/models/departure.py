"""By how much embeddings differ between two dates, and how much of that is noise."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.models.difference import by_chance, decided, least_unchanged

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Departure:
    """``Z = sum of ((after - before - usual) / deviation)^2 / scale`` over an embedding's numbers.

    Where nothing changed, ``Z`` follows the chi-square distribution with ``freedom`` degrees of
    freedom: far fewer than there are numbers, which say much alike, and no whole number.
    """

    usual: F32
    """``[D]``: the usual difference, after less before."""
    deviation: F32
    """``[D]``: of each number's difference where nothing changed."""
    scale: float
    freedom: float
    cut: float = math.inf
    """Root of ``Z`` from which on it is change."""

    def statistic(self, before: F32, after: F32) -> F64:
        """``Z`` of embeddings ``[D, ...]`` of both dates, in the shape of the rest."""
        column = (-1, *(1,) * (before.ndim - 1))
        parts = (after - before - self.usual.reshape(column)) / self.deviation.reshape(column)
        total: F64 = (parts**2).sum(axis=0, dtype=np.float64)
        return total / self.scale

    def unchanged(self, statistic: F64) -> F64:
        """How likely so much difference is where nothing changed."""
        return by_chance(statistic, self.freedom)

    @property
    def least_unchanged(self) -> float:
        """The least probability of places that are no change."""
        return least_unchanged(self.cut, self.freedom)

    def decided(self, statistic: F64) -> F64:
        """``unchanged``, below ``least_unchanged`` just where there is change."""
        return decided(statistic, self.cut, self.freedom)


def departure_to_json(departure: Departure) -> str:
    """As text, from which ``departure_from_json`` makes the same again, to the last bit."""
    fields = ("usual", "deviation")
    told = {name: getattr(departure, name).tolist() for name in fields}
    numbers = {name: getattr(departure, name) for name in ("scale", "freedom", "cut")}
    return json.dumps({**told, **numbers})


def departure_from_json(text: str) -> Departure:
    """What ``departure_to_json`` wrote.

    Raises:
        ValueError: when it was not written by it.
    """
    try:
        told = json.loads(text)
        usual, deviation = (np.array(told[name], np.float32) for name in ("usual", "deviation"))
        scale, freedom, cut = (float(told[name]) for name in ("scale", "freedom", "cut"))
    except (TypeError, KeyError) as error:
        raise ValueError(f"it does not tell {error}") from error
    finite = np.isfinite(usual).all() and np.isfinite(deviation).all() and math.isfinite(scale)
    if not (finite and usual.shape == deviation.shape and usual.ndim == 1):
        raise ValueError("its usual difference and its deviations do not fit together")
    if not ((deviation > 0).all() and scale > 0 and 0 < freedom < math.inf and cut >= 0):
        raise ValueError("its deviations, scale, degrees of freedom or cut are no numbers above 0")
    return Departure(usual, deviation, scale, freedom, cut)

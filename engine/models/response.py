"""A curve from one mean over a cell to an estimate and its deviation."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

LEAST_POINTS = 2


@dataclass(frozen=True, eq=False)
class Response:
    """Straight between its points, level before the first and beyond the last."""

    given: F64
    """``[n]`` rising, such as mean canopy heights in metres."""
    estimate: F64
    """``[n]``"""
    deviation: F64
    """``[n]``, standard deviations of the estimates."""

    def __post_init__(self) -> None:
        several = (self.given, self.estimate, self.deviation)
        fits = len({a.shape for a in several}) == 1 and self.given.ndim == 1
        if (
            not fits
            or self.given.size < LEAST_POINTS
            or not all(np.isfinite(a).all() for a in several)
        ):
            raise ValueError("its points are not as many numbers each")
        if not (np.diff(self.given) > 0).all() or (self.deviation < 0).any():
            raise ValueError("its points do not rise, or deviate by less than nothing")

    def at(self, means: F64) -> tuple[F64, F64]:
        """Estimates and deviations at means of any shape; NaN stays NaN."""
        found = (np.interp(means, self.given, a) for a in (self.estimate, self.deviation))
        estimate, deviation = (np.where(np.isnan(means), np.nan, a) for a in found)
        return estimate, deviation


def response_to_json(response: Response) -> str:
    """As text, from which ``response_from_json`` makes the same again, to the last bit."""
    fields = ("given", "estimate", "deviation")
    return json.dumps({name: getattr(response, name).tolist() for name in fields})


def response_from_json(text: str) -> Response:
    """What ``response_to_json`` wrote.

    Raises:
        ValueError: when it was not written by it.
    """
    try:
        told = json.loads(text)
        given, estimate, deviation = (
            np.array(told[name], np.float64) for name in ("given", "estimate", "deviation")
        )
    except (TypeError, KeyError) as error:
        raise ValueError(f"it does not tell {error}") from error
    return Response(given, estimate, deviation)

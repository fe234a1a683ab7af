"""Ridge regression, with the spread that its coefficients' uncertainty gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.calibrate.samples import F32, F64, Samples


@dataclass(frozen=True, eq=False)
class Ridge:
    """``amount = base + z · slopes`` of standardised features ``z``.

    The spread is that of a prediction, up to a factor: ``sqrt(1/n_eff + 1 + z' A z)``.
    """

    centre: F64
    scale: F64
    slopes: F64
    base: float
    noise: float
    """Standard deviation about the fit."""
    root: F64
    """``[F, F]``: its square is ``A``, the covariance of the slopes over the noise's variance."""

    def predict(self, features: F32) -> F64:
        """See ``methods.Fitted``."""
        z = (features - self.centre) / self.scale
        reach = 1 + ((z @ self.root) ** 2).sum(axis=1)
        return np.column_stack([self.base + z @ self.slopes, self.noise * np.sqrt(reach)])


def fit_ridge(samples: Samples, settings: Mapping[str, float], seed: int) -> Ridge:  # noqa: ARG001 - nothing is drawn
    """Ridge regression (Hoerl and Kennard 1970) with ``penalty`` on standardised features."""
    weights = samples.weights / samples.weights.sum()
    x = samples.features.astype(np.float64)
    centre = weights @ x
    spread = np.sqrt(weights @ (x - centre) ** 2)
    scale = np.where(spread > 0, spread, 1.0)
    z, base = (x - centre) / scale, float(weights @ samples.target)
    share = samples.weights[:, None] * z
    inverse = np.linalg.inv(z.T @ share + settings["penalty"] * np.eye(z.shape[1]))
    slopes = inverse @ (share.T @ (samples.target - base))
    left = samples.target - base - z @ slopes
    used = float(np.trace(inverse @ (z.T @ share)))
    noise = np.sqrt(float(samples.weights @ left**2) / max(len(samples) - used - 1, 1.0))
    values, vectors = np.linalg.eigh((inverse + inverse.T) / 2)
    root = vectors * np.sqrt(np.maximum(values, 0))
    return Ridge(centre, scale, slopes, base, float(noise), root)

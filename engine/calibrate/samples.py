"""What a model is fitted to: numbers from rasters, and what was found on the ground."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Samples:
    """Plots, or pixels of them, one a row."""

    features: F32
    """``[n, F]``, all finite."""
    target: F64
    """``[n]``: an amount, or the number of a class."""
    weights: F64
    """``[n]``, 1 on average."""
    groups: Ints
    """``[n]``: samples of one group are never on both sides of a split."""
    names: tuple[str, ...]
    """Of the features."""

    def take(self, chosen: npt.NDArray[np.bool_] | Ints) -> Samples:
        """Some of them."""
        return replace(
            self,
            features=self.features[chosen],
            target=self.target[chosen],
            weights=self.weights[chosen],
            groups=self.groups[chosen],
        )

    def __len__(self) -> int:
        return len(self.target)

    @property
    def constant(self) -> tuple[str, ...]:
        """Features that are the same everywhere, and so tell nothing."""
        same = np.ptp(self.features, axis=0) == 0
        return tuple(name for name, is_same in zip(self.names, same, strict=True) if is_same)


def weights_of_errors(errors: F64, residual_variance: float) -> F64:
    """What samples with known standard errors count, 1 on average.

    What is left between model and plot is the error of both. The model's own part is what the
    plots' errors do not explain, though never less than a tenth: a plot that was measured
    perfectly does not outweigh all others.

    Args:
        errors: ``[n]``, of what was found on the plots.
        residual_variance: Of plots about an unweighted model that did not see them.
    """
    own = max(residual_variance - float(np.mean(errors**2)), residual_variance / 10)
    weights = 1 / (own + errors**2)
    found: F64 = weights / weights.mean()
    return found

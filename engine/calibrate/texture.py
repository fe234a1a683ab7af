"""Mean and spread of the pixels around each one, as part of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.calibrate.samples import F64
from engine.calibrate.sketch import Sketch


@dataclass(frozen=True, eq=False)
class Texture:
    """Adds the means and then the standard deviations of all channels in a square window."""

    edge: int
    """Pixels along the window: odd."""
    centre: F64
    """``[C]``, near the values: squares of what differs from it keep their digits."""
    fill: float
    """What channels are where there is no data; such pixels have no weight."""

    def names(self, channels: tuple[str, ...]) -> tuple[str, ...]:
        """Of all channels that come out."""
        means = (f"mean of {name}" for name in channels)
        return (*channels, *means, *(f"spread of {name}" for name in channels))

    def draw(self, sketch: Sketch, source: str) -> str:
        """From ``[N, C, H, W]`` to ``[N, 3 C, H, W]``."""
        fill = sketch.constant(self.fill)
        seen = sketch.add("Cast", sketch.add("Not", sketch.add("Equal", source, fill)), to=1)
        centre = sketch.constant(self.centre[None, :, None, None])
        moved = sketch.add("Mul", sketch.add("Sub", source, centre), seen)
        share = sketch.add("Max", self._pooled(sketch, seen), sketch.constant(1e-9))
        mean = sketch.add("Div", self._pooled(sketch, moved), share)
        squares = self._pooled(sketch, sketch.add("Mul", moved, moved))
        second = sketch.add("Div", squares, share)
        apart = sketch.add("Sub", second, sketch.add("Mul", mean, mean))
        spread = sketch.add("Sqrt", sketch.add("Max", apart, sketch.constant(0.0)))
        return sketch.add("Concat", source, sketch.add("Add", mean, centre), spread, axis=1)

    def network(self) -> Any:
        """A network that does this alone."""
        sketch, count = Sketch(), len(self.centre)
        made = self.draw(sketch, "pixels")
        return sketch.whole("pixels", count, {"channels": made}, [3 * count])

    def _pooled(self, sketch: Sketch, numbers: str) -> str:
        """Mean over the window; beyond the image all is 0, there is no pixel."""
        kernel, pads = [self.edge] * 2, [self.edge // 2] * 4
        return sketch.add(
            "AveragePool", numbers, kernel_shape=kernel, pads=pads, count_include_pad=1
        )

"""Layers besides the first one, as further inputs of a model."""

import re
from dataclasses import dataclass
from typing import List, Tuple

from ...engine.contract.errors import EngineError, ErrorCode
from ...engine.contract.messages import InputSpec, NamedInput
from .request import parse_bands


@dataclass(frozen=True)
class FurtherLayers:
    """What the form tells of them; the texts have a place for each layer, in their order."""

    sources: Tuple[str, ...]
    """The rasters as GDAL opens them."""
    dates: Tuple[str, ...] = ()
    """When the layers themselves say that they were acquired, ISO 8601; "" where they do not."""
    names: str = ""
    """``NAME``, ``NAME@DATE`` or ``@DATE``, with commas between."""
    profiles: str = ""
    """Input profiles, with semicolons between."""
    bands: str = ""
    """Bands by role, with semicolons between."""


def further_inputs(layers: FurtherLayers, profile: str) -> Tuple[NamedInput, ...]:
    """The inputs that the engine gets; names that are left out are found by the model's card.

    Args:
        layers: As they were filled in.
        profile: The first layer's, for those that have none of their own.

    Raises:
        EngineError: ``REQUEST_INVALID`` when texts and layers differ in number.
    """
    count = len(layers.sources)
    names = _places(layers.names, "[,;]", "Names of the further layers", count)
    profiles = _places(layers.profiles, ";", "Input profiles of the further layers", count)
    bands = _places(layers.bands, ";", "Bands of the further layers", count)
    dates = layers.dates or ("",) * count
    inputs = []
    for source, date, name, own, roles in zip(layers.sources, dates, names, profiles, bands):
        called, _, typed = (part.strip() for part in name.partition("@"))
        spec = InputSpec(
            (source,), own or profile, parse_bands(roles), date=(typed or date) or None
        )
        inputs.append(NamedInput(called, spec))
    return tuple(inputs)


def _places(text: str, between: str, parameter: str, count: int) -> List[str]:
    """One text for each layer: a single one holds for all of them, an empty one is none."""
    parts = [part.strip() for part in re.split(between, text)] if text.strip() else [""]
    if len(parts) == 1 and (count or not parts[0]):
        return parts * count
    if len(parts) != count:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"Entries in «{parameter}»: {len(parts)}; further layers: {count}.",
            "Give one entry for each further layer in their order, one for all, or none.",
        )
    return parts

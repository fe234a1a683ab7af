"""A fitted model as a card, and what the card says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.calibrate.fit import Calibrated
from engine.calibrate.samples import F64
from engine.calibrate.texture import Texture
from engine.contract.analyses import CalibrateRequest
from engine.geo.tiling import TileRule
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput, Residuals, ValueBand
from engine.models.known import TOLERANCE, id_of, named_classes
from engine.version import VERSION

TILE = 256
OWN = "LicenseRef-own"
AMOUNTS = (0.0, 1e9)
"""Between which an amount is held."""
FAR = 3.0
"""Spans of what was seen on plots beyond which a raster cannot be of the same kind."""
DEVIATION, DISSIMILARITY = "standard deviation", "dissimilarity"
NOT_FOR = (
    (
        "Not for places that are unlike the plots: where the dissimilarity is above 1, the model "
        "was never checked (Meyer and Pebesma 2021), and neither value nor deviation mean much."
    ),
    "Not for rasters of another sensor, season or processing than those that it was fitted with.",
)


@dataclass(frozen=True, eq=False)
class Findings:
    """All that is known of a fitted model."""

    request: CalibrateRequest
    fitted: Calibrated
    inputs: tuple[ModelInput, ...]
    plots: int
    split: str
    """How plots were parted."""
    classes: tuple[str, ...] = ()
    residuals: Residuals | None = None
    texture: Texture | None = None
    encoder: ModelCard | None = None
    places: F64 | None = None
    """``[n, 2]`` of the plots, metres."""
    support: float = 1.0
    """Pixels along a pixel of the model: as large as the plots, which it knows means of."""
    applicable: float | None = None
    """Share of the rasters that lies in the area of applicability."""

    @property
    def name(self) -> str:
        """The model's id."""
        return id_of(Path(self.request.output).stem)

    @property
    def title(self) -> str:
        """The model's title."""
        kind = self.fitted.method.title
        return f"{self.request.field} from {self.plots} plots ({kind})"


def card_of(found: Findings, file: ModelFile) -> ModelCard:
    """The card of a fitted model; ``file`` is named relative to it."""
    request = found.request
    words = f"{request.field} in {request.unit}" if not found.classes else "classes"
    behind = "" if found.encoder is None else f" by embeddings of {found.encoder.id}"
    base = ModelCard(
        id=found.name,
        version="1",
        title=found.title,
        summary=f"Tells {words}{behind}, as a {found.fitted.method.title} that was fitted to "
        f"{found.plots} plots does. " + " ".join(figures(found)),
        tasks=("semantic-segmentation",) if found.classes else ("regression",),
        inputs=_ranged(found),
        tiling=_tiling(found.texture),
        merge="crop",
        output=_output(found),
        file=file,
        license=OWN,
        attribution=f"fitted by swath calibrate {VERSION}",
        citation="The user's own plots",
        not_for=NOT_FOR,
        metrics=figures(found),
        architecture=_architecture(found),
        data_license="the user's own",
        residuals=found.residuals,
    )
    return base if found.encoder is None else _behind(base, found.encoder, found.inputs)


def applicability_card(card: ModelCard, index: int) -> ModelCard:
    """Beside a card of classes: the same file's dissimilarity as a map of its own."""
    output = ModelOutput(values=(ValueBand(DISSIMILARITY),), index=index, cell=card.output.cell)
    return replace(
        card,
        id=f"{card.id}-applicability",
        title=f"{card.title}: where it may be used",
        summary="How unlike the plots each place is; above 1 the model was never checked.",
        tasks=("regression",),
        output=output,
    )


def accuracy(found: Findings) -> tuple[float, float, float]:
    """Of amounts: R², RMSE and bias of held-out plots."""
    left = found.fitted.residuals
    total = ((found.fitted.samples.target - found.fitted.samples.target.mean()) ** 2).sum()
    return 1 - float((left**2).sum() / total), float(np.sqrt((left**2).mean())), -float(left.mean())


def right(found: Findings) -> tuple[float, float]:
    """Of classes: shares of held-out pixels that are right, of all and as the classes' mean."""
    truth = found.fitted.samples.target.astype(int)
    told = found.fitted.validation.predicted.argmax(axis=1)
    shares = [(told[truth == kind] == kind).mean() for kind in np.unique(truth)]
    return float((told == truth).mean()), float(np.mean(shares))


def figures(found: Findings) -> tuple[str, ...]:
    """What validation says, in sentences."""
    if found.classes:
        every, mean = right(found)
        sentence = (
            f"Cross-validated over {found.split}, of pixels that the model had not seen "
            f"{100 * every:.1f} % are right, and {100 * mean:.1f} % as the mean of the classes."
        )
        return (sentence,)
    r2, rmse, bias = accuracy(found)
    unit, mean = found.request.unit, float(found.fitted.samples.target.mean())
    coverage = _coverage(found)
    interval = found.fitted.interval
    reach = interval.half_per_deviation if interval else 0.0
    sentences = [
        f"Cross-validated over {found.split}: R² {r2:.3f}, RMSE {rmse:.4g} {unit}",
        f" ({100 * rmse / abs(mean):.0f} % of the mean), bias {bias:+.3g} {unit}.",
        f"The 90 % interval is the value ± {reach:.2f} standard deviations; such intervals held",
        f" {100 * coverage:.1f} % of plots that had no part in making them.",
    ]
    return sentences[0] + sentences[1], sentences[2] + sentences[3]


def _coverage(found: Findings) -> float:
    counts = np.bincount(np.unique(found.fitted.validation.folds, return_inverse=True)[1])
    return float(np.average(found.fitted.coverage, weights=counts))


def _architecture(found: Findings) -> str:
    settings = ", ".join(f"{name} {value:g}" for name, value in found.fitted.settings.items())
    return f"{found.fitted.method.title}; {settings}"


def _tiling(texture: Texture | None) -> TileRule:
    margin = 0 if texture is None else texture.edge // 2
    return TileRule(TILE, margin, 1, fixed=False)


def _output(found: Findings) -> ModelOutput:
    if found.classes:
        return ModelOutput(classes=named_classes(found.classes))
    request = found.request
    return ModelOutput(
        values=(
            ValueBand(request.field, request.unit, clip=AMOUNTS),
            ValueBand(DEVIATION, request.unit, measure="standard-deviation"),
            ValueBand(DISSIMILARITY),
        )
    )


def _ranged(found: Findings) -> tuple[ModelInput, ...]:
    """The inputs with the numbers that are plausible for them."""
    features = found.fitted.samples.features
    if found.encoder is not None:
        return found.inputs
    inputs, at = [], 0
    for given in found.inputs:
        mine = features[:, at : at + len(given.bands)]
        low, high = float(mine.min()), float(mine.max())
        more = FAR * ((high - low) or abs(high) or 1.0)
        gsd = given.gsd * found.support
        inputs.append(
            replace(
                given,
                valid_range=(low - more, high + more),
                gsd=gsd,
                gsd_range=(gsd / TOLERANCE, gsd * TOLERANCE),
            )
        )
        at += given.channels
    return tuple(inputs)


def _behind(card: ModelCard, encoder: ModelCard, used: Sequence[ModelInput]) -> ModelCard:
    """The card of a model behind an encoder: it takes what the encoder takes."""
    names = {given.name for given in used}
    inputs = tuple(
        replace(given, is_optional=given.is_optional and given.name not in names)
        for given in encoder.inputs
    )
    return replace(
        card,
        inputs=inputs,
        tiling=encoder.tiling,
        merge=encoder.merge,
        output=replace(card.output, cell=encoder.output.cell, zoom=encoder.output.zoom),
        joining=encoder.joining,
        timeline=encoder.timeline,
        license=f"{OWN} AND {encoder.license}",
        attribution=f"{card.attribution}; encoder: {encoder.attribution}",
        citation=f"{card.citation}; {encoder.citation}",
    )

"""The page about a calibration."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.analyses.calibrated_card import Findings, accuracy, figures, right
from engine.analyses.splitting import PRACTICAL
from engine.assess.variogram import measure_variogram
from engine.models.card import ModelCard
from engine.report import charts
from engine.report.canvas import drawn
from engine.report.page import (
    Block,
    Cell,
    Code,
    Column,
    Facts,
    Page,
    Picture,
    Points,
    Section,
    Table,
    Text,
)
from engine.version import VERSION

MOST_BARS = 25
MAP = (440.0, 320.0)
"""Points."""
STEPS = 100
"""Of a curve."""


def page_of(found: Findings, card: ModelCard) -> Page:
    """What a person should see before trusting the map."""
    sections = (
        Section("How good it is", tuple(_quality(found))),
        Section("What it looks at", tuple(_importance(found))),
        Section("How it was checked", tuple(_folds(found))),
        Section("Where it may be used", tuple(_area(found))),
        Section("The model", (Facts(_facts(found, card)), Points(card.not_for))),
        Section("How to make a map", (Code(_command(found, card)),)),
    )
    return Page(found.title, " ".join(figures(found)), sections, f"Swath {VERSION}")


def _quality(found: Findings) -> list[Block]:
    samples, told = found.fitted.samples, found.fitted.validation.predicted
    if found.classes:
        return [_confusion(found)]
    name, unit = found.request.field, found.request.unit
    blocks: list[Block] = [
        Picture(
            charts.scatter(samples.target, told[:, 0], unit, name),
            "Every plot, told by a model that had not seen it.",
            "Predicted against observed amounts of plots",
        )
    ]
    return blocks + _variogram(found)


def _variogram(found: Findings) -> list[Block]:
    """How far errors resemble each other, where plots tell."""
    errors, unit = found.residuals, "m"
    if errors is None or found.places is None:
        return []
    seen = measure_variogram(found.places, found.fitted.residuals)
    x = np.linspace(0, float(seen.distance.max()), STEPS)[1:]
    curve = errors.nugget + errors.sill * (1 - np.exp(-PRACTICAL * x / errors.range_m))
    caption = (
        f"How different the errors of two plots are by their distance: alike up to about "
        f"{errors.range_m:.4g} {unit}, which totals of areas take into account."
    )
    drawing = charts.variogram(seen.distance, seen.gamma, (x, curve), unit)
    return [Picture(drawing, caption, "Semivariance of errors by distance")]


def _confusion(found: Findings) -> Table:
    truth = found.fitted.samples.target.astype(int)
    told = found.fitted.validation.predicted.argmax(axis=1)
    counts = np.zeros((len(found.classes),) * 2, int)
    np.add.at(counts, (told, truth), 1)
    columns = (Column("told", align="left"), *(Column(f"was {n}") for n in found.classes))
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, *(int(n) for n in row)) for name, row in zip(found.classes, counts, strict=True)
    )
    return Table(columns, rows, "Pixels of plots that the model had not seen.")


def _importance(found: Findings) -> list[Block]:
    names, values = found.fitted.samples.names, found.fitted.validation.importance
    order = np.argsort(-values)[:MOST_BARS]
    label = "how much worse it does when the band is shuffled (share of its error)"
    drawing = charts.importance_bars([names[i] for i in order], values[order], label=label)
    return [Picture(drawing, "Importance of the predictors.", "Bars, the longest one on top")]


def _folds(found: Findings) -> list[Block]:
    validation = found.fitted.validation
    numbers, counts = np.unique(validation.folds, return_counts=True)
    sentence = (
        f"{found.split.capitalize()}: each fold was told by a model that had not seen it, and "
        "whose settings were chosen without it."
    )
    columns = [Column("fold"), Column("samples"), Column("settings", align="left")]
    rows: list[list[Cell]] = [
        [int(n) + 1, int(c), ", ".join(f"{k} {v:g}" for k, v in settings.items())]
        for n, c, settings in zip(numbers, counts, validation.settings, strict=True)
    ]
    if not found.classes:
        columns += [Column("RMSE", found.request.unit, 2), Column("90 % intervals hold", "%", 1)]
        left = found.fitted.residuals
        for row, n, share in zip(rows, numbers, found.fitted.coverage, strict=True):
            mine = left[validation.folds == n]
            row += [float(np.sqrt((mine**2).mean())), 100 * float(share)]
    table = Table(tuple(columns), tuple(tuple(row) for row in rows))
    return [Text(sentence), *_fold_map(found), table]


def _fold_map(found: Findings) -> list[Block]:
    """Where the plots of each fold lie."""
    places, folds = found.places, found.fitted.validation.folds
    if places is None or len(places) != len(folds):
        return []

    def draw(axes: Any) -> None:
        for fold in np.unique(folds):
            mine = places[folds == fold]
            axes.scatter(mine[:, 0], mine[:, 1], s=14, label=f"{fold + 1}", linewidths=0)
        axes.set(aspect="equal")
        axes.set_xlabel("east (m)")
        axes.set_ylabel("north (m)")
        axes.legend(title="fold", loc="center left", bbox_to_anchor=(1.0, 0.5))

    return [Picture(drawn(MAP, draw), "Plots by fold.", "A map of the plots, coloured by fold")]


def _area(found: Findings) -> list[Block]:
    share = found.applicable
    known = "an unknown share" if share is None else f"about {100 * share:.0f} %"
    text = (
        f"In {known} of the first raster the predictors are as like those of plots as validation "
        "has tried (dissimilarity of 1 or less); elsewhere the map is a guess."
    )
    return [Text(text)]


def _command(found: Findings, card: ModelCard) -> str:
    """What to type for a map of the same rasters."""
    names = [given.name for given in card.inputs]
    rasters = found.request.predictors
    first, *others = (f'"{predictor.file}"' for predictor in rasters)
    more = "".join(f" --with {n}={f}" for n, f in zip(names[1:], others, strict=False))
    if found.encoder is not None:
        first, more = "FIRST.tif", " --date … --with NAME@DATE=FILE …"
    return f'swath apply {first} MAP.tif --model "{found.request.output}"{more}'


def _facts(found: Findings, card: ModelCard) -> tuple[tuple[str, str | int | float], ...]:
    rows: list[tuple[str, str | int | float]] = [
        ("Card", card.id),
        ("Plots", found.plots),
        ("Samples", len(found.fitted.samples)),
        ("Method", card.architecture),
    ]
    if found.classes:
        every, mean = right(found)
        rows += [("Right, of all pixels", f"{100 * every:.1f} %")]
        rows += [("Right, mean of classes", f"{100 * mean:.1f} %")]
    else:
        r2, rmse, bias = accuracy(found)
        unit = found.request.unit
        rows += [
            ("R²", round(r2, 3)),
            ("RMSE", f"{rmse:.4g} {unit}"),
            ("Bias", f"{bias:+.3g} {unit}"),
        ]
    return tuple(rows)

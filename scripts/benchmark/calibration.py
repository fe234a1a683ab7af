"""How well calibrated models tell what they have not seen, on three open data sets.

``python -m scripts.benchmark.calibration [cells] [pixels] [plots] [speed] [classes]`` prints
tables; the data folder is ``$SWATH_SHARED`` or ``../shared``.

- BioMassters (one chip, no georeference, biomass by airborne laser): fitted to one half, judged on
  the other, both ways; plots are cells of 80 m, or 2000 pixels of 10 m drawn at random.
- Quatre Montagnes: 96 field plots with metrics of a point cloud, basal area, folds by cluster.
- RStoolbox: polygons of four classes in a Sentinel-2 scene of the Amazon.
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
import shapely

from engine.analyses.run import carry_out
from engine.calibrate.applicability import fit_applicability
from engine.calibrate.fit import Calibrated, calibrate
from engine.calibrate.folds import folds_of
from engine.calibrate.intervals import Interval
from engine.calibrate.methods import METHODS
from engine.calibrate.network import SOURCE, Source, amount_network
from engine.calibrate.samples import Samples
from engine.contract.analyses import CalibrateRequest, Predictor
from engine.contract.messages import InputSpec, NamedInput, OutputSpec, SegmentRequest
from engine.models.cardfile import read_card
from engine.models.store import ModelStore
from engine.pipeline.planning import settled_plan
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

SHARED = Path(os.environ.get("SWATH_SHARED") or Path(__file__).resolve().parents[3] / "shared")
DATA = SHARED / "data"
CHIP, CELL, PIXEL = 256, 8, 10
S2_MONTHS = {"Sep": "2018-09-15", "Apr": "2019-04-15", "Jun": "2019-06-15"}
"""Of February and March, snow, and August, clouds, nothing can be used. The years are assumed."""
S1_MONTHS = {
    "Sep": "2018-09-10",
    "Nov": "2018-11-10",
    "Feb": "2019-02-10",
    "Apr": "2019-04-10",
    "Jun": "2019-06-10",
    "Aug": "2019-08-10",
}
CLOUDY = 50
"""Percent, from which a pixel counts as cloud."""
ROLES = ("blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "nir08")
S2_BANDS = (*ROLES, "swir16", "swir22")
HALVES = {"west": (0, CHIP // 2), "east": (CHIP // 2, CHIP)}
DRAWN = 2000
F64 = npt.NDArray[np.float64]


class Chip:
    """The BioMassters chip as one file a date."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with rasterio.open(DATA / "biomassters/0060c0a5_agbm.tif") as raster:
            self.truth: F64 = raster.read(1).astype(np.float64)
        with rasterio.open(DATA / "biomassters/0060c0a5_S2.tif") as raster:
            optical, names = raster.read().astype(np.float32), raster.descriptions
        with rasterio.open(DATA / "biomassters/0060c0a5_S1_dBx100.tif") as raster:
            radar, radar_names = raster.read() / np.float32(100), raster.descriptions
        self.s2, self.s1 = [], []
        for month, date in S2_MONTHS.items():
            first = names.index(f"B2_{month}")
            cloud = optical[first + 10] > CLOUDY
            bands = np.where(cloud, np.nan, optical[first : first + 10] / 1e4)
            self.s2.append(
                Predictor(self._written(f"s2-{month}", bands, S2_BANDS), "", date, "reflectance")
            )
        for month, date in S1_MONTHS.items():
            first = radar_names.index(f"VV_asc_{month}")
            file = self._written(f"s1-{month}", radar[first : first + 2], ("vv", "vh"))
            self.s1.append(Predictor(file, "", date, "decibel"))

    def _written(self, name: str, bands: npt.NDArray[np.float32], roles: tuple[str, ...]) -> str:
        path = self.folder / f"{name}.tif"
        layout = {"driver": "GTiff", "dtype": "float32", "nodata": np.nan, "count": len(bands)}
        with rasterio.open(path, "w", width=CHIP, height=CHIP, **layout) as raster:
            raster.write(bands.astype(np.float32))
            raster.descriptions = roles
        return str(path)

    def plots(self, half: str, *, as_pixels: bool) -> str:
        """A layer of plots with their biomass: cells, or points on some pixels."""
        start, stop = HALVES[half]
        path = self.folder / f"{half}-{'pixels' if as_pixels else 'cells'}.gpkg"
        if as_pixels:
            random = np.random.default_rng(0)
            chosen = random.choice(CHIP * (stop - start), DRAWN, replace=False)
            row, col = np.divmod(chosen, stop - start)
            col = col + start
            _write(path, shapely.points(col + 0.5, -row - 0.5), self.truth[row, col])
            return str(path)
        row, col = np.mgrid[0:CHIP:CELL, start:stop:CELL].reshape(2, -1)
        cells = shapely.box(col, -row - CELL, col + CELL, -row)
        _write(path, cells, _cells(self.truth)[row // CELL, col // CELL])
        return str(path)


def _write(path: Path, shapes: npt.NDArray[np.object_], values: F64) -> None:
    import pyogrio.raw  # noqa: PLC0415 - for this alone

    kind = "Point" if shapes[0].geom_type == "Point" else "Polygon"
    pyogrio.raw.write(
        path, shapely.to_wkb(shapes), [values], ["agb"], geometry_type=kind, driver="GPKG"
    )


def _cells(values: F64) -> F64:
    blocks = values.reshape(CHIP // CELL, CELL, CHIP // CELL, CELL)
    return np.nanmean(blocks, axis=(1, 3))


@dataclass
class Told:
    """What models of one half say of the other, over the whole chip."""

    value: F64
    spread: F64
    reach: F64
    """Standard deviations along half of a 90 % interval."""
    seconds: float

    def row(self, truth: F64, *, as_pixels: bool) -> str:
        """R², RMSE, bias, and the share of intervals that hold: of both halves, and of all."""
        arrays = [truth, self.value, self.spread, self.reach]
        y, value, spread, reach = arrays if as_pixels else [_cells(a) for a in arrays]
        left = y - value
        total = np.nanvar(np.where(np.isfinite(value), y, np.nan))
        inside = np.where(np.isfinite(value), np.abs(left) <= reach * spread, np.nan)
        halves = " ".join(f"{100 * np.nanmean(h):5.1f}" for h in np.array_split(inside, 2, axis=1))
        r2, rmse = 1 - np.nanmean(left**2) / total, np.sqrt(np.nanmean(left**2))
        all_of_them = 100 * np.nanmean(inside)
        figures = f"{r2:6.3f} {rmse:7.2f} {-np.nanmean(left):6.2f}"
        return f"{figures} {halves} {all_of_them:6.1f} {self.seconds:6.0f}"


def biomassters(folder: Path, *, as_pixels: bool) -> None:
    """Both halves, each told by a model of the other."""
    chip, store = Chip(folder), ModelStore(folder / "store")
    named = (*_under("s2", chip.s2), *_under("s1", chip.s1))
    kinds = {
        "raw bands": ((*chip.s2, *chip.s1), None),
        "Galileo nano": (named, "galileo-nano"),
    }
    print(f"BioMassters, {'10 m pixels' if as_pixels else '80 m cells'}, biomass (Mg/ha)")
    print("predictors     method       R2    RMSE   bias  90 % intervals hold      s")
    for kind, (predictors, encoder) in kinds.items():
        for method in ("forest", "boosting", "ridge"):
            asked = CalibrateRequest(
                plots="",
                field="agb",
                predictors=predictors,
                output="",
                method=method,
                encoder=encoder,
                gsd=PIXEL,
                overwrite=True,
            )
            told = _both_ways(chip, store, asked, as_pixels=as_pixels)
            print(f"{kind:<14} {method:<9}", told.row(chip.truth, as_pixels=as_pixels), flush=True)


def _under(name: str, rasters: list[Predictor]) -> Iterator[Predictor]:
    return (replace(raster, name=name) for raster in rasters)


def _both_ways(chip: Chip, store: ModelStore, asked: CalibrateRequest, *, as_pixels: bool) -> Told:
    began = time.monotonic()
    value, spread, reach = (np.full((CHIP, CHIP), np.nan) for _ in range(3))
    for half, other in (("west", "east"), ("east", "west")):
        card = chip.folder / f"{half}.json"
        plots = chip.plots(half, as_pixels=as_pixels)
        work = Path(tempfile.mkdtemp(dir=chip.folder))
        outcome = carry_out(replace(asked, plots=plots, output=str(card)), store, work, Silence())
        there = np.s_[:, slice(*HALVES[other])]
        bands = _map(chip, store, asked.predictors, card)
        value[there], spread[there] = bands[0][there], bands[1][there]
        reach[there] = next(
            float(note.split("±")[1].split()[0]) for note in outcome.summary.notes if "±" in note
        )
    return Told(value, spread, reach, time.monotonic() - began)


def _map(chip: Chip, store: ModelStore, predictors: tuple[Predictor, ...], card: Path) -> F64:
    """The pipeline's bands, on the chip's pixels."""
    names = [given.name for given in read_card(card).inputs]
    given = [
        NamedInput(p.name or names[n], InputSpec((p.file,), p.profile, gsd=PIXEL, date=p.date))
        for n, p in enumerate(predictors)
    ]
    output = chip.folder / "map.tif"
    request = SegmentRequest(
        input=given[0].input,
        others=tuple(given[1:]),
        output=OutputSpec(str(output), overwrite=True),
        model=str(card),
    )
    work = Path(tempfile.mkdtemp(dir=chip.folder))
    run_plan(settled_plan(request, store, work, lambda _card: None), store, work, Silence())
    with rasterio.open(output) as raster:
        bands = raster.read().astype(np.float64)
    return bands.repeat(CHIP // bands.shape[1], 1).repeat(CHIP // bands.shape[2], 2)


def table_of_plots() -> tuple[Samples, npt.NDArray[np.int64]]:
    """The 96 plots of Quatre Montagnes with their 68 metrics; folds by cluster."""
    path = DATA / "quatre_montagnes_aba/plots_als_metrics.csv"
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = tuple(list(rows[0])[8:])
    features = np.array([[float(row[n]) for n in names] for row in rows], np.float32)
    target = np.array([float(row["G_m2_ha"]) for row in rows])
    groups = np.unique([row["cluster_id"] for row in rows], return_inverse=True)[1]
    samples = Samples(features, target, np.ones(len(rows)), groups.astype(np.int64), names)
    return samples, folds_of(samples.groups, np.zeros(len(rows), np.int64), 10, 0)


def linear(samples: Samples, folds: npt.NDArray[np.int64], columns: list[int]) -> F64:
    """What a plain linear model of some metrics says of held-out plots."""
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415 - heavy

    told = np.zeros(len(samples))
    x = samples.features[:, columns]
    for fold in np.unique(folds):
        rest = folds != fold
        model = LinearRegression().fit(x[rest], samples.target[rest])
        told[~rest] = model.predict(x[~rest])
    return told


def plots() -> None:
    """Basal area from metrics of laser scanning."""
    samples, folds = table_of_plots()
    print("Quatre Montagnes, basal area (m2/ha), 96 plots, 10 folds of 24 clusters")
    print(f"{'model':<34} {'R2':>6} {'RMSE':>6} {'cover 90 %':>10}")
    few = [samples.names.index(n) for n in ("zmean", "zsd", "pzabove2")]
    for label, columns in (
        ("linear, zmean", few[:1]),
        ("linear, zmean zsd pzabove2", few),
        ("linear, all 68 metrics", list(range(len(samples.names)))),
    ):
        _row(label, samples.target, linear(samples, folds, columns))
    for name in ("ridge", "forest", "boosting"):
        fitted = calibrate(METHODS[name], samples, folds, 0)
        _row(name, samples.target, fitted.validation.predicted[:, 0], fitted)


def _row(label: str, truth: F64, told: F64, fitted: Calibrated | None = None) -> None:
    left = truth - told
    r2 = 1 - (left**2).sum() / ((truth - truth.mean()) ** 2).sum()
    counts = None if fitted is None else np.bincount(fitted.validation.folds)
    cover = "" if fitted is None else f"{100 * np.average(fitted.coverage, weights=counts):10.1f}"
    print(f"{label:<34} {r2:6.3f} {np.sqrt((left**2).mean()):6.2f} {cover}", flush=True)


def classes(folder: Path) -> None:
    """Land cover from polygons, with and without texture."""
    store = ModelStore(folder / "store")
    scene = str(DATA / "rstoolbox_sen2/sen2.tif")
    print("RStoolbox, four classes, 25 polygons")
    for texture in (0, 5):
        card = folder / f"landcover-{texture}.json"
        request = CalibrateRequest(
            plots=str(DATA / "rstoolbox_sen2/training_polygons.gpkg"),
            field="class",
            predictors=(Predictor(scene),),
            output=str(card),
            classes=True,
            texture=texture,
        )
        work = Path(tempfile.mkdtemp(dir=folder))
        outcome = carry_out(request, store, work, Silence())
        print(f"texture {texture}: {outcome.summary.notes[-1]}")
        for found in (card, card.with_name(f"{card.stem}-applicability.json")):
            output = folder / f"{found.stem}-map.tif"
            run = SegmentRequest(InputSpec((scene,)), OutputSpec(str(output)), str(found))
            work, began = Path(tempfile.mkdtemp(dir=folder)), time.monotonic()
            run_plan(settled_plan(run, store, work, lambda _card: None), store, work, Silence())
            with rasterio.open(output) as raster:
                values = raster.read(1)
            seconds = time.monotonic() - began
            if found == card:
                shares = np.bincount(values.ravel(), minlength=4)[:4] / values.size
                words = zip(read_card(card).output.classes, shares, strict=True)
                print(
                    ", ".join(f"{c.name} {100 * s:.1f} %" for c, s in words), f"({seconds:.1f} s)"
                )
            else:
                print(f"in the area of applicability: {100 * np.mean(values <= 1):.1f} %")


def speed() -> None:
    """Pixels per second of the networks, one thread, of models of 96 plots and 68 bands."""
    import onnxruntime  # noqa: PLC0415 - heavy

    samples, folds = table_of_plots()
    width = len(samples.names)
    image = np.ascontiguousarray(
        samples.features[np.random.default_rng(0).integers(0, 96, 256 * 256)].T
    ).reshape(1, width, 256, 256)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for name in ("ridge", "forest", "boosting"):
        method = METHODS[name]
        model = method.fit(samples, method.choices[0], 0)
        area = fit_applicability(samples.features, np.ones(width), folds)
        network = amount_network(model, Interval(1.0, 1.0, 1.6), area, Source(width))
        session = onnxruntime.InferenceSession(network.SerializeToString(), options)
        began = time.monotonic()
        session.run(None, {SOURCE: image})
        seconds = time.monotonic() - began
        print(f"{name:<9} {256 * 256 / seconds:9,.0f} pixels/s")


def main(wanted: list[str]) -> None:
    """Print the tables that are asked for."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work: dict[str, Callable[[], None]] = {
            "plots": plots,
            "speed": speed,
            "classes": lambda: classes(folder),
            "cells": lambda: biomassters(folder, as_pixels=False),
            "pixels": lambda: biomassters(folder, as_pixels=True),
        }
        for key in wanted or list(work):
            work[key]()
            print()


if __name__ == "__main__":
    main(sys.argv[1:])

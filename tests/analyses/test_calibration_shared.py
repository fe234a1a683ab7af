"""Calibration on real plots, real polygons, and behind a real encoder."""

import csv
import os
import tempfile
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from sklearn.linear_model import LinearRegression

from engine.analyses.run import carry_out
from engine.calibrate.fit import calibrate
from engine.calibrate.folds import folds_of
from engine.calibrate.methods import METHODS
from engine.calibrate.samples import Samples
from engine.contract.analyses import CalibrateRequest, Predictor
from engine.contract.messages import InputSpec, NamedInput, OutputSpec, SegmentRequest
from engine.models.cardfile import read_card
from engine.models.store import ModelStore
from engine.pipeline.planning import settled_plan
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

pytestmark = pytest.mark.shared
SHARED = Path(os.environ.get("SWATH_SHARED") or Path(__file__).resolve().parents[3] / "shared")
DATA = SHARED / "data"
ROLES = ("blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "nir08")


def fitted(folder, **asked):
    work = Path(tempfile.mkdtemp(dir=folder))
    request = CalibrateRequest(output=str(folder / "card.json"), **asked)
    return carry_out(request, ModelStore(folder / "store"), work, Silence())


def mapped(folder, first, *others, card="card.json"):
    store, output = ModelStore(folder / "store"), folder / f"{card}.tif"
    request = SegmentRequest(
        first, OutputSpec(str(output)), str(folder / card), tuple(others), device="cpu"
    )
    work = Path(tempfile.mkdtemp(dir=folder))
    run_plan(settled_plan(request, store, work, lambda _card: None), store, work, Silence())
    with rasterio.open(output) as raster:
        return raster.read()


def r2(truth, told):
    return 1 - ((truth - told) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()


def test_basal_area_of_96_plots_from_laser_metrics():
    with (DATA / "quatre_montagnes_aba/plots_als_metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = tuple(list(rows[0])[8:])
    x = np.array([[float(row[n]) for n in names] for row in rows], np.float32)
    y = np.array([float(row["G_m2_ha"]) for row in rows])
    groups = np.unique([row["cluster_id"] for row in rows], return_inverse=True)[1]
    folds = folds_of(groups, np.zeros(96, int), 10, 0)
    plain = np.zeros(96)
    for fold in range(10):
        rest = folds != fold
        plain[~rest] = LinearRegression().fit(x[rest], y[rest]).predict(x[~rest])
    found = calibrate(METHODS["ridge"], Samples(x, y, np.ones(96), groups, names), folds, 0)
    assert r2(y, plain) < 0.1
    assert r2(y, found.validation.predicted[:, 0]) > 0.5
    assert 0.85 <= found.coverage.mean() <= 0.95


def test_land_cover_of_four_classes(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.calibrate.forest.TREES", 40)
    monkeypatch.setattr("engine.calibrate.validation.FEW_TREES", 10)
    scene = str(DATA / "rstoolbox_sen2/sen2.tif")
    outcome = fitted(
        tmp_path,
        plots=str(DATA / "rstoolbox_sen2/training_polygons.gpkg"),
        field="class",
        predictors=(Predictor(scene),),
        classes=True,
    )
    right = float(outcome.summary.notes[-1].split("had not seen ")[1].split(" %")[0])
    assert right > 97
    classes = mapped(tmp_path, InputSpec((scene,)))[0]
    names = [c.name for c in read_card(tmp_path / "card.json").output.classes]
    shares = np.bincount(classes.ravel(), minlength=4) / classes.size
    assert names == ["dryout", "forest", "village", "water"]
    assert shares[1] > 0.5
    assert min(shares) > 0.01
    odd = mapped(tmp_path, InputSpec((scene,)), card="card-applicability.json")[0]
    assert np.mean(odd <= 1) > 0.8


class Forest:
    """A part of the BioMassters chip, in June."""

    def __init__(self, folder, height=64, width=96):
        self.shape, self.folder = (height, width), folder
        with rasterio.open(DATA / "biomassters/0060c0a5_S2.tif") as raster:
            first = raster.descriptions.index("B2_Jun") + 1
            bands = raster.read(range(first, first + 10))[:, :height, :width] / 1e4
        self.s2 = self._write("s2", bands, (*ROLES, "swir16", "swir22"))
        with rasterio.open(DATA / "biomassters/0060c0a5_S1_dBx100.tif") as raster:
            first = raster.descriptions.index("VV_asc_Jun") + 1
            bands = raster.read([first, first + 1])[:, :height, :width] / 100
        self.s1 = self._write("s1", bands, ("vv", "vh"))
        with rasterio.open(DATA / "biomassters/0060c0a5_agbm.tif") as raster:
            truth = raster.read(1)[:height, :width].astype(float)
        self.truth = truth.reshape(height // 8, 8, width // 8, 8).mean(axis=(1, 3))

    def _write(self, name, bands, roles):
        path = self.folder / f"{name}.tif"
        size = {"height": self.shape[0], "width": self.shape[1], "count": len(bands)}
        with rasterio.open(path, "w", driver="GTiff", dtype="float32", **size) as raster:
            raster.write(bands.astype(np.float32))
            raster.descriptions = roles
        return str(path)

    def plots(self):
        row, col = np.mgrid[0 : self.shape[0] : 8, 0 : self.shape[1] : 8].reshape(2, -1)
        cells = shapely.to_wkb(shapely.box(col, -row - 8, col + 8, -row))
        path = self.folder / "cells.gpkg"
        values = [self.truth.ravel()]
        pyogrio.raw.write(path, cells, values, ["agb"], geometry_type="Polygon", driver="GPKG")
        return str(path)


def test_a_model_behind_an_encoder_is_one_card(tmp_path):
    site, date = Forest(tmp_path), "2019-06-15"
    predictors = (
        Predictor(site.s2, "s2", date, "reflectance"),
        Predictor(site.s1, "s1", date, "decibel"),
    )
    fitted(
        tmp_path,
        plots=site.plots(),
        field="agb",
        predictors=predictors,
        method="ridge",
        encoder="galileo-nano",
        gsd=10.0,
    )
    card = read_card(tmp_path / "card.json")
    assert [(i.name, i.is_optional) for i in card.inputs] == [("s2", False), ("s1", False)]
    assert card.output.cell == 4
    assert card.license == "LicenseRef-own AND MIT"
    specs = [InputSpec((p.file,), p.profile, gsd=10.0, date=date) for p in predictors]
    value, deviation, odd = mapped(tmp_path, specs[0], NamedInput("s1", specs[1]))
    assert value.shape == (16, 24)
    cells = value.reshape(8, 2, 12, 2).mean(axis=(1, 3))
    assert r2(site.truth, cells) > 0.4
    assert (deviation > 0).all()
    assert np.median(odd) < 1.5

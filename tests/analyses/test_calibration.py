"""`swath calibrate` from plots and rasters to a map that the pipeline makes."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine

from engine.analyses.run import carry_out
from engine.calibrate.methods import METHODS
from engine.contract.analyses import CalibrateRequest, Predictor
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec, NamedInput, OutputSpec, SegmentRequest
from engine.models.cardfile import read_card
from engine.models.store import ModelStore
from engine.pipeline.planning import settled_plan
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

UTM = "EPSG:32635"
PLACE = Affine(10, 0, 500000, 0, -10, 7000000)
HEIGHT, WIDTH = 90, 120


def surface(seed, smooth=9):
    """Something that varies like landscapes do."""
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415 - for this alone

    field = gaussian_filter(np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH)), smooth)
    return field / field.std()


CHM = (12 + 4 * surface(0)).clip(0).astype(np.float32)
TRUTH = (2 * CHM + 4 * surface(1)).clip(1)


class Site:
    """Rasters and plots in a folder, and what is done with them."""

    def __init__(self, folder):
        self.folder = folder
        self.store = ModelStore(folder / "store")

    def raster(self, name, *bands, transform=PLACE, crs=UTM, names=None):
        path = self.folder / f"{name}.tif"
        layout = {"driver": "GTiff", "dtype": "float32", "count": len(bands), "nodata": -9999}
        shape = {"height": bands[0].shape[0], "width": bands[0].shape[1]}
        with rasterio.open(path, "w", crs=crs, transform=transform, **shape, **layout) as target:
            target.write(np.stack(bands).astype(np.float32))
            if names:
                target.descriptions = names
        return Predictor(str(path))

    def layer(self, shapes, name="plots", crs=UTM, **fields):
        path = self.folder / f"{name}.gpkg"
        kind = "Point" if shapes[0].geom_type == "Point" else "Polygon"
        columns = [np.asarray(values) for values in fields.values()]
        pyogrio.raw.write(
            path,
            shapely.to_wkb(np.array(shapes)),
            columns,
            list(fields),
            geometry_type=kind,
            crs=crs,
            driver="GPKG",
        )
        return str(path)

    def calibrate(self, plots, *predictors, field="agb", method="ridge", **more):
        request = CalibrateRequest(
            plots, field, predictors, str(self.folder / "card.json"), method=method, **more
        )
        work = Path(tempfile.mkdtemp(dir=self.folder))
        return carry_out(request, self.store, work, Silence())

    def map(self, first, *others, card="card.json", name="map"):
        output = self.folder / f"{name}.tif"
        read = read_card(self.folder / card)
        named = [
            NamedInput(given.name, InputSpec((p.file,)))
            for given, p in zip(read.inputs[1:], others, strict=True)
        ]
        request = SegmentRequest(
            InputSpec((first.file,)), OutputSpec(str(output)), str(self.folder / card), tuple(named)
        )
        work = self.folder / f"{name}-work"
        work.mkdir()
        plan = settled_plan(request, self.store, work, lambda _card: None)
        run_plan(plan, self.store, work, Silence())
        with rasterio.open(output) as raster:
            return raster.read(), raster.tags()


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.calibrate.forest.TREES", 30)
    monkeypatch.setattr("engine.calibrate.validation.FEW_TREES", 10)
    boosting = replace(METHODS["boosting"], choices=METHODS["boosting"].choices[:1])
    monkeypatch.setitem(METHODS, "boosting", boosting)
    return Site(tmp_path)


def spots(count=60, seed=2, edge=4):
    """Pixels in which plots are: rows and columns."""
    random = np.random.default_rng(seed)
    return random.integers(edge, HEIGHT - edge, count), random.integers(edge, WIDTH - edge, count)


def points(rows, cols, place=PLACE):
    return [shapely.Point(*(place @ (c + 0.5, r + 0.5))) for r, c in zip(rows, cols, strict=True)]


def measured(site, count=60, **more):
    rows, cols = spots(count)
    fields = {"agb": TRUTH[rows, cols], **more}
    return site.layer(points(rows, cols), **fields)


@pytest.mark.parametrize("method", ["ridge", "forest", "boosting"])
def test_a_map_from_points(site, method):
    plots, chm = measured(site, 120), site.raster("chm", CHM)
    outcome = site.calibrate(plots, chm, method=method)
    assert {a.role for a in outcome.artifacts} == {"card", "model"}
    (value, deviation, odd), tags = site.map(chm)
    assert 1 - np.mean((value - TRUTH) ** 2) / TRUTH.var() > 0.5
    assert np.std(value - TRUTH) == pytest.approx(np.sqrt(np.mean(deviation**2)), rel=0.3)
    assert 0.5 < np.mean(odd <= 1) <= 1
    card = read_card(site.folder / "card.json")
    assert [band.unit for band in card.output.values] == ["Mg/ha", "Mg/ha", ""]
    assert json.loads(tags["SWATH_RESIDUALS"])["range_m"] == card.residuals.range_m > 0
    assert "R²" in card.metrics[0]
    assert "120 plots" in card.title


def test_intervals_hold_on_the_whole_map(site):
    plots, chm = measured(site, 200), site.raster("chm", CHM)
    notes = site.calibrate(plots, chm, method="forest", seed=1).summary.notes
    reach = float(next(n for n in notes if "±" in n).split("±")[1].split()[0])
    (value, deviation, _), _ = site.map(chm)
    assert 0.8 < np.mean(np.abs(value - TRUTH) <= reach * deviation) < 0.97


def test_rasters_of_other_grids_are_brought_to_the_first(site):
    lonlat = rasterio.warp.transform_bounds(UTM, "EPSG:4326", 500000, 6999100, 501200, 7000000)
    west, south, east, north = lonlat
    degrees = Affine((east - west) / 50, 0, west, 0, -(north - south) / 45, north)
    slope = np.tile(np.linspace(0, 90, 50, dtype=np.float32), (45, 1))
    chm, dem = (
        site.raster("chm", CHM),
        site.raster("dem", slope, transform=degrees, crs="EPSG:4326"),
    )
    site.calibrate(measured(site), chm, dem)
    (value, _, _), _ = site.map(chm, dem)
    assert np.isfinite(value).mean() > 0.9
    assert [i.name for i in read_card(site.folder / "card.json").inputs] == ["chm", "dem"]


def test_plots_with_a_radius_are_exact_means_and_the_map_is_of_their_size(site):
    rows, cols = spots(80, edge=6)
    shapes = points(rows, cols)
    fields = {"agb": TRUTH[rows, cols]}
    chm = site.raster("chm", CHM)
    site.calibrate(site.layer(shapes, **fields), chm, radius=25.0)
    card = read_card(site.folder / "card.json")
    assert card.input.gsd == pytest.approx(np.sqrt(np.pi) * 25, rel=1e-3)
    (value, _, _), _ = site.map(chm)
    assert value.shape == (HEIGHT, WIDTH)
    assert np.corrcoef(value.ravel(), TRUTH.ravel())[0, 1] > 0.8


def test_a_radius_on_rasters_in_degrees_is_in_metres(site):
    degrees = Affine(2e-4, 0, 25.0, 0, -1e-4, 63.0)
    rows, cols = spots(50, edge=6)
    chm = site.raster("chm", CHM, transform=degrees, crs="EPSG:4326")
    plots = site.layer(points(rows, cols, degrees), crs="EPSG:4326", agb=TRUTH[rows, cols])
    site.calibrate(plots, chm, radius=20.0)
    assert read_card(site.folder / "card.json").residuals is not None


def test_texture_and_indices_are_those_of_the_map(site):
    random = np.random.default_rng(5)
    rough = random.normal(size=(HEIGHT, WIDTH)) * (1 + surface(3)).clip(0.1)
    red, nir = 0.05 + 0.01 * rough, 0.3 + 0.02 * surface(4)
    scene = site.raster("scene", red, nir, names=("red", "nir"))
    rows, cols = spots(90)
    from scipy.ndimage import generic_filter  # noqa: PLC0415 - for this alone

    spread = generic_filter(red, np.std, 5, mode="nearest")
    plots = site.layer(points(rows, cols), agb=1000 * spread[rows, cols])
    site.calibrate(plots, scene, texture=5, indices=("ndvi",))
    (value, _, _), _ = site.map(scene)
    inside = np.s_[3:-3, 3:-3]
    assert np.abs(value - 1000 * spread)[inside].mean() < 0.15 * 1000 * spread.std()
    card = read_card(site.folder / "card.json")
    assert card.tiling.margin == 2
    assert card.input.channels == 3


def test_classes_from_polygons(site):
    lake = CHM < 10
    scene = site.raster("scene", CHM, surface(5))
    random, shapes, kinds = np.random.default_rng(0), [], []
    while len(shapes) < 24:
        row, col = int(random.integers(HEIGHT - 5)), int(random.integers(WIDTH - 5))
        part = lake[row : row + 4, col : col + 4]
        if part.all() or not part.any():
            corner = PLACE @ (col, row + 4)
            shapes.append(shapely.box(*corner, corner[0] + 40, corner[1] + 40))
            kinds.append("lake" if part.all() else "land")
    plots = site.layer(shapes, kind=np.array(kinds, object))
    outcome = site.calibrate(plots, scene, field="kind", classes=True)
    assert "applicability" in {a.role for a in outcome.artifacts}
    values, _ = site.map(scene)
    assert np.mean((values[0] == 0) == lake) > 0.93
    odd, _ = site.map(scene, card="card-applicability.json", name="odd")
    assert odd.shape[0] == 1
    assert np.median(odd) < 1


def test_uncertain_plots_count_less(site):
    rows, cols = spots(80)
    wrong = np.arange(80) % 4 == 0
    found = np.where(wrong, 90.0, TRUTH[rows, cols])
    plots = site.layer(points(rows, cols), agb=found, se=np.where(wrong, 60.0, 1.0))
    chm = site.raster("chm", CHM)
    site.calibrate(plots, chm, error="se")
    (careful, _, _), _ = site.map(chm)
    site.calibrate(plots, chm, overwrite=True)
    (plain, _, _), _ = site.map(chm, name="plain")
    assert np.abs(careful - TRUTH).mean() < 0.5 * np.abs(plain - TRUTH).mean()


def test_the_same_seed_gives_the_same_model(site):
    plots, chm = measured(site), site.raster("chm", CHM)
    site.calibrate(plots, chm, method="forest")
    first = (site.folder / "card.onnx").read_bytes()
    site.calibrate(plots, chm, method="forest", overwrite=True)
    assert (site.folder / "card.onnx").read_bytes() == first


def test_the_page_shows_everything(site):
    plots, chm = measured(site, 100), site.raster("chm", CHM)
    site.calibrate(plots, chm, method="forest", report=str(site.folder / "page.html"))
    page = (site.folder / "page.html").read_text("utf-8")
    assert page.count("<img") == 4
    for word in ("R²", "Importance", "fold", "intervals hold", "may be used"):
        assert word in page


def refused(site, *args, **more):
    with pytest.raises(EngineError) as caught:
        site.calibrate(*args, **more)
    assert not (site.folder / "card.json").exists()
    assert caught.value.message.endswith(".")
    return caught.value


@pytest.mark.parametrize(
    ("fields", "options", "code", "words"),
    [
        ({"agb": ["12", "35 t", "9"] * 10}, {}, ErrorCode.FIELD_INVALID, "10 of 30 plots"),
        ({"agb": [-1.0, *range(1, 30)]}, {}, ErrorCode.FIELD_INVALID, "below 0 in 1 of 30"),
        ({"agb": [4.0] * 30}, {}, ErrorCode.FIELD_INVALID, "nothing to learn"),
        ({"agb": [np.nan, *range(29)]}, {}, ErrorCode.FIELD_INVALID, "empty in 1 of 30"),
        ({"mass": [4.0] * 30}, {}, ErrorCode.FIELD_MISSING, "no field «agb»"),
        ({"agb": range(30)}, {"error": "se"}, ErrorCode.FIELD_MISSING, "no field «se»"),
        ({"agb": range(30), "g": [1] * 30}, {"group": "g"}, ErrorCode.PLOTS_TOO_FEW, "1 group,"),
        ({"agb": ["a"] * 29 + ["b"]}, {"classes": True}, ErrorCode.PLOTS_TOO_FEW, "class b"),
        ({"agb": ["a"] * 30}, {"classes": True}, ErrorCode.FIELD_INVALID, "told apart"),
        ({"agb": range(30)}, {"method": "magic"}, ErrorCode.REQUEST_INVALID, "«magic»"),
        ({"agb": range(30)}, {"texture": 4}, ErrorCode.REQUEST_INVALID, "texture of 4"),
        ({"agb": range(30)}, {"radius": -3.0}, ErrorCode.REQUEST_INVALID, "radius of -3"),
        ({"agb": range(30)}, {"indices": ("ndvi",)}, ErrorCode.BAND_MISSING, "nir and red"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(site, fields, options, code, words):
    plots = {name: np.array(list(values)) for name, values in fields.items()}
    plots = {n: v.astype(object) if v.dtype.kind == "U" else v for n, v in plots.items()}
    layer = site.layer(points(*spots(30)), **plots)
    error = refused(site, layer, site.raster("chm", CHM), **options)
    assert error.code is code
    assert words in str(error)


def test_too_few_plots_say_how_many_are_needed(site):
    error = refused(site, measured(site, 12), site.raster("chm", CHM))
    assert error.code is ErrorCode.PLOTS_TOO_FEW
    assert "12 plots" in error.message
    assert "at least 20" in error.message


def test_plots_elsewhere_are_refused_and_some_elsewhere_are_told(site):
    rows, cols = spots(40)
    chm = site.raster("chm", np.where(np.arange(WIDTH) < 30, -9999, CHM))
    away = [shapely.Point(400000 + n, 7000000) for n in range(30)]
    error = refused(site, site.layer(away, agb=np.arange(30.0)), chm)
    assert error.code is ErrorCode.EXTENT_OUTSIDE
    assert "None of the 30 plots" in error.message
    some = [*points(rows, cols), *away[:3]]
    plots = site.layer(some, name="some", agb=[*TRUTH[rows, cols], 1.0, 2.0, 3.0])
    notes = " ".join(site.calibrate(plots, chm).summary.notes)
    assert "3 of 43 plots are left out, since they lie outside" in notes
    assert f"{(cols < 30).sum()} of 43 plots are left out, since they have less" in notes


def test_what_looks_odd_is_told(site):
    rows, cols = spots(60)
    rows, cols = np.append(rows, rows[0]), np.append(cols, cols[0])
    found = TRUTH[rows, cols]
    found[:15] *= 1000
    notes = " ".join(
        site.calibrate(
            site.layer(points(rows, cols), agb=found), site.raster("chm", CHM)
        ).summary.notes
    )
    assert "different units" in notes
    assert "more than any forest holds" in notes
    assert "2 plots lie on others" in notes


def test_coordinates_must_be_known_on_both_sides(site):
    bare = site.raster("bare", CHM, crs=None, transform=Affine.identity())
    assert refused(site, measured(site), bare).code is ErrorCode.CRS_MISSING
    rows, cols = spots()
    plots = site.layer(
        points(rows, cols, Affine(1, 0, 0, 0, -1, 0)), crs=None, agb=TRUTH[rows, cols]
    )
    assert "radius" in refused(site, plots, bare, radius=5.0).message
    site.calibrate(plots, bare, gsd=10.0)
    assert read_card(site.folder / "card.json").input.gsd == 10


def test_a_map_never_replaces_the_card_it_is_made_by(site):
    chm = site.raster("chm", CHM)
    site.calibrate(measured(site), chm)
    before = (site.folder / "card.json").read_text("utf-8")
    request = SegmentRequest(
        InputSpec((chm.file,)),
        OutputSpec(str(site.folder / "card.tif"), overwrite=True),
        str(site.folder / "card.json"),
    )
    with pytest.raises(EngineError) as caught:
        settled_plan(request, site.store, site.folder, lambda _card: None)
    assert caught.value.code is ErrorCode.OUTPUT_UNWRITABLE
    assert (site.folder / "card.json").read_text("utf-8") == before


def test_the_command(site, swath):
    chm, card = site.raster("chm", CHM), site.folder / "model.json"
    page = site.folder / "page.html"
    given = ["--field", "agb", "--predictors", f"height={chm.file}::raw", "--method", "ridge"]
    done = swath(
        "calibrate", measured(site), *given, "-o", card, "--report", page, "--unit", "t/ha"
    )
    assert done.exit_code == 0, done.output
    read = read_card(card)
    assert [i.name for i in read.inputs] == ["height"]
    assert read.output.values[0].unit == "t/ha"
    assert page.is_file()
    again = swath("calibrate", measured(site), *given, "-o", card)
    assert again.exit_code == 2
    assert "exists already" in again.output

"""The algorithms on finished maps with the real engine: biomass, totals, a sample, an accuracy."""

import json

import numpy as np
import pyogrio
import rasterio
import shapely
from affine import Affine

LEFT, TOP = 600_000, 5_400_000


def write(path, pixels, pixel, dtype):
    layout = {"count": 1, "height": pixels.shape[0], "width": pixels.shape[1], "dtype": dtype}
    layout |= {"crs": "EPSG:32632", "transform": Affine(pixel, 0, LEFT, 0, -pixel, TOP)}
    with rasterio.open(path, "w", "GTiff", **layout) as file:
        file.write(pixels.astype(dtype), 1)
    return path


def results(done):
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    return json.loads(done.stdout[done.stdout.index("{") :])["results"]


def run(headless, name, **parameters):
    texts = [f"{key}={value}" for key, value in parameters.items()]
    return results(headless("--json", "run", f"swath:{name}", "--", *texts))


def test_from_canopy_height_to_totals(headless, place):
    height = write(place.folder / "Höhe.tif", np.full((200, 300), 25.0), 1.0, "float32")
    biomass, totals = place.folder / "agb.tif", place.folder / "totals.gpkg"
    run(headless, "biomass", HEIGHT=height, PLOT=50, OUTPUT=biomass)
    with rasterio.open(biomass) as file:
        assert file.read(1)[0, 0] > 300
    zones = place.folder / "zones.gpkg"
    box = shapely.box(LEFT, TOP - 150, LEFT + 200, TOP)
    pyogrio.raw.write(
        zones,
        shapely.to_wkb(np.array([box], object)),
        field_data=[np.array(["stand"], object)],
        fields=np.array(["name"], object),
        geometry_type="Polygon",
        crs="EPSG:32632",
        driver="GPKG",
    )
    report = place.folder / "totals.html"
    given = {"MAP": biomass, "ZONES": zones, "CORRELATION": 100, "REPORT": report}
    found = run(headless, "totals", **given, OUTPUT=totals)
    assert found["REPORT"] == str(report)
    meta, _, _, columns = pyogrio.raw.read(totals, "totals")
    named = dict(zip(meta["fields"], columns, strict=True))
    assert abs(named["area_ha"][0] - 3) < 0.01
    assert named["biomass_low"][0] < named["biomass"][0] < named["biomass_high"][0]


def test_a_sample_is_drawn_and_judged(headless, place):
    classes = np.zeros((60, 80), np.uint8)
    classes[:, 40:] = 1
    said = write(place.folder / "map.tif", classes, 10.0, "uint8")
    sample, report = place.folder / "sample.gpkg", place.folder / "accuracy.html"
    run(headless, "sample", MAP=said, SIZE=40, LEAST=10, OUTPUT=sample)
    meta, _, shapes, _ = pyogrio.raw.read(sample, "sample")
    assert (len(shapes), meta["crs"]) == (40, "EPSG:32632")
    given = {"REFERENCE": sample, "FIELD": "stratum", "STRATA": "stratum"}
    run(headless, "assess", MAP=said, **given, REPORT=report)
    assert "Overall accuracy: 100.0 %" in report.read_text("utf-8")
    assert (place.folder / "accuracy_classes.csv").is_file()


def test_a_model_is_calibrated_and_applied(headless, place):
    row, col = np.mgrid[0:60, 0:80]
    height = 10 + 8 * np.sin(row / 9) * np.cos(col / 11)
    chm = write(place.folder / "chm.tif", height, 10.0, "float32")
    random = np.random.default_rng(0)
    rows, cols = random.integers(60, size=50), random.integers(80, size=50)
    plots = place.folder / "plots.gpkg"
    pyogrio.raw.write(
        plots,
        shapely.to_wkb(shapely.points(LEFT + 10 * cols + 5, TOP - 10 * rows - 5)),
        field_data=[5 * height[rows, cols] + random.normal(size=50)],
        fields=np.array(["agb"], object),
        geometry_type="Point",
        crs="EPSG:32632",
        driver="GPKG",
    )
    card, report = place.folder / "model.json", place.folder / "model.html"
    given = {"FIELD": "agb", "PREDICTORS": chm, "METHOD": "ridge", "REPORT": report}
    found = run(headless, "calibrate", PLOTS=plots, **given, OUTPUT=card)
    assert found["OUTPUT"] == str(card)
    assert "R²" in report.read_text("utf-8")
    output = place.folder / "agb.tif"
    run(headless, "apply", INPUT=chm, MODEL_FILE=card, OUTPUT=output)
    with rasterio.open(output) as file:
        assert np.abs(file.read(1) - 5 * height).mean() < 2

"""``swath assess`` and ``swath sample`` on real files."""

import csv
import re

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
from pyproj import Transformer

TRUTH = np.zeros((60, 80), np.uint8)
TRUTH[:, 40:] = 1
MAP = TRUTH.copy()
MAP[:30, 38:40] = 1  # 60 pixels too many of class 1
POINTS = [(c + 0.5, r + 0.5) for r in range(0, 60, 4) for c in range(0, 80, 3)]


def true_at(points):
    return [int(TRUTH[int(y), int(x)]) for x, y in points]


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_raster_reference_is_compared_pixel_by_pixel(tmp_path, swath, write_map):
    page = tmp_path / "page.html"
    said, true = write_map("map.tif", MAP), write_map("true.tif", TRUTH)
    result = swath("assess", said, true, "--report", page)
    assert result.exit_code == 0, result.output
    found = rows_of(tmp_path / "page_classes.csv")
    assert [float(r["user"]) for r in found] == [1, pytest.approx(2400 / 2460, abs=1e-5)]
    assert [float(r["producer"]) for r in found] == [pytest.approx(2340 / 2400, abs=1e-5), 1]
    assert [float(r["mapped_ha"]) for r in found] == pytest.approx([23.4, 24.6], rel=1e-3)
    matrix = rows_of(tmp_path / "page_confusion.csv")
    assert [float(r["class 0"]) for r in matrix] == [2340, 60]
    text = page.read_text("utf-8")
    assert "Overall accuracy: 98.8 %." in text
    assert "http" not in text.replace("http://www.w3.org", "").replace("https://doi.org", "")


def test_points_give_intervals_and_corrected_areas(tmp_path, swath, write_map, write_layer):
    points = write_layer("p.gpkg", shapely.points(POINTS), kind=true_at(POINTS))
    page = tmp_path / "page.html"
    result = swath("assess", write_map("map.tif", MAP), points, "--field", "kind", "--report", page)
    assert result.exit_code == 0, result.output
    found = rows_of(tmp_path / "page_classes.csv")
    for row in found:
        assert float(row["area_ha_low"]) <= 24 <= float(row["area_ha_high"]) + 1e-9
    assert sum(float(r["area_ha"]) for r in found) == pytest.approx(48, rel=1e-3)
    assert "Areas, corrected" in page.read_text("utf-8")


def test_names_and_numbers_of_another_crs_both_work(tmp_path, swath, write_map, write_layer):
    names = [str(k) for k in true_at(POINTS)]
    plain = write_layer("n.gpkg", shapely.points(POINTS), kind=names)
    reported = []
    for layer in (plain, _reprojected(plain, tmp_path / "geo.gpkg")):
        page = tmp_path / f"{layer.stem}.html"
        said = write_map("map.tif", MAP)
        result = swath("assess", said, layer, "--field", "kind", "--report", page)
        assert result.exit_code == 0, result.output
        reported.append((tmp_path / f"{layer.stem}_classes.csv").read_text())
    assert reported[0] == reported[1]


def _reprojected(path, target):
    meta, _, shapes, fields = pyogrio.raw.read(path)
    mover = Transformer.from_crs(32633, 4326, always_xy=True)
    moved = shapely.transform(
        shapely.from_wkb(shapes), lambda xy: np.column_stack(mover.transform(xy[:, 0], xy[:, 1]))
    )
    pyogrio.raw.write(
        target,
        shapely.to_wkb(moved),
        field_data=fields,
        fields=meta["fields"],
        geometry_type="Point",
        crs="EPSG:4326",
        driver="GPKG",
    )
    return target


def test_each_polygon_counts_once(tmp_path, swath, write_map, write_layer):
    shapes = shapely.box([0, 60, 35], [0, 0, 10], [30, 62, 40], [50, 2, 20])
    layer = write_layer("poly.gpkg", shapes, kind=[0, 1, 0])
    page = tmp_path / "page.html"
    result = swath("assess", write_map("map.tif", MAP), layer, "--field", "kind", "--report", page)
    assert result.exit_code == 0, result.output
    matrix = rows_of(tmp_path / "page_confusion.csv")
    # the third polygon: 5 of 5 columns are class 0, of which two are mapped as 1
    assert [float(r["class 0"]) for r in matrix] == pytest.approx([1.6, 0.4])
    assert [float(r["class 1"]) for r in matrix] == pytest.approx([0, 1])


def test_a_drawn_sample_can_be_labelled_and_judged(tmp_path, swath, write_map, write_layer):
    said = write_map("map.tif", MAP)
    out = tmp_path / "sample.gpkg"
    drawn = swath("sample", said, out, "--size", 120, "--least", 40)
    assert drawn.exit_code == 0, drawn.output
    _, _, shapes, fields = pyogrio.raw.read(out, "sample", columns=["stratum"])
    xy = shapely.get_coordinates(shapely.from_wkb(shapes))
    cols, rows = (xy[:, 0] - 500_000) / 10, (5_400_000 - xy[:, 1]) / 10
    assert len(xy) == 120
    assert (MAP[rows.astype(int), cols.astype(int)] == fields[0]).all()
    assert np.bincount(fields[0]).min() >= 40
    points = np.column_stack([cols, rows])
    labelled = write_layer(
        "done.gpkg",
        shapely.points(points),
        true_class=[str(v) for v in true_at(points)],
        stratum=fields[0].tolist(),
    )
    page = tmp_path / "page.html"
    arguments = ["--field", "true_class", "--strata", "stratum", "--report", page]
    result = swath("assess", said, labelled, *arguments)
    assert result.exit_code == 0, result.output
    row = rows_of(tmp_path / "page_classes.csv")[1]
    assert float(row["area_ha_low"]) <= 24 <= float(row["area_ha_high"])


def test_the_same_seed_draws_the_same_points(tmp_path, swath, write_map):
    said = write_map("map.tif", MAP)
    outs = [tmp_path / f"{i}.gpkg" for i in range(3)]
    for out, seed in zip(outs, (1, 1, 2), strict=True):
        assert swath("sample", said, out, "--size", 60, "--least", 5, "--seed", seed).exit_code == 0
    read = [pyogrio.raw.read(out, "sample")[2].tolist() for out in outs]
    assert read[0] == read[1]
    assert read[0] != read[2]


def test_amounts_are_judged_by_their_errors(tmp_path, swath, write_map, write_layer):
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 300, len(POINTS))
    noise = rng.normal(5, 20, (60, 80))
    amounts = noise.copy()
    for (x, y), value in zip(POINTS, true, strict=True):
        amounts[int(y), int(x)] += value
    said = write_map("agb.tif", amounts, np.full_like(amounts, 20), units=("Mg/ha", "Mg/ha"))
    layer = write_layer("p.gpkg", shapely.points(POINTS), agb=true.tolist())
    page = tmp_path / "page.html"
    result = swath("assess", said, layer, "--values", "--field", "agb", "--report", page)
    assert result.exit_code == 0, result.output
    row = rows_of(tmp_path / "page_accuracy.csv")[0]
    errors = noise[::4, ::3].ravel()
    assert float(row["rmse"]) == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-4)
    assert float(row["bias"]) == pytest.approx(errors.mean(), rel=1e-4)
    assert "90 % intervals by the map" in page.read_text("utf-8")


def test_probabilities_that_are_too_sure_are_found_out(tmp_path, swath, write_map, write_layer):
    rng = np.random.default_rng(3)
    share = rng.uniform(0, 1, (60, 80))
    truth = (rng.uniform(0, 1, share.shape) < share).astype(int)
    logit = 3 * np.log(share / (1 - share))
    sure = 1 / (1 + np.exp(-logit))
    said = write_map("map.tif", (sure > 0.5).astype(np.uint8))
    probability = write_map("p.tif", 1 - sure, sure)
    with rasterio.open(probability, "r+") as file:
        file.descriptions = ("probability of class 0", "probability of class 1")
    points = [(c + 0.5, r + 0.5) for r in range(0, 60, 2) for c in range(0, 80, 2)]
    labels = [int(truth[int(y), int(x)]) for x, y in points]
    layer = write_layer("p.gpkg", shapely.points(points), kind=labels)
    page = tmp_path / "page.html"
    arguments = ["--field", "kind", "--report", page, "--probability", probability]
    result = swath("assess", said, layer, *arguments)
    assert result.exit_code == 0, result.output
    found = re.search(
        r"Temperature ([0-9.]+): the probabilities are too sure", page.read_text("utf-8")
    )
    assert float(found[1]) == pytest.approx(3, rel=0.15)


@pytest.mark.parametrize(
    "case",
    [
        ("kind", ["0", "elephant"] * 2, [], "CLASS_UNKNOWN"),
        ("kind", [0, 1, 0, 1], ["--strata", "nowhere"], "FIELD_MISSING"),
        ("other", [0, 1, 0, 1], [], "FIELD_MISSING"),
        ("kind", ["a", "1", "2", "3"], ["--values"], "FIELD_INVALID"),
        ("kind", ["", "", "", ""], [], "FIELD_INVALID"),
    ],
)
def test_references_that_cannot_be_understood(tmp_path, swath, write_map, write_layer, case):
    field, values, options, code = case
    layer = write_layer("p.gpkg", shapely.points(POINTS[:4]), **{field: values})
    page = tmp_path / "page.html"
    said = write_map("map.tif", MAP)
    result = swath("assess", said, layer, "--field", "kind", "--report", page, *options)
    assert (result.exit_code, code in result.output) == (2, True), result.output
    assert not list(tmp_path.glob("page*"))


def test_a_reference_elsewhere_is_refused(tmp_path, swath, write_map, write_layer):
    layer = write_layer("p.gpkg", shapely.points([(900.0, 900.0)]), kind=[1])
    page = tmp_path / "page.html"
    result = swath("assess", write_map("map.tif", MAP), layer, "--field", "kind", "--report", page)
    assert (result.exit_code, "INPUT_GRID_MISMATCH" in result.output) == (2, True)


def test_amounts_are_no_classes(tmp_path, swath, write_map, write_layer):
    layer = write_layer("p.gpkg", shapely.points(POINTS[:4]), kind=[0, 0, 0, 0])
    said = write_map("map.tif", np.linspace(0, 1, 4800).reshape(60, 80))
    result = swath("assess", said, layer, "--field", "kind", "--report", tmp_path / "page.html")
    assert (result.exit_code, "MODEL_UNSUITABLE" in result.output) == (2, True)

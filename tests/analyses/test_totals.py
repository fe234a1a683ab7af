"""``swath totals`` on real files."""

import csv
import json
import math

import numpy as np
import pyogrio.raw
import pytest
import shapely

SHAPE = (40, 50)


def agb(value=200.0, sd=40.0):
    return np.full(SHAPE, value), np.full(SHAPE, sd)


def table(path):
    with path.open(encoding="utf-8") as file:
        return {
            row["zone"]: {k: float(v) for k, v in row.items() if k != "zone" and v}
            for row in csv.DictReader(file)
        }


def boxes(*boxes):
    return [shapely.box(*b) for b in boxes]


@pytest.fixture
def totals(tmp_path, swath, write_map, write_layer):
    def run(
        *options, bands=None, zones=None, units=("Mg/ha", "Mg/ha"), tags=None, crs="EPSG:32633"
    ):
        said = write_map("agb.tif", *(bands or agb()), units=units, tags=tags, crs=crs)
        shapes = zones or boxes((0, 0, 10, 10), (20.5, 5, 30, 25.25))
        layer = write_layer("zones.gpkg", shapes, name=[f"z{i}" for i in range(len(shapes))])
        return swath("totals", said, layer, tmp_path / "out.gpkg", *options)

    return run


def test_areas_totals_carbon_by_hand(tmp_path, totals):
    result = totals("--correlation", 0, "--report", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    found = table(tmp_path / "out_totals.csv")
    # 100 pixels of 100 m2 = 1 ha of the map's plane; UTM's scale at the central meridian is 0.9996
    ha = 1 / 0.9996**2
    assert found["z0"]["area_ha"] == pytest.approx(ha, rel=1e-5)
    assert found["z0"]["biomass"] == pytest.approx(200 * ha, rel=1e-5)
    assert found["z0"]["carbon"] == pytest.approx(94 * ha, rel=1e-5)
    assert found["z0"]["co2e"] == pytest.approx(94 * ha * 44 / 12, rel=1e-5)
    # independent pixels: sqrt(100) * 0.01 ha * 40
    assert found["z0"]["biomass_se"] == pytest.approx(4 * ha, rel=1e-5)
    assert found["z1"]["area_ha"] == pytest.approx(9.5 * 20.25 / 100 * ha, rel=1e-4)
    assert found["all zones"]["biomass"] == pytest.approx(
        found["z0"]["biomass"] + found["z1"]["biomass"], rel=1e-9
    )
    assert "Totals of" in (tmp_path / "page.html").read_text("utf-8")


def test_correlated_errors_do_not_average_out(tmp_path, totals):
    assert totals("--correlation", 1e7).exit_code == 0
    found = table(tmp_path / "out_totals.csv")["z0"]
    # all pixels err alike: 40 Mg/ha on 1 ha
    assert found["biomass_se"] == pytest.approx(40 / 0.9996**2, rel=1e-3)
    assert found["se_independent"] == pytest.approx(4 / 0.9996**2, rel=1e-5)


def test_the_variance_is_the_double_sum(tmp_path, totals):
    assert totals("--correlation", 60, zones=boxes((0, 0, 6, 5))).exit_code == 0
    rows, cols = np.mgrid[0:5, 0:6] * 10.0
    places = np.column_stack([rows.ravel(), cols.ravel()]) / 0.9996
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    variance = (np.exp(-apart / 20) * (40 * 0.01 / 0.9996**2) ** 2).sum()
    found = table(tmp_path / "out_totals.csv")["z0"]["biomass_se"]
    assert found == pytest.approx(math.sqrt(variance), rel=2e-3)


def test_what_the_file_says_of_its_errors_is_used(tmp_path, totals):
    told = {"variogram": "exponential", "nugget": 1200.0, "sill": 400.0, "range_m": 90.0}
    result = totals(tags={"SWATH_RESIDUALS": json.dumps(told)})
    assert result.exit_code == 0, result.output
    assert "within 90 m (as the map's file says; exponential, 75 %" in result.output


def test_a_shared_error_adds_up(tmp_path, totals):
    assert totals("--correlation", 0, "--systematic", 0.1).exit_code == 0
    found = table(tmp_path / "out_totals.csv")["z0"]["biomass_se"]
    assert found == pytest.approx(math.hypot(4, 20) / 0.9996**2, rel=1e-4)


def test_the_change_between_two_dates(tmp_path, totals, write_map):
    later = write_map("later.tif", *agb(170.0, 30.0), units=("Mg/ha", "Mg/ha"))
    result = totals("--correlation", 0, "--later", later, "--between-dates", 0.5)
    assert result.exit_code == 0, result.output
    found = table(tmp_path / "out_totals.csv")["z0"]
    ha = 1 / 0.9996**2
    assert found["change_biomass"] == pytest.approx(-30 * ha, rel=1e-5)
    # 40² + 30² - 2 * 0.5 * 40 * 30 = 1300 a pixel
    assert found["change_biomass_se"] == pytest.approx(math.sqrt(1300) / 10 * ha, rel=1e-4)


def test_plots_correct_a_map_that_is_off(tmp_path, totals, write_layer):
    rng = np.random.default_rng(1)
    xy = rng.uniform(0, 40, (60, 2)) * [1, 1]
    observed = rng.normal(230, 10, 60)
    plots = write_layer("plots.gpkg", shapely.points(xy), agb=observed.tolist())
    zones = boxes((0, 0, 40, 40))
    page = tmp_path / "page.html"
    options = ["--correlation", 0, "--plots", plots, "--field", "agb", "--report", page]
    rng = np.random.default_rng(2)
    bands = (200 + rng.normal(0, 5, SHAPE), agb()[1])
    result = totals(*options, zones=zones, bands=bands)
    assert result.exit_code == 0, result.output
    text = page.read_text("utf-8")
    assert "Corrected by plots" in text
    assert "difference" in text
    assert "regression" in text


def test_the_layer_keeps_its_fields(tmp_path, totals):
    assert totals("--correlation", 10).exit_code == 0
    meta, _, shapes, fields = pyogrio.raw.read(tmp_path / "out.gpkg", "totals")
    names = meta["fields"].tolist()
    assert names[:3] == ["name", "area_ha", "missing_ha"]
    assert fields[0].tolist() == ["z0", "z1"]
    assert len(shapes) == 2


@pytest.mark.parametrize(
    ("options", "given", "code"),
    [
        ([], {}, "REQUEST_INVALID"),
        (["--correlation", 5], {"bands": agb()[:1], "units": ("Mg/ha",)}, "REQUEST_INVALID"),
        (["--correlation", 5], {"units": ("kg/m2", "kg/m2")}, "MODEL_UNSUITABLE"),
        (["--correlation", 5], {"zones": boxes((500, 500, 510, 510))}, "INPUT_GRID_MISMATCH"),
        (["--correlation", 5], {"zones": [shapely.Point(3, 3)]}, "LAYER_EMPTY"),
        (["--correlation", 5, "--carbon-fraction", 47], {}, "REQUEST_INVALID"),
        (["--correlation", 5], {"crs": None}, "CRS_MISSING"),
    ],
    ids=["no-range", "no-deviation", "unit", "elsewhere", "points", "fraction", "no-crs"],
)
def test_totals_that_could_not_be_defended(tmp_path, totals, options, given, code):
    result = totals(*options, **given)
    assert (result.exit_code, code in result.output) == (2, True), result.output
    assert not list(tmp_path.glob("out*"))


def test_pixels_without_data_are_told_and_not_counted(tmp_path, totals):
    value, sd = agb()
    value[:, :5] = np.nan
    result = totals("--correlation", 0, bands=(value, sd))
    assert result.exit_code == 0, result.output
    found = table(tmp_path / "out_totals.csv")["z0"]
    assert found["missing_ha"] == pytest.approx(0.5 / 0.9996**2, rel=1e-4)
    assert found["biomass"] == pytest.approx(100 / 0.9996**2, rel=1e-4)
    assert "have no data and are not counted" in result.output


def test_the_part_of_a_zone_beyond_the_map_is_missing(tmp_path, totals):
    assert totals("--correlation", 0, zones=boxes((-10, 0, 10, 10))).exit_code == 0
    found = table(tmp_path / "out_totals.csv")["z0"]
    assert found["area_ha"] == pytest.approx(1 / 0.9996**2, rel=1e-4)
    assert found["missing_ha"] == pytest.approx(1 / 0.9996**2, rel=1e-4)


def test_a_zone_without_data_has_no_total(tmp_path, totals):
    zones = boxes((0, 0, 10, 10), (500, 500, 510, 510))
    result = totals("--correlation", 0, "--report", tmp_path / "page.html", zones=zones)
    assert result.exit_code == 0, result.output
    found = table(tmp_path / "out_totals.csv")["z1"]
    assert set(found) == {"area_ha", "missing_ha"}
    assert found["area_ha"] == 0
    assert "All zones, 1 ha: 200 Mg (95 % interval" in result.output


def test_a_layer_is_written_as_a_geopackage_or_not_at_all(tmp_path, swath, write_map, write_layer):
    said, zones = write_map("agb.tif", *agb()), write_layer("z.gpkg", boxes((0, 0, 9, 9)), n=["z"])
    result = swath("totals", said, zones, tmp_path / "out.csv", "--correlation", 5)
    assert (result.exit_code, "OUTPUT_UNWRITABLE" in result.output) == (2, True)

"""Biomass from canopy height, end to end."""

import csv
import math
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from affine import Affine
from typer.testing import CliRunner

from engine.assess.allometry import ASNER, LONGO, density
from engine.cli.app import app

UTM = "EPSG:32622"


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("SWATH_STATE", str(tmp_path / "state"))


@pytest.fixture
def nouragues():
    beside = Path(__file__).parents[3] / "shared"
    return Path(os.environ.get("SWATH_SHARED") or beside) / "data" / "nouragues_agb"


def run(*arguments):
    return CliRunner().invoke(app, ["biomass", *map(str, arguments)])


def write(path, heights, pixel=1.0, crs=UTM, **options):
    transform = Affine(pixel, 0, 300000, 0, -pixel, 400000)
    layout = {"width": heights.shape[-1], "height": heights.shape[-2], "dtype": "float32"}
    count = heights.shape[0] if heights.ndim == 3 else 1
    layout |= {"count": count, "crs": crs, "transform": transform, **options}
    with rasterio.open(path, "w", "GTiff", **layout) as file:
        file.write(heights.astype(np.float32).reshape(count, *heights.shape[-2:]))
    return path


def read(path):
    with rasterio.open(path) as file:
        return file.read(), file.transform


def test_heights_are_averaged_before_the_formula(tmp_path):
    heights = np.zeros((100, 200))
    heights[:50, :100] = 40  # half of the first hectare
    heights[:, 100:] = 20
    result = run(tmp_path / "o.tif", "--height", write(tmp_path / "chm.tif", heights))
    assert result.exit_code == 0, result.output
    found, transform = read(tmp_path / "o.tif")
    assert found.shape == (2, 1, 2)
    assert transform == Affine(100, 0, 300000, 0, -100, 400000)
    both = density(ASNER, np.array([20.0]))[0]
    assert found[0].tolist() == [[pytest.approx(both), pytest.approx(both)]]
    assert found[1, 0, 0] == pytest.approx(0.1 * both, rel=0.03)


def test_plots_without_half_their_pixels_have_no_result(tmp_path):
    heights = np.full((60, 60), 25.0)
    heights[:30, :18] = -9999  # 540 of 900
    heights[30:, :12] = -9999  # 360 of 900
    chm = write(tmp_path / "chm.tif", heights, nodata=-9999)
    result = run(tmp_path / "o.tif", "--height", chm, "--plot", 30)
    assert result.exit_code == 0, result.output
    found = read(tmp_path / "o.tif")[0][0]
    assert math.isnan(found[0, 0])
    expected = density(ASNER, np.array([25.0]))[0]
    assert np.allclose(found[[0, 1, 1], [1, 0, 1]], expected)


def test_smaller_plots_deviate_more(tmp_path):
    chm = write(tmp_path / "chm.tif", np.full((100, 100), 25.0))
    shares = []
    for side in (100, 25):
        out = tmp_path / f"o{side}.tif"
        assert run(out, "--height", chm, "--plot", side).exit_code == 0
        found = read(out)[0][:, 0, 0]
        shares.append(found[1] / found[0])
    assert shares == [pytest.approx(0.1, rel=0.03), pytest.approx(0.4, rel=0.03)]


def test_a_formula_of_the_users_own(tmp_path):
    chm = write(tmp_path / "chm.tif", np.full((40, 40), 16.0), pixel=0.5)
    own = ["--allometry", "power", "--factor", 2, "--exponent", 1.5, "--residual", 0.25]
    result = run(tmp_path / "o.tif", "--height", chm, "--plot", 20, *own, "--height-error", 0)
    assert result.exit_code == 0, result.output
    found = read(tmp_path / "o.tif")[0]
    assert found[:, 0, 0].tolist() == [pytest.approx(128), pytest.approx(32, rel=0.03)]


@pytest.mark.parametrize(
    ("heights", "options", "code"),
    [
        (np.full((200, 200), -3.0), {}, "SCALE_IMPLAUSIBLE"),
        (np.full((200, 200), 2500.0), {}, "SCALE_IMPLAUSIBLE"),
        (np.full((200, 200), 20.0), {"crs": "EPSG:4326", "pixel": 1e-5}, "MODEL_UNSUITABLE"),
        (np.full((200, 200), 20.0), {"crs": None}, "CRS_MISSING"),
        (np.full((20, 20), 20.0), {"pixel": 500.0}, "MODEL_UNSUITABLE"),
        (np.full((3, 20, 20), 20.0), {}, "BAND_COUNT"),
        (np.full((200, 200), -9999.0), {"nodata": -9999}, "SCALE_IMPLAUSIBLE"),
    ],
    ids=["below-ground", "centimetres", "degrees", "no-crs", "coarse", "bands", "empty"],
)
def test_what_is_no_canopy_height_is_refused(tmp_path, heights, options, code):
    chm = write(tmp_path / "chm.tif", heights, **options)
    before = sorted(p.name for p in tmp_path.iterdir())
    result = run(tmp_path / "o.tif", "--height", chm)
    assert result.exit_code == 2
    assert code in result.output
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "state") == before


def test_a_few_heights_below_the_ground_are_noise_and_told(tmp_path):
    heights = np.full((100, 100), 20.0)
    heights[0, :50] = -0.3
    result = run(tmp_path / "o.tif", "--height", write(tmp_path / "chm.tif", heights))
    assert "0.5 % of the heights are below the ground" in result.output


def test_a_formula_of_the_tropics_elsewhere_is_doubted(tmp_path):
    chm = tmp_path / "north.tif"
    transform = Affine(1, 0, 600_000, 0, -1, 5_400_000)
    layout = {"count": 1, "height": 100, "width": 100, "dtype": "float32", "crs": "EPSG:32632"}
    with rasterio.open(chm, "w", "GTiff", transform=transform, **layout) as file:
        file.write(np.full((1, 100, 100), 20, np.float32))
    result = run(tmp_path / "o.tif", "--height", chm)
    assert "48.7° of latitude, and the formula is of tropical forests" in result.output


@pytest.mark.parametrize(
    "options",
    [
        ["--allometry", "power", "--factor", 2],
        ["--factor", 2],
        ["--allometry", "power", "--factor", -2, "--exponent", 1, "--residual", 0.1],
    ],
)
def test_formulas_that_are_none_are_refused(tmp_path, options):
    chm = write(tmp_path / "chm.tif", np.full((100, 100), 20.0))
    result = run(tmp_path / "o.tif", "--height", chm, *options)
    assert (result.exit_code, "REQUEST_INVALID" in result.output) == (2, True)


@pytest.mark.shared
def test_plots_in_french_guiana(nouragues, tmp_path):
    """Four plots of 1 ha at Nouragues against the trees that were measured there."""
    folder = nouragues
    result = run(tmp_path / "o.tif", "--height", folder / "chm_1m.tif")
    assert result.exit_code == 0, result.output
    assert np.nanmean(read(tmp_path / "o.tif")[0][0]) == pytest.approx(403, abs=2)
    corners, trees = defaultdict(list), defaultdict(float)
    for row in _rows(folder / "plot_corners.csv"):
        corners[row["Plot"]].append((float(row["Xutm"]), float(row["Yutm"])))
    for row in _rows(folder / "trees_agb.csv"):
        trees[row["Plot"]] += float(row["AGB"])
    heights, transform = read(folder / "chm_1m.tif")
    for formula, bias, rmse in ((ASNER, -22.9, 72.9), (LONGO, 95.6, 103.5)):
        errors = []
        for plot, points in corners.items():
            shape = shapely.convex_hull(shapely.MultiPoint(points))
            inside = rasterio.features.geometry_mask(
                [shape], heights.shape[1:], transform, invert=True
            )
            mean = heights[0][inside].mean(dtype=np.float64)
            errors.append(density(formula, mean) - trees[plot] / shape.area * 1e4)
        found = np.mean(errors), np.sqrt(np.mean(np.square(errors)))
        assert found == (pytest.approx(bias, abs=0.5), pytest.approx(rmse, abs=0.5))


def _rows(path):
    with path.open(encoding="utf-8") as file:
        yield from csv.DictReader(file)

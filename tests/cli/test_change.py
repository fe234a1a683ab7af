"""``swath change`` as a user types it."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin


@pytest.fixture
def dates(tmp_path, scene):
    """Two dates of one place: noise all over, and a patch that changed."""
    paths = []
    for number in (1, 2):
        path = scene(f"date {number}.tif")
        rng = np.random.default_rng(7)
        ground = rng.random((2, 150, 200)) * 0.3 + 0.2
        rng = np.random.default_rng(number)
        data = (ground + rng.normal(0, 0.01, ground.shape)).astype(np.float32)
        if number > 1:
            data[:, 50:90, 60:120] += 0.3
        data[:, 0] = np.nan
        with rasterio.open(path, "r+") as target:
            target.write(data)
        paths.append(path)
    return paths


OPTIONS = ("--input-profile", "reflectance")


def test_two_dates_become_a_map_with_polygons(swath, dates, tmp_path):
    out = tmp_path / "change.tif"
    vector = tmp_path / "change.gpkg"
    said = swath("change", *dates, out, *OPTIONS, "--vector", vector, "--min-area", 9000)
    assert said.code == 0, said.err
    assert "change " in said.out
    assert "canonical correlations" in said.err
    with rasterio.open(out) as source:
        found = source.read(1)
        assert source.nodata == 255
    assert (found[50:90, 60:120] == 1).mean() > 0.99
    assert (found[0] == 255).all()
    assert np.isin(found[100:], (0,)).mean() > 0.99
    item = json.loads(out.with_suffix(".json").read_text())
    assert "Otsu" in json.dumps(item)
    assert len(said.err.encode()) < 5000, "the method itself is no text for people"


@pytest.mark.parametrize(
    "words",
    [
        ("--model", "clouds-6band-l1c", "--method", "cva"),
        ("--model", "clouds-6band-l1c", "--false-alarm", "0.1"),
    ],
)
def test_a_model_and_a_method_exclude_each_other(words, swath, dates, tmp_path):
    said = swath("change", *dates, tmp_path / "o.tif", *OPTIONS, *words)
    assert (said.code, said.error) == (2, "REQUEST_INVALID")
    assert not (tmp_path / "o.tif").exists()


def test_a_missing_second_date_is_named(swath, dates, tmp_path):
    said = swath("change", dates[0], tmp_path / "none.tif", tmp_path / "o.tif", *OPTIONS)
    assert (said.code, said.error) == (2, "INPUT_NOT_FOUND")
    assert "none.tif" in said.err


def test_a_report_is_one_more_file(swath, dates, tmp_path):
    page = tmp_path / "Bericht ä.html"
    said = swath("change", *dates, tmp_path / "o.tif", *OPTIONS, "--report", page)
    assert said.code == 0, said.err
    assert f"report  {page}" in said.out
    text = page.read_text("utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "Warning" not in said.err


def test_jobs_of_change_are_listed_as_such(swath, dates, tmp_path):
    swath("change", *dates, tmp_path / "o.tif", *OPTIONS, "--quiet")
    assert [job["task"] for job in swath("jobs", "list", "--json").json["jobs"]] == ["change"]


def test_two_class_maps_become_a_table_of_transitions(swath, dates, tmp_path):
    paths = []
    for number in (1, 2):
        with rasterio.open(dates[0]) as source:
            profile = {**source.profile, "count": 1, "dtype": "uint8", "nodata": 255}
        codes = np.full((profile["height"], profile["width"]), 3, np.uint8)
        codes[50:90, 60 : 60 + 20 * number] = 7
        path = tmp_path / f"classes {number}.tif"
        with rasterio.open(path, "w", **profile) as target:
            target.write(codes, 1)
        paths.append(path)
    out, vector = tmp_path / "t.tif", tmp_path / "t.gpkg"
    words = ("--method", "classes", "--vector", vector, "--after-date", "2024-05-06")
    said = swath("change", *paths, out, *words)
    assert said.code == 0, said.err
    changed = 100 * 40 * 20 / codes.size
    assert f"{changed:.2f} % of the pixels with data at both dates changed" in said.out
    assert "3 → 7" in said.out
    assert "t_transitions.csv" in said.out
    assert "Neither map has class names" in said.err
    with rasterio.open(out) as source:
        assert np.unique(source.read(1)).tolist() == [33, 37, 77]


def test_a_scene_is_no_class_map(swath, dates, tmp_path):
    said = swath("change", *dates, tmp_path / "o.tif", "--method", "classes")
    assert (said.code, said.error) == (2, "BAND_COUNT")


def test_a_model_classifies_both_dates_before_their_classes_are_compared(swath, tmp_path):
    paths = []
    for name, colour in {"dry": (200, 180, 150), "wet": (20, 60, 90)}.items():
        paths.append(tmp_path / f"{name}.tif")
        layout = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": 64, "width": 96}
        where = {"crs": "EPSG:32640", "transform": from_origin(300_000, 2_800_000, 2, 2)}
        with rasterio.open(paths[-1], "w", **layout, **where, photometric="RGB") as target:
            noise = np.random.default_rng(0).integers(0, 20, (3, 64, 96))
            target.write((np.array(colour)[:, None, None] + noise).astype(np.uint8))
    out = tmp_path / "became.tif"
    words = ("--method", "classes", "--model", "landcover", "--input-profile", "rgb8", "--json")
    said = swath("change", *paths, out, *words)
    assert said.code == 0, said.err
    roles = {a["role"]: a["uri"] for a in said.json["artifacts"]}
    assert {"raster", "from", "to", "transitions", "matrix"} <= set(roles)
    for role in ("from", "to"):
        with rasterio.open(roles[role]) as source:
            assert source.read(1).max() <= 4
    assert said.json["summary"]["model"] == "landcover"

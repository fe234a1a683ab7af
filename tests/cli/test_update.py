"""``swath update`` and ``swath change --prior`` as a user types them."""

import json

import numpy as np
import pyogrio
import pytest
import shapely

LEFT, TOP, PIXEL = 500_000, 5_000_000, 10
"""Of the scene: its right half is green, and one row of it has no data."""


def box(west, north, width, height):
    """In pixels."""
    return shapely.box(
        LEFT + PIXEL * west,
        TOP - PIXEL * (north + height),
        LEFT + PIXEL * (west + width),
        TOP - PIXEL * north,
    )


def write(path, shapes, crs="EPSG:32632", kind="Polygon"):
    pyogrio.raw.write(
        path,
        shapely.to_wkb(np.array(shapes, object)),
        field_data=[np.array(["wood"] * len(shapes), object)],
        fields=np.array(["kind"], object),
        layer=path.stem,
        driver="GPKG",
        geometry_type=kind,
        crs=crs,
    )
    return path


@pytest.fixture
def old(tmp_path):
    """The green half, and something in the red half."""
    return write(tmp_path / "Grün 1.gpkg", [box(100, 1, 100, 149), box(20, 40, 20, 20)])


@pytest.fixture
def update(swath, model):
    def call(*words, card=None):
        how = ("--model", card or model(), "--input-profile", "reflectance")
        return swath("update", *words, *how)

    return call


def test_a_map_becomes_a_layer_a_table_and_a_list_of_files(update, old, scene, tmp_path):
    out = tmp_path / "neu ü.gpkg"
    said = update(old, scene(), out, "--field", "kind", "--map-date", "2020-01-01")
    assert said.code == 0, said.err
    lines = [line.split() for line in said.out.splitlines()]
    assert lines[1] == ["status", "old", "new", "old", "area", "new", "area"]
    assert lines[2][:3] == ["kept", "1", "1"]
    assert lines[3][:3] == ["gone", "1", "0"]
    assert f"statuses  {out.with_name('neu ü_statuses.csv')}" in said.out
    assert "Of 2 objects of the old map: 1 kept, 1 gone. New: 0." in said.err
    assert pyogrio.read_info(out, layer="neu ü")["features"] == 2


def test_the_job_tells_programs_what_it_counted(update, old, scene, tmp_path):
    said = update(old, scene(), tmp_path / "out.gpkg", "--json", "--class", "red", "--quiet")
    job = json.loads(said.out)
    assert job["task"] == "update"
    counts = {row["status"]: (row["old"], row["new"]) for row in job["summary"]["objects"]}
    assert counts["new"] == (0, 0)
    assert sum(old for old, _ in counts.values()) == 2
    assert [a["role"] for a in job["artifacts"]] == ["vector", "statuses", "item"]


def test_another_crs_is_no_matter(update, old, scene, tmp_path):
    from engine.geo.crs import reproject_geometry  # noqa: PLC0415 - only here

    shapes = np.array([box(100, 1, 100, 149), box(20, 40, 20, 20)], object)
    degrees = reproject_geometry(shapes, "EPSG:32632", "EPSG:4326")
    path = write(tmp_path / "degrees.gpkg", degrees, "EPSG:4326")
    said = update(path, scene(), tmp_path / "out.gpkg")
    assert "1 kept, 1 gone" in said.err
    assert pyogrio.read_info(tmp_path / "out.gpkg", layer="out")["crs"] == "EPSG:4326"


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("points", "LAYER_EMPTY"),
        ("far", "EXTENT_OUTSIDE"),
        ("missing", "INPUT_NOT_FOUND"),
        ("raster", "INPUT_UNREADABLE"),
        ("crs", "CRS_MISSING"),
        ("field", "FIELD_MISSING"),
        ("model", "MODEL_NOT_FOUND"),
        ("date", "REQUEST_INVALID"),
    ],
)
def test_bad_input_ends_with_a_code_and_a_hint(case, code, update, old, scene):
    image, tmp_path = scene(), old.parent
    out = tmp_path / "out.gpkg"
    maps = {
        "points": lambda: write(tmp_path / "p.gpkg", [shapely.Point(LEFT, TOP)], kind="Point"),
        "far": lambda: write(tmp_path / "far.gpkg", [box(5000, 5000, 10, 10)]),
        "missing": lambda: tmp_path / "none.gpkg",
        "raster": lambda: image,
        "crs": lambda: write(tmp_path / "crs.gpkg", [box(20, 40, 20, 20)], None),
    }
    more = {"field": ("--field", "type"), "date": ("--map-date", "yesterday")}.get(case, ())
    path = maps.get(case, lambda: old)()
    said = update(path, image, out, *more, card="roofs" if case == "model" else None)
    assert (said.code, said.error) == (2, code)
    assert not out.exists()


def test_a_map_that_is_the_output_too_stays(update, old, scene):
    before = old.read_bytes()
    said = update(old, scene(), old, "--overwrite")
    assert (said.code, said.error) == (2, "OUTPUT_UNWRITABLE")
    assert old.read_bytes() == before


def test_a_map_of_before_needs_a_model(swath, scene, old, tmp_path):
    image = scene()
    said = swath("change", image, scene("b.tif"), tmp_path / "o.tif", "--prior", old)
    assert (said.code, said.error) == (2, "REQUEST_INVALID")
    assert "--model" in said.err

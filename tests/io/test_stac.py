import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import jsonschema
import pyproj
import pystac
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ClassArea, ModelClass
from engine.geo.grid import Grid
from engine.io.cog import RasterLayout
from engine.io.footprint import footprint
from engine.io.stac import (
    InputRecord,
    ItemAsset,
    Provenance,
    record_input,
    stac_item,
    write_stac_item,
)

CLASSES = (ModelClass(0, "clear", "#1f9e5a"), ModelClass(2, "Cloud shadow, dünn", "#404060"))
LEGEND = RasterLayout("uint8", 255, ("class",), "mode", CLASSES)
SHARES = RasterLayout("float32", float("nan"), ("a", "b"), "average", scale=0.5, units=("1",))
GRID = Grid(pyproj.CRS.from_epsg(32633).to_wkt(), Affine(10, 0, 5e5, 0, -10, 5e6), shape=(300, 200))
PROVENANCE = Provenance(
    title="Clouds",
    model_id="clouds-6",
    model_version="1.0.0",
    model_sha256="ab" * 32,
    model_source="pypi://ukis-csmask==1.0.0/model.onnx",
    model_license="Apache-2.0",
    plan_digest="cd" * 32,
    inputs=(InputRecord("/data/B2.tif", 10, "2024-01-01T00:00:00Z", "ef" * 32),),
    profile="landsat-c1:sun=64.7",
    scaling="Reflectance is 2e-5 times the number, less 0.1.",
    device="cpu",
    engine_version="0.1.0",
    created="2024-05-06T07:08:09Z",
    acquired="2015-08-04T16:00:00Z",
    software={"onnxruntime": "1.20.0"},
    options={"min_area": 0.0, "overwrite": False},
    notes=("The scene was resampled.",),
)
AREAS = (ClassArea(0, "clear", "#1f9e5a", 5, 500.0, 1.0),)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "Wälder 2024"
    place.mkdir()
    return place


@pytest.fixture
def assets(folder):
    staged = folder / ".swath-0.tif"
    staged.write_bytes(b"pixels")
    return (
        ItemAsset("raster", folder / "a b.tif", staged, "image/tiff", "Classes", ("data",), LEGEND),
        ItemAsset("shares", folder / "s.tif", staged, "image/tiff", "Shares", ("data",), SHARES),
        ItemAsset(
            "vector",
            folder / "a.gpkg",
            staged,
            "application/x",
            "Patches",
            ("data",),
            None,
            CLASSES,
        ),
        ItemAsset("areas", folder / "sub" / "a.csv", staged, "text/csv", "Areas", ("metadata",)),
    )


def make(folder, assets, grid=GRID, provenance=PROVENANCE):
    return stac_item(folder / "a.json", grid, provenance, assets, AREAS)


def validate(item):
    """Against the core schemas that pystac carries, without network."""
    cache = get_local_schema_cache()
    registry = Registry().with_resources(
        [(uri, Resource.from_contents(schema)) for uri, schema in cache.items()]
    )
    core = cache[
        f"https://schemas.stacspec.org/v{item['stac_version']}/item-spec/json-schema/item.json"
    ]
    jsonschema.Draft7Validator(core, registry=registry).validate(item)


class TestItem:
    def test_is_a_valid_stac_item(self, folder, assets):
        item = make(folder, assets)
        validate(item)
        read = pystac.Item.from_dict(item)
        assert read.id == "a"
        assert read.datetime.isoformat() == "2015-08-04T16:00:00+00:00"

    def test_without_georeference_it_has_no_place(self, folder, assets):
        item = make(folder, assets, Grid(None, Affine(1, 0, 0, 0, -1, 0), (30, 20)))
        validate(item)
        assert item["geometry"] is None
        assert "bbox" not in item
        assert item["properties"]["proj:code"] is None
        assert item["properties"]["proj:shape"] == [30, 20]
        assert "raster:spatial_resolution" not in item["assets"]["raster"]

    def test_tells_where_the_pixels_are(self, folder, assets):
        item = make(folder, assets)
        properties = item["properties"]
        assert properties["proj:code"] == "EPSG:32633"
        assert pyproj.CRS(properties["proj:wkt2"]).to_epsg() == 32633
        assert properties["proj:transform"] == [10, 0, 5e5, 0, -10, 5e6]
        assert properties["proj:shape"] == [300, 200]
        assert properties["proj:bbox"] == [500_000, 4_997_000, 502_000, 5_000_000]
        west, south, east, north = item["bbox"]
        assert 14.99 < west < 15.0001 < east < 15.03
        assert 45.12 < south < north < 45.16

    def test_tells_how_it_came_to_be(self, folder, assets):
        properties = make(folder, assets)["properties"]
        assert properties["swath:model"]["sha256"] == "ab" * 32
        assert properties["swath:plan_digest"] == "cd" * 32
        assert properties["swath:inputs"][0]["sha256"] == "ef" * 32
        assert properties["swath:options"] == {"min_area": 0.0, "overwrite": False}
        assert properties["swath:areas"][0]["area_m2"] == 500.0
        assert properties["processing:software"] == {"swath": "0.1.0", "onnxruntime": "1.20.0"}
        for part in ("B2.tif", "clouds-6 1.0.0", "2e-5"):
            assert part in properties["processing:lineage"]

    def test_says_which_date_it_has(self, folder, assets):
        known = make(folder, assets)["properties"]
        unknown = make(folder, assets, provenance=replace(PROVENANCE, acquired=None))["properties"]
        assert known["swath:datetime_is"].startswith("acquisition")
        assert known["created"] == "2024-05-06T07:08:09Z"
        assert unknown["datetime"] == "2024-05-06T07:08:09Z"
        assert unknown["swath:datetime_is"].startswith("date of processing")

    def test_every_prefix_is_declared(self, folder, assets):
        item = make(folder, assets)
        declared = {uri.split("/")[3][:4] for uri in item["stac_extensions"]}
        bands = [b for a in item["assets"].values() for b in a.get("bands", ())]
        used = [item["properties"], *item["assets"].values(), *bands]
        prefixes = {k.split(":")[0] for part in used for k in part if ":" in k}
        assert {p[:4] for p in prefixes - {"swath"}} == declared


class TestAssets:
    def test_link_to_the_final_names_relative_to_the_item(self, folder, assets):
        found = {key: asset["href"] for key, asset in make(folder, assets)["assets"].items()}
        assert found["raster"] == "./a%20b.tif"
        assert found["areas"] == "./sub/a.csv"

    def test_in_another_folder(self, folder, assets):
        item = stac_item(folder / "sub" / "a.json", GRID, PROVENANCE, assets)
        assert item["assets"]["vector"]["href"] == "../a.gpkg"

    def test_size_and_hash_are_those_of_the_staged_file(self, folder, assets):
        asset = make(folder, assets)["assets"]["raster"]
        assert asset["file:size"] == 6
        assert asset["file:checksum"] == "1220" + hashlib.sha256(b"pixels").hexdigest()

    def test_legend_for_machines_and_people(self, folder, assets):
        found = make(folder, assets)["assets"]
        expected = [
            {"value": 0, "name": "clear", "title": "clear", "color_hint": "1F9E5A"},
            {
                "value": 2,
                "name": "cloud-shadow--d-nn",
                "title": "Cloud shadow, dünn",
                "color_hint": "404060",
            },
        ]
        assert found["raster"]["classification:classes"] == expected
        assert found["vector"]["classification:classes"] == expected
        assert "classification:classes" not in found["areas"]

    def test_bands(self, folder, assets):
        found = make(folder, assets)["assets"]
        assert found["raster"]["bands"] == [{"name": "class", "data_type": "uint8", "nodata": 255}]
        assert found["shares"]["bands"][1] == {
            "name": "b",
            "data_type": "float32",
            "nodata": "nan",
            "unit": "1",
            "raster:scale": 0.5,
        }
        assert found["raster"]["raster:spatial_resolution"] == 10

    def test_a_file_that_has_gone_is_explained(self, folder, assets):
        assets[0].written.unlink()
        with pytest.raises(EngineError) as caught:
            make(folder, assets)
        assert caught.value.code is ErrorCode.OUTPUT_UNWRITABLE


def test_file_is_json_that_reads_back(folder, assets):
    item = make(folder, assets)
    write_stac_item(folder / "a.json", item)
    assert json.loads((folder / "a.json").read_text(encoding="utf-8")) == item
    assert "dünn" in (folder / "a.json").read_text(encoding="utf-8")


class TestInputs:
    def test_small_files_are_known_by_their_hash(self, folder):
        path = folder / "a.tif"
        path.write_bytes(b"abc")
        os.utime(path, (0, 86400))
        digest = hashlib.sha256(b"abc").hexdigest()
        assert record_input(str(path)) == InputRecord(str(path), 3, "1970-01-02T00:00:00Z", digest)

    def test_large_files_are_not_read(self, folder):
        path = folder / "a.tif"
        with path.open("wb") as file:
            file.truncate(64 * 2**20)
        found = record_input(str(path))
        assert found.size == 64 * 2**20
        assert found.sha256 is None

    @pytest.mark.parametrize("uri", ["/vsizip//x.zip/a.tif", "https://example.org/a.tif"])
    def test_others_are_known_by_their_name(self, uri):
        assert record_input(uri) == InputRecord(uri)

    def test_existing_files_are_linked_by_uri(self, folder, assets):
        path = folder / "B 2.tif"
        path.touch()
        provenance = replace(PROVENANCE, inputs=(InputRecord(str(path)), InputRecord("/vsis3/b/x")))
        links = make(folder, assets, provenance=provenance)["links"]
        assert [link["rel"] for link in links] == ["derived_from"] * 2
        assert links[0]["href"] == Path(path).as_uri()
        assert links[1]["href"] == "/vsis3/b/x"


def utm(number):
    return pyproj.CRS.from_epsg(number).to_wkt()


LONLAT = pyproj.CRS.from_epsg(4326).to_wkt()


class TestFootprint:
    @given(
        st.sampled_from([32601, 32633, 32660, 32733, 3035]),
        st.integers(300_000, 700_000),
        st.integers(1_000_000, 8_000_000),
        st.integers(10, 200_000),
    )
    def test_is_a_valid_polygon_within_its_box(self, code, x, y, size):
        geometry, bbox = footprint(utm(code), (x, y, x + size, y + size))
        shape = shapely.geometry.shape(geometry)
        assert shape.is_valid
        assert not shape.is_empty
        assert -180 <= bbox[0] <= 180
        assert -180 <= bbox[2] <= 180
        assert (bbox[0] > bbox[2]) == (geometry["type"] == "MultiPolygon")
        bounds = shape.bounds
        assert bbox[1] == pytest.approx(bounds[1], abs=1e-6)
        assert bbox[3] == pytest.approx(bounds[3], abs=1e-6)
        for ring in [shape] if geometry["type"] == "Polygon" else shape.geoms:
            assert ring.exterior.is_ccw

    def test_edges_follow_the_projection(self):
        geometry, _ = footprint(utm(32633), (100_000, 7_000_000, 900_000, 7_800_000))
        assert len(geometry["coordinates"][0]) > 60

    def test_is_cut_at_the_antimeridian(self):
        geometry, bbox = footprint(utm(32601), (100_000, 6_000_000, 400_000, 6_200_000))
        assert geometry["type"] == "MultiPolygon"
        assert bbox[0] > 170
        assert bbox[2] < -170
        xs = shapely.get_coordinates(shapely.geometry.shape(geometry))[:, 0]
        assert (abs(abs(xs) - 177) < 7).all()

    def test_longitudes_from_0_to_360(self):
        geometry, bbox = footprint(LONLAT, (170, -10, 200, 10))
        assert geometry["type"] == "MultiPolygon"
        assert bbox == [170, -10, -160, 10]
        assert shapely.geometry.shape(geometry).area == pytest.approx(600, rel=1e-9)

    def test_longitudes_beyond_180_alone(self):
        geometry, bbox = footprint(LONLAT, (190, -10, 200, 10))
        assert geometry["type"] == "Polygon"
        assert bbox == [-170, -10, -160, 10]

    @pytest.mark.parametrize(("code", "south", "north"), [(3413, 80, 90), (3031, -90, -80)])
    def test_around_a_pole_it_is_the_whole_cap(self, code, south, north):
        geometry, bbox = footprint(utm(code), (-8e5, -8e5, 8e5, 8e5))
        assert bbox[0] == -180
        assert bbox[2] == 180
        assert south - 1 < bbox[1] < bbox[3] < north + 1
        assert north in bbox or south in bbox
        assert shapely.geometry.shape(geometry).is_valid

    def test_the_whole_world(self):
        geometry, bbox = footprint(LONLAT, (-180, -90, 180, 90))
        assert bbox == [-180, -90, 180, 90]
        assert shapely.geometry.shape(geometry).area == pytest.approx(360 * 180)

import hashlib
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely

from engine.contract.errors import EngineError, ErrorCode
from engine.io import geopackage
from engine.io.geopackage import PolygonBatch, VectorLayout, class_fields, write_polygons

UTM = pyproj.CRS.from_epsg(32633).to_wkt()
LAYOUT = VectorLayout(
    "Wälder 1", UTM, class_fields(), "<qgis/>", "Cloud map", {"SWATH_MODEL": "m 1.0"}
)


def batches(count, size):
    """Squares in a row, ``size`` a batch."""
    x = np.arange(count) * 20.0 + 500_000
    squares = shapely.box(x, 0, x + 10, 10)
    for start in range(0, count, size):
        part = squares[start : start + size]
        ids = np.arange(start, start + len(part))
        fields = {
            "confidence": ids / 100,
            "class_id": ids % 3,
            "class_name": np.array([f"clàss {i % 3}" for i in ids], object),
            "area_m2": shapely.area(part),
        }
        yield PolygonBatch(part, fields)


def rows(path, query):
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def test_polygons_and_fields_come_back(tmp_path):
    path = tmp_path / "ä b.gpkg"
    assert write_polygons(path, LAYOUT, batches(25, 7)) == 25
    meta, _, geometry, values = pyogrio.raw.read(path, layer="Wälder 1")
    assert list(meta["fields"]) == ["class_id", "class_name", "area_m2", "confidence"]
    assert list(meta["dtypes"]) == ["int32", "object", "float64", "float32"]
    assert meta["geometry_type"] == "Polygon"
    assert pyproj.CRS(meta["crs"]).to_epsg() == 32633
    assert shapely.from_wkb(geometry)[24].bounds == (500_480, 0, 500_490, 10)
    assert values[0].tolist() == [i % 3 for i in range(25)]
    assert values[1][4] == "clàss 1"
    assert set(values[2]) == {100.0}


def test_layer_name_description_and_metadata(tmp_path):
    write_polygons(tmp_path / "a.gpkg", LAYOUT, batches(2, 2))
    assert ["Wälder 1", "Polygon"] in pyogrio.list_layers(tmp_path / "a.gpkg").tolist()
    told = pyogrio.read_info(tmp_path / "a.gpkg", layer="Wälder 1")["layer_metadata"]
    assert told["SWATH_MODEL"] == "m 1.0"
    assert told["DESCRIPTION"] == "Cloud map"


@pytest.mark.parametrize("name", ['a"b', "it's", "a.b c", "select"])
def test_layer_names_of_any_kind(tmp_path, name):
    layout = VectorLayout(name, UTM, class_fields(), "<qgis/>")
    write_polygons(tmp_path / "a.gpkg", layout, batches(3, 2))
    assert pyogrio.read_info(tmp_path / "a.gpkg", layer=name)["features"] == 3
    query = "SELECT f_table_name FROM layer_styles"
    assert rows(tmp_path / "a.gpkg", query) == [(name,)]


def test_spatial_index_holds_every_polygon(tmp_path):
    write_polygons(tmp_path / "a.gpkg", LAYOUT, batches(25, 7))
    box = 500_041, 1, 500_065, 2
    found = pyogrio.raw.read(tmp_path / "a.gpkg", layer="Wälder 1", bbox=box)[2]
    assert len(found) == 2
    assert rows(tmp_path / "a.gpkg", 'SELECT count(*) FROM "rtree_Wälder 1_geom"') == [(25,)]


def test_default_style_is_stored_for_the_layer(tmp_path):
    write_polygons(tmp_path / "a.gpkg", LAYOUT, batches(2, 2))
    query = "SELECT f_table_name, f_geometry_column, styleQML, useAsDefault FROM layer_styles"
    assert rows(tmp_path / "a.gpkg", query) == [("Wälder 1", "geom", "<qgis/>", 1)]


def test_one_file_without_a_write_ahead_log(tmp_path):
    write_polygons(tmp_path / "a.gpkg", LAYOUT, batches(2, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["a.gpkg"]
    assert rows(tmp_path / "a.gpkg", "PRAGMA journal_mode") == [("delete",)]
    assert rows(tmp_path / "a.gpkg", "PRAGMA integrity_check") == [("ok",)]


def test_an_empty_result_is_an_empty_layer_with_all_fields(tmp_path):
    assert write_polygons(tmp_path / "a.gpkg", LAYOUT, []) == 0
    info = pyogrio.read_info(tmp_path / "a.gpkg", layer="Wälder 1")
    assert info["features"] == 0
    assert list(info["fields"]) == list(class_fields())
    assert info["geometry_type"] == "Polygon"


def test_without_crs_the_system_is_an_undefined_cartesian_one(tmp_path):
    layout = VectorLayout("a", None, class_fields("area_px"), "<qgis/>")
    batch = next(batches(3, 3))
    batch.fields["area_px"] = batch.fields.pop("area_m2")
    write_polygons(tmp_path / "a.gpkg", layout, [batch])
    contents = rows(tmp_path / "a.gpkg", "SELECT table_name, srs_id FROM gpkg_contents")
    assert ("a", -1) in contents
    assert "area_px" in pyogrio.read_info(tmp_path / "a.gpkg", layer="a")["fields"]


def test_a_crs_without_code(tmp_path):
    own = pyproj.CRS.from_proj4("+proj=laea +lat_0=47 +lon_0=11 +ellps=GRS80").to_wkt()
    write_polygons(tmp_path / "a.gpkg", VectorLayout("a", own, class_fields(), ""), batches(2, 2))
    found = pyogrio.read_info(tmp_path / "a.gpkg", layer="a")["crs"]
    assert "Lambert Azimuthal Equal Area" in pyproj.CRS(found).to_wkt()


@pytest.mark.parametrize("size", [3, 25, 11])
def test_equal_polygons_give_equal_bytes(tmp_path, size):
    write_polygons(tmp_path / "a.gpkg", LAYOUT, batches(25, 25))
    time.sleep(1.1)  # a date in the file would be another one now
    write_polygons(tmp_path / "b.gpkg", LAYOUT, batches(25, size))
    first, second = (
        hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in ("a.gpkg", "b.gpkg")
    )
    assert first == second


def test_more_polygons_than_one_transaction_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(geopackage, "_BATCH", 10)
    path = tmp_path / "a.gpkg"
    assert write_polygons(path, LAYOUT, batches(95, 4)) == 95
    _, ids, geometry, _ = pyogrio.raw.read(path, layer="Wälder 1", return_fids=True)
    assert ids.tolist() == list(range(1, 96))
    left = shapely.bounds(shapely.from_wkb(geometry))[:, 0]
    assert (np.diff(left) == 20).all()


def test_the_date_setting_is_taken_back(tmp_path):
    write_polygons(tmp_path / "a.gpkg", LAYOUT, [])
    assert pyogrio.get_gdal_config_option("OGR_CURRENT_DATE") is None


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_among_the_batches_leaves_no_file(tmp_path, error):
    def failing():
        yield from batches(5, 5)
        raise error

    with pytest.raises(error):
        write_polygons(tmp_path / "a.gpkg", LAYOUT, failing())
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_explained(tmp_path):
    with pytest.raises(EngineError) as caught:
        write_polygons(tmp_path / "a" / "a.gpkg", LAYOUT, [])
    assert caught.value.code is ErrorCode.OUTPUT_UNWRITABLE


def test_lost_polygons_are_noticed(tmp_path):
    write_polygons(tmp_path / "a.gpkg", LAYOUT, batches(5, 5))
    with pytest.raises(geopackage._IncompleteFileError):
        geopackage._check_whole(tmp_path / "a.gpkg", "Wälder 1", 6)


WRITER = """
import sys
from pathlib import Path
import numpy as np
import shapely
from engine.contract.errors import EngineError
from engine.io.geopackage import PolygonBatch, VectorLayout, class_fields, write_polygons
from engine.io.staging import Staging

folder, count = Path(sys.argv[1]), int(sys.argv[2])
places = np.random.default_rng(0).random((count, 2)) * 1e5
disks = shapely.buffer(shapely.points(places), 20)
ones = np.ones(count)
names = np.full(count, "cloud", object)
fields = dict(class_id=ones, class_name=names, area_m2=ones, confidence=ones)
try:
    with Staging() as staging:
        path = staging.path(folder / "a.gpkg")
        layout = VectorLayout("a", None, class_fields(), "<qgis/>")
        write_polygons(path, layout, [PolygonBatch(disks, fields)])
        staging.commit()
except EngineError as error:
    print(error.code.value)
print([path.name for path in folder.iterdir()])
"""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout.split("\n"), done.stderr


@pytest.mark.parametrize("size", ["1m", "64k"])
def test_a_full_disk(tmp_path, size):
    mount = f'mount -t tmpfs -o size={size} tmpfs "$0" && exec "$@"'
    small_disk = ("unshare", "-rm", "sh", "-c", mount, str(tmp_path))
    if sys.platform != "linux" or run(*small_disk, "true")[0]:
        pytest.skip("a small disk cannot be mounted here")
    _, said, errors = run(*small_disk, sys.executable, "-c", WRITER, str(tmp_path), "5000")
    assert said[:2] == ["DISK_FULL", "[]"], errors

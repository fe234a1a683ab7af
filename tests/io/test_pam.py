import json
import shutil
import subprocess
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import rasterio
from affine import Affine

from engine.contract.messages import ModelClass
from engine.io.pam import pam_xml

CLASSES = (
    ModelClass(3, "Wald & Gebüsch <2 m>", "#00ff80"),
    ModelClass(1, "water", "#0000ff"),
)


def texts(root, path):
    return [element.text or "" for element in root.iterfind(path)]


def test_category_names_stand_at_their_values():
    root = ET.fromstring(pam_xml(CLASSES))
    names = texts(root, "PAMRasterBand/CategoryNames/Category")
    assert names == ["", "water", "", "Wald & Gebüsch <2 m>"]


def test_attribute_table_has_value_name_and_color():
    table = ET.fromstring(pam_xml(CLASSES)).find("PAMRasterBand/GDALRasterAttributeTable")
    assert texts(table, "FieldDefn/Name") == ["value", "class", "red", "green", "blue"]
    assert texts(table, "FieldDefn/Usage") == ["5", "2", "6", "7", "8"]
    assert [texts(row, "F") for row in table.iterfind("Row")] == [
        ["1", "water", "0", "0", "255"],
        ["3", "Wald & Gebüsch <2 m>", "0", "255", "128"],
    ]


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="no GDAL tools on this machine")
def test_gdal_understands_it(tmp_path):
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "height": 2, "width": 2, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", transform=Affine.scale(2, -2), **profile) as r:
        r.write(np.array([[[0, 1], [3, 3]]], np.uint8))
    path.with_name("a.tif.aux.xml").write_text(pam_xml(CLASSES), encoding="utf-8")
    told = subprocess.run(["gdalinfo", "-json", path], capture_output=True, check=True).stdout
    band = json.loads(told)["bands"][0]
    assert "water" in told.decode()
    assert "Wald & Gebüsch <2 m>" in told.decode()
    assert band["band"] == 1

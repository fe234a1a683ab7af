"""Legends of class rasters, from wherever files keep them."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from engine.contract.messages import ModelClass
from engine.io.legend import read_legend
from engine.io.pam import pam_xml

CLASSES = (ModelClass(0, "water", "#2050d0"), ModelClass(3, "forêt <dense>", "#107010"))


@pytest.fixture
def raster(tmp_path):
    path = tmp_path / "carte é.tif"
    layout = {"driver": "GTiff", "width": 4, "height": 3, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", **layout, transform=from_origin(0, 3, 1, 1)) as target:
        target.write(np.zeros((1, 3, 4), np.uint8))
    return path


def beside(raster, text):
    raster.with_name(f"{raster.name}.aux.xml").write_text(text, "utf-8")


def test_a_bare_raster_has_no_legend(raster):
    assert read_legend(str(raster)).classes == ()


def test_what_swath_writes_is_read_again(raster):
    beside(raster, pam_xml(CLASSES))
    assert read_legend(str(raster)).classes == CLASSES


def test_names_by_place_are_read_and_colours_come_from_the_file(raster):
    names = "<Category>water</Category><Category/><Category>forest</Category>"
    beside(
        raster,
        f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames>'
        "</PAMRasterBand></PAMDataset>",
    )
    with rasterio.open(raster, "r+") as target:
        target.write_colormap(1, {2: (16, 112, 16, 255)})
    found = read_legend(str(raster)).classes
    assert found == (ModelClass(0, "water", ""), ModelClass(2, "forest", "#107010"))


def test_columns_of_a_table_are_known_by_what_they_are_for(raster):
    columns = "".join(
        f'<FieldDefn index="{i}"><Name>{name}</Name><Usage>{usage}</Usage></FieldDefn>'
        for i, (name, usage) in enumerate((("Histogram", 1), ("Klasse", 2), ("Wert", 5)))
    )
    row = '<Row index="0"><F>17.5</F><F>Wald</F><F>4</F></Row>'
    table = f"<GDALRasterAttributeTable>{columns}{row}</GDALRasterAttributeTable>"
    beside(raster, f'<PAMDataset><PAMRasterBand band="1">{table}</PAMRasterBand></PAMDataset>')
    assert read_legend(str(raster)).classes == (ModelClass(4, "Wald", ""),)


@pytest.mark.parametrize("text", ["", "<PAMDataset>", "<PAMDataset/>", "{}", "\0"])
def test_a_broken_neighbour_counts_as_none(text, raster):
    beside(raster, text)
    raster.with_suffix(".json").write_text(text)
    assert read_legend(str(raster)).classes == ()


@pytest.mark.parametrize(
    ("datetime_is", "date"),
    [
        ("acquisition of the scene", "2024-05-06T00:00:00Z"),
        ("date of processing, since the scene does not tell when it was acquired", None),
    ],
)
def test_an_item_beside_tells_names_and_maybe_the_date(datetime_is, date, raster):
    members = [
        {"value": 1, "name": "c", "title": "Küste", "color_hint": "AABBCC"},
        {"value": "x"},
        7,
    ]
    asset = {"href": "./carte%20%C3%A9.tif", "classification:classes": members}
    properties = {"datetime": "2024-05-06T00:00:00Z", "swath:datetime_is": datetime_is}
    item = {"type": "Feature", "stac_version": "1.1.0", "properties": properties}
    item["assets"] = {"other": {"href": "./o.tif"}, "raster": asset}
    raster.with_suffix(".json").write_text(json.dumps(item))
    found = read_legend(str(raster))
    assert found.classes == (ModelClass(1, "Küste", "#aabbcc"),)
    assert found.date == date

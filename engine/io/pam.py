"""GDAL's sidecar ``NAME.tif.aux.xml``: what a TIFF cannot say about its classes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from engine.contract.messages import ModelClass

_INTEGER, _TEXT = "0", "2"
_COLUMNS = (
    ("value", _INTEGER, "5"),
    ("class", _TEXT, "2"),
    ("red", _INTEGER, "6"),
    ("green", _INTEGER, "7"),
    ("blue", _INTEGER, "8"),
)
"""Name, type (``GDALRATFieldType``) and usage (``GDALRATFieldUsage``) of each column."""

LONGEST_LIST = 255
"""Value up to which classes are listed by place too; the table has them all."""


def pam_xml(classes: Sequence[ModelClass]) -> str:
    """The class names of band 1, as category names and as a raster attribute table.

    GDAL's tools read the category names, QGIS 3.30 and newer builds its legend from the table.
    """
    root = ET.Element("PAMDataset")
    band = ET.SubElement(root, "PAMRasterBand", band="1")
    if max((c.id for c in classes), default=0) <= LONGEST_LIST:
        _add_categories(band, classes)
    _add_table(band, classes)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _add_categories(band: ET.Element, classes: Sequence[ModelClass]) -> None:
    """A list in which a name's place is its value; values without class have an empty name."""
    names = {c.id: c.name for c in classes}
    categories = ET.SubElement(band, "CategoryNames")
    for value in range(max(names, default=-1) + 1):
        ET.SubElement(categories, "Category").text = names.get(value, "")


def _add_table(band: ET.Element, classes: Sequence[ModelClass]) -> None:
    table = ET.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(_COLUMNS):
        column = ET.SubElement(table, "FieldDefn", index=str(index))
        ET.SubElement(column, "Name").text = name
        ET.SubElement(column, "Type").text = kind
        ET.SubElement(column, "Usage").text = usage
    for index, item in enumerate(sorted(classes, key=lambda c: c.id)):
        row = ET.SubElement(table, "Row", index=str(index))
        for value in (item.id, item.name, *bytes.fromhex(item.color.lstrip("#"))):
            ET.SubElement(row, "F").text = str(value)

import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine

from engine.contract.messages import ModelClass
from engine.geo.grid import Grid
from engine.geo.window import Window
from engine.io.cog import RasterLayout, write_cog
from engine.io.geopackage import PolygonBatch, VectorLayout, class_fields, write_polygons
from engine.io.pam import pam_xml
from engine.io.style import polygon_qml, probability_qml, raster_qml

CLASSES = (
    ModelClass(0, "clear", "#1f9e5a"),
    ModelClass(1, "cloud", "#ffffff"),
    ModelClass(7, 'Schatten & "Dünnes" <5 %>', "#404060"),
)


def test_class_raster_has_a_palette():
    entries = ET.fromstring(raster_qml(CLASSES)).findall("pipe/rasterrenderer/colorPalette/*")
    assert [(e.get("value"), e.get("label"), e.get("color")) for e in entries] == [
        (str(c.id), c.name, c.color) for c in CLASSES
    ]


def test_classes_are_faint_or_unseen_and_stay_in_the_legend():
    style = raster_qml(CLASSES, faint={1}, unseen={0})
    entries = ET.fromstring(style).findall("pipe/rasterrenderer/colorPalette/*")
    assert [int(e.get("alpha")) for e in entries] == [0, 60, 255]


def test_probabilities_have_a_ramp_from_0_to_1():
    renderer = ET.fromstring(probability_qml(2)).find("pipe/rasterrenderer")
    values = [float(e.get("value")) for e in renderer.iterfind("rastershader/*/item")]
    assert renderer.get("band") == "2"
    assert (values[0], values[-1]) == (0, 1)
    assert values == sorted(values)


def test_polygons_have_a_see_through_symbol_a_class():
    renderer = ET.fromstring(polygon_qml(CLASSES)).find("renderer-v2")
    symbols = {s.get("name"): s for s in renderer.iterfind("symbols/symbol")}
    assert renderer.get("attr") == "class_id"
    for entry, item in zip(renderer.iterfind("categories/category"), CLASSES, strict=True):
        assert (entry.get("value"), entry.get("label")) == (str(item.id), item.name)
        fill = symbols[entry.get("symbol")].find("layer/Option/Option[@name='color']")
        *color, alpha = (int(v) for v in fill.get("value").split(","))
        assert bytes(color) == bytes.fromhex(item.color[1:])
        assert 0 < alpha < 255


VIEWER = """
import json, sys
from qgis.core import (QgsApplication, QgsMapRendererSequentialJob, QgsMapSettings,
    QgsRasterLayer, QgsVectorLayer)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

QgsApplication.setPrefixPath("/usr", True)
app = QgsApplication([], False)
app.initQgis()

def color_at(layer, x, y):
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(layer.extent())
    settings.setOutputSize(QSize(400, 400))
    settings.setBackgroundColor(QColor("#ff00ff"))
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    return job.renderedImage().pixelColor(x, y).name()

folder = sys.argv[1]
classes = QgsRasterLayer(folder + "/classes.tif", "classes")
shares = QgsRasterLayer(folder + "/shares.tif", "shares")
patches = QgsVectorLayer(folder + "/patches.gpkg", "patches", "ogr")
drone = QgsVectorLayer(folder + "/drone.gpkg", "drone", "ogr")
function = shares.renderer().shader().rasterShaderFunction()
told = {
    "classes": [classes.renderer().type(),
        [[c.value, c.label, c.color.name()] for c in classes.renderer().classes()]],
    "class colors": [color_at(classes, 100, 100), color_at(classes, 300, 100),
        color_at(classes, 100, 300), color_at(classes, 300, 300)],
    "shares": [shares.renderer().type(), shares.renderer().band(),
        function.minimumValue(), function.maximumValue()],
    "share colors": [color_at(shares, 100, 100), color_at(shares, 300, 300)],
    "patches": [patches.renderer().type(),
        [[c.value(), c.label()] for c in patches.renderer().categories()]],
    "patch count": patches.featureCount(),
    "crs": patches.crs().authid(),
    "drone": [drone.renderer().type(), drone.featureCount()],
}
print("TOLD" + json.dumps(told))
del patches, drone
"""


def find_qgis():
    """The Python of an installed QGIS, which is never the engine's own."""
    command = ["/usr/bin/python3", "-c", "import qgis.core"]
    try:
        found = subprocess.run(command, capture_output=True, timeout=60, check=False)
    except OSError:
        return None
    return None if found.returncode else command[0]


def write_results(folder):
    """Class raster, probabilities and polygons of one tiny scene."""
    grid = Grid(pyproj.CRS.from_epsg(32633).to_wkt(), Affine(10, 0, 5e5, 0, -10, 5e6), (2, 2))
    layout = RasterLayout("uint8", 255, ("class",), "mode", CLASSES)
    pixels = np.array([[[0, 1], [7, 255]]], np.uint8)
    write_cog(folder / "classes.tif", grid, layout, [(grid.window, pixels)])
    (folder / "classes.qml").write_text(raster_qml(CLASSES), encoding="utf-8")
    (folder / "classes.tif.aux.xml").write_text(pam_xml(CLASSES), encoding="utf-8")
    layout = RasterLayout("uint8", 255, ("clear", "cloud"), "average", scale=0.004, offset=0.0)
    pixels = np.array([[[9, 9], [9, 9]], [[250, 9], [9, 0]]], np.uint8)
    write_cog(folder / "shares.tif", grid, layout, [(Window(0, 0, 2, 2), pixels)])
    (folder / "shares.qml").write_text(probability_qml(2), encoding="utf-8")
    squares = shapely.box([5e5, 5e5 + 10], 4_999_980, [5e5 + 10, 5e5 + 20], 5e6)
    fields = {"class_id": np.array([0, 7]), "class_name": np.array(["a", "b"], object)}
    fields |= {"area_m2": np.ones(2), "confidence": np.ones(2)}
    for name, crs in (("patches", grid.crs), ("drone", None)):
        layout = VectorLayout("patches", crs, class_fields(), polygon_qml(CLASSES))
        write_polygons(folder / f"{name}.gpkg", layout, [PolygonBatch(squares, fields)])


@pytest.mark.skipif(sys.platform != "linux", reason="QGIS' Python is elsewhere")
def test_qgis_shows_the_styles(tmp_path):
    python = find_qgis()
    if python is None:
        pytest.skip("no QGIS on this machine")
    folder = tmp_path / "Wälder 2024"
    folder.mkdir()
    write_results(folder)
    environment = {"QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    environment["XDG_RUNTIME_DIR"] = str(tmp_path)
    command = [python, "-c", VIEWER, str(folder)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert "TOLD" in done.stdout, done.stderr
    told = json.loads(done.stdout.split("TOLD", 1)[1])
    assert told["classes"] == ["paletted", [[c.id, c.name, c.color] for c in CLASSES]]
    assert told["class colors"] == [*(c.color for c in CLASSES), "#ff00ff"]
    assert told["shares"] == ["singlebandpseudocolor", 2, 0, 1]
    assert told["share colors"] == ["#fde725", "#440154"]
    assert told["patches"] == ["categorizedSymbol", [[str(c.id), c.name] for c in CLASSES]]
    assert told["patch count"] == 2
    assert told["crs"] == "EPSG:32633"
    assert told["drone"] == ["categorizedSymbol", 2]
    assert "Warning" not in done.stderr

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

from qgis.core import Qgis, QgsApplication, QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QAction, QMessageBox, QToolBar
from swath import classFactory
from swath.plugin.actions import raster_at_hand
from swath.plugin.settings import choose_engine, current_launch

CHECKOUT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "onnxruntime", "rasterio", "fiona", "shapely", "pyogrio", "pyproj", "pydantic"}


def swath_widgets(window):
    bars = [w for w in window.findChildren(QToolBar) if w.objectName() == "SwathToolBar"]
    actions = [w for w in window.findChildren(QAction) if w.objectName().startswith("swath_")]
    return bars + actions


def problem_box(window):
    boxes = window.findChildren(QMessageBox, "swath_problem")
    return boxes[0] if boxes else None


def test_loads_with_a_toolbar_a_menu_and_a_provider(plugin, qgis_iface):
    window = qgis_iface.mainWindow()
    assert {w.objectName() for w in swath_widgets(window)} == {
        *("SwathToolBar", "swath_segment", "swath_apply", "swath_change"),
        *("swath_update", "swath_flicker", "swath_engine"),
    }
    assert QgsApplication.processingRegistry().providerById("swath") is not None
    assert all(not action.icon().isNull() for action in plugin.actions.toolbar.actions())
    bar = [action.objectName() for action in plugin.actions.toolbar.actions()]
    names = ("segment", "change", "update", "flicker", "engine")
    assert bar == [f"swath_{name}" for name in names]
    menus = [call.args for call in qgis_iface.addPluginToRasterMenu.call_args_list[-6:]]
    assert [(menu, action.text()) for menu, action in menus] == [
        ("Swath", "Segment raster…"),
        ("Swath", "Apply a model…"),
        ("Swath", "Find changes…"),
        ("Swath", "Update a map…"),
        ("Swath", "Flicker before/after"),
        ("Swath", "Engine status"),
    ]


def test_unload_leaves_nothing(qgis_iface, qgis_processing, qtbot):
    window = qgis_iface.mainWindow()
    before = len(qgis_iface.removePluginRasterMenu.call_args_list)
    for _ in range(2):
        loaded = classFactory(qgis_iface)
        loaded.initGui()
        loaded.unload()
    qtbot.waitUntil(lambda: not swath_widgets(window), timeout=2000)
    assert QgsApplication.processingRegistry().providerById("swath") is None
    assert len(qgis_iface.removePluginRasterMenu.call_args_list) == before + 12


def test_qgis_process_gets_the_provider_without_a_desktop(qgis_processing):
    loaded = classFactory(None)
    loaded.initProcessing()
    assert QgsApplication.processingRegistry().algorithmById("swath:segment") is not None
    loaded.unload()


@pytest.mark.parametrize("button", ["segment", "apply", "change", "update", "status"])
def test_without_an_engine_each_button_explains(button, plugin, qgis_iface, qtbot, monkeypatch):
    monkeypatch.setenv("SWATH_ENGINE", "/nowhere/python")
    getattr(plugin.actions, button).trigger()
    window = qgis_iface.mainWindow()
    qtbot.waitUntil(lambda: problem_box(window) is not None, timeout=5000)
    box = problem_box(window)
    assert "/nowhere/python" in box.text()
    assert "Choose engine" in box.informativeText()
    assert any("Choose engine" in b.text() for b in box.buttons())
    box.close()
    qtbot.waitUntil(lambda: problem_box(window) is None, timeout=2000)


def test_status_starts_the_engine_and_names_its_versions(plugin, qgis_iface, qtbot):
    bar = qgis_iface.messageBar()
    plugin.actions.status.trigger()
    qtbot.waitUntil(lambda: plugin.actions.task is None, timeout=10000)
    said = bar.get_messages(Qgis.MessageLevel.Success)
    assert any("READY" in text and "0.0.stand-in" in text for text in said)


def test_the_chosen_engine_is_kept(plugin, stand_in, monkeypatch, qtbot):
    choose_engine(str(stand_in))
    assert current_launch().setting == str(stand_in)
    choose_engine("")
    assert current_launch().setting == ""


def test_the_raster_at_hand_is_imagery_never_a_result(plugin, scene):
    project = QgsProject.instance()
    assert raster_at_hand(None) is None
    imagery, result = (QgsRasterLayer(str(scene), name) for name in ("imagery", "result"))
    polygons = QgsVectorLayer("Polygon", "polygons", "memory")
    result.setCustomProperty("swath/job", "job-1")
    for layer in (imagery, result, polygons):
        project.addMapLayer(layer)
    assert raster_at_hand(result) is imagery
    assert raster_at_hand(polygons) is imagery
    assert raster_at_hand(imagery) is imagery


def test_nothing_heavy_is_imported(tmp_path):
    source = (
        "import sys; import swath.plugin.plugin, swath.plugin.processing.install_model;"
        f"print(sorted({HEAVY!r} & {{*sys.modules}}))"
    )
    paths = [str(CHECKOUT / "build" / "dev"), *(p for p in sys.path if "processing" in p or p)]
    program = f"import sys; sys.path[:0] = {paths!r}; {source}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_metadata_is_complete():
    meta = configparser.ConfigParser()
    meta.read(CHECKOUT / "metadata.txt", "utf-8")
    general = meta["general"]
    required = "name description version qgisMinimumVersion author email about tracker repository"
    assert all(general[key].strip() for key in required.split())
    assert (general["qgisMinimumVersion"], general["qgisMaximumVersion"]) == ("3.22", "4.99")
    assert general["hasProcessingProvider"] == "yes"
    assert (CHECKOUT / general["icon"]).is_file()
    assert "separate program" in general["about"]


@pytest.mark.parametrize("path", sorted((CHECKOUT / "resources" / "icons").glob("*.svg")))
def test_icons_are_drawings_that_qt_can_draw(path, qgis_app):
    assert not QIcon(str(path)).pixmap(24, 24).isNull()

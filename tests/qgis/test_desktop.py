import os
import time

import numpy as np
import pytest
import rasterio

pytestmark = pytest.mark.desktop

HEAVY = ("torch", "onnxruntime", "rasterio", "fiona", "shapely", "pyogrio", "pyproj", "pydantic")
GROUPS = "[g.name() for g in QgsProject.instance().layerTreeRoot().findGroups()]"
DIALOG = "[w for w in visible(QtWidgets.QDialog) if hasattr(w, 'setParameters')][0]"


def open_dialog(qgis, place):
    """The button is clicked; the dialog has the active layer chosen."""
    qgis.until("iface.activeLayer() is not None")
    qgis.click("plugins['swath'].actions.segment")
    qgis.until("'Segment' in ' '.join(windows())")
    assert qgis.py(f"{DIALOG}.createProcessingParameters()['INPUT']") in qgis.py(
        "iface.activeLayer().id(), iface.activeLayer().source()"
    )


def ask_for_all_outputs(qgis, place):
    """Polygons and probabilities besides the classes."""
    outputs = {
        "OUTPUT": str(place.folder / "classes.tif"),
        "VECTOR": str(place.folder / "polygons.gpkg"),
        "PROBABILITY": str(place.folder / "probability.tif"),
    }
    choose_outputs(qgis, outputs)


def choose_outputs(qgis, paths):
    """Fill in the outputs as if typed, to be loaded into the project."""
    qgis.py(f"""
from qgis.core import QgsProcessingOutputLayerDefinition as Output
dialog = {DIALOG}
paths = {{k: Output(v, QgsProject.instance()) for k, v in {paths!r}.items()}}
dialog.setParameters({{**dialog.createProcessingParameters(), **paths}})
""")


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def test_button_dialog_run_and_the_layers_are_there(desktop, place, hostile, shots, truth):
    qgis = desktop(
        environment={**place.environment, **hostile}, layers=[place.scene], binds=[place.folder]
    )
    assert qgis.py("os.environ['PYTHONHOME']") == "/usr"
    open_dialog(qgis, place)
    qgis.shot(shots / "1-dialog.png")
    ask_for_all_outputs(qgis, place)
    qgis.click("button('Run')")
    qgis.until(GROUPS, 60)
    qgis.until("not button('Cancel').isEnabled()")
    qgis.shot(shots / "2-log.png")
    assert "Clouds and cloud shadows" in qgis.py(GROUPS)[0]
    assert qgis.py(GROUPS)[0].startswith("Swath: schöne scene – ")
    qgis.click("button('Close')")
    check_layers(qgis)
    qgis.py("iface.mapCanvas().waitWhileRendering()")
    time.sleep(1)
    qgis.shot(shots / "3-map.png")
    check_truth(place.folder / "classes.tif", truth)
    assert qgis.py("ERRORS") == []
    assert qgis.py(f"[m for m in {HEAVY!r} if m in sys.modules]") == []
    assert not [m for m in qgis.py("MESSAGES") if m[0] == "Python Error"]


def check_layers(qgis):
    """One group above the imagery; polygons over classes over probabilities, with legends."""
    nodes = "QgsProject.instance().layerTreeRoot().children()"
    assert qgis.py(f"[n.name() for n in {nodes}][1:]") == ["schöne scene"]
    children = f"{nodes}[0].children()"
    roles = qgis.py(f"[n.layer().customProperty('swath/role') for n in {children}]")
    assert roles == ["vector", "raster", "probability"]
    assert qgis.py(f"all(n.layer().isValid() for n in {children})")
    legend = "[x.data(0) for x in iface.layerTreeView().layerTreeModel().layerLegendNodes({})]"
    assert qgis.py(legend.format(f"{children}[1]"))[-3:] == ["clear", "cloud", "shadow"]
    assert set(qgis.py(legend.format(f"{children}[0]"))) >= {"clear", "cloud", "shadow"}
    fields = qgis.py(f"{children}[0].layer().fields().names()")
    assert {"class_id", "class_name", "area_m2", "confidence"} <= set(fields)


def check_truth(path, truth):
    cloud, ground = truth
    with rasterio.open(path) as made:
        classes = made.read(1)
    assert np.mean(classes[cloud] == 1) > 0.95
    assert np.mean(classes[ground] == 1) < 0.05


def test_the_engine_leaves_when_qgis_has_gone(desktop, place, outside):
    qgis = desktop(environment=place.environment, layers=[place.scene], binds=[place.folder])
    qgis.click("plugins['swath'].actions.status")
    qgis.until("'READY' in ' '.join(bar_texts())", 30)
    pid = place.engine_pid
    assert is_alive(pid)
    assert qgis.py("ERRORS") == []
    qgis.quit()
    deadline = time.monotonic() + 15
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert is_alive(pid) == outside


def test_with_no_engine_it_loads_quietly_and_its_buttons_explain(desktop, tmp_path, shots):
    nowhere = {"SWATH_STATE": str(tmp_path / "no state")}
    qgis = desktop(installed=True, environment=nowhere)
    assert qgis.py("'swath' in plugins")
    assert qgis.py("windows()") == []
    assert qgis.py("bar_texts()") == []
    for button in ("segment", "status"):
        qgis.click(f"plugins['swath'].actions.{button}")
        assert "was not found" in qgis.until("windows()")[0]
        qgis.shot(shots / f"{button}.png")
        qgis.click("button('Close')")
        qgis.until("not windows()")
    listed = "QgsApplication.processingRegistry().algorithmById('swath:segment') is not None"
    assert qgis.py(listed)
    assert qgis.py("ERRORS") == []


def test_cancel_by_mouse_ends_the_job_and_leaves_no_file(desktop, place, shots):
    big = place.folder / "big.tif"
    enlarge(place.scene, big, 12)
    qgis = desktop(environment=place.environment, layers=[big], binds=[place.folder])
    open_dialog(qgis, place)
    choose_outputs(qgis, {"OUTPUT": str(place.folder / "classes.tif")})
    qgis.click("button('Run')")
    qgis.until("[b for b in visible(QtWidgets.QProgressBar) if 0 < b.value() < 90]", 60)
    begin = time.monotonic()
    qgis.click("button('Cancel')")
    qgis.until("not button('Cancel').isEnabled()", 30)
    assert time.monotonic() - begin < 10
    qgis.shot(shots / "cancelled.png")
    assert qgis.py("QgsProject.instance().count()") == 1
    assert sorted(p.name for p in place.folder.iterdir()) == sorted(
        ["big.tif", place.scene.name, "state"]
    )
    assert qgis.py("ERRORS") == []


def enlarge(source, target, times):
    """The same scene side by side."""
    with rasterio.open(source) as small:
        bands, profile = np.tile(small.read(), (1, times, times)), small.profile
        names = small.descriptions
    profile.update(width=bands.shape[2], height=bands.shape[1])
    with rasterio.open(target, "w", **profile) as made:
        made.write(bands)
        made.descriptions = names


def test_a_batch_gives_each_run_its_group(desktop, place, shots):
    qgis = desktop(environment=place.environment, layers=[place.scene], binds=[place.folder])
    qgis.until("iface.activeLayer() is not None")
    outputs = [str(place.folder / f"batch {row}.tif") for row in range(2)]
    qgis.py(f"""
from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog
from qgis.core import QgsProcessingContext
registry = QgsApplication.processingRegistry()
batch = BatchAlgorithmDialog(registry.createAlgorithmById("swath:segment"), iface.mainWindow())
panel = batch.mainWidget()
panel.addRow()
panel.checkLoadLayersOnCompletion.setChecked(True)
columns = panel.parameter_to_column
for row, path in enumerate({outputs!r}):
    source = panel.wrappers[row][columns["INPUT"]]
    source.setParameterValue({str(place.scene)!r}, QgsProcessingContext())
    panel.tblParameters.cellWidget(row + 1, columns["OUTPUT"]).setValue(path)
batch.show()
""")
    qgis.click("button('Run')")
    qgis.until(f"len({GROUPS}) == 2", 60)
    qgis.shot(shots / "batch.png")
    assert qgis.py("ERRORS") == []


def test_reloading_leaves_one_toolbar_and_one_provider(desktop, tmp_path):
    qgis = desktop(environment={"SWATH_STATE": str(tmp_path / "state")})
    bars = "[t.objectName() for t in iface.mainWindow().findChildren(QtWidgets.QToolBar)]"
    qgis.py("import qgis.utils; qgis.utils.reloadPlugin('swath')")
    qgis.until(f"{bars}.count('SwathToolBar') == 1")
    assert qgis.py(
        "[p.id() for p in QgsApplication.processingRegistry().providers()].count('swath')"
    )
    qgis.py("qgis.utils.unloadPlugin('swath')")
    qgis.until(f"'SwathToolBar' not in {bars}")
    menus = "[a.text() for a in iface.rasterMenu().actions()]"
    assert "Swath" not in qgis.py(menus)
    assert qgis.py("QgsApplication.processingRegistry().providerById('swath') is None")
    assert qgis.py("ERRORS") == []

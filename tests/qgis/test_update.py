"""``swath:update`` with the real engine: outlines of clouds, of which one is wrong."""

import json
from collections import Counter

import numpy as np
import pyogrio
import pytest
import shapely

CLOUDS = ((90, 100, 45), (200, 210, 60), (220, 70, 28))
"""As the scene has them: row, column and radius in pixels."""
LEFT, TOP, PIXEL = 600_000, 5_400_000, 30


def disc(row, col, radius):
    return shapely.Point(LEFT + PIXEL * col, TOP - PIXEL * row).buffer(PIXEL * radius)


@pytest.fixture
def outlines(place):
    """Two of the three clouds, one where none is, and one that only its name tells apart."""
    shapes = [disc(*CLOUDS[0]), disc(*CLOUDS[1]), disc(40, 250, 20), disc(500, 500, 20)]
    path = place.folder / "Wölkchen.gpkg"
    pyogrio.raw.write(
        path,
        shapely.to_wkb(np.array(shapes, object)),
        field_data=[np.array(["one", "two", "three", "four"], object)],
        fields=np.array(["kind"], object),
        layer="clouds",
        driver="GPKG",
        geometry_type="Polygon",
        crs="EPSG:32632",
    )
    return path


def run(headless, place, outlines, output, **parameters):
    given = {"MAP": f"{outlines}|layername=clouds", "INPUT": place.scene, "OUTPUT": output}
    given |= {"MODEL": "clouds-6band-l1c", "PROFILE": "reflectance", "CLASSES": "cloud"}
    texts = [f"{name}={value}" for name, value in {**given, **parameters}.items()]
    return headless("--json", "run", "swath:update", "--", *texts)


def test_a_map_of_clouds_is_brought_up_to_date(headless, place, outlines):
    output = place.folder / "updated é.gpkg"
    done = run(headless, place, outlines, output, MIN_AREA=1_000_000, FIELD="kind", HIDDEN="")
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    results = json.loads(done.stdout[done.stdout.index("{") :])["results"]
    assert results["MODEL_USED"] == "clouds-6band-l1c"
    assert results["STATUSES"].endswith("_statuses.csv")
    assert (
        "Of 4 objects of the old map: 2 kept, 1 gone, 1 outside. New: 1."
        in done.stdout + done.stderr
    )
    meta, _, _, columns = pyogrio.raw.read(output, layer=output.stem)
    named = dict(zip(meta["fields"], columns, strict=True))
    assert Counter(named["status"]) == {"kept": 2, "gone": 1, "outside": 1, "new": 1}
    assert list(named["old_class"]) == ["one", "two", "three", "four", None]
    assert named["iou"][:2].min() > 0.8
    names = {path.name for path in place.folder.glob("updated*")}
    assert names == {"updated é.gpkg", "updated é.qml", "updated é_statuses.csv", "updated é.json"}


def test_a_wrong_overlap_is_refused_in_the_dialogs_words(headless, place, outlines):
    done = run(headless, place, outlines, place.folder / "updated.gpkg", IOU=0)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "the parameter «Overlap from which on an object is the same»" in said
    assert not (place.folder / "updated.gpkg").exists()


def test_help_names_every_parameter(headless):
    text = headless("help", "swath:update").stdout
    assert all(f"{name}:" in text for name in ("MAP", "INPUT", "MODEL", "FIELD", "IOU", "OUTPUT"))


DIALOG = "[w for w in visible(QtWidgets.QDialog) if hasattr(w, 'setParameters')][0]"
GROUPS = "QgsProject.instance().layerTreeRoot().findGroups()"


@pytest.mark.desktop
def test_button_dialog_run_and_layer(desktop, place, outlines, shots):
    layers = [place.scene, f"{outlines}"]
    qgis = desktop(environment=place.environment, layers=layers, binds=[place.folder])
    qgis.until("len(QgsProject.instance().mapLayers()) == 2")
    qgis.click("plugins['swath'].actions.update")
    qgis.until("'Update a Map of Objects' in ' '.join(windows())")
    chosen = "QgsProject.instance().mapLayer({}.createProcessingParameters()[{!r}]).name()"
    assert qgis.py(chosen.format(DIALOG, "INPUT")) == place.scene.stem
    assert outlines.stem in qgis.py(chosen.format(DIALOG, "MAP"))
    output = str(place.folder / "updated.gpkg")
    qgis.py(f"""
from qgis.core import QgsProcessingOutputLayerDefinition as Output
dialog = {DIALOG}
vector = Output({output!r}, QgsProject.instance())
given = {{'OUTPUT': vector, 'PROFILE': 'reflectance', 'CLASSES': 'cloud', 'MIN_AREA': 1000000}}
given['MODEL'] = 'clouds-6band-l1c'
dialog.setParameters({{**dialog.createProcessingParameters(), **given}})
""")
    qgis.shot(shots / "1-dialog.png")
    qgis.click("button('Run')")
    qgis.until(f"[g.name() for g in {GROUPS}]", 60)
    qgis.until("not button('Cancel').isEnabled()")
    qgis.shot(shots / "2-log.png")
    legend = "[x.data(0) for x in iface.layerTreeView().layerTreeModel().layerLegendNodes({})]"
    shown = qgis.py(legend.format(f"{GROUPS}[0].children()[0]"))
    assert {"kept", "new", "gone", "unseen"} <= set(shown)
    qgis.click("button('Close')")
    qgis.py("iface.mapCanvas().waitWhileRendering()")
    qgis.shot(shots / "3-map.png")
    assert qgis.py("ERRORS") == []

"""Two dates in turn in a real canvas with the bridge of a real layer tree."""

import pytest

pytest.importorskip("qgis.core")

from qgis.core import Qgis, QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.gui import QgsLayerTreeMapCanvasBridge
from qgis.PyQt.QtCore import Qt, QTimer
from qgis.PyQt.QtWidgets import QLabel
from swath import classFactory
from swath.plugin.flicker import INTERVAL_MS, Flicker, layers_to_draw

Key = Qt.Key


@pytest.fixture
def canvas(qgis):
    """The map; what it draws follows from the layer tree, as in the desktop."""
    canvas = qgis.mapCanvas()
    bridge = QgsLayerTreeMapCanvasBridge(QgsProject.instance().layerTreeRoot(), canvas)
    qgis.layerTreeCanvasBridge.return_value = bridge
    qgis.layerTreeView.return_value.selectedLayers.return_value = []
    yield canvas
    QgsProject.instance().clear()
    bridge.deleteLater()


@pytest.fixture
def tree(canvas, scene):
    """From the top: lines, a result of Swath's, a cover, after, roads, before, a base map."""
    project, made = QgsProject.instance(), {}
    for name in ("base", "before", "roads", "after", "cover", "result", "lines", "hidden"):
        is_vector = name in ("roads", "lines", "hidden")
        made[name] = (
            QgsVectorLayer("LineString?crs=EPSG:32632", name, "memory")
            if is_vector
            else QgsRasterLayer(str(scene), name)
        )
        project.addMapLayer(made[name])
    made["result"].setCustomProperty("swath/job", "job-1")
    project.layerTreeRoot().findLayer(made["hidden"].id()).setItemVisibilityChecked(False)
    return made


@pytest.fixture
def flicker(qgis, tree):
    made = Flicker(qgis)
    yield made
    made.stop()
    made.deleteLater()


def names(canvas):
    return [layer.name() for layer in canvas.layers()]


def pair(tree):
    return tree["before"], tree["after"]


def labels(canvas):
    return [w for w in canvas.findChildren(QLabel, "swath_flicker_label") if not w.isHidden()]


def running(window):
    return [t for t in window.findChildren(QTimer) if t.interval() == INTERVAL_MS and t.isActive()]


BEFORE = ["lines", "roads", "before", "base"]
AFTER = ["lines", "after", "roads", "base"]
ALL = ["lines", "result", "cover", "after", "roads", "before", "base"]


def test_one_of_the_two_is_drawn_and_nothing_that_covers_them(tree):
    project = QgsProject.instance()
    before, after = (layer.id() for layer in pair(tree))
    assert [one.name() for one in layers_to_draw(project, before, after)] == BEFORE
    assert [one.name() for one in layers_to_draw(project, after, before)] == AFTER


def test_two_results_can_be_looked_at_too(tree):
    project = QgsProject.instance()
    result, after = tree["result"].id(), tree["after"].id()
    drawn = [one.name() for one in layers_to_draw(project, result, after)]
    assert drawn == ["lines", "result", "roads", "before", "base"]


def test_a_layer_that_is_switched_off_in_the_tree_takes_part(tree):
    project = QgsProject.instance()
    before, after = (layer.id() for layer in pair(tree))
    project.layerTreeRoot().findLayer(before).setItemVisibilityChecked(False)
    assert [one.name() for one in layers_to_draw(project, before, after)] == BEFORE


def test_the_clock_shows_them_in_turn(flicker, tree, canvas, qtbot):
    assert INTERVAL_MS == 800
    flicker.start(pair(tree))
    assert names(canvas) == BEFORE
    assert labels(canvas)[0].text() == "Before: before"
    qtbot.waitUntil(lambda: names(canvas) == AFTER, timeout=2000)
    assert labels(canvas)[0].text() == "After: after"
    qtbot.waitUntil(lambda: names(canvas) == BEFORE, timeout=2000)


def test_the_key_shows_the_other_and_halts_the_clock(flicker, tree, canvas, qgis, qtbot):
    flicker.start(pair(tree))
    qtbot.keyClick(canvas, Key.Key_A)
    assert names(canvas) == BEFORE
    qtbot.keyClick(canvas, Key.Key_B)
    assert names(canvas) == AFTER
    assert running(qgis.mainWindow()) == []
    assert flicker.is_on
    qtbot.keyClick(canvas, Key.Key_B)
    assert names(canvas) == BEFORE


def test_stopped_the_map_is_as_the_tree_says_and_the_project_untouched(flicker, tree, canvas, qgis):
    project = QgsProject.instance()
    project.setDirty(False)
    flicker.start(pair(tree))
    flicker.show_other()
    assert not project.isDirty()
    flicker.stop()
    assert names(canvas) == ALL
    assert labels(canvas) == []
    assert running(qgis.mainWindow()) == []
    assert not flicker.is_on
    flicker.stop()  # once more does nothing


def test_a_second_start_takes_the_place_of_the_first(flicker, tree, canvas, qgis, qtbot):
    flicker.start(pair(tree))
    flicker.start((tree["base"], tree["before"]))
    assert len(labels(canvas)) == len(running(qgis.mainWindow())) == 1
    qtbot.keyClick(canvas, Key.Key_B)  # one step, not two
    assert labels(canvas)[0].text() == "After: before"


@pytest.mark.parametrize("gone", ["before", "after"])
def test_a_layer_that_goes_ends_it(gone, flicker, tree, canvas, qtbot):
    flicker.start(pair(tree))
    with qtbot.waitSignal(flicker.stopped, timeout=1000):
        QgsProject.instance().removeMapLayer(tree[gone].id())
    assert not flicker.is_on
    assert gone not in names(canvas)


def test_another_layer_may_go(flicker, tree, canvas):
    flicker.start(pair(tree))
    QgsProject.instance().removeMapLayer(tree["base"].id())
    assert flicker.is_on
    flicker.show_other()
    assert names(canvas) == AFTER[:-1]


def test_a_project_that_closes_ends_it(flicker, tree, canvas, qgis):
    flicker.start(pair(tree))
    QgsProject.instance().clear()
    assert not flicker.is_on
    assert running(qgis.mainWindow()) == []
    assert canvas.layers() == []


def select(qgis, *layers):
    qgis.layerTreeView.return_value.selectedLayers.return_value = list(layers)


def test_the_button_flickers_the_selected_layers(plugin, tree, canvas, qgis):
    select(qgis, *pair(tree))
    button = plugin.actions.flicker
    button.trigger()
    assert button.isChecked()
    assert names(canvas) == BEFORE
    button.trigger()
    assert not button.isChecked()
    assert names(canvas) == ALL


def test_the_button_is_up_again_when_a_layer_has_gone(plugin, tree, canvas, qgis):
    select(qgis, *pair(tree))
    plugin.actions.flicker.trigger()
    QgsProject.instance().removeMapLayer(tree["after"].id())
    assert not plugin.actions.flicker.isChecked()


def test_without_selection_it_flickers_what_was_compared_last(plugin, tree, canvas):
    group = QgsProject.instance().layerTreeRoot().insertGroup(0, "Swath: x")
    group.setCustomProperty("swath/dates", "\n".join(layer.id() for layer in pair(tree)))
    plugin.actions.flicker.trigger()
    assert names(canvas) == BEFORE
    plugin.actions.flicker.trigger()


def test_with_nothing_to_show_it_says_what_to_do(plugin, tree, canvas, qgis):
    plugin.actions.flicker.trigger()
    assert not plugin.actions.flicker.isChecked()
    assert not plugin.actions.flickering.is_on
    (said,) = qgis.messageBar().get_messages(Qgis.MessageLevel.Info)
    assert "Select two raster layers" in said


def test_unloading_ends_it_and_leaves_no_clock(tree, canvas, qgis, qtbot):
    loaded = classFactory(qgis)
    loaded.initGui()
    select(qgis, *pair(tree))
    loaded.actions.flicker.trigger()
    loaded.unload()
    assert names(canvas) == ALL
    assert running(qgis.mainWindow()) == []
    qtbot.waitUntil(lambda: not qgis.mainWindow().findChildren(Flicker), timeout=2000)

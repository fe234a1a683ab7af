"""Two dates in turn in the map: what changed jumps to the eye.

Only what the canvas draws is changed; the layer tree, and so the project, stay as they are.
"""

from typing import List, Optional, Tuple

from qgis.core import QgsMapLayer, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QObject, Qt, QTimer, pyqtSignal
from qgis.PyQt.QtWidgets import QLabel

from .dates import Pair
from .layers import is_result
from .processing.language import tr

INTERVAL_MS = 800
KEY = Qt.Key.Key_B
LABEL_STYLE = "background: #123a5a; color: white; padding: 4px 8px; font-weight: bold;"
MARGIN = 8
"""Pixels between the label and the map's corner."""


class Flicker(QObject):
    """Shows one of two layers after the other, by a clock or by the key B, until it is stopped.

    It stops by itself when one of the layers is about to leave the project.
    """

    stopped = pyqtSignal()

    def __init__(self, iface) -> None:
        super().__init__(iface.mainWindow())
        self._iface = iface
        self._ids: Tuple[str, ...] = ()
        self._at = 0
        self._label: Optional[QLabel] = None
        self._timer = QTimer(self)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(self.show_other)

    @property
    def is_on(self) -> bool:
        """Whether the map shows one layer of a pair."""
        return bool(self._ids)

    def start(self, pair: Pair) -> None:
        """Begin with the layer before."""
        self.stop()
        self._ids = tuple(layer.id() for layer in pair)
        canvas = self._iface.mapCanvas()
        self._label = _label_on(canvas)
        canvas.keyPressed.connect(self._key_pressed)
        QgsProject.instance().layersWillBeRemoved.connect(self._layers_go)
        canvas.setFocus()
        self._show(0)
        self._timer.start()

    def stop(self) -> None:
        """Let the map show again what the layer tree says; may be called at any time."""
        if not self.is_on:
            return
        self._timer.stop()
        self._ids = ()
        self._iface.mapCanvas().keyPressed.disconnect(self._key_pressed)
        QgsProject.instance().layersWillBeRemoved.disconnect(self._layers_go)
        self._label.hide()
        self._label.deleteLater()
        self._label = None
        self._iface.layerTreeCanvasBridge().setCanvasLayers()
        self.stopped.emit()

    def show_other(self) -> None:
        """The layer of the pair that is not shown now."""
        self._show(1 - self._at)

    def _show(self, at: int) -> None:
        self._at = at
        project = QgsProject.instance()
        layer = project.mapLayer(self._ids[at])
        shown = layers_to_draw(project, self._ids[at], self._ids[1 - at])
        self._iface.mapCanvas().setLayers(shown)
        when = (tr("Before"), tr("After"))[at]
        self._label.setText(f"{when}: {layer.name()}")
        self._label.setToolTip(tr("The key B shows the other layer and halts the clock"))
        self._label.adjustSize()
        # at the bottom: QGIS' messages lie over the top
        bottom = self._iface.mapCanvas().height() - self._label.height()
        self._label.move(MARGIN, bottom - MARGIN)

    def _key_pressed(self, event) -> None:
        if event.key() == KEY:
            self._timer.stop()  # from now on by hand
            self.show_other()

    def _layers_go(self, ids) -> None:
        if set(ids) & set(self._ids):
            self.stop()


def layers_to_draw(project: QgsProject, shown: str, hidden: str) -> List[QgsMapLayer]:
    """What is drawn, from the top, while the layer ``shown`` of a pair stands for both.

    Left out are the other one, Swath's results and every raster above the two, which would hide
    them. All others are drawn as the layer tree has them.
    """
    root = project.layerTreeRoot()
    drawn = []
    above = {shown, hidden}
    for layer in root.layerOrder():
        covers = is_result(layer) or (isinstance(layer, QgsRasterLayer) and bool(above))
        above.discard(layer.id())
        is_visible = not covers and root.findLayer(layer.id()).isVisible()
        if layer.id() == shown or (is_visible and layer.id() != hidden):
            drawn.append(layer)
    return drawn


def _label_on(canvas) -> QLabel:
    label = QLabel(canvas)
    label.setObjectName("swath_flicker_label")
    label.setStyleSheet(LABEL_STYLE)
    label.show()
    return label

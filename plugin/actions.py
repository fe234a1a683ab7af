"""The toolbar and the menu: each button opens or asks, the work is done elsewhere."""

from typing import Dict, List, Optional

import processing
from qgis.core import (
    Qgis,
    QgsApplication,
    QgsMapLayer,
    QgsProject,
    QgsRasterLayer,
    QgsTask,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QAction, QDialog, QFileDialog, QMessageBox

from ..engine.contract.errors import EngineError, ErrorCode
from ..engine.contract.messages import EngineInfo, ModelList
from .compat import GEOMETRY_POLYGON
from .dates import pair_at_hand, pair_of_last_run, pair_selected
from .flicker import Flicker
from .layers import is_result
from .process import Launch, ensure_engine, may_have_engine
from .processing.language import tr
from .settings import choose_engine, current_launch, icon_path

MENU = "Swath"
SEGMENT = "swath:segment"
APPLY = "swath:apply"
CHANGE = "swath:change"
UPDATE = "swath:update"


class Actions:
    """Swath's buttons; ``add`` and ``remove`` mirror each other."""

    def __init__(self, iface) -> None:
        self.iface = iface
        self.toolbar = None
        self.segment: Optional[QAction] = None
        self.apply: Optional[QAction] = None
        self.change: Optional[QAction] = None
        self.update: Optional[QAction] = None
        self.flicker: Optional[QAction] = None
        self.flickering: Optional[Flicker] = None
        self.status: Optional[QAction] = None
        self.task: Optional[EngineStatus] = None
        self._dialogs: List[QDialog] = []

    def add(self) -> None:
        """Show the toolbar and the menu entries."""
        self.toolbar = self.iface.addToolBar("Swath")
        self.toolbar.setObjectName("SwathToolBar")
        self.segment = self._action("segment", "Segment raster…", lambda: self.open(SEGMENT))
        self.segment.setToolTip("Find the classes of a trained model, such as clouds, in a raster")
        self.apply = self._action("apply", "Apply a model…", lambda: self.open(APPLY))
        self.change = self._action("change", tr("Find changes…"), lambda: self.open(CHANGE))
        self.change.setToolTip(tr("Find what differs between two dates"))
        self.update = self._action("update", tr("Update a map…"), lambda: self.open(UPDATE))
        self.update.setToolTip(tr("Find which objects of a map a later image still shows"))
        self._add_flicker()
        self.status = self._action("engine", "Engine status", self.show_status)
        self.status.setToolTip("Is Swath's engine, the program that computes, ready?")
        for action in (self.segment, self.change, self.update, self.flicker, self.status):
            self.toolbar.addAction(action)
        for action in self._all():
            self.iface.addPluginToRasterMenu(MENU, action)

    def remove(self) -> None:
        """Leave QGIS as it was before ``add``."""
        self.flickering.stop()
        self.flickering.deleteLater()
        for action in self._all():
            self.iface.removePluginRasterMenu(MENU, action)
            self.toolbar.removeAction(action)
            action.deleteLater()
        self.iface.mainWindow().removeToolBar(self.toolbar)
        self.toolbar.deleteLater()
        self.toolbar = self.segment = self.apply = self.change = self.status = None
        self.update = self.flicker = self.flickering = None

    def _action(self, name: str, text: str, slot) -> QAction:
        action = QAction(QIcon(icon_path(name)), text, self.iface.mainWindow())
        action.setObjectName(f"swath_{name}")
        action.triggered.connect(lambda _checked=False: slot())
        return action

    def _all(self) -> List[QAction]:
        every = (
            *(self.segment, self.apply, self.change, self.update),
            *(self.flicker, self.status),
        )
        return [action for action in every if action is not None]

    def open(self, algorithm: str) -> None:
        """Open an algorithm's dialog on the raster at hand; it does not block the map."""
        problem = may_have_engine(current_launch())
        if problem is not None:
            self.explain(problem)
            return
        at_hand = {CHANGE: self._two_dates, UPDATE: self._map_and_image}
        layers = at_hand.get(algorithm, self._imagery)()
        dialog = processing.createAlgorithmDialog(algorithm, layers)
        self._keep(dialog)
        dialog.show()

    def _imagery(self) -> Dict[str, QgsRasterLayer]:
        layer = raster_at_hand(self.iface.activeLayer())
        return {"INPUT": layer} if layer else {}

    def _map_and_image(self) -> Dict[str, QgsMapLayer]:
        polygons = polygons_at_hand(self.iface.activeLayer())
        return {**self._imagery(), **({"MAP": polygons} if polygons else {})}

    def _two_dates(self) -> Dict[str, QgsRasterLayer]:
        pair = pair_at_hand(self._selected(), QgsProject.instance())
        return dict(zip(("BEFORE", "AFTER"), pair)) if pair else {}

    def _selected(self) -> List[QgsMapLayer]:
        return self.iface.layerTreeView().selectedLayers()

    def _add_flicker(self) -> None:
        self.flickering = Flicker(self.iface)
        self.flicker = self._action("flicker", tr("Flicker before/after"), self.toggle_flicker)
        self.flicker.setToolTip(
            tr("Show the two selected layers, or those compared last, in turn; B: by hand")
        )
        self.flicker.setCheckable(True)
        self.flickering.stopped.connect(lambda: self.flicker.setChecked(False))

    def toggle_flicker(self) -> None:
        """Begin with the two layers at hand, or stop."""
        if self.flickering.is_on:
            self.flickering.stop()
            return
        project = QgsProject.instance()
        pair = pair_selected(self._selected(), project) or pair_of_last_run(project)
        if pair is not None:
            self.flickering.start(pair)
            return
        self.flicker.setChecked(False)
        advice = tr("Select two raster layers, or find changes first.")
        self.iface.messageBar().pushMessage("Swath", advice, Qgis.MessageLevel.Info, 8)

    def _keep(self, dialog) -> None:
        """Hold the Python half of a dialog for as long as QGIS holds the other half."""
        self._dialogs.append(dialog)
        dialog.destroyed.connect(lambda *_: self._dialogs.remove(dialog))

    def show_status(self) -> None:
        """Start the engine when it does not run, in the background, and tell how it is."""
        if self.task is not None:
            return
        self.task = EngineStatus(current_launch(), self._tell_status)
        QgsApplication.taskManager().addTask(self.task)

    def _tell_status(self, task: "EngineStatus") -> None:
        self.task = None
        if task.problem is not None:
            self.explain(task.problem)
            return
        text = status_text(task.engine, task.models)
        self.iface.messageBar().pushMessage("Swath", text, Qgis.MessageLevel.Success, 0)

    def explain(self, problem: EngineError) -> None:
        """Say what is wrong with the engine and offer to choose another; does not block."""
        box = QMessageBox(self.iface.mainWindow())
        box.setObjectName("swath_problem")
        box.setIcon(QMessageBox.Icon.Information)
        box.setWindowTitle("Swath")
        box.setText(problem.message)
        box.setInformativeText(problem.hint)
        box.setStandardButtons(QMessageBox.StandardButton.Close)
        if problem.code in (ErrorCode.ENGINE_NOT_FOUND, ErrorCode.ENGINE_START_FAILED):
            choose = box.addButton("Choose engine…", QMessageBox.ButtonRole.ActionRole)
            choose.clicked.connect(self.ask_for_engine)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.open()

    def ask_for_engine(self) -> None:
        """Let the user point at the engine, then see whether it answers."""
        path, _ = QFileDialog.getOpenFileName(
            self.iface.mainWindow(), "The engine's Python, or its program swath"
        )
        if path:
            choose_engine(path)
            self.show_status()


class EngineStatus(QgsTask):
    """Reaches the engine apart from the GUI's thread, then calls back in it."""

    def __init__(self, launch: Launch, done) -> None:
        super().__init__("Asking Swath's engine", QgsTask.Flag.CanCancel)
        self._launch = launch
        self._done = done
        self.engine: Optional[EngineInfo] = None
        self.models = ModelList()
        self.problem: Optional[EngineError] = None

    def run(self):
        """In a thread of the task manager."""
        try:
            with ensure_engine(self._launch, self.isCanceled) as client:
                self.engine, self.models = client.hello(), client.models()
        except EngineError as error:
            self.problem = error
        return self.problem is None

    def finished(self, _result):
        """Back in the GUI's thread."""
        self._done(self)


def status_text(engine: EngineInfo, models: ModelList) -> str:
    """One line: ready, and which versions."""
    installed = sum(model.installed for model in models.models)
    return (
        f"READY: engine {engine.version} (protocol {engine.protocol}, Python {engine.python}, "
        f"process {engine.pid}); {installed} of {len(models.models)} models installed."
    )


def polygons_at_hand(active: Optional[QgsMapLayer]) -> Optional[QgsVectorLayer]:
    """The active layer when it holds polygons, else the topmost that does; no result of Swath's."""
    order = QgsProject.instance().layerTreeRoot().layerOrder()
    for layer in ([active] if active else []) + order:
        is_vector = isinstance(layer, QgsVectorLayer) and not is_result(layer)
        if is_vector and layer.geometryType() == GEOMETRY_POLYGON:
            return layer
    return None


def raster_at_hand(active: Optional[QgsMapLayer]) -> Optional[QgsRasterLayer]:
    """The active layer when it is imagery, else the topmost imagery; no result of Swath's."""
    order = QgsProject.instance().layerTreeRoot().layerOrder()
    for layer in ([active] if active else []) + order:
        if isinstance(layer, QgsRasterLayer) and not is_result(layer):
            return layer
    return None

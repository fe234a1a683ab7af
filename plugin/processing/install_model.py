"""``swath:installmodel``: fetch a model's weights, once, when the user asks for it."""

import threading
from typing import List, Optional

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingOutputString,
    QgsProcessingParameterBoolean,
)
from qgis.PyQt.QtGui import QIcon

from ...engine.contract.errors import CancelledError, EngineError, ErrorCode
from ...engine.contract.messages import ModelInfo
from ..catalogue import CLASS_MAPS, licence_of, read_cards
from ..client import EngineClient
from ..process import ensure_engine, may_have_engine
from ..settings import RESOURCES, current_launch, icon_path
from .help import models_help
from .parameters import choice
from .wording import in_dialog_words

LOOK_SECONDS = 0.2
MEGABYTE = 1e6
ACCEPT = "I accept the model's licence"


class InstallModelAlgorithm(QgsProcessingAlgorithm):
    """Asks the engine to fetch a model and waits for it."""

    def createInstance(self):
        return InstallModelAlgorithm()

    def name(self):
        return "installmodel"

    def displayName(self):
        return "Install model"

    def group(self):
        return "Models"

    def groupId(self):
        return "models"

    def tags(self):
        return ["download", "weights", "deep learning", "onnx"]

    def icon(self):
        return QIcon(icon_path("engine"))

    def svgIconPath(self):
        return icon_path("engine")

    def shortDescription(self):
        return "Fetches the weights of a model, once, and checks them."

    def shortHelpString(self):
        return models_help(_cards())

    def initAlgorithm(self, config=None):
        self.addParameter(choice("MODEL", "Model", [card.id for card in _cards()]))
        self.addParameter(
            QgsProcessingParameterBoolean("ACCEPT_LICENCE", ACCEPT, defaultValue=False)
        )
        self.addOutput(QgsProcessingOutputString("MODEL", "Model"))

    def canExecute(self):
        problem = may_have_engine(current_launch())
        return (True, "") if problem is None else (False, str(problem))

    def processAlgorithm(self, parameters, context, feedback):
        model_id = self.parameterAsEnumString(parameters, "MODEL", context)
        licence = licence_of(_cards(), model_id)
        feedback.pushInfo(f"Licence of {model_id}: {licence}.")
        accepts = self.parameterAsBool(parameters, "ACCEPT_LICENCE", context)
        try:
            with ensure_engine(current_launch(), feedback.isCanceled) as client:
                feedback.setProgressText(f"Fetching {model_id}")
                model = _install(client, model_id, licence if accepts else None, feedback)
        except EngineError as error:
            raise QgsProcessingException(_refusal(error)) from None
        size = f"{model.size / MEGABYTE:.0f} MB"
        feedback.pushInfo(f"{model.title}: installed, {size}, licence {model.license}.")
        return {"MODEL": model.id}


def _cards():
    return read_cards(RESOURCES / "cards", CLASS_MAPS)


def _refusal(error: EngineError) -> str:
    if error.code is not ErrorCode.LICENCE_NOT_ACCEPTED:
        return in_dialog_words(error)
    return f"{error.message} Read them and tick «{ACCEPT}» if you agree. [{error.code.value}]"


def _install(client: EngineClient, model_id: str, licence: Optional[str], feedback) -> ModelInfo:
    """Wait for the model beside a cancel button; a fetch given up goes on in the engine."""
    done: List[ModelInfo] = []
    failed: List[EngineError] = []

    def fetch() -> None:
        try:
            done.append(client.install(model_id, licence))
        except EngineError as error:
            failed.append(error)

    thread = threading.Thread(target=fetch, name="swath-install", daemon=True)
    thread.start()
    while thread.is_alive():
        if feedback.isCanceled():
            raise CancelledError(
                message="Given up; the engine may still finish fetching the model."
            )
        thread.join(LOOK_SECONDS)
    if failed:
        raise failed[0]
    return done[0]

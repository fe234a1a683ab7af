"""The user's settings, and the launch that follows from them."""

from pathlib import Path

from qgis.core import QgsSettings

from ..engine.contract.places import state_dir
from .process import Launch

ENGINE_KEY = "swath/engine"
PLUGIN_FOLDER = Path(__file__).parent.parent
RESOURCES = PLUGIN_FOLDER / "resources"


def current_launch() -> Launch:
    """How the engine is found or started under the settings of this moment."""
    setting = str(QgsSettings().value(ENGINE_KEY, "") or "")
    return Launch(setting=setting, plugin_folder=PLUGIN_FOLDER, state=state_dir())


def choose_engine(path: str) -> None:
    """Keep the user's choice of an engine."""
    QgsSettings().setValue(ENGINE_KEY, path)


def icon_path(name: str) -> str:
    """One of the plugin's own drawings."""
    return str(RESOURCES / "icons" / f"{name}.svg")

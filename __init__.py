"""Swath as QGIS sees it: this folder is the plugin."""

from typing import Any


def classFactory(iface: Any) -> Any:
    """The plugin object; ``iface`` is None under ``qgis_process``."""
    from .plugin.plugin import SwathPlugin  # noqa: PLC0415 - only QGIS may import this

    return SwathPlugin(iface)

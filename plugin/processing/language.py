"""Swath's words in the language of the user, wherever QGIS has a translation of them."""

from qgis.PyQt.QtCore import QCoreApplication


def tr(text: str) -> str:
    """A text of ours; as it is when nobody has translated it."""
    return QCoreApplication.translate("Swath", text)

"""Loading and unloading, nothing else."""

from qgis.core import QgsApplication

from .actions import Actions
from .processing.provider import SwathProvider


class SwathPlugin:
    """What QGIS holds while the plugin is on."""

    def __init__(self, iface) -> None:
        self.iface = iface
        self.provider = None
        self.actions = None

    def initProcessing(self):
        """All that ``qgis_process`` needs."""
        self.provider = SwathProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self):
        """The desktop."""
        self.initProcessing()
        self.actions = Actions(self.iface)
        self.actions.add()

    def unload(self):
        """``initGui`` in reverse; a running engine leaves by itself when QGIS ends."""
        if self.actions is not None:
            self.actions.remove()
            self.actions = None
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None

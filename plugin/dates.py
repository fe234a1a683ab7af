"""Which two raster layers show a place before and after, and when layers were acquired."""

from typing import Optional, Sequence, Tuple

from qgis.core import QgsMapLayer, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import Qt

from .layers import DATES_PROPERTY, is_result

Pair = Tuple[QgsRasterLayer, QgsRasterLayer]
"""Before, after."""
TWO = 2


def layer_date(layer: QgsRasterLayer) -> str:
    """When a layer's temporal properties say that it was acquired, ISO 8601; "" if they do not."""
    times = layer.temporalProperties()
    begin = times.fixedTemporalRange().begin()
    known = times.isActive() and begin.isValid()
    return begin.date().toString(Qt.DateFormat.ISODate) if known else ""


def pair_of_last_run(project: QgsProject) -> Optional[Pair]:
    """The two layers that the newest run in the project compared, when they are still there."""
    for group in project.layerTreeRoot().findGroups():  # the newest run's is the topmost
        ids = str(group.customProperty(DATES_PROPERTY) or "").split("\n")
        layers = [layer for layer in map(project.mapLayer, ids) if layer is not None]
        if len(layers) == TWO:
            return layers[0], layers[1]
    return None


def pair_selected(selected: Sequence[QgsMapLayer], project: QgsProject) -> Optional[Pair]:
    """The two raster layers that are selected in the layer tree, when there are just two."""
    rasters = [layer for layer in selected if isinstance(layer, QgsRasterLayer)]
    return _in_time(rasters, project) if len(rasters) == TWO else None


def pair_at_hand(selected: Sequence[QgsMapLayer], project: QgsProject) -> Optional[Pair]:
    """Those selected, else the two topmost of the project that are no results of Swath's."""
    order = project.layerTreeRoot().layerOrder()
    imagery = [one for one in order if isinstance(one, QgsRasterLayer) and not is_result(one)]
    topmost = _in_time(imagery[:TWO], project) if len(imagery) >= TWO else None
    return pair_selected(selected, project) or topmost


def _in_time(layers: Sequence[QgsRasterLayer], project: QgsProject) -> Pair:
    """By their dates where both are known, else the lower one first, as layers are added."""
    order = project.layerTreeRoot().layerOrder()
    upper, lower = sorted(layers, key=order.index)
    dates = layer_date(lower), layer_date(upper)
    return (upper, lower) if all(dates) and dates[0] > dates[1] else (lower, upper)

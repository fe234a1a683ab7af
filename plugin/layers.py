"""Between QGIS' layers and files: masks on their way out, finished files on their way in."""

from dataclasses import dataclass
from typing import ClassVar, List, Tuple

from qgis.core import (
    QgsFeature,
    QgsFeatureRequest,
    QgsFields,
    QgsProcessingLayerPostProcessorInterface,
    QgsProject,
    QgsVectorFileWriter,
)

from ..engine.contract.errors import EngineError, ErrorCode
from ..engine.contract.messages import Artifact, RunSummary
from .compat import WKB_MULTIPOLYGON

JOB_PROPERTY = "swath/job"
DATES_PROPERTY = "swath/dates"
MODEL_PROPERTY = "swath/model"
ROLE_PROPERTY = "swath/role"
ROLES = ("vector", "raster", "to", "from", "probability")
"""Order of a run's layers in its group, from the top."""
BELOW = ("to", "from", "probability")
"""Those that lie under the result, and are shown once somebody asks."""


def write_mask(source, crs, transforms, path) -> None:
    """Write the polygons of a feature source, moved to ``crs``, into a new GeoPackage.

    Raises:
        EngineError: ``MASK_EMPTY`` when there are none, ``MASK_UNREADABLE`` when writing fails.
    """
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    options.layerName = "mask"
    writer = QgsVectorFileWriter.create(
        path, QgsFields(), WKB_MULTIPOLYGON, crs, transforms, options
    )
    request = QgsFeatureRequest()
    if crs.isValid():
        request.setDestinationCrs(crs, transforms)
    count = sum(_copy(feature, writer) for feature in source.getFeatures(request))
    problem = writer.errorMessage()
    del writer  # closes the file
    if problem:
        raise EngineError(
            ErrorCode.MASK_UNREADABLE,
            f"The mask could not be written to {path}: {problem}.",
            "Check that the temporary folder is writable and has room.",
        )
    if count == 0:
        raise EngineError(
            ErrorCode.MASK_EMPTY,
            f"The mask «{source.sourceName()}» has no polygon.",
            "Choose another mask; with «selected features only», select at least one polygon.",
        )


def _copy(feature, writer) -> bool:
    if not feature.hasGeometry():
        return False
    outline = QgsFeature()
    geometry = feature.geometry()
    geometry.convertToMultiType()
    outline.setGeometry(geometry)
    return writer.addFeature(outline)


@dataclass(frozen=True)
class Run:
    """What the layers of one run have in common."""

    job_id: str
    layer_name: str
    """Of the input."""
    model: str
    model_title: str
    summary: RunSummary
    dates: Tuple[str, ...] = ()
    """Ids of the layers that were compared, the earlier one first."""

    @property
    def title(self) -> str:
        """The name of the run's group."""
        return f"Swath: {self.layer_name} – {self.model_title}"


class FinishLayer(QgsProcessingLayerPostProcessorInterface):
    """Gives a loaded output its style, its history and its place in the layer tree."""

    _alive: ClassVar[List["FinishLayer"]] = []
    """QGIS keeps a bare pointer; Python must not collect what it points to."""

    def __init__(self, run: Run, artifact: Artifact) -> None:
        super().__init__()
        self.run = run
        self.artifact = artifact
        self._alive.append(self)

    def postProcessLayer(self, layer, context, feedback):  # noqa: ARG002 - QGIS' signature
        """Called by Processing in the GUI thread, once the layer is in the tree."""
        layer.dataProvider().reloadData()  # the same file may have been shown before
        _style(layer, self.artifact)
        _stamp(layer, self.run, self.artifact)
        project = context.project() or QgsProject.instance()
        place_in_group(project.layerTreeRoot(), layer, self.run, self.artifact.role)
        layer.triggerRepaint()


def _style(layer, artifact: Artifact) -> None:
    if artifact.style:
        layer.loadNamedStyle(artifact.style)
    else:
        layer.loadDefaultStyle()  # a GeoPackage carries its own


def _stamp(layer, run: Run, artifact: Artifact) -> None:
    """Leave in the layer where it comes from."""
    layer.setCustomProperty(JOB_PROPERTY, run.job_id)
    layer.setCustomProperty(MODEL_PROPERTY, run.model)
    layer.setCustomProperty(ROLE_PROPERTY, artifact.role)
    metadata = layer.metadata()
    metadata.setTitle(run.title)
    notes = "\n".join(run.summary.notes)
    metadata.setAbstract(f"Made by Swath with the model {run.model}.\n{notes}".strip())
    metadata.setHistory([f"Swath job {run.job_id}, model {run.model}, on {run.summary.device}"])
    layer.setMetadata(metadata)


def place_in_group(root, layer, run: Run, role: str) -> None:
    """Move the layer's node into the run's group, which is made at the top when it is missing."""
    node = root.findLayer(layer.id())
    if node is None:
        return
    group = _group_of(root, run)
    moved = node.clone()
    moved.setCustomProperty(ROLE_PROPERTY, role)
    moved.setExpanded(role == "raster")
    moved.setItemVisibilityChecked(role not in BELOW)
    group.insertChildNode(_position(group, role), moved)
    node.parent().removeChildNode(node)


def _group_of(root, run: Run):
    for group in root.findGroups():
        if group.customProperty(JOB_PROPERTY) == run.job_id:
            return group
    group = root.insertGroup(0, run.title)
    group.setCustomProperty(JOB_PROPERTY, run.job_id)
    if run.dates:
        group.setCustomProperty(DATES_PROPERTY, "\n".join(run.dates))
    return group


def _position(group, role: str) -> int:
    """Above the first layer that belongs below; the node about to be moved has no role yet."""
    below = ROLES[ROLES.index(role) + 1 :]
    for index, child in enumerate(group.children()):
        if child.customProperty(ROLE_PROPERTY) in below:
            return index
    return len(group.children())


def is_result(layer) -> bool:
    """Whether Swath made the layer."""
    return layer.customProperty(JOB_PROPERTY) is not None

"""``swath:segment``: a raster layer goes in, a class raster and its polygons come back."""

from dataclasses import replace
from typing import Any, Dict

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingUtils,
)
from qgis.PyQt.QtCore import NULL
from qgis.PyQt.QtGui import QIcon

from ...engine.contract.errors import CancelledError, EngineError, ErrorCode
from ...engine.contract.messages import Job, JobState, Submission, TaskName
from ..catalogue import CLASS_MAPS, read_cards, title_of
from ..layers import FinishLayer, Run, write_mask
from ..process import ensure_engine, may_have_engine
from ..settings import RESOURCES, current_launch, icon_path
from .feedback import JobFeedback
from .help import segment_help
from .parameters import segment_parameters
from .request import SegmentForm, parse_bands, profile_text, raster_source, segment_request
from .wording import in_dialog_words

TAGS = [
    *("segmentation", "semantic", "classification", "mask"),
    *("deep learning", "machine learning", "AI", "neural network", "onnx"),
    *("cloud", "clouds", "shadow", "satellite", "Landsat", "Sentinel-2"),
]


class SegmentAlgorithm(QgsProcessingAlgorithm):
    """Runs in Processing's own thread; the computing is done by the engine."""

    def createInstance(self):
        return SegmentAlgorithm()

    def name(self):
        return "segment"

    def displayName(self):
        return "Segment raster"

    def group(self):
        return "Segmentation"

    def groupId(self):
        return "segmentation"

    def tags(self):
        return TAGS

    def icon(self):
        return QIcon(icon_path("segment"))

    def svgIconPath(self):
        return icon_path("segment")

    def shortDescription(self):
        return "Finds the classes of a trained model, such as clouds, in a raster of any size."

    def shortHelpString(self):
        return segment_help(self._cards())

    def helpUrl(self):
        return "https://github.com/swath-project/swath#readme"

    def _cards(self):
        return read_cards(RESOURCES / "cards", CLASS_MAPS)

    def initAlgorithm(self, config=None):
        for parameter in segment_parameters(self._cards()):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputFile("AREAS", "Table of areas"))
        self.addOutput(QgsProcessingOutputFile("ITEM", "STAC item with provenance"))
        self.addOutput(QgsProcessingOutputString("JOB", "Job"))
        self.addOutput(QgsProcessingOutputString("MODEL_USED", "Model used"))
        self.addOutput(QgsProcessingOutputNumber("PIXELS", "Pixels with a result"))

    def canExecute(self):
        problem = may_have_engine(current_launch())
        return (True, "") if problem is None else (False, str(problem))

    def checkParameterValues(self, parameters, context):
        try:
            parse_bands(self.parameterAsString(parameters, "BANDS", context))
            profile_text(*self._profile(parameters, context))
            layer = self.parameterAsRasterLayer(parameters, "INPUT", context)
            if layer is not None:
                raster_source(layer.providerType(), layer.source(), layer.name())
        except EngineError as error:
            return False, str(error)
        return super().checkParameterValues(parameters, context)

    def _profile(self, parameters, context):
        profile = self.parameterAsEnumString(parameters, "PROFILE", context)
        return profile, self._number_or_none(parameters, "SUN_ELEVATION", context)

    def _number_or_none(self, parameters, name, context):
        empty = parameters.get(name) in (None, "", NULL)
        return None if empty else self.parameterAsDouble(parameters, name, context)

    def prepareAlgorithm(self, parameters, context, feedback):
        """In the GUI thread: everything that is asked of layers and of the project."""
        layer = self.parameterAsRasterLayer(parameters, "INPUT", context)
        if layer is None:
            raise QgsProcessingException(self.invalidRasterError(parameters, "INPUT"))
        self.launch = current_launch()
        self.layer_name = layer.name()
        self.crs = layer.crs()
        self.transforms = context.transformContext()
        self.mask = self.parameterAsSource(parameters, "MASK", context)
        if self.mask is None and parameters.get("MASK"):
            raise QgsProcessingException(self.invalidSourceError(parameters, "MASK"))
        try:
            source = raster_source(layer.providerType(), layer.source(), layer.name())
        except EngineError as error:
            raise QgsProcessingException(in_dialog_words(error)) from None
        self.form = self._read_form(source, parameters, context)
        return True

    def _read_form(self, source, parameters, context) -> SegmentForm:
        profile, sun_elevation = self._profile(parameters, context)
        model_file = self.parameterAsFile(parameters, "MODEL_FILE", context)
        return SegmentForm(
            source=source,
            model=model_file or self.parameterAsEnumString(parameters, "MODEL", context),
            extent=self._extent(parameters, context),
            profile=profile,
            sun_elevation=sun_elevation,
            custom_profile=self.parameterAsString(parameters, "CUSTOM_PROFILE", context).strip(),
            nodata=self._number_or_none(parameters, "NODATA", context),
            gsd=self._number_or_none(parameters, "GSD", context),
            bands=self.parameterAsString(parameters, "BANDS", context),
            min_area=self.parameterAsDouble(parameters, "MIN_AREA", context),
            device=self.parameterAsEnumString(parameters, "DEVICE", context),
            precision=self.parameterAsEnumString(parameters, "PRECISION", context),
        )

    def _add_outputs(self, parameters, context) -> None:
        """In Processing's thread: its context is another, and alone says what will be loaded."""
        self.form = replace(
            self.form,
            output=self.parameterAsOutputLayer(parameters, "OUTPUT", context),
            vector=self.parameterAsOutputLayer(parameters, "VECTOR", context) or None,
            probability=self.parameterAsOutputLayer(parameters, "PROBABILITY", context) or None,
        )

    def _extent(self, parameters, context):
        box = self.parameterAsExtent(parameters, "EXTENT", context, self.crs)
        if box.isNull():
            return None
        return box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()

    def processAlgorithm(self, parameters, context, feedback):
        """In Processing's thread: no layers, no widgets, no project."""
        self._add_outputs(parameters, context)
        try:
            job = self._run_job(feedback)
        except EngineError as error:
            raise QgsProcessingException(in_dialog_words(error)) from None
        self._dress_layers(job, context)
        return _results(job, self.form)

    def _run_job(self, feedback) -> Job:
        progress = JobFeedback(feedback)
        progress.say("Looking for the engine")
        with ensure_engine(self.launch, feedback.isCanceled) as client:
            progress.say_engine(client.hello())
            submission = Submission(TaskName.SEGMENT, self._request(), self.layer_name)
            job = client.submit(submission)
            progress.say_job(job)
            job = client.follow(job.id, progress, feedback.isCanceled)
        _raise_unless_succeeded(job)
        progress.say_summary(job.summary)
        return job

    def _request(self):
        form = self.form
        if self.mask is not None:
            path = QgsProcessingUtils.generateTempFilename("mask.gpkg")
            write_mask(self.mask, self.crs, self.transforms, path)
            form = replace(form, mask=path)
        return segment_request(form)

    def _dress_layers(self, job: Job, context) -> None:
        """Have each layer that QGIS is about to load styled and put into the run's group."""
        title = title_of(self._cards(), job.summary.model)
        run = Run(job.id, self.layer_name, job.summary.model, title, job.summary)
        destinations = {
            "raster": self.form.output,
            "vector": self.form.vector,
            "probability": self.form.probability,
        }
        for artifact in job.artifacts:
            path = destinations.get(artifact.role)
            if path and context.willLoadLayerOnCompletion(path):
                details = context.layerToLoadOnCompletionDetails(path)
                details.setPostProcessor(FinishLayer(run, artifact))


def _raise_unless_succeeded(job: Job) -> None:
    if job.state is JobState.SUCCEEDED:
        return
    if job.state is JobState.CANCELLED:
        raise CancelledError(message="The job was cancelled; nothing was written.")
    if job.error is not None:
        raise EngineError(job.error.code, job.error.message, job.error.hint)
    raise EngineError(
        ErrorCode.WORKER_DIED,
        f"The job {job.id} ended as «{job.state.value}» without a result.",
        "Run it again: the parts that were finished are not computed twice.",
    )


def _results(job: Job, form: SegmentForm) -> Dict[str, Any]:
    """The algorithm's outputs; files under the names that Processing knows them by."""
    files = {artifact.role: artifact.uri for artifact in job.artifacts}
    results = {
        "OUTPUT": form.output,
        "VECTOR": form.vector,
        "PROBABILITY": form.probability,
        "AREAS": files.get("areas"),
        "ITEM": files.get("item"),
        "JOB": job.id,
        "MODEL_USED": job.summary.model,
        "PIXELS": job.summary.pixels,
    }
    return {name: value for name, value in results.items() if value is not None}

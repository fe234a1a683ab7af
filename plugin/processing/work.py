"""One run of a model on a layer, from the form to the loaded results, for any algorithm."""

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Optional, Tuple

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingUtils,
    QgsRasterLayer,
)

from ...engine.contract.errors import CancelledError, EngineError, ErrorCode
from ...engine.contract.messages import Job, JobState, Submission, TaskName
from ..catalogue import CardChoice, cards_of_file, title_of
from ..layers import FinishLayer, Run, write_mask
from ..process import Launch, ensure_engine
from ..settings import current_launch
from .feedback import JobFeedback
from .filled import Filled
from .language import tr
from .parameters import RESULT
from .request import SegmentForm, segment_request
from .wording import in_dialog_words

ReadForm = Callable[[Filled, QgsRasterLayer], SegmentForm]
"""Understands a filled-in form, without its outputs, for the layer that is the main input."""


@dataclass(frozen=True)
class Work:
    """All that Processing's thread needs to know of layers and of the project."""

    task: TaskName
    form: SegmentForm
    launch: Launch
    layer_name: str
    crs: QgsCoordinateReferenceSystem
    transforms: QgsCoordinateTransformContext
    mask: Any
    dates: Tuple[str, ...] = ()
    """Ids of the layers of two dates, the earlier one first."""

    def carry_out(
        self, filled: Filled, cards: Tuple[CardChoice, ...], feedback: Any
    ) -> Dict[str, Any]:
        """In Processing's thread: no layers, no widgets, no project.

        Its context is another one, and alone says which outputs will be loaded.
        """
        form = replace(
            self.form,
            output=filled.output("OUTPUT"),
            vector=filled.output("VECTOR") or None,
            probability=filled.output("PROBABILITY") or None,
            report=filled.file_output("REPORT") or None,
        )
        work = replace(self, form=form)
        try:
            job = work.run(feedback)
        except EngineError as error:
            raise QgsProcessingException(in_dialog_words(error)) from None
        work.dress_layers(job, cards, filled.context)
        return results_of(job, form)

    def run(self, feedback: Any) -> Job:
        """Have the engine do it.

        Raises:
            EngineError: the engine's own, or when it cannot be reached.
        """
        progress = JobFeedback(feedback)
        progress.say(tr("Looking for the engine"))
        with ensure_engine(self.launch, feedback.isCanceled) as client:
            progress.say_engine(client.hello())
            job = client.submit(Submission(self.task, self._request(), self.layer_name))
            progress.say_job(job)
            job = client.follow(job.id, progress, feedback.isCanceled)
        raise_unless_succeeded(job)
        progress.say_summary(job.summary)
        return job

    def _request(self):
        form = self.form
        if self.mask is not None:
            path = QgsProcessingUtils.generateTempFilename("mask.gpkg")
            write_mask(self.mask, self.crs, self.transforms, path)
            form = replace(form, mask=path)
        return segment_request(form)

    def dress_layers(self, job: Job, cards: Tuple[CardChoice, ...], context: Any) -> None:
        """Have each layer that QGIS is about to load styled and put into the run's group."""
        title = title_of((*cards, *cards_of_file(self.form.model)), job.summary.model)
        run = Run(job.id, self.layer_name, job.summary.model, title, job.summary, self.dates)
        destinations = {
            "raster": self.form.output,
            "vector": self.form.vector,
            "probability": self.form.probability,
        }
        for artifact in job.artifacts:
            path = destinations.get(artifact.role)
            if path and context.willLoadLayerOnCompletion(path):
                details = context.layerToLoadOnCompletionDetails(path)
                details.name = _layer_name(details.name, job)
                details.setPostProcessor(FinishLayer(run, artifact))
        if context.willLoadLayerOnCompletion(self.form.output):
            _load_dates(run, job, context)


def prepare(task: TaskName, filled: Filled, read_form: ReadForm, first: str = "INPUT") -> Work:
    """In the GUI thread: everything that is asked of layers and of the project.

    Args:
        task: What is asked of the engine.
        filled: The form.
        read_form: Understands it.
        first: The parameter that is the main input.

    Raises:
        QgsProcessingException: saying what is wrong with the form.
    """
    layer = filled.raster(first)
    try:
        form = read_form(filled, layer)
    except EngineError as error:
        raise QgsProcessingException(in_dialog_words(error)) from None
    return Work(
        task=task,
        form=form,
        launch=current_launch(),
        layer_name=layer.name(),
        crs=layer.crs(),
        transforms=filled.context.transformContext(),
        mask=filled.polygons("MASK"),
    )


def problem_of(filled: Filled, read_form: ReadForm, first: str = "INPUT") -> Optional[str]:
    """What the dialog says before anything runs; None when Swath has nothing to object."""
    try:
        read_form(filled, filled.raster(first))
    except QgsProcessingException:
        return None  # Processing's own check says the same in its own way
    except EngineError as error:
        return str(error)
    return None


def add_outputs(algorithm: Any) -> None:
    """What comes back besides layers."""
    algorithm.addOutput(QgsProcessingOutputFile("AREAS", tr("Table of areas")))
    algorithm.addOutput(QgsProcessingOutputFile("ITEM", tr("STAC item with provenance")))
    algorithm.addOutput(QgsProcessingOutputString("JOB", tr("Job")))
    algorithm.addOutput(QgsProcessingOutputString("MODEL_USED", tr("Model used")))
    algorithm.addOutput(QgsProcessingOutputNumber("PIXELS", tr("Pixels with a result")))


def _load_dates(run: Run, job: Job, context: Any) -> None:
    """The classes of each date, where there are such, come along with the raster of change."""
    names = {"from": tr("Classes before"), "to": tr("Classes after")}
    for artifact in job.artifacts:
        if artifact.role in names:
            details = QgsProcessingContext.LayerDetails(
                names[artifact.role], context.project(), artifact.role.upper()
            )
            details.setPostProcessor(FinishLayer(run, artifact))
            context.addLayerToLoadOnCompletion(artifact.uri, details)


def _layer_name(name: str, job: Job) -> str:
    """What kind of result a raster is shows once it is there."""
    if name != tr(RESULT):
        return name
    return tr("Classes") if job.summary.areas else tr("Values")


def results_of(job: Job, form: SegmentForm) -> Dict[str, Any]:
    """The algorithm's outputs; files under the names that Processing knows them by."""
    files = {artifact.role: artifact.uri for artifact in job.artifacts}
    results = {
        "OUTPUT": form.output,
        "VECTOR": form.vector,
        "PROBABILITY": form.probability,
        "REPORT": form.report,
        "AREAS": files.get("areas"),
        "FROM": files.get("from"),
        "TO": files.get("to"),
        "TRANSITIONS": files.get("transitions"),
        "MATRIX": files.get("matrix"),
        "ITEM": files.get("item"),
        "JOB": job.id,
        "MODEL_USED": job.summary.model,
        "PIXELS": job.summary.pixels,
    }
    return {name: value for name, value in results.items() if value is not None}


def raise_unless_succeeded(job: Job) -> None:
    """Turn a job's end into an error where it is one.

    Raises:
        EngineError: the job's own.
    """
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

"""What the algorithms on finished maps and field data share: ask, submit, load."""

from typing import Any, Dict, Optional

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingOutputString,
    QgsProcessingParameterNumber,
)
from qgis.PyQt.QtGui import QIcon

from ...engine.contract.errors import EngineError
from ...engine.contract.messages import Job, Submission, TaskName
from ..compat import NUMBER_DOUBLE
from ..layers import FinishLayer, Run
from ..process import ensure_engine, may_have_engine
from ..settings import current_launch, icon_path
from .feedback import JobFeedback
from .filled import Filled
from .language import tr
from .request import raster_source, vector_source
from .wording import in_dialog_words
from .work import raise_unless_succeeded


class AnalysisAlgorithm(QgsProcessingAlgorithm):
    """Runs in Processing's own thread; the computing is done by the engine."""

    task: TaskName
    icon_name = "swath"
    destinations: Dict[str, str] = {}  # noqa: RUF012 - QGIS' classes are no dataclasses
    """The role of the artifact that each output parameter asks for."""

    def read(self, filled: Filled) -> Any:
        """The request without its outputs; in the GUI thread."""
        raise NotImplementedError

    def finished(self, request: Any, outputs: Dict[str, str]) -> Any:
        """The request with its outputs."""
        raise NotImplementedError

    def createInstance(self):
        return type(self)()

    def icon(self):
        return QIcon(icon_path(self.icon_name))

    def svgIconPath(self):
        return icon_path(self.icon_name)

    def helpUrl(self):
        return "https://github.com/swath-project/swath#readme"

    def add_job_output(self) -> None:
        """The engine's name of the run."""
        self.addOutput(QgsProcessingOutputString("JOB", tr("Job")))

    def canExecute(self):
        problem = may_have_engine(current_launch())
        return (True, "") if problem is None else (False, str(problem))

    def prepareAlgorithm(self, parameters, context, feedback):
        """In the GUI thread: everything that is asked of layers and of the project."""
        try:
            self.request = self.read(Filled(self, parameters, context))
        except EngineError as error:
            raise QgsProcessingException(in_dialog_words(error)) from None
        self.launch = current_launch()
        return True

    def processAlgorithm(self, parameters, context, feedback):
        """In Processing's thread: no layers, no widgets, no project."""
        filled = Filled(self, parameters, context)
        outputs = {name: filled.destination(name) for name in self.destinations}
        try:
            job = self._run(self.finished(self.request, outputs), feedback)
        except EngineError as error:
            raise QgsProcessingException(in_dialog_words(error)) from None
        self._dress(job, outputs, context)
        found = {name: path for name, path in outputs.items() if path}
        return {**found, "JOB": job.id}

    def _run(self, request: Any, feedback: Any) -> Job:
        progress = JobFeedback(feedback)
        progress.say(tr("Looking for the engine"))
        with ensure_engine(self.launch, feedback.isCanceled) as client:
            progress.say_engine(client.hello())
            job = client.submit(Submission(self.task, request, self.displayName()))
            progress.say_job(job)
            job = client.follow(job.id, progress, feedback.isCanceled)
        raise_unless_succeeded(job)
        progress.say_summary(job.summary)
        return job

    def _dress(self, job: Job, outputs: Dict[str, str], context: Any) -> None:
        """Have each layer that QGIS is about to load styled and put into the run's group."""
        run = Run(job.id, self.displayName(), job.summary.model, job.summary.model, job.summary)
        for artifact in job.artifacts:
            wanted = [n for n, role in self.destinations.items() if role == artifact.role]
            path = outputs.get(wanted[0]) if wanted else None
            if path and context.willLoadLayerOnCompletion(path):
                details = context.layerToLoadOnCompletionDetails(path)
                details.setPostProcessor(FinishLayer(run, artifact))


def number(
    name: str,
    text: str,
    kind: Any = NUMBER_DOUBLE,
    *,
    default: Optional[float] = None,
    least: Optional[float] = None,
    most: Optional[float] = None,
) -> QgsProcessingParameterNumber:
    """A number; optional where it has no default."""
    bounds = {"minValue": least} if least is not None else {}
    bounds.update({"maxValue": most} if most is not None else {})
    return QgsProcessingParameterNumber(
        name, text, type=kind, defaultValue=default, optional=default is None, **bounds
    )


def raster_of(filled: Filled, name: str) -> str:
    """What the engine opens for a raster parameter."""
    layer = filled.raster(name)
    return raster_source(layer.providerType(), layer.source(), layer.name())


def vector_of(filled: Filled, name: str) -> str:
    """What the engine opens for a vector parameter."""
    layer = filled.vector(name)
    return vector_source(layer.providerType(), layer.source(), layer.name())

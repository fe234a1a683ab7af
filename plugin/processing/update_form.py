"""The form of ``swath:update``, and its run."""

from dataclasses import dataclass, fields, replace
from typing import Any, Dict, Optional, Tuple

from qgis.core import QgsProcessingException, QgsRasterLayer

from ...engine.contract.errors import EngineError
from ...engine.contract.messages import OutputSpec, TaskName, UpdateRequest
from ...engine.contract.update import UpdateOptions
from ..catalogue import CardChoice
from ..dates import layer_date
from .filled import Filled
from .forms import segment_form
from .parameters import USUAL_IOU
from .request import SegmentForm, absolute, vector_source
from .wording import in_dialog_words
from .work import Work, prepare, problem_of, results_of

MAP = "MAP"


def update_form(filled: Filled, image: QgsRasterLayer) -> SegmentForm:
    """The run on the image.

    Raises:
        EngineError: as ``segment_form``.
    """
    memory = filled.number("MEMORY")
    return replace(
        segment_form(filled, image),
        memory=None if memory is None else int(memory),
        classes=_names(filled.text("CLASSES")),
        square=_names(filled.text("SQUARE")),
        date=filled.text("DATE") or layer_date(image) or None,
    )


def update_options(filled: Filled) -> UpdateOptions:
    """The map, and how it is compared.

    Raises:
        EngineError: ``INPUT_UNREADABLE`` for a layer that is no file.
        QgsProcessingException: when there is no layer.
    """
    layer = filled.vector(MAP)
    iou = filled.number("IOU")
    return UpdateOptions(
        map=vector_source(layer.providerType(), layer.source(), layer.name()),
        output="",
        field=filled.text("FIELD") or None,
        hidden=_names(filled.text("HIDDEN")),
        least_iou=USUAL_IOU if iou is None else iou,
        keep_outlines=filled.flag("KEEP_OUTLINES"),
        date=filled.text("MAP_DATE") or None,
    )


def map_problem(filled: Filled) -> Optional[str]:
    """What the dialog says before anything runs; None when Swath has nothing to object."""
    try:
        update_options(filled)
    except QgsProcessingException:
        return None  # Processing's own check says the same in its own way
    except EngineError as error:
        return str(error)
    return problem_of(filled, update_form)


def prepare_update(filled: Filled) -> "UpdateWork":
    """In the GUI thread: everything that is asked of layers and of the project.

    Raises:
        QgsProcessingException: saying what is wrong with the form.
    """
    try:
        options = update_options(filled)
    except EngineError as error:
        raise QgsProcessingException(in_dialog_words(error)) from None
    work = prepare(TaskName.UPDATE, filled, update_form)
    known = {f.name: getattr(work, f.name) for f in fields(work)}
    name = f"{filled.vector(MAP).name()} → {work.layer_name}"
    return UpdateWork(**{**known, "layer_name": name}, options=options)


@dataclass(frozen=True)
class UpdateWork(Work):
    """A run whose objects are compared with a map."""

    options: Optional[UpdateOptions] = None
    """Without its output."""

    def carry_out(
        self, filled: Filled, cards: Tuple[CardChoice, ...], feedback: Any
    ) -> Dict[str, Any]:
        """In Processing's thread: no layers, no widgets, no project."""
        path = filled.output("OUTPUT")
        work = replace(self, form=replace(self.form, vector=path))
        try:
            job = work.run(feedback)
        except EngineError as error:
            raise QgsProcessingException(in_dialog_words(error)) from None
        work.dress_layers(job, cards, filled.context)
        table = next((a.uri for a in job.artifacts if a.role == "statuses"), None)
        found = {**results_of(job, work.form), "OUTPUT": path, "STATUSES": table}
        return {name: value for name, value in found.items() if name != "VECTOR"}

    def _request(self):
        run = super()._request()
        options = replace(self.options, output=absolute(self.form.vector))
        return UpdateRequest(options, replace(run, output=OutputSpec("", overwrite=True)))


def _names(typed: str) -> Tuple[str, ...]:
    """Names with commas between."""
    return tuple(name.strip() for name in typed.split(",") if name.strip())

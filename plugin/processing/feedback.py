"""A job's events, told through Processing's feedback."""

from ...engine.contract.events import Event, EventKind
from ...engine.contract.messages import ClassArea, EngineInfo, Job, RunSummary
from .wording import without_options

UNITS = (("km²", 1e6), ("ha", 1e4))
STAGES = {
    "model": "Fetching the model",
    "segment": "Running the model",
    "raster": "Writing the raster",
    "probability": "Writing the class probabilities",
    "polygons": "Writing the polygons",
    "compare": "Comparing",
    "read": "Reading the map",
    "count": "Counting the classes",
    "draw": "Drawing the points",
    "add up": "Adding up",
}
SPANS = {"model": (0.0, 10.0), "segment": (10.0, 90.0)}
WRITING = (90.0, 100.0)
"""Which part of the progress bar a stage fills, in percent."""


class JobFeedback:
    """Called with every event of one job."""

    def __init__(self, feedback) -> None:
        self._feedback = feedback
        self._stage = ""
        self._percent = 0.0

    def __call__(self, event: Event) -> None:
        if event.kind is EventKind.PROGRESS:
            self._progress(event)
        elif event.kind is EventKind.MESSAGE:
            tell = self._feedback.pushWarning if event.level == "warning" else self.say
            tell(without_options(event.text or ""))
        elif event.kind is EventKind.ARTIFACT and event.artifact is not None:
            self.say(f"Finished: {event.artifact.uri}")

    def _progress(self, event: Event) -> None:
        if event.stage and event.stage != self._stage:
            self._stage = event.stage
            self._feedback.setProgressText(STAGES.get(event.stage, event.stage))
        if event.total:
            begin, end = SPANS.get(event.stage or "", WRITING)
            at = begin + (end - begin) * (event.done or 0) / event.total
            self._percent = max(self._percent, at)  # the bar never runs backwards
            self._feedback.setProgress(self._percent)

    def say(self, text: str) -> None:
        """One line for the user."""
        self._feedback.pushInfo(text)

    def say_engine(self, engine: EngineInfo) -> None:
        """Which engine does the work."""
        self.say(f"Swath engine {engine.version}, process {engine.pid}, Python {engine.python}")

    def say_job(self, job: Job) -> None:
        """How the work is called, for the engine's own command line."""
        self._feedback.pushCommandInfo(f"swath jobs show {job.id}")

    def say_summary(self, summary: RunSummary) -> None:
        """What came out."""
        self.say(f"{summary.model} on {summary.device}, {summary.seconds:.1f} seconds")
        for area in summary.areas:
            self.say(area_line(area))


def area_line(area: ClassArea) -> str:
    """One class of the table of areas, as text."""
    return f"  {area.name}: {_size(area)}, {100 * area.share:.1f} %"


def _size(area: ClassArea) -> str:
    if area.area_m2 is None:
        return f"{area.pixels} pixels"
    name, unit = next(((n, u) for n, u in UNITS if area.area_m2 >= u), ("m²", 1.0))
    return f"{area.area_m2 / unit:.2f} {name}"

"""One job from its claim to its end; the boundary at which every failure becomes a state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import CancelledError, EngineError, ErrorCode, ErrorInfo
from engine.contract.events import Event
from engine.contract.messages import (
    Job,
    JobState,
    Request,
    RunSummary,
    SegmentRequest,
    Submission,
    UpdateRequest,
)
from engine.jobs.defects import record_defect
from engine.jobs.processes import this_process
from engine.jobs.reporting import JobReport, Watch, ignore
from engine.jobs.states import KEEPS_WORK
from engine.jobs.stopping import StopRequest
from engine.jobs.store import JobStore

if TYPE_CHECKING:
    from engine.models.card import ModelCard
    from engine.models.store import ModelStore
    from engine.pipeline.outcome import Outcome

Execute = Callable[[Submission, Path, JobReport], "Outcome"]
"""Does what was asked for in the job's private folder."""


def run_job(
    store: JobStore,
    job_id: str,
    execute: Execute | None = None,
    watch: Watch = ignore,
    stop: StopRequest | None = None,
) -> Job:
    """Take a queued job, do it, and remember how it ended.

    Args:
        store: Knows the job.
        job_id: Which one.
        execute: Does the work; the pipeline when None.
        watch: Told of every event as it is stored.
        stop: How this process is asked to stop, besides through the store.

    Raises:
        EngineError: ``JOB_STATE`` when the job is not waiting, or the store's own errors; what
            goes wrong within the job is in the job that is returned.
    """
    store.claim(job_id, this_process())
    report = JobReport(store, job_id, watch, stop)
    work = store.work_folder(job_id)
    state, error, summary = _attempt(store, job_id, execute or _execute_in(store.state), report)
    job = store.finish(job_id, state, error, summary)
    _tell_end(store, job, watch)
    if state is JobState.SUCCEEDED:
        _clear_shared(store.submission(job_id).request)
    if state not in KEEPS_WORK:
        store.discard_work(job_id)
    elif work.is_dir() and not any(work.iterdir()):
        work.rmdir()
    return job


def _clear_shared(request: Request) -> None:
    """Empty the folder that a run had from its user, once all of it is done."""
    if request.work is not None and request.shard is None:
        from engine.pipeline.workplace import Workplace  # noqa: PLC0415 - brings numpy along

        Workplace(Path(request.work)).clear()


Ending = tuple[JobState, ErrorInfo | None, RunSummary | None]


def _attempt(store: JobStore, job_id: str, execute: Execute, report: JobReport) -> Ending:
    work = store.work_folder(job_id)
    submission = store.submission(job_id)
    try:
        work.mkdir(parents=True, exist_ok=True)
        outcome = execute(submission, work, report)
        for artifact in outcome.artifacts:
            report.artifact(artifact)
    except (CancelledError, KeyboardInterrupt):
        return _stopped(report.end or JobState.CANCELLED)
    except EngineError as error:
        return JobState.FAILED, error.info, None
    except MemoryError:
        return JobState.FAILED, _out_of_memory(), None
    except OSError as error:
        return JobState.FAILED, _system_error(error, submission), None
    except Exception:  # noqa: BLE001 - the process boundary: a defect must not look like a crash
        return JobState.FAILED, record_defect(store.log_file(job_id)), None
    return JobState.SUCCEEDED, None, outcome.summary


def _stopped(end: JobState) -> Ending:
    if end is JobState.CANCELLED:
        return end, CancelledError().info, None
    why = ErrorInfo(
        ErrorCode.CANCELLED,
        "The job was interrupted because the engine had to stop.",
        "Resume the job: the blocks that it had finished are kept.",
    )
    return end, why, None


def _out_of_memory() -> ErrorInfo:
    return ErrorInfo(
        ErrorCode.OUT_OF_MEMORY,
        "The computer's memory did not suffice for the job.",
        "Close other programs, or work on a smaller extent, and resume the job.",
    )


def _system_error(error: OSError, submission: Submission) -> ErrorInfo:
    from engine.io.staging import translate_os_error  # noqa: PLC0415 - brings the rasters' room

    path = Path(error.filename or submission.request.files_written[0])
    return translate_os_error(error, path).info


def _tell_end(store: JobStore, job: Job, watch: Watch) -> None:
    last: Event
    for last in store.events(job.id, after=job.last_seq - 1).events:
        watch(last)


def _execute_in(state: Path) -> Execute:
    """The pipeline, with the models of a state folder."""

    def execute(submission: Submission, work: Path, report: JobReport) -> Outcome:
        # The rooms below bring numpy, GDAL and the runtimes along: only where work is done.
        from engine.models.licence import credit  # noqa: PLC0415
        from engine.models.store import ModelStore  # noqa: PLC0415
        from engine.pipeline.clouds import without_clouds  # noqa: PLC0415
        from engine.pipeline.planning import settled_plan  # noqa: PLC0415
        from engine.pipeline.run import run_plan, run_shard  # noqa: PLC0415

        models = ModelStore(state / "models")

        def provide(card: ModelCard) -> None:
            report.message("info", f"Model: {card.title} ({card.id}). {credit(card)}")
            _provide(card, models, report)

        request = submission.request
        if isinstance(request, UpdateRequest):
            from engine.pipeline.update import run_update  # noqa: PLC0415 - only its libraries

            return run_update(request, models, work, report, provide)
        if not isinstance(request, SegmentRequest):
            from engine.analyses.run import carry_out  # noqa: PLC0415

            return carry_out(request, models, work, report)
        folder = work if request.work is None else Path(request.work)
        request = without_clouds(request, models, folder, report)
        plan = settled_plan(request, models, folder, provide)
        if request.shard is not None:
            return run_shard(plan, models, folder, report, request.shard)
        return run_plan(plan, models, folder, report)

    return execute


def _provide(card: ModelCard, models: ModelStore, report: JobReport) -> None:
    """Fetch the model when it is not there yet."""
    from engine.models.inline import is_inline  # noqa: PLC0415 - where work is done

    if models.is_installed(card):
        return
    if not is_inline(card.file.uri):
        report.message("info", f"Fetching the model from {card.file.uri}.")

    def progress(done: int, total: int) -> None:
        report.progress("model", done, total, "bytes")

    models.install(card, progress, report.cancelled)

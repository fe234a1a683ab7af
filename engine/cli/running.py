"""A job done here, in front of the user."""

from __future__ import annotations

from engine.cli.exits import exit_code_of
from engine.cli.printing import complain, note_from_signal, say_json, say_result
from engine.cli.progress import display
from engine.contract.messages import Job, JobState, SegmentRequest, Submission, TaskName
from engine.contract.places import state_dir
from engine.jobs.keeping import sweep
from engine.jobs.processes import this_process
from engine.jobs.run import run_job
from engine.jobs.stopping import StopRequest
from engine.jobs.store import JobStore
from engine.jobs.submission import check_parts


def run_here(
    task: TaskName, request: SegmentRequest, label: str, *, as_json: bool, quiet: bool
) -> int:
    """Check a request, do it here and say how it ended; the exit code."""
    check_parts(request)
    job = submit_here(Submission(task, request, label), quiet=quiet)
    return conclude(job, as_json=as_json, quiet=quiet)


def submit_here(submission: Submission, *, quiet: bool) -> Job:
    """Create a job and do it in this process."""
    store = JobStore(state_dir())
    store.mark_interrupted()
    sweep(store)
    return do_here(store, store.create(submission, this_process()), quiet=quiet)


def do_here(store: JobStore, job: Job, *, quiet: bool) -> Job:
    """Do a job that waits for this process, with progress on stderr."""
    stop = StopRequest(lambda: note_from_signal("Stopping; Ctrl-C once more stops at once."))
    with stop.on_signals(), display(quiet=quiet) as show:
        return run_job(store, job.id, watch=show, stop=stop)


def conclude(job: Job, *, as_json: bool, quiet: bool) -> int:
    """Say how a job ended; the exit code."""
    if as_json:
        say_json(job)
    elif job.state is JobState.SUCCEEDED and not quiet:
        say_result(job)
    if job.error is not None:
        complain(job.error)
    return exit_code_of(job)

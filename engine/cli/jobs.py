"""``swath jobs``."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.cli.asking import duration
from engine.cli.printing import columns, note, say, say_json, say_result
from engine.cli.progress import MEGABYTE
from engine.cli.running import conclude, do_here
from engine.contract.messages import Job, JobList, JobState
from engine.contract.places import state_dir
from engine.jobs.keeping import Kept, kept_work
from engine.jobs.keeping import clean as forget
from engine.jobs.processes import this_process
from engine.jobs.store import JobStore

app = typer.Typer(help="The jobs: what ran, runs and waits.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
JobId = Annotated[str, typer.Argument(metavar="ID", help="As in `swath jobs list`.")]


@app.command("list")
def list_jobs(*, as_json: AsJson = False) -> None:
    """List the jobs, newest first."""
    store = _store()
    jobs = store.jobs().jobs
    if as_json:
        say_json(JobList(jobs))
        return
    rows = [_row(job, kept_work(store, job)) for job in jobs]
    for line in columns([("id", "state", "created", "progress", "label"), *rows]):
        say(line)


@app.command()
def show(job_id: JobId, *, as_json: AsJson = False) -> None:
    """Show how a job stands, or how it ended."""
    store = _store()
    job = store.get(job_id)
    if as_json:
        say_json(job)
        return
    for line in columns(_facts(job, kept_work(store, job))):
        say(line)
    if job.state is JobState.SUCCEEDED:
        say_result(job)


@app.command()
def cancel(job_id: JobId, *, as_json: AsJson = False) -> None:
    """Stop a job; nothing half-written is left."""
    job = _store().request_cancel(job_id)
    if as_json:
        say_json(job)
    elif job.state is JobState.RUNNING:
        note(f"Job {job_id} was asked to stop.")
    else:
        note(f"Job {job_id} is {job.state.value}.")


@app.command()
def resume(
    job_id: JobId,
    *,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Go on with an interrupted or failed job, here and now; finished blocks are used."""
    store = _store()
    job = do_here(store, store.requeue(job_id, this_process()), quiet=quiet)
    raise typer.Exit(conclude(job, as_json=as_json, quiet=quiet))


@app.command()
def clean(
    *,
    older_than: Annotated[
        str, typer.Option(metavar="TIME", help="Keep what ended within this time.")
    ] = "7d",
    everything: Annotated[
        bool, typer.Option("--all", help="Forget every job that is over.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Forget jobs that are over, with their blocks; their results stay where they are."""
    age = duration("0s" if everything else older_than)
    gone = forget(_store(), age)
    if as_json:
        say_json({"forgotten": gone.jobs, "freed_bytes": gone.freed})
    else:
        jobs = "1 job" if len(gone.jobs) == 1 else f"{len(gone.jobs)} jobs"
        note(f"{jobs} forgotten, {gone.freed / MEGABYTE:.1f} MB freed.")


def _store() -> JobStore:
    store = JobStore(state_dir())
    store.mark_interrupted()
    return store


def _row(job: Job, kept: Kept | None) -> tuple[str, ...]:
    share = f"{job.stage} {100 * job.done // job.total} %" if job.total else ""
    if kept is not None:
        share = f"{share}, can be resumed{_until(kept)}".lstrip(", ")
    told = share if job.state is JobState.RUNNING or kept else ""
    return job.id, job.state.value, job.created, told, job.label


def _until(kept: Kept) -> str:
    return "" if kept.until is None else f" until {kept.until:%Y-%m-%d}"


def _facts(job: Job, kept: Kept | None) -> list[tuple[str, str]]:
    facts = [("id", job.id), ("task", job.task.value), ("state", job.state.value)]
    facts += [("label", job.label), ("created", job.created)]
    facts += [("started", job.started or "-"), ("ended", job.ended or "-")]
    if job.total:
        facts.append(("progress", f"{job.stage} {job.done}/{job.total} {job.unit}"))
    if kept is not None:
        facts.append(("blocks", f"kept{_until(kept)} in {kept.folder}"))
        facts.append(("resume", f"swath jobs resume {job.id}"))
    if job.error is not None:
        facts += [("error", f"{job.error.code.value}: {job.error.message}")]
        facts += [("hint", job.error.hint)]
    if job.summary is not None:
        facts += [("model", job.summary.model), ("device", job.summary.device)]
        facts += [("seconds", f"{job.summary.seconds:.1f}")]
        facts += [("note", text) for text in job.summary.notes]
    return facts

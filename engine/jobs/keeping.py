"""How long the blocks of jobs that stopped are kept, and how they go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from engine.contract.messages import Job, JobState
from engine.jobs.rows import parse_time
from engine.jobs.states import KEEPS_WORK
from engine.jobs.store import JobStore

ABANDONED = timedelta(days=7)
"""After this time nobody goes on with a job that stopped."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What has gone."""

    jobs: tuple[str, ...]
    """Ids of those forgotten."""
    freed: int
    """Bytes of their blocks, and of work folders that no job owned any more."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The blocks with which a job that stopped can go on."""

    folder: Path
    until: datetime | None
    """None: in a folder of the user's, who decides on it."""


def kept_work(store: JobStore, job: Job) -> Kept | None:
    """What a job can go on with; None when it can not, or would begin anew."""
    if job.state not in (JobState.INTERRUPTED, JobState.FAILED) or job.ended is None:
        return None
    shared = store.submission(job.id).request.work
    folder = store.work_folder(job.id) if shared is None else Path(shared)
    if not folder.is_dir():
        return None
    return Kept(folder, parse_time(job.ended) + ABANDONED if shared is None else None)


def sweep(store: JobStore) -> int:
    """Remove work folders that no job will take up again; the bytes that this freed."""
    folder = store.state / "jobs"
    present = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
    abandoned = {job.id for job in store.ended_before(ABANDONED)}
    wanted = {job.id for job in store.jobs(limit=-1).jobs if job.state in KEEPS_WORK}
    gone = present - (wanted - abandoned)
    freed = sum(_size(folder / name) for name in gone)
    for name in gone:
        store.discard_work(name)
    return freed - sum(_size(folder / name) for name in gone)


def clean(store: JobStore, older_than: timedelta) -> Cleaned:
    """Forget jobs that have been over for this time, with their blocks; their results stay."""
    over = [store.work_folder(job.id) for job in store.ended_before(older_than)]
    size = sum(map(_size, over))
    gone = store.clean(older_than)
    freed = size - sum(map(_size, over))
    return Cleaned(gone, freed + sweep(store))


def _size(folder: Path) -> int:
    """Bytes of the files in a folder that others may be emptying."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total

import contextlib
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from engine.contract.errors import EngineError, ErrorCode, ErrorInfo
from engine.contract.events import EventKind
from engine.contract.messages import Artifact, JobState, RunSummary
from engine.jobs import store as store_module
from engine.jobs.database import MIGRATIONS
from engine.jobs.processes import ProcessMark, mark_of, this_process
from engine.jobs.store import JobStore

NOBODY = ProcessMark(2**22 + 1, 0.0)


def code_of(call, *args, **kwargs):
    with pytest.raises(EngineError) as caught:
        call(*args, **kwargs)
    assert caught.value.hint
    return caught.value.code


def test_a_new_job_waits_and_remembers_what_was_asked(store, submit):
    job = store.create(submit("Küste"))
    assert (job.state, job.label, job.last_seq) == (JobState.QUEUED, "Küste", 1)
    assert store.submission(job.id) == submit("Küste")
    assert store.get(job.id) == job


def test_jobs_outlive_the_store(state, store, submit):
    job = store.create(submit())
    store.claim(job.id, this_process())
    store.append(job.id, EventKind.ARTIFACT, artifact=Artifact("raster", "/ä.tif", "image/tiff"))
    summary = RunSummary("m", "cpu", 1.5, 7, notes=("One.",))
    finished = store.finish(job.id, JobState.SUCCEEDED, summary=summary)
    store.close()
    again = JobStore(state)
    assert again.get(job.id) == finished
    assert finished.summary == summary
    assert finished.artifacts[0].uri == "/ä.tif"
    assert finished.started <= finished.ended
    again.close()


def test_jobs_are_listed_newest_first_and_wait_oldest_first(store, submit):
    ids = [store.create(submit()).id for _ in range(3)]
    assert [job.id for job in store.jobs().jobs] == ids[::-1]
    assert [job_id for job_id, _ in store.waiting()] == ids
    assert len(store.jobs(limit=2).jobs) == 2


def test_events_are_numbered_from_one_and_can_be_read_again(store, submit):
    job = store.create(submit())
    for done in range(4):
        store.append(job.id, EventKind.PROGRESS, stage="s", done=done, total=4, unit="tiles")
    page = store.events(job.id)
    assert [event.seq for event in page.events] == [1, 2, 3, 4, 5]
    assert page.events[0].state is JobState.QUEUED
    assert store.events(job.id, after=3).events == page.events[3:]
    assert store.events(job.id, after=5).events == ()
    assert (store.get(job.id).done, store.get(job.id).stage) == (3, "s")


def test_a_full_page_tells_the_state_at_its_end(store, submit):
    job = store.create(submit())
    store.claim(job.id, this_process())
    store.append(job.id, EventKind.MESSAGE, level="info", text="Hello.")
    store.finish(job.id, JobState.SUCCEEDED)
    states = [store.events(job.id, after=n, limit=1).state for n in range(4)]
    running = JobState.RUNNING
    assert states == [JobState.QUEUED, running, running, JobState.SUCCEEDED]
    assert store.events(job.id).state is JobState.SUCCEEDED


def test_only_one_process_gets_a_job(store, submit):
    job = store.create(submit())
    store.claim(job.id, this_process())
    assert code_of(store.claim, job.id, NOBODY) is ErrorCode.JOB_STATE


def test_threads_and_stores_do_not_lose_events(state, store, submit):
    job, other = store.create(submit()), JobStore(state)

    def tell(where):
        for _ in range(25):
            where.append(job.id, EventKind.MESSAGE, level="info", text="x")

    threads = [threading.Thread(target=tell, args=(s,)) for s in (store, store, other, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [e.seq for e in store.events(job.id).events] == list(range(1, 102))
    other.close()


def test_processes_that_open_a_new_folder_at_once_all_succeed(state):
    code = "import sys, pathlib\nfrom engine.jobs.store import JobStore\n"
    code += "print(len(JobStore(pathlib.Path(sys.argv[1])).jobs().jobs))"
    command = [sys.executable, "-c", code, str(state)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(6)]
    assert [p.communicate(timeout=60)[0].strip() for p in running] == [b"0"] * 6


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_asked(store, submit):
    waiting, running = store.create(submit()), store.create(submit())
    store.claim(running.id, this_process())
    assert store.request_cancel(waiting.id).state is JobState.CANCELLED
    assert store.request_cancel(running.id).state is JobState.RUNNING
    assert store.asked_to_stop(running.id) is JobState.CANCELLED
    assert store.asked_to_stop(waiting.id) is None


def test_cancelling_what_is_over_changes_nothing(store, submit):
    job = store.create(submit())
    store.claim(job.id, this_process())
    done = store.finish(job.id, JobState.SUCCEEDED)
    assert store.request_cancel(job.id) == done


def test_a_job_whose_process_is_gone_is_interrupted_and_can_go_on(store, submit):
    job = store.create(submit())
    store.claim(job.id, NOBODY)
    alive = store.create(submit())
    store.claim(alive.id, this_process())
    assert store.mark_interrupted() == (job.id,)
    lost = store.get(job.id)
    assert (lost.state, lost.error.code) == (JobState.INTERRUPTED, ErrorCode.WORKER_DIED)
    again = store.requeue(job.id)
    assert (again.state, again.error, again.ended) == (JobState.QUEUED, None, None)
    assert store.waiting() == ((job.id, "auto"),)


def test_a_process_number_used_again_is_another_process(store, submit):
    mine = this_process()
    job = store.create(submit())
    store.claim(job.id, replace(mine, born=mine.born - 3600))
    assert store.mark_interrupted() == (job.id,)


def test_a_held_job_is_not_in_the_queue_and_not_forgotten(store, submit):
    held = store.create(submit(), holder=this_process())
    lost = store.create(submit(), holder=NOBODY)
    assert store.waiting() == ()
    assert store.mark_interrupted() == (lost.id,)
    assert store.get(held.id).state is JobState.QUEUED


def test_a_zombie_is_not_alive():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = mark_of(child.pid)
    assert mark.is_alive
    child.stdin.close()
    for _ in range(200):
        if not mark.is_alive:
            break
        threading.Event().wait(0.05)
    assert not mark.is_alive
    child.wait()


def test_only_jobs_that_are_over_are_removed_with_all_that_is_theirs(store, submit):
    job = store.create(submit())
    assert code_of(store.delete, job.id) is ErrorCode.JOB_STATE
    store.request_cancel(job.id)
    store.work_folder(job.id).mkdir(parents=True)
    log = store.log_file(job.id)
    log.parent.mkdir()
    log.write_text("…", encoding="utf-8")
    store.delete(job.id)
    assert not store.work_folder(job.id).exists()
    assert not log.exists()
    assert code_of(store.get, job.id) is ErrorCode.JOB_NOT_FOUND
    assert code_of(store.events, job.id) is ErrorCode.JOB_NOT_FOUND


def test_cleaning_keeps_what_is_young_or_not_over(store, submit):
    old, young, waiting = (store.create(submit()).id for _ in range(3))
    store.request_cancel(old)
    store.request_cancel(young)
    with store._database.writing() as db:
        db.execute("UPDATE jobs SET ended = '2020-01-01T00:00:00.000Z' WHERE id = ?", (old,))
    assert store.clean(timedelta(days=7)) == (old,)
    assert store.clean(ids=(waiting,)) == ()
    assert {job.id for job in store.jobs().jobs} == {young, waiting}


def test_a_transaction_that_fails_leaves_nothing(store, submit):
    job = store.create(submit())
    with contextlib.suppress(RuntimeError), store._database.writing() as db:
        db.execute("UPDATE jobs SET label = 'half' WHERE id = ?", (job.id,))
        raise RuntimeError
    assert store.get(job.id).label == "quick"


def test_a_state_folder_of_a_newer_swath_is_left_alone(state, store):
    store.close()
    with sqlite3.connect(state / "jobs.sqlite") as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    assert code_of(JobStore, state) is ErrorCode.STATE_UNUSABLE


def test_a_state_folder_that_cannot_be_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("in the way", encoding="utf-8")
    assert code_of(JobStore, file / "state") is ErrorCode.STATE_UNUSABLE


def test_something_else_under_the_databases_name_is_refused(state):
    state.mkdir()
    (state / "jobs.sqlite").write_bytes(b"not a database, but long enough to be looked at" * 50)
    assert code_of(JobStore, state) is ErrorCode.STATE_UNUSABLE


def test_a_full_disk_is_called_one(store, submit):
    with store._database.reading() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
    label = "x" * 100_000
    assert code_of(store.create, replace(submit(), label=label)) is ErrorCode.DISK_FULL
    assert store.jobs().jobs == ()


def test_errors_are_kept_word_for_word(store, submit):
    job = store.create(submit())
    store.claim(job.id, this_process())
    error = ErrorInfo(ErrorCode.BAND_MISSING, "Kein «nir».", "Take another.")
    assert store.finish(job.id, JobState.FAILED, error).error == error
    assert store.events(job.id).events[-1].error == error


def test_no_event_is_lost_between_pages(store, submit):
    job = store.create(submit())
    count = store_module.PAGE + 10
    for number in range(count):
        store.append(job.id, EventKind.MESSAGE, level="info", text=str(number))
    first = store.events(job.id)
    second = store.events(job.id, after=first.events[-1].seq)
    assert len(first.events) == store_module.PAGE
    assert [e.seq for e in (*first.events, *second.events)] == list(range(1, count + 2))

import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.events import EventKind
from engine.contract.messages import JobState
from engine.jobs import reporting
from engine.jobs.keeping import sweep
from engine.jobs.processes import this_process
from engine.jobs.reporting import JobReport
from engine.jobs.run import run_job
from engine.jobs.stopping import StopRequest


def test_a_job_runs_to_its_end_and_tells_all_of_it(store, submit, execute, tmp_path):
    seen = []
    job = run_job(store, store.create(submit()).id, execute, seen.append)
    assert job.state is JobState.SUCCEEDED
    assert (tmp_path / "classes.tif").read_bytes() == b"pixels"
    assert [a.role for a in job.artifacts] == ["raster"]
    assert job.summary.areas[0].name == "cloud"
    assert (job.done, job.total, job.stage) == (5, 5, "segment")
    told = store.events(job.id).events
    assert seen == list(told[2:])
    assert [e.kind for e in told[:3]] == [EventKind.STATE, EventKind.STATE, EventKind.MESSAGE]
    assert (told[-1].state, told[-1].summary) == (JobState.SUCCEEDED, job.summary)
    assert not store.work_folder(job.id).exists()


def test_an_intended_error_fails_the_job_in_its_own_words(store, submit, execute, tmp_path):
    job = run_job(store, store.create(submit("bad")).id, execute)
    assert (job.state, job.error.code) == (JobState.FAILED, ErrorCode.BAND_MISSING)
    assert job.error.hint == "Name it with --bands."
    assert not (tmp_path / "classes.tif").exists()
    assert not store.work_folder(job.id).exists()


def test_a_defect_is_named_by_its_log_and_not_shown(store, submit, execute):
    job = run_job(store, store.create(submit("defect")).id, execute)
    assert (job.state, job.error.code) == (JobState.FAILED, ErrorCode.INTERNAL)
    assert "secret" not in job.error.message + job.error.hint
    assert str(store.log_file(job.id)) in job.error.hint
    assert "the secret of the defect" in store.log_file(job.id).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), ErrorCode.OUT_OF_MEMORY),
        (OSError(28, "No space left on device", "/x/y.tif"), ErrorCode.DISK_FULL),
        (PermissionError(13, "Permission denied", "/x/y.tif"), ErrorCode.OUTPUT_UNWRITABLE),
    ],
)
def test_failures_of_the_machine_have_their_codes(store, submit, error, code):
    def execute(*_):
        raise error

    job = run_job(store, store.create(submit()).id, execute)
    assert (job.state, job.error.code) == (JobState.FAILED, code)


def test_a_cancelled_job_stops_soon_and_leaves_nothing(store, submit, execute, tmp_path):
    job = store.create(submit("slow"))
    cancel = threading.Timer(0.3, store.request_cancel, (job.id,))
    cancel.start()
    started = time.monotonic()
    ended = run_job(store, job.id, execute)
    assert (ended.state, ended.error.code) == (JobState.CANCELLED, ErrorCode.CANCELLED)
    assert time.monotonic() - started < 5
    assert not (tmp_path / "classes.tif").exists()
    assert not store.work_folder(job.id).exists()


def test_an_interrupted_job_keeps_its_work(store, submit):
    def execute(_, work, report):
        (work / "block").write_text("whole", encoding="utf-8")
        store.request_cancel(job.id, JobState.INTERRUPTED)
        time.sleep(2 * reporting.ASK_AGAIN)
        assert report.cancelled()
        raise KeyboardInterrupt

    job = store.create(submit())
    ended = run_job(store, job.id, execute)
    assert ended.state is JobState.INTERRUPTED
    assert "Resume" in ended.error.hint
    assert (store.work_folder(job.id) / "block").exists()


def test_who_asks_twice_to_stop_is_not_kept_waiting():
    stop = StopRequest()
    stop.ask(JobState.CANCELLED)
    with pytest.raises(KeyboardInterrupt):
        stop.ask(JobState.CANCELLED)
    assert stop.end is JobState.CANCELLED


def test_a_job_that_somebody_else_has_is_not_touched(store, submit, execute):
    job = store.create(submit())
    store.claim(job.id, this_process())
    with pytest.raises(EngineError) as caught:
        run_job(store, job.id, execute)
    assert caught.value.code is ErrorCode.JOB_STATE
    assert store.get(job.id).state is JobState.RUNNING


def test_a_thousand_tiles_are_a_few_events(store, submit):
    job = store.create(submit())
    report = JobReport(store, job.id)
    for done in range(1001):
        report.progress("segment", done, 1000, "tiles")
    told = [e.done for e in store.events(job.id).events if e.kind is EventKind.PROGRESS]
    assert told[0] == 0
    assert told[-1] == 1000
    assert len(told) < 50
    assert told == sorted(set(told))


def test_every_stage_is_told_at_its_start_and_its_end(store, submit):
    job = store.create(submit())
    report = JobReport(store, job.id)
    for stage in ("model", "segment", "write"):
        for done in (0, 1, 2):
            report.progress(stage, done, 2, "tiles")
    told = [(e.stage, e.done) for e in store.events(job.id).events[1:]]
    assert told == [(s, d) for s in ("model", "segment", "write") for d in (0, 2)]


def test_asking_whether_to_stop_is_cheap(store, submit):
    report = JobReport(store, store.create(submit()).id)
    started = time.perf_counter()
    for _ in range(10_000):
        report.cancelled()
    assert time.perf_counter() - started < 1.0


def test_work_that_nobody_takes_up_again_is_removed(store, submit):
    jobs = {name: store.create(submit()) for name in ("waiting", "failed", "old", "done")}
    for name in ("failed", "old", "done"):
        store.claim(jobs[name].id, this_process())
        ok = name == "done"
        store.finish(jobs[name].id, JobState.SUCCEEDED if ok else JobState.FAILED)
    with store._database.writing() as db:
        query = "UPDATE jobs SET ended = '2020-01-01T00:00:00.000Z' WHERE id = ?"
        db.execute(query, (jobs["old"].id,))
    folders = {name: store.work_folder(job.id) for name, job in jobs.items()}
    folders["unknown"] = store.work_folder("unknown")
    for folder in folders.values():
        folder.mkdir(parents=True)
    sweep(store)
    assert {name for name, f in folders.items() if f.exists()} == {"waiting", "failed"}


def start(command, store, job_id):
    worker = subprocess.Popen(command(store.state, job_id))
    deadline = time.monotonic() + 30
    while store.get(job_id).stage != "segment" and time.monotonic() < deadline:
        time.sleep(0.02)
    return worker


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without a word")
@pytest.mark.parametrize(
    ("number", "end"),
    [(signal.SIGINT, JobState.CANCELLED), (signal.SIGTERM, JobState.INTERRUPTED)],
)
def test_a_worker_told_to_go_ends_its_job_cleanly(store, submit, command, number, end):
    job = store.create(submit("slow"))
    worker = start(command, store, job.id)
    worker.send_signal(number)
    assert worker.wait(timeout=20) == 1
    assert store.get(job.id).state is end
    assert not Path(submit().request.output.raster).exists()


def test_a_worker_that_is_killed_leaves_a_job_that_can_go_on(store, submit, command):
    job = store.create(submit("blocks"))
    subprocess.run(command(store.state, job.id), check=False, timeout=60)
    assert store.mark_interrupted() == (job.id,)
    store.requeue(job.id)
    assert subprocess.run(command(store.state, job.id), check=False, timeout=60).returncode == 0
    texts = [e.text for e in store.events(job.id).events]
    assert "Blocks by 2 processes." in texts
    assert store.get(job.id).state is JobState.SUCCEEDED


def test_a_worker_without_a_job_says_so_and_fails(store, command):
    answer = subprocess.run(
        command(store.state, "nothing"), capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 2
    assert "JOB_NOT_FOUND" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_finished_jobs_can_be_forgotten(store, submit, execute):
    job = run_job(store, store.create(submit()).id, execute)
    assert store.clean(timedelta(0)) == (job.id,)

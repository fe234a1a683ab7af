import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.errors import ErrorCode
from engine.contract.messages import JobState
from engine.jobs.workers import Supervisor, share, worker_command
from engine.models.devices import NAMES


@pytest.fixture
def supervise(store, command):
    started = []

    def begin(chosen=command):
        supervisor = Supervisor(store, chosen)
        started.append(supervisor)
        supervisor.start()
        return supervisor

    yield begin
    for supervisor in started:
        supervisor.stop()


def wait_for(condition, seconds=40):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def ended(store, *jobs):
    return all(store.get(job.id).state.is_final for job in jobs)


def test_jobs_run_one_after_another_in_order(store, submit, supervise):
    jobs = [store.create(submit()) for _ in range(3)]
    supervisor = supervise()
    wait_for(lambda: ended(store, *jobs))
    done = [store.get(job.id) for job in jobs]
    assert {job.state for job in done} == {JobState.SUCCEEDED}
    assert done[0].ended <= done[1].started
    assert done[1].ended <= done[2].started
    wait_for(lambda: supervisor.is_idle)
    assert not any(store.log_file(job.id).exists() for job in jobs)


def test_different_devices_work_side_by_side(store, submit, supervise):
    jobs = [store.create(submit("slow", device)) for device in ("cpu", "cuda:1", "cuda:1")]
    supervise()
    wait_for(lambda: len(store.running()) == 2)
    assert [job_id for job_id, _ in store.running()] == [jobs[0].id, jobs[1].id]
    assert store.get(jobs[2].id).state is JobState.QUEUED
    store.request_cancel(jobs[1].id)
    wait_for(lambda: store.get(jobs[2].id).state is JobState.RUNNING)


def test_a_worker_that_crashes_interrupts_its_job_and_the_next_one_runs(store, submit, supervise):
    crash, after = store.create(submit("crash")), store.create(submit())
    supervise()
    wait_for(lambda: ended(store, crash, after))
    lost = store.get(crash.id)
    assert (lost.state, lost.error.code) == (JobState.INTERRUPTED, ErrorCode.WORKER_DIED)
    assert "Resume" in lost.error.hint
    assert store.get(after.id).state is JobState.SUCCEEDED


def test_a_resumed_job_uses_its_blocks(store, submit, supervise):
    job = store.create(submit("blocks"))
    supervisor = supervise()
    wait_for(lambda: ended(store, job))
    assert store.get(job.id).state is JobState.INTERRUPTED
    store.requeue(job.id)
    supervisor.wake()
    wait_for(lambda: store.get(job.id).state is JobState.SUCCEEDED)
    assert "Blocks by 2 processes." in [e.text for e in store.events(job.id).events]


@pytest.mark.parametrize("words", [["-c", "import nothing_of_this_name"], None])
def test_a_worker_that_cannot_begin_fails_its_job_once(store, submit, supervise, words):
    program = [sys.executable, *words] if words else ["/no/such/program"]
    job = store.create(submit())
    supervise(lambda _state, _job: program)
    wait_for(lambda: ended(store, job))
    lost = store.get(job.id)
    assert (lost.state, lost.error.code) == (JobState.FAILED, ErrorCode.WORKER_DIED)
    assert str(store.log_file(job.id)) in lost.error.hint
    assert lost.last_seq == 2


def test_stopping_interrupts_what_runs_and_keeps_what_waits(store, submit, supervise, tmp_path):
    running, waiting = store.create(submit("slow")), store.create(submit())
    supervisor = supervise()
    wait_for(lambda: store.get(running.id).stage == "segment")
    supervisor.stop()
    assert store.get(running.id).state is JobState.INTERRUPTED
    assert store.get(waiting.id).state is JobState.QUEUED
    assert not (tmp_path / "classes.tif").exists()


def test_a_cancelled_worker_leaves_within_a_second(store, submit, supervise):
    job = store.create(submit("slow"))
    supervise()
    wait_for(lambda: store.get(job.id).stage == "segment")
    started = time.monotonic()
    store.request_cancel(job.id)
    wait_for(lambda: ended(store, job))
    assert time.monotonic() - started < 2
    assert store.get(job.id).state is JobState.CANCELLED


def test_the_real_worker_runs_apart_from_the_environment(state):
    command = worker_command(state, "7")
    assert command[:4] == [sys.executable, "-I", "-m", "engine.jobs.worker"]
    assert command[4:] == ["--state", str(state), "--job", "7"]


devices = st.sampled_from([*NAMES, "cuda:0", "cuda:1"])


@given(one=devices, other=devices)
def test_sharing_a_device_is_mutual(one, other):
    assert share(one, other) == share(other, one)
    assert share(one, one)
    assert share("auto", other)


def test_the_first_gpu_and_the_cpu_have_other_names():
    assert share("cuda", "cuda:0")
    assert share("tensorrt", "cuda:0")
    assert share("openvino", "cpu")
    assert not share("cuda", "cuda:1")
    assert not share("cpu", "cuda")

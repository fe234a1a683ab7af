"""How an engine comes, shares and leaves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests

from engine.contract.messages import JobState
from engine.contract.places import Connection, connection_path
from engine.server.connection import read_connection, remove_connection, write_connection
from engine.server.lock import StateLock

NOT_ON_WINDOWS = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def program():
    """A program that waits until it is told to leave."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child
    child.kill()
    child.wait()


def test_a_second_engine_on_the_same_folder_is_refused(start, state):
    first = start("--stay").connect()
    code, said = start("--stay").wait()
    assert code == 2
    assert said.startswith("error STATE_LOCKED: ")
    assert str(first.connection.pid) in said
    assert first.connection.url in said
    assert str(state) in said
    assert "Traceback" not in said
    assert first.call("GET", "/hello")["pid"] == first.connection.pid


def test_engines_on_different_folders_do_not_meet(start, state, tmp_path):
    one, other = start("--stay"), start("--stay", where=tmp_path / "other")
    assert one.connect().connection.url != other.connect().connection.url


def test_it_leaves_when_its_program_has_gone(start, state, program):
    engine = start("--for-pid", str(program.pid))
    client = engine.connect()
    time.sleep(2.5)
    client.call("GET", "/hello")
    program.stdin.close()
    started = time.monotonic()
    assert engine.wait(15) == (0, "")
    assert time.monotonic() - started < 8
    assert not connection_path(state).exists()


def test_it_leaves_with_the_last_of_its_programs(start, program):
    engine = start("--for-pid", str(program.pid))
    client = engine.connect()
    client.call("POST", "/tenants", 201, json={"pid": os.getpid()})
    program.kill()
    program.wait()
    time.sleep(4.5)
    client.call("GET", "/hello")
    client.call("POST", "/shutdown", 202)
    assert engine.wait()[0] == 0


def test_it_leaves_at_once_when_its_program_has_gone_before(start):
    engine = start("--for-pid", str(2**22 + 1))
    assert engine.wait(20)[0] == 0


def test_it_stays_when_told_to(start, program):
    engine = start("--for-pid", str(program.pid), "--stay")
    client = engine.connect()
    program.kill()
    program.wait()
    time.sleep(4.5)
    client.call("GET", "/hello")


def test_it_finishes_the_work_before_it_leaves(start, program, submission, tmp_path):
    engine = start("--for-pid", str(program.pid))
    client = engine.connect()
    slow, waiting = client.submit(submission("slow")), client.submit(submission("quick"))
    program.kill()
    program.wait()
    time.sleep(4.5)
    assert client.job(slow.id).state is JobState.RUNNING
    client.call("POST", f"/jobs/{slow.id}/cancel")
    assert engine.wait()[0] == 0
    assert (tmp_path / "quick.tif").exists()
    assert waiting.id


def ask(client, _engine):
    client.call("POST", "/shutdown", 202)


def terminate(_client, engine):
    engine.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("end", [ask, pytest.param(terminate, marks=NOT_ON_WINDOWS)])
def test_a_shutdown_interrupts_the_job_and_the_next_engine_resumes_it(
    start, state, submission, end
):
    engine = start("--stay")
    client = engine.connect()
    job = client.submit(submission("slow"))
    while client.job(job.id).stage != "segment":
        time.sleep(0.02)
    end(client, engine)
    assert engine.wait()[0] == 0
    assert not connection_path(state).exists()
    again = start("--stay").connect()
    assert again.job(job.id).state is JobState.INTERRUPTED
    again.call("POST", f"/jobs/{job.id}/resume")
    while again.job(job.id).state is not JobState.RUNNING:
        time.sleep(0.02)
    again.call("POST", f"/jobs/{job.id}/cancel")
    assert again.follow(job.id)[-1].state is JobState.CANCELLED


def test_a_killed_engine_leaves_its_worker_alone_and_the_next_one_takes_over(
    start, state, submission
):
    engine = start("--stay")
    client = engine.connect()
    job = client.submit(submission("slow"))
    while client.job(job.id).stage != "segment":
        time.sleep(0.02)
    engine.process.kill()
    engine.wait()
    assert connection_path(state).exists()
    again = start("--stay")
    while read_connection(state).pid == client.connection.pid:
        assert again.process.poll() is None
        time.sleep(0.01)
    heir = again.connect()
    assert heir.job(job.id).state is JobState.RUNNING
    after = heir.submit(submission("quick"))
    time.sleep(1.0)
    assert heir.job(after.id).state is JobState.QUEUED
    heir.call("POST", f"/jobs/{job.id}/cancel")
    assert heir.follow(job.id)[-1].state is JobState.CANCELLED
    assert heir.follow(after.id)[-1].state is JobState.SUCCEEDED


@NOT_ON_WINDOWS
def test_a_killed_worker_is_noticed_by_the_next_engine(start, submission):
    engine = start("--stay")
    client = engine.connect()
    job = client.submit(submission("slow"))
    while client.job(job.id).stage != "segment":
        time.sleep(0.02)
    workers = psutil.Process(client.connection.pid).children()
    engine.process.kill()
    engine.wait()
    for worker in workers:
        worker.kill()
    again = start("--stay")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = read_connection(again.state)
        if found and found.pid != client.connection.pid:
            break
        time.sleep(0.02)
    assert again.connect().follow(job.id)[-1].state is JobState.INTERRUPTED


def test_leaving_does_not_wait_for_long_polls(start, submission):
    engine = start("--stay")
    client = engine.connect()
    waiting = client.submit(submission("slow"))
    url = f"{client.connection.url}/v1/jobs/{waiting.id}/events?after=999&wait=30"
    headers = {"X-Swath-Token": client.connection.token}
    code = f"import requests; print(requests.get({url!r}, headers={headers!r}).status_code)"
    poll = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    time.sleep(1.5)
    started = time.monotonic()
    client.call("POST", "/shutdown", 202)
    assert engine.wait()[0] == 0
    assert time.monotonic() - started < 8
    assert poll.communicate(timeout=20)[0].strip() == b"200"


def test_a_state_folder_that_cannot_be_is_refused_in_a_sentence(start, tmp_path):
    file = tmp_path / "file"
    file.write_text("in the way", encoding="utf-8")
    code, said = start("--stay", where=file / "state").wait()
    assert code == 2
    assert said.startswith("error STATE_UNUSABLE: ")
    assert "Traceback" not in said


def test_the_lock_is_free_again_after_its_holder(state):
    lock = StateLock(state)
    lock.tell("http://127.0.0.1:9")
    lock.release()
    StateLock(state).release()


def test_only_the_own_connection_file_is_removed(state):
    state.mkdir()
    mine = Connection("http://127.0.0.1:1", "mine", 1, "1.0", "0")
    write_connection(state, mine)
    assert read_connection(state) == mine
    remove_connection(state, "another")
    assert read_connection(state) == mine
    remove_connection(state, "mine")
    assert read_connection(state) is None
    assert list(state.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{}", '{"url": 3}', "[1]"])
def test_a_broken_connection_file_is_none(state, text):
    state.mkdir()
    connection_path(state).write_text(text, encoding="utf-8")
    assert read_connection(state) is None


def test_requests_to_an_engine_that_left_fail(start):
    engine = start("--stay")
    client = engine.connect()
    client.call("POST", "/shutdown", 202)
    engine.wait()
    with pytest.raises(requests.ConnectionError):
        client.call("GET", "/hello")
    assert Path(engine.state, "jobs.sqlite").exists()


@pytest.mark.network
def test_a_model_is_installed_over_http(start):
    client = start("--stay").connect()
    info = client.call("POST", "/models/clouds-4band-l2a/install")
    assert (info["id"], info["installed"]) == ("clouds-4band-l2a", True)
    listed = {m["id"]: m["installed"] for m in client.call("GET", "/models")["models"]}
    assert listed["clouds-4band-l2a"]
    assert not listed["clouds-6band-l2a"]

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from engine.contract.codec import from_plain
from engine.contract.events import EventPage
from engine.contract.messages import Job
from engine.contract.places import Connection, connection_path

HERE = Path(__file__).parent
FAKE = [sys.executable, str(HERE / "fake_engine.py"), str(HERE.parent / "jobs" / "fake_worker.py")]


class Client:
    """A conversation with one engine, as bare as the plugin's."""

    def __init__(self, connection):
        self.connection = connection
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["X-Swath-Token"] = connection.token

    def call(self, verb, path, status=200, **options):
        answer = self.session.request(
            verb, f"{self.connection.url}/v1{path}", timeout=60, **options
        )
        assert answer.status_code == status, answer.text
        return answer.json()

    def job(self, job_id):
        return from_plain(Job, self.call("GET", f"/jobs/{job_id}"))

    def submit(self, submission):
        return from_plain(Job, self.call("POST", "/jobs", 201, json=submission))

    def events(self, job_id, after=0, wait=0):
        query = {"after": after, "wait": wait}
        return from_plain(EventPage, self.call("GET", f"/jobs/{job_id}/events", params=query))

    def follow(self, job_id):
        """All events until the job is over, by long polls."""
        told, page = [], None
        deadline = time.monotonic() + 60
        while page is None or not page.state.is_final:
            assert time.monotonic() < deadline
            page = self.events(job_id, told[-1].seq if told else 0, wait=10)
            told += page.events
        return told


class Engine:
    """A server process and what it says."""

    def __init__(self, state, process):
        self.state = state
        self.process = process

    def connect(self, seconds=30):
        deadline = time.monotonic() + seconds
        path = connection_path(self.state)
        while not path.exists():
            assert self.process.poll() is None, self.process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return Client(from_plain(Connection, json.loads(path.read_text(encoding="utf-8"))))

    def wait(self, seconds=30):
        """The exit code and what was said on stderr."""
        _, said = self.process.communicate(timeout=seconds)
        return self.process.returncode, said


@pytest.fixture
def state(tmp_path):
    return tmp_path / "Zustand mit Leerzeichen und Ä"


@pytest.fixture
def start(state):
    """Start an engine whose workers need no pixels; ended after the test."""
    engines = []

    def begin(*options, command=FAKE, where=state, **variables):
        words = [*command, "--state", str(where), *options]
        process = subprocess.Popen(
            words,
            env={**os.environ, **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        engines.append(Engine(where, process))
        return engines[-1]

    yield begin
    for engine in engines:
        engine.process.terminate()
        try:
            engine.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            engine.process.kill()
            engine.process.communicate()


@pytest.fixture
def client(start):
    return start("--stay").connect()


@pytest.fixture
def submission(tmp_path):
    def make(label="quick", **request):
        plain = {
            "input": {"uris": [str(tmp_path / "scene.tif")]},
            "output": {"raster": str(tmp_path / f"{label}.tif")},
            **request,
        }
        return {"task": "segment", "label": label, "request": plain}

    return make


@pytest.fixture(scope="module")
def start_once():
    """Start one engine for all tests of a module."""
    processes = []

    def begin(where, *options):
        words = [*FAKE, "--state", str(where), *options]
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        return Engine(where, process).connect()

    yield begin
    for process in processes:
        process.terminate()
        process.communicate(timeout=20)

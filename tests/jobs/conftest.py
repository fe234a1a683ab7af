import importlib.util
import sys
from pathlib import Path

import pytest

from engine.contract.messages import (
    InputSpec,
    OutputSpec,
    SegmentRequest,
    Submission,
    TaskName,
)
from engine.jobs.store import JobStore

WORKER = Path(__file__).parent / "fake_worker.py"


@pytest.fixture
def state(tmp_path):
    return tmp_path / "Zustand für Läufe"


@pytest.fixture
def store(state):
    opened = JobStore(state)
    yield opened
    opened.close()


@pytest.fixture
def submit(tmp_path):
    def make(label="quick", device="auto"):
        source, target = tmp_path / "scene.tif", tmp_path / "classes.tif"
        request = SegmentRequest(InputSpec((str(source),)), OutputSpec(str(target)), device=device)
        return Submission(TaskName.SEGMENT, request, label)

    return make


@pytest.fixture
def execute():
    """What the fake worker does, to be done in this process."""
    spec = importlib.util.spec_from_file_location("fake_worker", WORKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.execute


@pytest.fixture
def command():
    """The fake worker's command line."""

    def make(state, job_id):
        return [sys.executable, str(WORKER), "--state", str(state), "--job", job_id]

    return make

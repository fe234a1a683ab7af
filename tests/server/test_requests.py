"""What the engine makes of requests, over real HTTP."""

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from engine.contract.codec import from_plain
from engine.contract.events import EventKind
from engine.contract.messages import EngineInfo, JobList, JobState, ModelList, TaskName
from engine.contract.version import PROTOCOL

MIB = 1 << 20
CARDS = Path(__file__).parents[2] / "resources" / "cards"


@pytest.fixture(scope="module")
def client(tmp_path_factory, start_once):
    return start_once(tmp_path_factory.mktemp("state") / "ä b", "--stay")


def test_hello_tells_who_answers(client):
    info = from_plain(EngineInfo, client.call("GET", "/hello"))
    assert (info.protocol, info.pid) == (PROTOCOL, client.connection.pid)
    assert Path(info.state_dir).name == "ä b"
    assert {TaskName.SEGMENT, TaskName.CHANGE} <= set(info.tasks)


def test_the_catalogue_is_listed(client):
    models = from_plain(ModelList, client.call("GET", "/models")).models
    assert "clouds-6band-l1c" in [model.id for model in models]
    shipped = {model.id for model in models if model.installed}
    assert shipped == {model.id for model in models if model.source.startswith("swath:")}
    assert all(model.license for model in models)
    assert all(model.classes for model in models if model.task is TaskName.SEGMENT)


def test_a_job_is_accepted_at_once_told_and_finished(client, submission):
    client.submit(submission())  # the validator is built at the first submission
    started = time.perf_counter()
    job = client.submit(submission())
    assert time.perf_counter() - started < 0.25
    assert job.state is JobState.QUEUED
    told = client.follow(job.id)
    assert [e.seq for e in told] == list(range(1, len(told) + 1))
    states = [e.state for e in told if e.kind is EventKind.STATE]
    assert states == [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]
    assert told[-1].summary.areas[0].name == "cloud"
    done = client.job(job.id)
    assert done.last_seq == told[-1].seq
    assert Path(done.artifacts[0].uri).read_bytes() == b"pixels"
    assert job.id in [j.id for j in from_plain(JobList, client.call("GET", "/jobs")).jobs]


def test_a_failed_job_tells_why(client, submission):
    job = client.submit(submission("bad"))
    error = client.follow(job.id)[-1].error
    assert error.code.value == "BAND_MISSING"
    assert client.job(job.id).error == error


def test_a_defect_is_no_traceback(client, submission):
    job = client.submit(submission("defect"))
    told = client.follow(job.id)
    assert told[-1].error.code.value == "INTERNAL"
    assert "Traceback" not in repr(told)


def test_a_running_job_is_cancelled_and_then_removed(client, submission):
    job = client.submit(submission("slow"))
    while client.job(job.id).stage != "segment":
        time.sleep(0.02)
    error = client.call("DELETE", f"/jobs/{job.id}", 409)["error"]
    assert error["code"] == "JOB_STATE"
    started = time.monotonic()
    client.call("POST", f"/jobs/{job.id}/cancel")
    assert client.follow(job.id)[-1].state is JobState.CANCELLED
    assert time.monotonic() - started < 3
    client.call("DELETE", f"/jobs/{job.id}")
    assert client.call("GET", f"/jobs/{job.id}", 404)["error"]["code"] == "JOB_NOT_FOUND"


def test_an_interrupted_job_goes_on_with_its_blocks(client, submission):
    job = client.submit(submission("blocks"))
    lost = client.follow(job.id)[-1]
    assert (lost.state, lost.error.code.value) == (JobState.INTERRUPTED, "WORKER_DIED")
    client.call("POST", f"/jobs/{job.id}/resume")
    told = client.follow(job.id)
    assert told[-1].state is JobState.SUCCEEDED
    assert "Blocks by 2 processes." in [e.text for e in told]
    assert client.call("POST", f"/jobs/{job.id}/resume", 409)["error"]["code"] == "JOB_STATE"


def test_a_long_poll_waits_and_then_answers(client, submission):
    first = client.submit(submission("slow"))
    waiting = client.submit(submission("slow"))
    started = time.monotonic()
    page = client.events(waiting.id, after=1, wait=0.7)
    assert 0.6 < time.monotonic() - started < 3
    assert (page.events, page.state) == ((), JobState.QUEUED)
    started = time.monotonic()
    client.call("POST", f"/jobs/{waiting.id}/cancel")
    assert client.events(waiting.id, after=1, wait=20).state is JobState.CANCELLED
    assert client.events(waiting.id, after=99, wait=20).events == ()
    assert time.monotonic() - started < 3
    client.call("POST", f"/jobs/{first.id}/cancel")
    client.follow(first.id)


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/jobs/none"),
        ("DELETE", "/jobs/none"),
        ("GET", "/jobs/none/events?wait=5"),
        ("POST", "/jobs/none/cancel"),
        ("POST", "/jobs/none/resume"),
    ],
)
def test_an_unknown_job_is_said_to_be(client, verb, path):
    error = client.call(verb, path, 404)["error"]
    assert error["code"] == "JOB_NOT_FOUND"
    assert "none" in error["message"]


def test_an_unknown_model_is_said_to_be(client):
    error = client.call("POST", "/models/none/install", 404)["error"]
    assert error["code"] == "MODEL_NOT_FOUND"


def keep_bound_model(state):
    """A user's model in the store, from a card that forbids commercial use."""
    content = b"a network"
    sha256 = hashlib.sha256(content).hexdigest()
    card = json.loads((CARDS / "flood.json").read_text(encoding="utf-8"))
    file = {"href": "https://127.0.0.1:9/bound.onnx", "file:size": len(content)}
    card["assets"]["model"] |= {**file, "file:checksum": f"1220{sha256}"}
    place = state / "models" / "sha256" / sha256[:2] / sha256 / "bound.onnx"
    for folder in (place.parent, state / "models" / "cards"):
        folder.mkdir(parents=True)
    place.write_bytes(content)
    kept = {**card, "id": "bound", "license": "CC-BY-NC-4.0"}
    (state / "models" / "cards" / "bound.json").write_text(json.dumps(kept), encoding="utf-8")


def test_terms_are_accepted_as_they_were_shown(client):
    keep_bound_model(Path(client.call("GET", "/hello")["state_dir"]))
    assert "bound" in [m["id"] for m in client.call("GET", "/models")["models"]]
    for body in (None, {}, {"accepted_licence": None}, {"accepted_licence": "MIT"}):
        error = client.call("POST", "/models/bound/install", 400, json=body)["error"]
        assert error["code"] == "LICENCE_NOT_ACCEPTED"
    error = client.call("POST", "/models/bound/install", 400, json={"accepted_licence": 1})["error"]
    assert error["code"] == "REQUEST_INVALID"
    agreed = {"accepted_licence": "CC-BY-NC-4.0"}
    assert client.call("POST", "/models/bound/install", json=agreed)["installed"]
    assert client.call("POST", "/models/bound/install")["installed"]


def with_uris(submission, *uris):
    return submission(input={"uris": list(uris)})


BAD = {
    "no JSON": (lambda _: "{not json", "$: "),
    "a list": (lambda _: "[]", "$: "),
    "no task": (lambda s: {"request": s()["request"]}, "$.task: "),
    "other task": (lambda s: {**s(), "task": "paint"}, "$.task: "),
    "number for a path": (lambda s: with_uris(s, 7), "$.request.input.uris[0]: "),
    "three bounds": (lambda s: s(region={"bounds": [1, 2, 3]}), "$.request.region.bounds"),
    "text for a number": (lambda s: s(memory="9"), "$.request.memory: "),
    "number for a flag": (
        lambda s: s(output={"raster": "/x.tif", "overwrite": 1}),
        "$.request.output.overwrite: ",
    ),
    "no input": (with_uris, "The request names no input."),
    "relative input": (lambda s: with_uris(s, "scene.tif"), "The path «scene.tif» is not"),
    "relative output": (lambda s: s(output={"raster": "x.tif"}), "The path «x.tif» is not"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_body_is_refused_with_the_place(client, submission, name):
    make, start = BAD[name]
    body = make(submission)
    text = body if isinstance(body, str) else json.dumps(body)
    before = client.call("GET", "/jobs")
    error = client.call("POST", "/jobs", 400, data=text.encode())["error"]
    assert error["code"] == "REQUEST_INVALID"
    assert error["message"].startswith(start)
    assert error["hint"]
    assert client.call("GET", "/jobs") == before


def test_what_a_newer_plugin_adds_is_ignored(client, submission):
    job = client.submit({**submission(tomorrow=True), "also": {"new": 1}})
    assert client.follow(job.id)[-1].state is JobState.SUCCEEDED


def test_remote_inputs_and_whole_numbers_are_accepted(client, submission):
    remote = {"uris": ["/vsizip/a.zip/b.tif", "https://example.com/c.tif"], "nodata": 0}
    job = client.submit(submission(input=remote, region={"bounds": [1, 2, 3, 4]}))
    assert client.follow(job.id)[-1].state is JobState.SUCCEEDED


@pytest.mark.parametrize("size", [MIB + 1, 8 * MIB])
def test_a_big_body_is_refused_and_its_sender_told(client, size):
    error = client.call("POST", "/jobs", 413, data=b"x" * size)["error"]
    assert error["code"] == "REQUEST_INVALID"
    pieces = (b"x" * MIB for _ in range(size // MIB + 1))
    assert client.call("POST", "/jobs", 413, data=pieces)["error"] == error


@pytest.mark.parametrize("query", ["after=-1", "after=x", "wait=nan", "wait=inf", "wait=-2"])
def test_a_senseless_query_is_refused(client, submission, query):
    job = client.submit(submission())
    error = client.call("GET", f"/jobs/{job.id}/events?{query}", 400)["error"]
    assert error["code"] == "REQUEST_INVALID"
    client.follow(job.id)


def test_a_tenant_must_be_a_running_program(client):
    plain = {"pid": os.getpid(), "name": "QGIS"}
    assert client.call("POST", "/tenants", 201, json=plain) == plain
    for pid in (2**22 + 1, 0, -1):
        error = client.call("POST", "/tenants", 400, json={"pid": pid})["error"]
        assert error["code"] == "REQUEST_INVALID"

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from swath.engine.contract.errors import EngineError, ErrorCode
from swath.engine.contract.messages import (
    InputSpec,
    JobState,
    OutputSpec,
    SegmentRequest,
    Submission,
    TaskName,
)
from swath.engine.contract.places import Connection
from swath.plugin.client import EngineClient
from swath.plugin.process import Launch, ensure_engine


class Scripted(BaseHTTPRequestHandler):
    """Answers everything with the server's next ``(status, text)``."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.seen.append(dict(self.headers))
        status, text = self.server.answer
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server():
    scripted = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    scripted.seen, scripted.answer = [], (200, "{}")
    threading.Thread(target=scripted.serve_forever, daemon=True).start()
    yield scripted
    scripted.shutdown()
    scripted.server_close()


@pytest.fixture
def client(server):
    url = f"http://127.0.0.1:{server.server_address[1]}"
    return EngineClient(Connection(url, "secret", 42, "1.0", "0.1.0"))


@pytest.fixture
def engine(no_engine, state, stand_in):
    return ensure_engine(Launch(str(stand_in), no_engine, state))


def submission(tmp_path, model="auto"):
    spec = InputSpec((str(tmp_path / "in.tif"),))
    output = OutputSpec(str(tmp_path / "out.tif"))
    return Submission(TaskName.SEGMENT, SegmentRequest(spec, output, model=model), "a layer")


def test_every_request_carries_token_and_protocol(client, server):
    server.answer = (200, json.dumps({"models": []}))
    client.models()
    assert server.seen[0]["X-Swath-Token"] == "secret"
    assert server.seen[0]["X-Swath-Protocol"] == "1.0"


def test_no_proxy_stands_between_two_local_programs(client, server, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.answer = (200, json.dumps({"models": []}))
    assert client.models().models == ()


def test_the_engines_errors_arrive_whole(client, server):
    error = {"code": "JOB_NOT_FOUND", "message": "There is no job x.", "hint": "List the jobs."}
    server.answer = (404, json.dumps({"error": error}))
    with pytest.raises(EngineError) as caught:
        client.job("x")
    assert caught.value.code is ErrorCode.JOB_NOT_FOUND
    assert str(caught.value) == "There is no job x. List the jobs."


def test_a_code_from_the_future_keeps_its_words(client, server):
    server.answer = (400, json.dumps({"error": {"code": "TOO_CLEVER", "message": "Too clever."}}))
    with pytest.raises(EngineError, match=r"Too clever\.") as caught:
        client.hello()
    assert caught.value.code is ErrorCode.INTERNAL


@pytest.mark.parametrize(
    "answer", [(200, "<html>"), (502, "Bad gateway"), (302, "{}"), (500, "[]")]
)
def test_another_program_on_the_port_is_no_engine(answer, client, server):
    server.answer = answer
    with pytest.raises(EngineError, match="unlike a Swath engine") as caught:
        client.hello()
    assert caught.value.code is ErrorCode.ENGINE_UNREACHABLE


def test_nobody_there():
    client = EngineClient(Connection("http://127.0.0.1:9", "t", 4711, "1.0", "0"))
    with pytest.raises(EngineError, match="4711") as caught:
        client.hello()
    assert caught.value.code is ErrorCode.ENGINE_UNREACHABLE


def test_following_a_job_sees_every_event_once_in_order(engine, tmp_path):
    job = engine.submit(submission(tmp_path, "broken.onnx"))
    assert job.label == "a layer"
    events = []
    ended = engine.follow(job.id, events.append, lambda: False)
    assert [event.seq for event in events] == list(range(1, ended.last_seq + 1))
    assert ended.state is JobState.FAILED
    assert ended.error.code is ErrorCode.BAND_MISSING


def test_cancel_reaches_the_engine_within_the_poll(engine, tmp_path):
    job = engine.submit(submission(tmp_path, "slow.onnx"))
    begin = time.monotonic()
    ended = engine.follow(job.id, lambda _: None, lambda: time.monotonic() > begin + 0.5)
    assert ended.state is JobState.CANCELLED
    assert time.monotonic() - begin < 0.5 + 0.3 + 0.4


def test_cancelling_what_has_just_ended_is_no_error(engine, tmp_path, monkeypatch):
    job = engine.submit(submission(tmp_path, "broken.onnx"))

    def too_late(job_id):
        raise EngineError(ErrorCode.JOB_STATE, f"Job {job_id} has ended.")

    monkeypatch.setattr(engine, "cancel", too_late)
    assert engine.follow(job.id, lambda _: None, lambda: True).state is JobState.FAILED

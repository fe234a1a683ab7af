"""Who may talk to the engine."""

import socket
import stat
import sys

import pytest

from engine.contract.places import connection_path
from engine.contract.version import PROTOCOL

ROUTES = [
    ("GET", "/hello"),
    ("GET", "/models"),
    ("POST", "/models/x/install"),
    ("POST", "/jobs"),
    ("GET", "/jobs"),
    ("GET", "/jobs/x"),
    ("DELETE", "/jobs/x"),
    ("GET", "/jobs/x/events"),
    ("POST", "/jobs/x/cancel"),
    ("POST", "/jobs/x/resume"),
    ("POST", "/tenants"),
    ("POST", "/shutdown"),
    ("GET", "/nothing"),
]


def code(body):
    assert set(body) == {"error"}
    assert body["error"]["message"]
    assert body["error"]["hint"]
    return body["error"]["code"]


@pytest.fixture(scope="module")
def client(tmp_path_factory, start_once):
    return start_once(tmp_path_factory.mktemp("state") / "ä", "--stay")


@pytest.mark.parametrize(("verb", "path"), ROUTES)
@pytest.mark.parametrize("token", [None, "", "wrong", "ä"])
def test_nothing_is_told_without_the_token(client, verb, path, token):
    header = None if token is None else token.encode()
    answer = client.call(verb, path, 401, headers={"X-Swath-Token": header})
    assert code(answer) == "UNAUTHORIZED"


@pytest.mark.parametrize(("verb", "path"), ROUTES)
@pytest.mark.parametrize("origin", ["https://example.com", "null", "", "http://127.0.0.1"])
def test_web_pages_are_refused(client, verb, path, origin):
    answer = client.call(verb, path, 403, headers={"Origin": origin})
    assert code(answer) == "FORBIDDEN"


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1", "127.0.0.1:1", "localhost", ""])
def test_a_foreign_host_is_refused(client, host):
    answer = client.call("GET", "/hello", 403, headers={"Host": host})
    assert code(answer) == "FORBIDDEN"


def test_localhost_is_this_machine(client):
    port = client.connection.url.rsplit(":", 1)[1]
    client.call("GET", "/hello", headers={"Host": f"localhost:{port}"})


def test_two_hosts_are_no_host(client):
    port = int(client.connection.url.rsplit(":", 1)[1])
    request = f"GET /v1/hello HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil\r\n"
    request += f"X-Swath-Token: {client.connection.token}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(request.encode())
        assert line.makefile("rb").readline().split()[1] in (b"400", b"403")


def test_it_listens_on_this_machine_alone(client):
    assert client.connection.url.startswith("http://127.0.0.1:")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps rights in the folder")
def test_the_connection_file_is_its_owners_alone(tmp_path_factory, client):
    state = client.call("GET", "/hello")["state_dir"]
    path = connection_path(type(tmp_path_factory.getbasetemp())(state))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(client.connection.token) >= 43


def test_another_protocol_is_refused_and_the_own_welcome(client):
    for theirs in (PROTOCOL, f"{PROTOCOL.split('.')[0]}.99"):
        client.call("GET", "/hello", headers={"X-Swath-Protocol": theirs})
    answer = client.call("GET", "/hello", 409, headers={"X-Swath-Protocol": "0.9"})
    assert code(answer) == "PROTOCOL_MISMATCH"
    assert "0.9" in answer["error"]["message"]


@pytest.mark.parametrize(("verb", "status"), [("PUT", 405), ("DELETE", 405)])
def test_unknown_verbs_and_paths_have_an_answer_too(client, verb, status):
    assert code(client.call(verb, "/jobs", status)) == "NOT_FOUND"
    assert code(client.call("GET", "/nothing", 404)) == "NOT_FOUND"

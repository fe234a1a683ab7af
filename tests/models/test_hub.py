"""Files by commit from the hub: two servers on localhost, the hub and where it redirects to."""

import hashlib
import http.server
import threading
from dataclasses import dataclass, field

import pytest
import requests

from engine.contract.errors import EngineError, ErrorCode
from engine.models.fetch import fetch_member
from engine.models.hub import STANDARD, HubLogin, find_endpoint, find_token, parse
from engine.models.index_settings import IndexSettings

COMMIT = "0123456789abcdef0123456789abcdef01234567"
URI = f"hf://org/nets@{COMMIT}/onnx/my model.onnx"
PATH = f"/org/nets/resolve/{COMMIT}/onnx/my%20model.onnx"
STORAGE = "/blob?signature=x"
QUIET = IndexSettings((), timeout=5)
VARIABLES = (
    *("HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HUGGING_FACE_HUB_TOKEN"),
    *("HF_HUB_DISABLE_IMPLICIT_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"),
)


@dataclass
class Host:
    """What a server offers, and what it was asked."""

    url: str = ""
    files: dict = field(default_factory=dict)
    """Content by path, or the address that the path redirects to."""
    token: str = ""
    """What it takes to be let in."""
    breaks: list = field(default_factory=list)
    """Bytes after which the next answers break off."""
    asked: list = field(default_factory=list)
    """Paths, with the headers of login and range."""


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_args):
        pass

    def do_GET(self):
        host = self.server.host
        login, start = self.headers.get("Authorization"), self.headers.get("Range")
        host.asked.append((self.path, login, start))
        found = host.files.get(self.path)
        if found is None:
            self.send_error(404)
        elif host.token and login != f"Bearer {host.token}":
            self.send_error(401 if login is None else 403)
        elif isinstance(found, str):
            self.send_response(302)
            self.send_header("Location", found)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send(found, int(start[6:-1]) if start else 0)

    def _send(self, content, start):
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        breaks = self.server.host.breaks
        end = start + breaks.pop(0) if breaks else None
        self.wfile.write(content[start:end])


@pytest.fixture
def serve():
    """Start a server; its name is part of what tells it from the others."""
    running = []

    def start(name):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.host = Host(f"http://{name}:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server.host

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """A user without a login, and no pause before the next try."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr("engine.models.web.PAUSE", 0)


@pytest.fixture
def hub(serve, monkeypatch):
    host = serve("127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", host.url)
    return host


@pytest.fixture
def logged_in(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")


@pytest.fixture
def storage(hub, serve, content):
    """Where the hub sends for the file: the same computer under another name."""
    host = serve("localhost")
    host.files[STORAGE] = content
    hub.files[PATH] = host.url + STORAGE
    return host


@pytest.fixture
def fetch(tmp_path, content):
    def go(uri=URI, sha256=None, settings=QUIET):
        wanted = sha256 or hashlib.sha256(content).hexdigest()
        target = tmp_path / "out" / "model.onnx"
        return fetch_member(uri, wanted, target, cache=tmp_path / "cache", settings=settings)

    return go


def refused(action, *args, **options):
    with pytest.raises(EngineError) as caught:
        action(*args, **options)
    return caught.value


def left(tmp_path):
    folders = [tmp_path / "out", tmp_path / "cache" / "partial"]
    return [p for folder in folders for p in folder.rglob("*") if p.is_file()]


def test_a_file_of_a_commit(hub, fetch, content):
    hub.files[PATH] = content
    assert fetch().read_bytes() == content
    assert hub.asked == [(PATH, None, None)]


def test_the_token_goes_to_the_hub_and_to_nobody_else(hub, storage, fetch, content, monkeypatch):
    hub.token = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_secret\n")
    assert fetch().read_bytes() == content
    assert hub.asked == [(PATH, "Bearer hf_secret", None)]
    assert storage.asked == [(STORAGE, None, None)]


@pytest.mark.usefixtures("logged_in")
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_no_detour_carries_the_token_on(hub, serve, fetch, content, name):
    other = serve(name)
    other.files["/a"] = f"{other.url}/b"
    other.files["/b"] = content
    hub.files[PATH] = "/renamed"
    hub.files["/renamed"] = f"{other.url}/a"
    fetch()
    assert [login for _, login, _ in hub.asked] == ["Bearer hf_secret"] * 2
    assert [login for _, login, _ in other.asked] == [None, None]


def test_the_token_of_the_hubs_library_is_used(hub, fetch, content, tmp_path):
    hub.files[PATH] = content
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("kept\n")
    fetch()
    assert hub.asked == [(PATH, "Bearer kept", None)]


def test_the_login_of_an_index_on_another_host_stays_there(hub, fetch, content):
    hub.files[PATH] = content
    fetch(settings=IndexSettings(("http://user:secret@127.0.0.1:9/simple",), timeout=5))
    assert hub.asked == [(PATH, None, None)]


@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_gated_repository_says_what_to_do(hub, fetch, tmp_path, monkeypatch, token):
    hub.files[PATH], hub.token = b"", "hf_secret"
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    error = refused(fetch)
    assert error.code is ErrorCode.MODEL_DOWNLOAD_FAILED
    assert ("403" if token else "401") in error.message
    assert "HF_TOKEN" in error.hint
    assert "gated" in error.hint
    assert "secret" not in str(error)
    assert sum(p.stat().st_size for p in left(tmp_path)) == 0


def test_a_cut_download_goes_on_where_it_broke_off(hub, storage, fetch, content):
    storage.breaks = [1_500_000, 400_000]
    assert fetch().read_bytes() == content
    starts = [start for _, _, start in storage.asked]
    assert starts[0] is None
    assert len(starts) == 3
    assert all(s.startswith("bytes=") for s in starts[1:])
    assert len(hub.asked) == 3


def test_other_bytes_are_refused_and_nothing_is_left(storage, fetch, tmp_path):
    storage.files[STORAGE] = b"other bytes"
    assert refused(fetch).code is ErrorCode.MODEL_HASH_MISMATCH
    assert left(tmp_path) == []


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:7], COMMIT.upper(), COMMIT + "0", ""])
def test_a_revision_that_is_no_whole_commit_is_refused(hub, fetch, revision):
    at = f"@{revision}" if revision else ""
    error = refused(fetch, f"hf://org/nets{at}/model.onnx")
    assert error.code is ErrorCode.MODEL_INVALID
    assert "other bytes tomorrow" in error.message
    assert "40 digits of a commit" in error.hint
    assert hub.asked == []


@pytest.mark.parametrize(
    "uri",
    [
        f"hf://org@{COMMIT}/model.onnx",
        f"hf://org/nets@{COMMIT}/",
        f"hf://org/nets@{COMMIT}/../../../other/model.onnx",
        f"hf://org/nets@{COMMIT}//etc/passwd",
        f"hf://../nets@{COMMIT}/model.onnx",
        "hf://org/nets",
    ],
)
def test_addresses_that_lead_elsewhere_are_refused(hub, fetch, uri):
    assert refused(fetch, uri).code is ErrorCode.MODEL_INVALID
    assert hub.asked == []


def test_a_mirror_without_encryption_is_not_asked(fetch, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert "not safe" in refused(fetch).message


def test_addresses_and_logins_follow_the_environment(tmp_path):
    assert find_endpoint({}) == STANDARD == "https://huggingface.co"
    assert (
        find_endpoint({"HF_ENDPOINT": "https://mirror.example/hf/"}) == "https://mirror.example/hf"
    )
    token = tmp_path / "token"
    token.write_text(" kept \n")
    assert find_token({"HF_TOKEN_PATH": str(token)}) == "kept"
    assert find_token({"HF_HOME": str(tmp_path)}) == "kept"
    assert find_token({"HF_HOME": str(tmp_path), "HF_TOKEN": "told"}) == "told"
    hidden = {"HF_TOKEN": "told", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    assert find_token(hidden) is None
    assert find_token({"HF_HOME": str(tmp_path / "nowhere")}) is None


def test_the_address_is_the_one_of_the_hub():
    assert parse(URI).url(STANDARD) == f"https://huggingface.co{PATH}"


@pytest.mark.parametrize(
    "url", ["http://huggingface.co/x", "https://huggingface.co.evil.example/x", "https://cdn/x"]
)
def test_the_login_is_for_one_host_over_one_protocol(url):
    login = HubLogin("secret", STANDARD)
    request = requests.Request("GET", url, auth=login).prepare()
    assert "Authorization" not in request.headers
    fitting = requests.Request("GET", f"{STANDARD}/x", auth=login).prepare()
    assert fitting.headers["Authorization"] == "Bearer secret"

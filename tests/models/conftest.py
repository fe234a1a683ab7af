"""A package index on localhost, packages, and small real ONNX models."""

import base64
import hashlib
import http.server
import io
import json
import os
import tarfile
import threading
import zipfile
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from engine.contract.messages import ModelClass
from engine.geo.tiling import TileRule
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput, Transform
from engine.models.index_settings import IndexSettings
from engine.models.store import ModelStore

MEMBER = "nets/data/model.onnx"


# --- ONNX files, written field by field: the onnx package is not needed to run models ----------


def _varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _field(number, value):
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _port(name, shape, element):
    sizes = (_field(2, n) if isinstance(n, str) else _field(1, n) for n in shape)
    dims = b"".join(_field(1, size) for size in sizes)
    tensor = _field(1, element) + _field(2, dims)
    return _field(1, name) + _field(2, _field(1, tensor))


def _tensor(name, array, external):
    dims = b"".join(_field(1, n) for n in array.shape)
    head = dims + _field(2, 1) + _field(8, name)
    if not external:
        return head + _field(9, array.astype("<f4").tobytes())
    location = _field(1, "location") + _field(2, "weights.bin")
    return head + _field(13, location) + _field(14, 1)


def build_onnx(weight, shape, *, element=1, inputs=1, external=False, out_shape=None):
    """A 3 x 3 convolution ``[K, C, 3, 3]`` whose input has ``shape`` (names stand for any)."""
    pads = _field(1, "pads") + b"".join(_field(8, 1) for _ in range(4)) + _field(20, 7)
    ends = _field(1, "input") + _field(1, "w") + _field(2, "output")
    node = ends + _field(4, "Conv") + _field(5, pads)
    result = out_shape or [shape[0], weight.shape[0], *shape[2:]]
    names = ["input", *(f"extra{i}" for i in range(1, inputs))]
    ports = b"".join(_field(11, _port(name, shape, element)) for name in names)
    graph = _field(1, node) + _field(2, "g") + _field(5, _tensor("w", weight, external))
    graph += ports + _field(12, _port("output", result, 1))
    opset = _field(1, "") + _field(2, 17)
    return _field(1, 8) + _field(7, graph) + _field(8, opset)


@pytest.fixture(scope="session")
def onnx():
    """Builder of ONNX files."""
    return build_onnx


@pytest.fixture(scope="session")
def weight():
    return np.random.default_rng(5).normal(size=(3, 2, 3, 3)).astype(np.float32)


@pytest.fixture
def make_card():
    """A card for a model of two bands and three classes whose bytes are given."""

    def make(content, uri="pypi://nets==1.2/" + MEMBER, **changes):
        card = ModelCard(
            id="nets",
            version="1.2",
            title="Nets",
            summary="Finds nets.",
            tasks=("semantic-segmentation",),
            inputs=(
                ModelInput(
                    ("red", "nir"),
                    "toa_reflectance",
                    (-0.2, 2.0),
                    (Transform("z-score", (0.1, 0.2), (0.3, 0.4)),),
                    10.0,
                    (8.0, 12.5),
                ),
            ),
            tiling=TileRule(32, 4, 4),
            merge="crop",
            output=ModelOutput(
                (
                    ModelClass(0, "sea", "#000080"),
                    ModelClass(1, "nets", "#ff0000"),
                    ModelClass(7, "boats", "#c0ffee"),
                ),
                "softmax",
            ),
            file=ModelFile(uri, hashlib.sha256(content).hexdigest(), len(content), "onnx"),
            license="CC0-1.0",
            attribution="Nobody",
            citation="None",
        )
        return replace(card, **changes)

    return make


# --- packages ---------------------------------------------------------------------------------


def build_wheel(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def build_sdist(top, files, links=()):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name, target in links:
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return out.getvalue()


@pytest.fixture(scope="session")
def wheel():
    return build_wheel


@pytest.fixture(scope="session")
def sdist():
    return build_sdist


# --- the index --------------------------------------------------------------------------------


@dataclass
class Index:
    """What the server offers, how it behaves, and what it was asked."""

    url: str = ""
    files: dict = field(default_factory=dict)
    form: str = "json"
    ranges: bool = True
    hashes: bool = True
    breaks: list = field(default_factory=list)
    """Bytes after which the next answers break off."""
    login: str = ""
    lies: bool = False
    """Sends other bytes than those whose hash it states."""
    asked: list = field(default_factory=list)

    @property
    def settings(self):
        return IndexSettings((f"{self.url}/simple",), timeout=5)

    @property
    def fetched(self):
        """File names asked for, with their ranges."""
        return [(p.rsplit("/", 1)[-1], r) for p, r in self.asked if p.startswith("/files/")]

    def page(self, project):
        named = {n: c for n, c in self.files.items() if n.lower().startswith(project)}
        if not named:
            return None
        rows = [(n, hashlib.sha256(c).hexdigest()) for n, c in named.items()]
        if self.form == "json":
            files = [
                {
                    "filename": n,
                    "url": f"../../files/{n}",
                    "hashes": {"sha256": h} if self.hashes else {},
                }
                for n, h in rows
            ]
            data = {"meta": {"api-version": "1.0"}, "name": project, "files": files}
            return "application/vnd.pypi.simple.v1+json", json.dumps(data).encode()
        tail = (lambda h: f"#sha256={h}") if self.hashes else lambda _h: ""
        links = "".join(f'<a href="../../files/{n}{tail(h)}">{n}</a><br>' for n, h in rows)
        return "text/html", f"<!DOCTYPE html><html><body>{links}</body></html>".encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_args):
        pass

    def do_GET(self):
        index = self.server.index
        index.asked.append((self.path, self.headers.get("Range", "")))
        wanted = "Basic " + base64.b64encode(index.login.encode()).decode()
        if index.login and self.headers.get("Authorization") != wanted:
            self.send_error(401)
            return
        kind, _, name = self.path.strip("/").partition("/")
        if kind == "files" and name in index.files:
            self._send_file(index, index.files[name])
            return
        page = index.page(name) if kind == "simple" else None
        if page is None:
            self.send_error(404)
            return
        self._send(200, page[1], page[0])

    def _send_file(self, index, content):
        content = b"?" + content[1:] if index.lies else content
        start = self.headers.get("Range")
        if not (start and index.ranges):
            self._send(200, content)
            return
        first = int(start.removeprefix("bytes=").rstrip("-"))
        if first >= len(content):
            self.send_error(416)
            return
        where = f"bytes {first}-{len(content) - 1}/{len(content)}"
        self._send(206, content[first:], where=where)

    def _send(self, status, body, kind="application/octet-stream", where=""):
        breaks = self.server.index.breaks if kind.endswith("stream") else []
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if where:
            self.send_header("Content-Range", where)
        self.end_headers()
        self.wfile.write(body[: breaks.pop(0)] if breaks else body)


@pytest.fixture
def index(monkeypatch):
    """A package index on localhost; proxies of the environment are not asked for it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.index = Index(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.index
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def own_index(index, monkeypatch, tmp_path):
    """The same, as the index that the user's pip is set to."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nindex-url = {index.url}/simple\n", encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing here"))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", (tmp_path / "no index").as_uri())
    return index


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "état des modèles")


@pytest.fixture
def content():
    """Bytes that do not compress, larger than one piece of a download."""
    return np.random.default_rng(7).bytes(2_500_000)

"""Archives are refused by their table of contents, whether or not PyTorch is installed."""

import io
import struct
import sys
import zipfile

import pytest

from engine.contract.errors import EngineError, ErrorCode
from engine.models import torch_archive
from engine.models.cardfile import card_from_json, card_to_json
from engine.models.runtime import open_model, runtime_version
from engine.models.torch_archive import read_members, write_members


def archive(entries, compression=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, content in entries:
            file.writestr(name, content)
    return out.getvalue()


def test_members_stand_without_their_folder():
    content = archive([("net/version", b"3"), ("net/code/a.py", b"x")], zipfile.ZIP_DEFLATED)
    assert read_members(content) == {"version": b"3", "code/a.py": b"x"}
    assert read_members(write_members({"data/0": b"ab"})) == {"data/0": b"ab"}


@pytest.mark.parametrize(
    "names",
    [
        ["net/../../etc/passwd"],
        ["/etc/passwd"],
        ["net/a", "other/b"],
        ["version"],
        ["net/c:d"],
        ["net/a", "net/./a"],
        ["net/folder/"],
    ],
)
def test_names_that_lead_elsewhere(names):
    with pytest.raises(ValueError, match="archive"):
        read_members(archive([(name, b"1") for name in names]))


def test_a_bomb_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(torch_archive, "LARGEST_PACKED", 2**20)
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    bomb = archive([("net/data/0", bytes(2**22))], zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2**14
    with pytest.raises(ValueError, match="far more"):
        read_members(bomb)


def test_a_size_that_lies():
    content = bytearray(archive([("net/data/0", bytes(2**16))], zipfile.ZIP_DEFLATED))
    place = content.rindex(b"PK\x01\x02") + 24
    content[place : place + 4] = struct.pack("<I", 100)
    with pytest.raises(ValueError, match="damaged"):
        read_members(bytes(content))


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_archive(content):
    with pytest.raises(ValueError, match="archive"):
        read_members(content)


def test_a_pickle_is_told_from_other_things():
    with pytest.raises(ValueError, match=r"pickle.*torch\.export\.save"):
        read_members(b"\x80\x02\x8a\nl\xfc\x9c")


@pytest.mark.parametrize("kind", ["torchscript", "pt2", "safetensors"])
def test_without_pytorch_one_sentence_says_what_to_do(make_card, tmp_path, monkeypatch, kind):
    card = card_from_json(with_format(make_card(b"bytes"), kind))
    path = tmp_path / "net"
    path.write_bytes(b"bytes")
    for name in list(sys.modules):
        if name.startswith("engine.models.torch_"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EngineError) as caught:
        open_model(card, path, "auto")
    assert caught.value.code is ErrorCode.MODEL_UNSUITABLE
    assert "PyTorch" in caught.value.message
    assert "scripts/environment --torch" in caught.value.hint


def with_format(card, kind):
    data = card_to_json(card)
    data["assets"]["model"]["mlm:artifact_type"] = kind
    return data


def test_a_measurement_belongs_to_its_runtime(make_card):
    onnx = make_card(b"bytes")
    other = card_from_json(with_format(onnx, "pt2"))
    assert runtime_version(onnx).startswith("ort")
    assert not runtime_version(other).startswith("ort")
    assert card_to_json(other)["mlm:framework"] == "PyTorch"

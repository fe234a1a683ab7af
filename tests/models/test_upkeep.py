"""What is whole in the store, and what goes when a model goes."""

from dataclasses import replace

import pytest

from engine.contract.errors import EngineError, ErrorCode
from engine.models.catalogue import known_cards, load_catalogue
from engine.models.upkeep import check, removable, remove, worth_checking

WHEEL = "nets-1.2-py3-none-any.whl"
MEMBER = "nets/data/model.onnx"
SECOND = "pypi://nets==1.2/nets/second.onnx"
SHIPPED = [c for c in load_catalogue() if c.file.uri.startswith("swath:")]


@pytest.fixture
def pair(store, own_index, wheel, content, make_card):
    """Two installed models of one package, with their cards."""
    own_index.files[WHEEL] = wheel({MEMBER: content, "nets/second.onnx": b"second"})
    cards = make_card(content), make_card(b"second", SECOND, id="second")
    for card in cards:
        store.install(card)
        store.add_card(card)
    return cards


@pytest.fixture
def mine(store, tmp_path, make_card):
    """A file of the user's own with a card in the store."""
    (tmp_path / "mine.onnx").write_bytes(b"mine")
    card = make_card(b"mine", (tmp_path / "mine.onnx").as_uri(), id="mine")
    store.add_card(card)
    return card


def refused(action, *args):
    with pytest.raises(EngineError) as caught:
        action(*args)
    return caught.value


def everything(store):
    return [p for p in store.root.rglob("*") if p.is_file() and p.parent.name != "locks"]


def test_kept_cards_are_known_beside_the_catalogue(store, pair, make_card):
    hidden = make_card(b"x", id=load_catalogue()[0].id)
    store.add_card(hidden)
    (store.root / "cards" / "broken.json").write_text("{")
    assert known_cards(store) == (*load_catalogue(), *pair)


def test_whole_damaged_and_missing(store, pair):
    first, second = pair
    assert check(first, store).state == "ok"
    path = store.path(first)
    path.write_bytes(path.read_bytes()[:-1])
    found = check(first, store)
    assert (found.state, found.path) == ("damaged", path)
    assert "swath models install nets" in found.remedy
    assert path.exists()
    store.path(second).unlink()
    assert check(second, store).state == "missing"
    assert {c.id for c in worth_checking(store)} == {"nets", *(c.id for c in SHIPPED)}


def test_a_local_file_that_is_gone_is_missing(store, mine, tmp_path):
    (tmp_path / "mine.onnx").unlink()
    assert mine in worth_checking(store)
    found = check(mine, store)
    assert found.state == "missing"
    assert "Put the file back" in found.remedy


def test_the_last_of_a_package_takes_it_along(store, pair, own_index):
    first, second = pair
    archive = store.root / "archives" / "nets-1.2" / WHEEL
    (gone,) = remove([first], store)
    assert (gone.freed, gone.card, gone.kept) == (first.file.size, True, "")
    assert archive.exists()
    assert store.path(second).exists()
    assert known_cards(store) == (*load_catalogue(), second)
    (gone,) = remove([second], store)
    assert gone.freed == second.file.size + len(own_index.files[WHEEL])
    assert everything(store) == []


def test_both_at_once(store, pair, own_index):
    gone = remove(pair, store)
    size = sum(c.file.size for c in pair) + len(own_index.files[WHEEL])
    assert sum(g.freed for g in gone) == size
    assert everything(store) == []
    assert removable(store) == ()


def test_a_file_that_another_card_needs_stays(store, pair):
    first, _ = pair
    twin = replace(first, id="twin")
    store.add_card(twin)
    (gone,) = remove([first], store)
    assert (gone.freed, gone.card) == (0, True)
    assert "twin" in gone.kept
    assert store.is_installed(twin)
    remove([twin], store)
    assert not store.is_installed(twin)


def test_the_same_bytes_under_another_name_stay(store, pair, content):
    first, _ = pair
    other = replace(first, file=replace(first.file, uri="https://host/other.onnx"))
    store.place(other).write_bytes(content)
    remove([first], store)
    assert store.files().count(store.place(other)) == 1
    assert not store.place(first).exists()


def test_what_a_broken_off_download_left_goes_too(store, pair):
    first, _ = pair
    part = store.root / "partial" / f"{first.file.sha256}.part"
    part.write_bytes(b"half")
    assert remove([first], store)[0].freed == first.file.size + 4
    assert not part.exists()


def test_settings_beside_the_weights_go_with_them(store, pair):
    first, _ = pair
    store.path(first).with_name("config.json").write_bytes(b"{}")
    remove([first], store)
    assert not store.place(first).parent.exists()


def test_of_ones_own_file_only_the_card_goes(store, mine, tmp_path):
    assert mine in removable(store)
    (gone,) = remove([mine], store)
    assert (gone.freed, gone.card) == (0, True)
    assert "yours and stays" in gone.kept
    assert (tmp_path / "mine.onnx").exists()
    error = refused(remove, [mine], store)
    assert error.code is ErrorCode.REQUEST_INVALID
    assert "yours" in error.message


def test_what_comes_with_swath_stays_and_then_all_does(store, pair):
    before = everything(store)
    error = refused(remove, [*pair, SHIPPED[0]], store)
    assert error.code is ErrorCode.REQUEST_INVALID
    assert "comes with Swath" in error.message
    assert everything(store) == before
    assert store.place(SHIPPED[0]).is_file()


def test_an_acceptance_outlives_the_model(store, pair):
    first, _ = pair
    store.licences.accept(first)
    remove([first], store)
    assert store.licences.accepted(first) is not None


def test_what_is_not_there_cannot_be_removed(store, make_card):
    with pytest.raises(EngineError) as caught:
        remove([make_card(b"x")], store)
    assert caught.value.code is ErrorCode.MODEL_NOT_INSTALLED

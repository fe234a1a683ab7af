"""Terms: what they ask for, who has accepted them, and what happens without."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.errors import EngineError, ErrorCode
from engine.models.catalogue import load_catalogue
from engine.models.licence import address, credit, demands, terms_digest

WHEEL = "nets-1.2-py3-none-any.whl"
MEMBER = "nets/data/model.onnx"
FREE = ("MIT", "Apache-2.0", "CC-BY-4.0", "CC0-1.0", "BSD-3-Clause", "apache-2.0", "CC BY 4.0")
BOUND = ("CC-BY-NC-4.0", "cc-by-nc-sa-4.0", "ODbL-1.0", "AGPL-3.0-only", "my own terms", "other")


@pytest.fixture
def card(own_index, wheel, content, make_card):
    """A card of a model that must not be used commercially."""
    own_index.files[WHEEL] = wheel({MEMBER: content})
    return make_card(content, license="CC-BY-NC-4.0", data_license="CC BY 4.0")


def refused(action, *args):
    with pytest.raises(EngineError) as caught:
        action(*args)
    assert caught.value.code is ErrorCode.LICENCE_NOT_ACCEPTED
    return caught.value


@pytest.mark.parametrize("licence", FREE)
def test_licences_that_ask_for_names_alone(licence):
    assert demands(licence) == ()


@pytest.mark.parametrize(
    ("licence", "asked"),
    [
        ("CC-BY-NC-4.0", ("no commercial use",)),
        ("cc-by-nc-sa-4.0", ("no commercial use", "share alike")),
        ("CC-BY-NC-ND-4.0", ("no changed versions", "no commercial use")),
        ("CC-BY-SA-4.0", ("share alike",)),
        ("ODbL-1.0", ("share alike",)),
        ("AGPL-3.0-or-later", ("share alike",)),
        ("Research only", ("no commercial use",)),
        ("LicenseRef-PolyForm-Noncommercial-1.0.0", ("no commercial use",)),
        ("openrail", ("terms of its own",)),
        ("unknown", ("terms of its own",)),
        ("MIT AND CC-BY-NC-4.0", ("no commercial use",)),
        ("(MIT OR Apache-2.0) AND GPL-3.0-only", ("share alike",)),
        ("MITigated", ("terms of its own",)),
    ],
)
def test_licences_that_ask_for_more(licence, asked):
    assert demands(licence) == asked


@given(st.sampled_from(FREE), st.sampled_from(BOUND))
def test_of_alternatives_one_suffices_and_of_sums_all_count(free, bound):
    assert demands(f"{free} OR {bound}") == demands(f"{bound} OR {free}") == ()
    assert demands(f"{free} AND {bound}") == demands(bound) != ()


@given(st.text(st.characters(exclude_characters="R"), max_size=40))
def test_whatever_is_not_known_asks_for_something(text):
    assert demands(f"x{text}") != ()


@pytest.mark.parametrize(
    ("licence", "url"),
    [
        ("CC-BY-NC-4.0", "https://creativecommons.org/licenses/by-nc/4.0/"),
        ("GPL-3.0-only", "https://spdx.org/licenses/GPL-3.0-only.html"),
        ("LicenseRef-mine-1.0", ""),
        ("research only", ""),
    ],
)
def test_where_terms_can_be_read(licence, url):
    assert address(licence) == url


def test_nothing_is_fetched_before_the_terms_are_accepted(store, card, own_index, content):
    error = refused(store.install, card)
    assert "CC-BY-NC-4.0 (no commercial use)" in error.message
    assert "`swath models install nets --accept-licence`" in error.hint
    assert own_index.asked == []
    store.licences.accept(card)
    assert store.install(card).read_bytes() == content


def test_an_acceptance_is_kept_with_date_and_terms(store, card):
    given_now = store.licences.accept(card)
    kept = json.loads((store.root / "licences" / "nets.json").read_text("utf-8"))
    assert kept["model"] == "nets"
    assert kept["licence"] == "CC-BY-NC-4.0"
    assert kept["data_licence"] == "CC BY 4.0"
    assert kept["sha256"] == terms_digest(card)
    assert kept["accepted"].endswith("+00:00")
    assert store.licences.accepted(card) == given_now


@pytest.mark.parametrize("change", [{"license": "CC-BY-NC-SA-4.0"}, {"data_license": "mine"}])
def test_other_terms_are_asked_about_anew(store, card, change):
    store.licences.accept(card)
    store.install(card)
    changed = replace(card, **change)
    refused(store.path, changed)
    refused(store.install, changed)
    store.licences.accept(changed)
    assert store.path(changed) == store.place(card)


def test_accepting_one_model_is_not_accepting_another(store, card):
    store.licences.accept(card)
    assert store.licences.is_open(replace(card, id="other"))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"sha256": 1}', "null"])
def test_a_broken_record_accepts_nothing(store, card, text):
    store.licences.accept(card)
    (store.root / "licences" / "nets.json").write_text(text, encoding="utf-8")
    refused(store.install, card)


def test_the_record_of_another_model_accepts_nothing(store, card):
    store.licences.accept(card)
    kept = store.root / "licences" / "nets.json"
    data = {**json.loads(kept.read_text("utf-8")), "sha256": "0" * 64}
    kept.write_text(json.dumps(data), encoding="utf-8")
    refused(store.install, card)


def test_a_file_of_the_users_own_needs_no_acceptance(store, tmp_path, make_card):
    model = tmp_path / "my.onnx"
    model.write_bytes(b"network")
    card = make_card(b"network", model.as_uri(), license="CC-BY-NC-4.0")
    assert store.install(card) == store.path(card) == model


def test_models_that_come_with_swath_run_without_questions_and_are_credited(store):
    shipped = [c for c in load_catalogue() if c.file.uri.startswith("swath:")]
    assert any(demands(c.license) for c in shipped)
    for card in shipped:
        assert store.path(card).is_file()
        assert card.license in credit(card)
        assert card.attribution[:-1] in credit(card)
        assert card.data_license in credit(card)

import json
import subprocess
import sys

import pytest

from engine.contract.errors import EngineError, ErrorCode
from engine.models.cardfile import card_to_json
from engine.models.catalogue import (
    choose_model,
    find_card,
    load_catalogue,
    model_info,
    quantity_note,
)

SIX = ("blue", "green", "red", "nir", "swir16", "swir22")
FOUR = SIX[:4]
TOA, SURFACE = "toa_reflectance", "surface_reflectance"


def test_the_catalogue_has_the_cloud_models_the_richest_first():
    cards = load_catalogue()
    assert [c.id for c in cards][:4] == [
        "clouds-6band-l1c",
        "clouds-6band-l2a",
        "clouds-4band-l1c",
        "clouds-4band-l2a",
    ]
    assert len({c.file.sha256 for c in cards}) == len(cards)


@pytest.mark.parametrize("card", load_catalogue()[:4], ids=lambda c: c.id)
def test_cloud_cards_hold_what_the_package_says(card):
    bands, level = (6, card.id[-3:]) if "6band" in card.id else (4, card.id[-3:])
    assert card.input.bands == SIX[:bands]
    assert card.input.quantity == (TOA if level == "l1c" else SURFACE)
    assert card.file.uri == (f"pypi://ukis-csmask==1.0.0/ukis_csmask/model_{bands}b_{level}.onnx")
    first = {"l1c": (0.27552253007888794, 0.24488002061843872)}
    first["l2a"] = (0.26681777834892273, 0.33637598156929016)
    scores = card.input.transforms[0]
    assert (scores.first[0], scores.second[0]) == first[level]
    assert [c.name for c in card.output.classes] == ["clear", "cloud", "shadow"]
    assert card.license == "Apache-2.0"
    assert card.not_for


def test_listing_loads_nothing_heavy():
    heavy = ["numpy", "onnxruntime", "rasterio", "requests", "pydantic", "pypi_simple", "shapely"]
    code = (
        "import sys; from pathlib import Path\n"
        "from engine.models.catalogue import load_catalogue, model_info\n"
        "from engine.models.store import ModelStore\n"
        "infos = [model_info(c, ModelStore(Path('nowhere'))) for c in load_catalogue()]\n"
        f"print(len(infos), [m for m in {heavy} if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == f"{len(load_catalogue())} []"


@pytest.mark.parametrize(
    ("roles", "quantity", "chosen"),
    [
        (SIX, TOA, "clouds-6band-l1c"),
        (SIX, SURFACE, "clouds-6band-l2a"),
        ((*SIX, "cirrus", ""), "reflectance", "clouds-6band-l1c"),
        (FOUR, TOA, "clouds-4band-l1c"),
        (("nir", "red", "green", "blue", "swir16"), SURFACE, "clouds-4band-l2a"),
    ],
)
def test_the_richest_model_that_fits_is_chosen(roles, quantity, chosen):
    assert choose_model(roles, quantity).id == chosen


@pytest.mark.parametrize(
    ("roles", "quantity", "says"),
    [
        (("red", "green", "blue"), TOA, "clouds-4band-l1c, which comes nearest, also needs nir"),
        ((), SURFACE, "none with a known role"),
        (SIX, "rgb", "buildings (other, building); landcover ("),
        (("vv",), "backscatter_db", "flood, which comes nearest, also needs vh"),
        (SIX, "raw", "raw numbers"),
    ],
)
def test_what_is_missing_is_said(roles, quantity, says):
    with pytest.raises(EngineError) as caught:
        choose_model(roles, quantity)
    assert caught.value.code is ErrorCode.MODEL_UNSUITABLE
    assert says in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("quantity", "says"),
    [
        (TOA, None),
        ("raw", None),
        ("reflectance", "does not say whether"),
        (SURFACE, "trained on top-of-atmosphere reflectance, and the input is surface"),
    ],
)
def test_notes_on_the_quantity(quantity, says):
    card = choose_model(SIX, TOA)
    note = quantity_note(card, card.input, quantity)
    assert note is None if says is None else says in note


def test_find_by_id(store):
    assert find_card("clouds-4band-l2a", store).id == "clouds-4band-l2a"


@pytest.mark.parametrize("reference", ["clouds-6band-l1", "Clouds-6band-L1C", "cloud-6bands-l1c"])
def test_an_unknown_id_brings_near_ones(store, reference):
    with pytest.raises(EngineError) as caught:
        find_card(reference, store)
    assert caught.value.code is ErrorCode.MODEL_NOT_FOUND
    assert "clouds-6band-l1c" in caught.value.hint


def test_a_far_off_id_brings_the_whole_list(store):
    with pytest.raises(EngineError) as caught:
        find_card("zzzzzz", store)
    assert all(c.id in caught.value.hint for c in load_catalogue())


def test_find_by_card_and_by_model_file(store, tmp_path, make_card):
    model = tmp_path / "mon modèle.onnx"
    model.write_bytes(b"network")
    card = make_card(b"network", model.as_uri())
    document = card_to_json(card)
    document["assets"]["model"]["href"] = model.name
    path = model.with_suffix(".json")
    path.write_text(json.dumps(document), encoding="utf-8")
    assert find_card(str(path), store) == card
    assert find_card(str(model), store) == card
    assert store.path(card) == model


def test_a_model_file_without_a_card(store, tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(b"network")
    with pytest.raises(EngineError, match="has no card"):
        find_card(str(model), store)


def test_an_added_card_is_found_by_its_id(store, make_card):
    card = make_card(b"network")
    store.add_card(card)
    assert find_card("nets", store) == card
    assert store.cards() == (card,)


def test_a_broken_added_card_harms_no_other(store, make_card):
    store.add_card(make_card(b"network"))
    (store.root / "cards" / "nets.json").write_text("{}", encoding="utf-8")
    assert store.cards() == ()
    assert find_card("clouds-4band-l2a", store).id == "clouds-4band-l2a"
    with pytest.raises(EngineError) as caught:
        find_card("nets", store)
    assert caught.value.code is ErrorCode.MODEL_INVALID


def test_model_info_tells_what_the_card_says(store):
    card = load_catalogue()[0]
    info = model_info(card, store)
    assert (info.id, info.bands, info.gsd) == (card.id, SIX, 30.0)
    assert info.classes == card.output.classes
    assert not info.installed

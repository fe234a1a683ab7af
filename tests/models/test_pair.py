"""Cards of one network that looks at two dates."""

import json
from dataclasses import replace

import numpy as np
import pytest

from engine.contract.errors import EngineError, ErrorCode
from engine.models.cardfile import card_from_json, card_to_json
from engine.models.catalogue import find_card, load_catalogue
from engine.models.departure import Departure
from engine.models.encoders.choice import choose_encoder, fit_encoder, is_encoder
from engine.models.pair import EmbeddingPair, FloodPair, pair_file, pair_of
from engine.models.pair_model import open_pair
from engine.models.store import ModelStore


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path)


def test_a_flood_survives_its_text(store):
    pair = FloodPair(find_card("flood", store), 2.5, 9)
    card = replace(pair.network, file=pair_file(pair))
    assert pair_of(card_from_json(card_to_json(card))) == pair
    assert card.file.sha256 == pair.network.file.sha256


def test_a_comparison_of_embeddings_survives_its_text(store):
    fit = Departure(np.zeros(128, np.float32), np.ones(128, np.float32), 3.0, 2.5, 4.0)
    pair = EmbeddingPair(find_card("presto", store), 0, tuple(range(14)), 3, fit)
    again = pair_of(replace(pair.network, file=pair_file(pair)))
    assert replace(again, departure=None) == replace(pair, departure=None)
    assert again.departure.cut == fit.cut
    np.testing.assert_array_equal(again.departure.deviation, fit.deviation)


@pytest.mark.parametrize("key", ["kind", "card", "input", "channels", "month", "departure"])
def test_a_text_that_lacks_something_is_refused(store, key):
    pair = EmbeddingPair(find_card("galileo-nano", store), 0, (0, 1, 2), 1)
    file = pair_file(pair)
    told = json.loads(file.network)
    del told[key]
    card = replace(pair.network, file=replace(file, network=json.dumps(told)))
    with pytest.raises(EngineError) as caught:
        open_pair(card, store.place(card), "cpu", 1, "exact")
    assert caught.value.code is ErrorCode.MODEL_INVALID


def test_encoders_are_those_that_give_embeddings():
    assert {c.id for c in load_catalogue() if is_encoder(c)} == {"galileo-nano", "presto"}


@pytest.mark.parametrize(
    ("roles", "quantity", "card", "bands"),
    [
        (("red", "green", "blue", "alpha"), "reflectance", "galileo-nano", 3),
        (("vh", "vv"), "backscatter_db", "galileo-nano", 2),
    ],
)
def test_the_encoder_that_can_use_most_bands_is_chosen(roles, quantity, card, bands):
    fit = choose_encoder(load_catalogue(), roles, quantity)
    assert (fit.card.id, len(fit.bands)) == (card, bands)


def test_what_is_derived_from_the_place_follows_the_bands(store):
    presto = find_card("presto", store)
    fit = fit_encoder(presto, presto.input.bands, "surface_reflectance")
    assert fit.channels == tuple(range(14))


def test_pictures_and_missing_bands_fit_none(store):
    with pytest.raises(EngineError) as caught:
        choose_encoder(load_catalogue(), ("red", "green", "blue"), "rgb")
    assert caught.value.code is ErrorCode.MODEL_UNSUITABLE
    with pytest.raises(EngineError) as caught:
        fit_encoder(find_card("presto", store), ("vv", "vh"), "backscatter_db")
    assert caught.value.code is ErrorCode.BAND_MISSING

import copy
import json
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import ModelClass
from engine.geo.tiling import TileRule
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput, Transform
from engine.models.cardfile import card_from_json, card_to_json, read_card
from engine.models.catalogue import CARDS

FILES = sorted(CARDS.glob("*.json"))
LETTERS = st.characters(exclude_categories=("Cs", "Cc"))
TEXT = st.text(LETTERS, min_size=1, max_size=20).filter(str.strip)
PLAIN = string.ascii_lowercase + string.digits
# not from a regular expression: the first one costs a second, which counts as slow generation
ID = st.builds(str.__add__, st.sampled_from(PLAIN), st.text(f"{PLAIN}._-", max_size=9))
NUMBER = st.floats(-1e6, 1e6)
POSITIVE = st.floats(1e-6, 1e6)


@st.composite
def cards(draw):
    bands = draw(st.lists(TEXT, min_size=1, max_size=6, unique=True))
    ids = draw(st.lists(st.integers(0, 255), min_size=2, max_size=6, unique=True))
    nodata = ids.pop()
    low, gsd, high = sorted(draw(st.lists(POSITIVE, min_size=3, max_size=3, unique=True)))
    stride = draw(st.sampled_from([1, 8, 32]))
    colour = st.integers(0, 0xFFFFFF).map(lambda n: f"#{n:06x}")
    classes = tuple(ModelClass(i, draw(TEXT), draw(colour)) for i in ids)
    count = len(bands)
    vector = st.lists(NUMBER, min_size=count, max_size=count).map(tuple)
    spread = st.lists(POSITIVE, min_size=count, max_size=count).map(tuple)
    bounds = sorted(draw(st.lists(NUMBER, min_size=2, max_size=2, unique=True)))
    return ModelCard(
        id=draw(ID),
        version=draw(TEXT),
        title=draw(TEXT),
        summary=draw(TEXT),
        tasks=("semantic-segmentation",),
        inputs=(
            ModelInput(
                tuple(bands),
                draw(st.sampled_from(["toa_reflectance", "rgb", "raw"])),
                (bounds[0], bounds[1]),
                (Transform("z-score", draw(vector), draw(spread)),),
                gsd,
                (low, high),
            ),
        ),
        tiling=TileRule(stride * 8, draw(st.integers(0, stride * 3)), stride, draw(st.booleans())),
        merge="crop",
        output=ModelOutput(classes, draw(st.sampled_from(["softmax", "none"])), nodata),
        file=ModelFile("https://example.org/m.onnx", f"{draw(st.integers(0, 9)):064x}", 5, "onnx"),
        license=draw(TEXT),
        attribution=draw(TEXT),
        citation=draw(TEXT),
        not_for=tuple(draw(st.lists(TEXT, max_size=2))),
        metrics=tuple(draw(st.lists(TEXT, max_size=2))),
        architecture=draw(TEXT),
    )


# how fast examples are drawn is told by the wall clock, which other work on a machine slows down
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cards())
def test_cards_survive_the_way_through_json(card):
    document = json.loads(json.dumps(card_to_json(card)))
    assert card_from_json(document) == card


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_catalogue_files_are_written_as_this_version_writes_them(path):
    assert card_to_json(read_card(path)) == json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def document():
    return json.loads((CARDS / "clouds-4band-l1c.json").read_text(encoding="utf-8"))


def _put(document, path, value):
    *way, last = path
    place = document
    for key in way:
        place = place[key]
    place[last] = value


IN, OUT = ("mlm:input", 0), ("mlm:output", 0)
WRONG = [
    (("id",), "Has Spaces", "$.id"),
    (("id",), "../up", "$.id"),
    (("mlm:name",), " ", "$.mlm:name"),
    (("mlm:tasks",), ["cooking"], "$.mlm:tasks"),
    (("mlm:tasks",), "semantic-segmentation", "$.mlm:tasks"),
    (("mlm:input",), [], "$.mlm:input"),
    ((*IN, "swath:optional"), True, "$.mlm:input"),
    ((*IN, "bands"), ["red", "red", "nir", "blue"], "$.mlm:input[0].bands"),
    ((*IN, "bands"), ["red"], "$.mlm:input[0].value_scaling"),
    ((*IN, "input", "shape"), [-1, 4, 128, 256], "$.mlm:input[0].input.shape"),
    ((*IN, "value_scaling"), {}, "$.mlm:input[0].value_scaling"),
    ((*IN, "value_scaling", 1, "stddev"), 0, "$.mlm:input[0].value_scaling[1].stddev"),
    ((*IN, "value_scaling", 2, "type"), "decibel", "$.mlm:input[0].value_scaling[2].type"),
    ((*IN, "value_scaling", 0, "mean"), True, "$.mlm:input[0].value_scaling[0].mean"),
    ((*IN, "value_scaling", 0, "mean"), float("nan"), "$.mlm:input[0].value_scaling[0].mean"),
    ((*IN, "gsd"), "30", "$.mlm:input[0].gsd"),
    ((*IN, "swath:gsd_range"), [1, 2], "$.mlm:input[0].swath:gsd_range"),
    ((*IN, "swath:valid_range"), [2, -0.2], "$.mlm:input[0].swath:valid_range"),
    ((*IN, "swath:quantity"), "dn", "$.mlm:input[0].swath:quantity"),
    ((*OUT, "swath:nodata"), 1, "$.mlm:output[0].classification:classes"),
    ((*OUT, "swath:nodata"), 256, "$.mlm:output[0].swath:nodata"),
    ((*OUT, "swath:activation"), "relu", "$.mlm:output[0].swath:activation"),
    ((*OUT, "result", "shape"), [-1, 2, 256, 256], "$.mlm:output[0].result.shape"),
    ((*OUT, "classification:classes", 1, "value"), 0, "$.mlm:output[0].classification:classes"),
    (
        (*OUT, "classification:classes", 1, "color_hint"),
        "red",
        "$.mlm:output[0].classification:classes[1].color_hint",
    ),
    (("swath:tiling", "margin"), 128, "$.swath:tiling"),
    (("swath:tiling", "stride"), 0, "$.swath:tiling.stride"),
    (("swath:tiling", "fixed"), 1, "$.swath:tiling.fixed"),
    (("swath:tiling", "merge"), "mean", "$.swath:tiling.merge"),
    (("assets", "model", "file:checksum"), "abc", "$.assets.model.file:checksum"),
    (("assets", "model", "file:size"), 0, "$.assets.model.file:size"),
    (("assets", "model", "mlm:artifact_type"), "torch.save", "$.assets.model.mlm:artifact_type"),
    (("assets",), [], "$.assets"),
    (("swath:not_for",), "rain", "$.swath:not_for"),
]


@pytest.mark.parametrize(("where", "value", "named"), WRONG)
def test_a_wrong_field_is_named_by_its_path(document, where, value, named):
    _put(document, where, value)
    with pytest.raises(EngineError) as caught:
        card_from_json(document, "my.json")
    assert caught.value.code is ErrorCode.MODEL_INVALID
    assert f"{named} " in caught.value.message or f"{named}:" in caught.value.message


@pytest.mark.parametrize("name", ["id", "license", "mlm:input", "swath:tiling", "assets"])
def test_a_missing_field_is_named(document, name):
    del document[name]
    with pytest.raises(EngineError, match=rf"\$\.{name}"):
        card_from_json(document)


def test_unknown_fields_are_ignored(document):
    known = card_from_json(copy.deepcopy(document))
    document["future"] = {"a": 1}
    document["mlm:input"][0]["resize_type"] = "crop"
    assert card_from_json(document) == known


def test_a_plain_sha256_is_as_good_as_a_multihash(document):
    known = card_from_json(copy.deepcopy(document))
    asset = document["assets"]["model"]
    asset["file:checksum"] = asset["file:checksum"][4:].upper()
    assert card_from_json(document) == known


def test_a_relative_model_path_starts_at_the_card(document, tmp_path):
    folder = tmp_path / "mes modèles"
    folder.mkdir()
    document["assets"]["model"]["href"] = "réseau.onnx"
    (folder / "card.json").write_text(json.dumps(document), encoding="utf-8")
    assert read_card(folder / "card.json").file.uri == (folder / "réseau.onnx").as_uri()


@pytest.mark.parametrize("href", ["../m.onnx", "a/../../m.onnx", "..\\m.onnx"])
def test_a_model_path_does_not_climb(document, tmp_path, href):
    document["assets"]["model"]["href"] = href
    with pytest.raises(EngineError, match="own folder"):
        card_from_json(document, folder=tmp_path)


@pytest.mark.parametrize("text", ["", "hello", "[1", "[]", "12", "null", "[" * 100_000])
def test_what_is_no_card_is_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EngineError) as caught:
        read_card(path)
    assert caught.value.code is ErrorCode.MODEL_INVALID


def test_a_card_that_is_not_there(tmp_path):
    with pytest.raises(EngineError) as caught:
        read_card(Path(tmp_path / "no.json"))
    assert caught.value.code is ErrorCode.MODEL_NOT_FOUND


def test_the_record_of_a_map_is_no_card():
    with pytest.raises(EngineError, match="the record of a map") as caught:
        card_from_json({"type": "Feature", "stac_version": "1.1.0"}, "map.json")
    assert caught.value.code is ErrorCode.MODEL_INVALID

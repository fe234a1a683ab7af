"""Cards as STAC items of the MLM extension, against its schema and those that it builds on."""

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pystac
import pytest
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource

from engine.cli.__main__ import main
from engine.geo.tiling import TileRule
from engine.models.card import Derived, ModelOutput, Transform, ValueBand
from engine.models.cardfile import read_card
from engine.models.catalogue import CARDS
from engine.models.encode import encoding_of
from engine.models.mlm import WORLD, mlm_item

SCHEMAS = [json.loads(p.read_text("utf-8")) for p in (Path(__file__).parent / "schemas").iterdir()]
FILES = sorted(CARDS.glob("*.json"))


def validate(item):
    """Against STAC's core and every extension that the item names, without network."""
    known = {**get_local_schema_cache(), **{schema["$id"]: schema for schema in SCHEMAS}}
    registry = Registry().with_resources(
        [(uri, Resource.from_contents(schema)) for uri, schema in known.items()]
    )
    core = "https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/item.json"
    for uri in (core, *item["stac_extensions"]):
        jsonschema.Draft7Validator(known[uri], registry=registry).validate(item)


def exported(card):
    item = json.loads(json.dumps(mlm_item(card), allow_nan=False))
    validate(item)
    return item


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_card_of_the_catalogue_is_a_valid_item(path):
    card = read_card(path)
    item = exported(card)
    told, asset = item["properties"], item["assets"]["model"]
    assert pystac.Item.from_dict(item).id == card.id
    assert tuple(item["bbox"]) == WORLD
    assert told["datetime"] is None
    named = [*(b for i in card.inputs for b in i.bands), *(v.name for v in card.output.values)]
    assert [b["name"] for b in asset["bands"]] == list(dict.fromkeys(named))
    assert told["mlm:input"][0]["input"]["dim_order"].count("bands") == 1
    classes = told["mlm:output"][0].get("classification:classes", [])
    assert [(c["value"], c["title"]) for c in classes] == [
        (c.id, c.name) for c in card.output.classes
    ]
    assert asset["file:checksum"] == "1220" + card.file.sha256
    assert asset["file:size"] == card.file.size
    assert told["sci:citation"] == card.citation
    assert told["swath:not_for"] == list(card.not_for)


def test_the_schema_can_refuse(make_card):
    item = mlm_item(make_card(b"bytes"))
    del item["assets"]["model"]["raster:bands"]
    with pytest.raises(jsonschema.ValidationError):
        validate(item)


def test_bands_by_common_name_and_wavelength(make_card):
    card = make_card(b"bytes")
    card = replace(card, inputs=(replace(card.input, wavelengths=(0.665, 0.842)),))
    item = exported(card)
    red, nir = item["assets"]["model"]["bands"]
    assert red == {
        "name": "red",
        "gsd": 10.0,
        "eo:common_name": "red",
        "eo:center_wavelength": 0.665,
    }
    assert nir["eo:center_wavelength"] == 0.842
    assert any("/eo/v2" in uri for uri in item["stac_extensions"])
    radar = replace(card, inputs=(replace(card.input, bands=("vv", "vh"), wavelengths=()),))
    assert not any("/eo/v2" in uri for uri in exported(radar)["stac_extensions"])


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Nuages, ombres", "Nuages ombres"),
        ("3 classes", "Model 3 classes"),
        ("雲", "Model"),
        ("a", "Model a"),
        ("x_", "Model x"),
    ],
)
def test_names_of_the_letters_that_are_allowed(make_card, title, name):
    told = exported(make_card(b"bytes", title=title))["properties"]
    assert (told["mlm:name"], told["title"]) == (name, title)


def test_licences_of_several_parts(make_card):
    told = exported(make_card(b"bytes", license="MIT AND Apache-2.0"))["properties"]
    assert (told["license"], told["swath:license"]) == ("other", "MIT AND Apache-2.0")
    assert "swath:license" not in exported(make_card(b"bytes"))["properties"]


def test_publications_by_doi(make_card):
    text = "A (2019). https://doi.org/10.1016/j.rse.2019.05.022. – B, doi:10.5194/isprs-1, C."
    item = exported(make_card(b"bytes", citation=text))
    dois = [p["doi"] for p in item["properties"]["sci:publications"]]
    assert dois == ["10.1016/j.rse.2019.05.022", "10.5194/isprs-1"]
    assert item["links"][0] == {"rel": "cite-as", "href": f"https://doi.org/{dois[0]}"}


@pytest.mark.parametrize(
    ("kind", "framework", "artifact"),
    [
        ("onnx", "ONNX", "onnx"),
        ("torchscript", "PyTorch", "torch.jit.save"),
        ("pt2", "PyTorch", "torch.export.save"),
        ("safetensors", "PyTorch", "safetensors.torch.save_file"),
        ("state_dict", "PyTorch", "torch.save"),
    ],
)
def test_every_format_of_file(make_card, kind, framework, artifact):
    card = make_card(b"bytes")
    item = exported(replace(card, file=replace(card.file, format=kind)))
    assert item["properties"]["mlm:framework"] == framework
    assert item["assets"]["model"]["mlm:artifact_type"] == artifact


def test_values_series_and_other_inputs(make_card):
    card = make_card(b"bytes")
    before = replace(card.input, name="before", dates=(2, 12), axes="NHWC")
    height = replace(card.input, name="height", bands=("height",), is_optional=True)
    values = (ValueBand("biomass", "Mg/ha"), ValueBand("spread", measure="variance"))
    item = exported(
        replace(
            card,
            tasks=("regression", "regression"),
            inputs=(before, height),
            output=ModelOutput(values=values, axes="NHWC"),
            tiling=TileRule(64, 4, 4, fixed=False),
            joining="separate",
        )
    )
    told, asset = item["properties"], item["assets"]["model"]
    for bands in (asset["bands"], asset["raster:bands"]):
        assert [b["name"] for b in bands] == ["red", "nir", "height", "biomass", "spread"]
        assert bands[3]["unit"] == "Mg/ha"
    assert told["mlm:input"][0]["input"]["dim_order"] == [
        "batch",
        "time",
        "height",
        "width",
        "bands",
    ]
    assert told["mlm:input"][1]["swath:optional"] is True
    assert told["mlm:output"][0]["bands"] == ["biomass", "spread"]
    assert "classification:classes" not in told["mlm:output"][0]
    assert told["swath:joining"] == "separate"


STEPS = {
    "z-score": Transform("z-score", (0.1, 0.2), (0.3, 0.4)),
    "min-max": Transform("min-max", (-1.0,), (3.0,)),
    "scale": Transform("scale", (2.0, 3.0)),
    "offset": Transform("offset", (-0.5,)),
    "clip": Transform("clip", (0.2,), (0.9,)),
    "decibel": Transform("decibel", (0.001,)),
    "one-hot": Transform("one-hot", (0.25, 0.5)),
    "cycle": Transform("cycle", (100.0,)),
}


@pytest.mark.parametrize(
    "kinds", [*([k] for k in STEPS), [], ["clip", "decibel", "z-score"], ["scale", "one-hot"]]
)
def test_expressions_compute_what_the_engine_computes(make_card, kinds):
    card = make_card(b"bytes")
    given = replace(card.input, transforms=tuple(STEPS[kind] for kind in kinds))
    (told,) = exported(replace(card, inputs=(given,)))["properties"]["mlm:input"]
    x = np.array([[[0.25, 0.5]], [[0.75, 1.5]]])
    encode = encoding_of(given, (1.0, 1.0), (0.0, 0.0))
    np.testing.assert_allclose(computed(told, x), encode(x, None), rtol=1e-6)


def computed(told, x):
    """The input, as the item tells to prepare it."""
    for entry in told.get("pre_processing_function") or ():
        x = evaluated(entry, x)
    entries = told["value_scaling"] or []
    if entries and entries[0]["type"] == "processing":
        return evaluated(entries[0], x)
    plain = {
        "z-score": lambda x, e: (x - e["mean"]) / e["stddev"],
        "min-max": lambda x, e: (x - e["minimum"]) / (e["maximum"] - e["minimum"]),
        "clip": lambda x, e: x.clip(e["minimum"], e["maximum"]),
        "scale": lambda x, e: x * e["value"],
        "offset": lambda x, e: x + e["value"],
    }
    if len(entries) == 1:
        return plain[entries[0]["type"]](x, entries[0])
    return (
        np.stack([plain[e["type"]](b, e) for e, b in zip(entries, x, strict=True)])
        if entries
        else x
    )


def evaluated(entry, x, **names):
    assert entry["format"] == "numpy"
    return eval(entry["expression"], {**vars(np), "x": x, **names})


def test_derived_channels(make_card):
    card = make_card(b"bytes")
    kinds = ("normalized-difference", "ratio", "difference")
    derived = (
        *(Derived(kind, ("nir", "red")) for kind in kinds),
        *(Derived(kind) for kind in ("lat-sin", "lat-cos", "lon-sin", "lon-cos")),
    )
    given = replace(card.input, transforms=(), derived=derived)
    told = exported(replace(card, inputs=(given,)))["properties"]["mlm:input"][0]
    bands = told["bands"]
    assert told["input"]["shape"][1] == len(bands) == 9
    pixels, place = np.array([[[0.25]], [[0.75]]]), np.array([[[8.0]], [[47.0]]])
    wanted = encoding_of(given, (1.0, 1.0), (0.0, 0.0))(pixels, None, place)
    names = {"red": pixels[0], "nir": pixels[1], "lon": place[0], "lat": place[1]}
    found = np.stack([evaluated(band, None, **names) for band in bands[2:]])
    np.testing.assert_allclose(found, wanted[2:], rtol=1e-6)


# --- the command ------------------------------------------------------------------------------


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SWATH_STATE", str(tmp_path / "state"))

    def go(*words):
        return main(["models", "export", *map(str, words)]), *capsys.readouterr()

    return go


def test_the_command_prints_or_writes(said, tmp_path):
    code, out, err = said("flood", "--mlm")
    assert (code, err) == (0, "")
    item = json.loads(out)
    validate(item)
    target = tmp_path / "flöd.json"
    assert said("flood", "--mlm", "--output", target)[0] == 0
    assert json.loads(target.read_text("utf-8")) == item
    code, _, err = said("flood", "--mlm", "--output", target)
    assert code == 2
    assert "OUTPUT_EXISTS" in err
    assert said("flood", "--mlm", "--output", target, "--overwrite")[0] == 0
    code, _, err = said("flood", "--mlm", "--output", tmp_path / "none" / "x.json")
    assert code == 2
    assert "OUTPUT_UNWRITABLE" in err


def test_the_command_wants_to_know_the_form_and_the_model(said, tmp_path):
    assert "--mlm" in said("flood")[2]
    assert re.search("MODEL_NOT_FOUND", said(tmp_path / "none.json", "--mlm")[2])
    own = tmp_path / "own.json"
    own.write_text(
        (CARDS / "flood.json").read_text("utf-8").replace('"flood"', '"my-own"'), "utf-8"
    )
    assert json.loads(said(own, "--mlm")[1])["id"] == "my-own"

"""A model card as a STAC item of the machine learning model extension (MLM 1.5).

A card tells nothing of where and when a model may be used beyond its sentences, so the item covers
the whole Earth and, as the extension's best practices have it, all times. What a tiler needs
beyond the extension is kept twice: as hyperparameters, and with the ``swath:`` names of the card.
"""

from __future__ import annotations

import re
from typing import Any

from engine.contract.messages import ModelClass
from engine.models.card import ModelCard, ModelInput, ModelOutput
from engine.models.cardfile import card_to_json
from engine.models.mlm_values import activation_of, derived_band, scaling_of

STAC_VERSION = "1.1.0"
EXTENSION = "https://stac-extensions.github.io/{}/schema.json"
EXTENSIONS = (
    "mlm/v1.5.1",
    "raster/v1.1.0",
    "classification/v1.1.0",
    "file/v2.1.0",
    "scientific/v1.0.0",
)
EO = "eo/v2.0.0"
"""Only where a band has a name or wavelength that it knows: radar's have none."""
WORLD = (-180.0, -90.0, 180.0, 90.0)
ALL_TIMES = ("1900-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
COMMON_NAMES = frozenset(
    {"pan", "coastal", "blue", "green", "green05", "yellow", "red", "rededge", "rededge071"}
    | {"rededge075", "rededge078", "nir", "nir08", "nir09", "cirrus", "swir16", "swir22"}
    | {"lwir", "lwir11", "lwir12"}
)
"""Of STAC's eo extension."""
ARTIFACTS = {
    "onnx": "onnx",
    "torchscript": "torch.jit.save",
    "pt2": "torch.export.save",
    "safetensors": "safetensors.torch.save_file",
    "state_dict": "torch.save",
}
"""The extension's names of what wrote a file."""
DOI = re.compile(r"\b10\.[0-9a-zA-Z]{4,}/[^\s,;)]*[^\s,;.)]")
KEPT = ("swath:data_license", "swath:joining", "swath:tiling", "swath:not_for", "swath:metrics")
"""Fields of the card that stand in the item as they are."""

Json = dict[str, Any]


def mlm_item(card: ModelCard) -> Json:
    """The item; JSON that ``json.dumps`` takes."""
    data = card_to_json(card)
    bands = _bands(card)
    both = {"bands": bands, "raster:bands": [_raster_band(band) for band in bands]}
    known = any(key.startswith("eo:") for band in bands for key in band)
    west, south, east, north = WORLD
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [EXTENSION.format(e) for e in (*EXTENSIONS, *([EO] if known else []))],
        "id": card.id,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": list(WORLD),
        "properties": {
            **_description(card),
            **_model(card, data["mlm:framework"]),
            "mlm:input": [
                _input(given, told)
                for given, told in zip(card.inputs, data["mlm:input"], strict=True)
            ],
            "mlm:output": [_output(card.output, data["mlm:output"][0])],
            **{name: data[name] for name in KEPT if name in data},
        },
        "links": [{"rel": "cite-as", "href": f"https://doi.org/{doi}"} for doi in _dois(card)],
        "assets": {"model": {**_asset(card, data["assets"]["model"]), **both}},
    }


def _description(card: ModelCard) -> Json:
    start, end = ALL_TIMES
    simple = re.fullmatch(r"[\w.+-]+", card.license) is not None
    publications = [{"doi": doi} for doi in _dois(card)]
    return {
        "title": card.title,
        "description": card.summary,
        "datetime": None,
        "start_datetime": start,
        "end_datetime": end,
        "version": card.version,
        "license": card.license if simple else "other",  # STAC admits no expressions of several
        **({} if simple else {"swath:license": card.license}),
        "attribution": card.attribution,
        "sci:citation": card.citation,
        **({"sci:publications": publications} if publications else {}),
        "gsd": card.input.gsd,
    }


def _model(card: ModelCard, framework: str) -> Json:
    rule, output = card.tiling, card.output
    numbers = {
        "tile_size": rule.size,
        "tile_margin": rule.margin,
        "tile_stride": rule.stride,
        "tile_size_fixed": rule.fixed,
        "merge": card.merge,
        "activation": output.activation,
        **({} if output.threshold is None else {"threshold": output.threshold}),
    }
    return {
        "mlm:name": _name(card),
        "mlm:architecture": card.architecture or "unknown",
        "mlm:tasks": list(dict.fromkeys(card.tasks)),
        "mlm:framework": framework,
        "mlm:accelerator": None,
        "mlm:accelerator_constrained": False,
        "mlm:accelerator_summary": "Runs on any processor; a GPU makes it faster.",
        "mlm:hyperparameters": numbers,
    }


def _bands(card: ModelCard) -> list[Json]:
    """Every band that inputs and outputs name, once, as STAC 1.1 has them."""
    found: dict[str, Json] = {}
    for given in card.inputs:
        for number, name in enumerate(given.bands):
            found.setdefault(name, _band(given, number))
    for value in card.output.values:
        unit = {"unit": value.unit} if value.unit else {}
        found.setdefault(value.name, {"name": value.name, "data_type": "float32", **unit})
    return list(found.values())


def _band(given: ModelInput, number: int) -> Json:
    name = given.bands[number]
    return {
        "name": name,
        "gsd": given.gsd,
        **({"eo:common_name": name} if name in COMMON_NAMES else {}),
        **({"eo:center_wavelength": given.wavelengths[number]} if given.wavelengths else {}),
    }


def _raster_band(band: Json) -> Json:
    """The same in the older words, which are those that the extension looks for."""
    size = {"spatial_resolution": band["gsd"]} if "gsd" in band else {}
    return {name: band[name] for name in ("name", "data_type", "unit") if name in band} | size


def _input(given: ModelInput, told: Json) -> Json:
    low, high = given.valid_range
    kind = given.quantity.replace("_", " ")
    own = {name: value for name, value in told.items() if name.startswith("swath:")}
    own.pop("swath:transforms", None)
    return {
        "name": given.name,
        "description": f"{kind}, from {low:g} to {high:g}, at {given.gsd:g} m",
        "bands": [*given.bands, *map(derived_band, given.derived)],
        "input": _along_bands(told["input"]),
        **scaling_of(given),
        "resize_type": None,
        **own,
    }


def _output(output: ModelOutput, told: Json) -> Json:
    own = {name: value for name, value in told.items() if name.startswith("swath:")}
    if output.values:
        meaning: Json = {"bands": [value.name for value in output.values]}
        result = _along_bands(told["result"])
    else:
        meaning = {"classification:classes": [_class(c) for c in output.classes]}
        result = told["result"]
    common = {"name": told["name"], "tasks": list(dict.fromkeys(told["tasks"]))}
    return {**common, "result": result, **meaning, **activation_of(output), **own}


def _along_bands(array: Json) -> Json:
    """The extension calls the axis of named channels so."""
    axes = ["bands" if axis == "channel" else axis for axis in array["dim_order"]]
    return {**array, "dim_order": axes}


def _class(item: ModelClass) -> Json:
    """Names for machines are of the few characters that later versions of STAC allow."""
    name = re.sub("[^0-9A-Za-z]+", "-", item.name).strip("-").lower()
    return {
        "value": item.id,
        "name": name or f"class-{item.id}",
        "title": item.name,
        "description": item.name,
        "color_hint": item.color.lstrip("#").upper(),
    }


def _asset(card: ModelCard, told: Json) -> Json:
    kind = card.file.format
    return {
        **told,
        "title": f"{card.title}, {card.version}",
        "mlm:artifact_type": ARTIFACTS.get(kind, kind),
        **({"mlm:compile_method": "jit"} if kind == "torchscript" else {}),
    }


def _name(card: ModelCard) -> str:
    """The title, of the letters that the extension admits."""
    plain = " ".join(re.sub(r"[^A-Za-z0-9_.\s-]", " ", card.title).split())
    plain = plain.strip(" _.-") if re.match("[A-Za-z]", plain) else f"Model {plain}".strip(" _.-")
    return plain if len(plain) > 2 else f"Model {plain}"  # noqa: PLR2004 - its least length


def _dois(card: ModelCard) -> list[str]:
    return list(dict.fromkeys(DOI.findall(card.citation)))

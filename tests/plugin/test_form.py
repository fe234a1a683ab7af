import ast
import json
from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

from swath.engine.contract.errors import EngineError, ErrorCode
from swath.engine.contract.messages import InputSpec, NamedInput
from swath.plugin.catalogue import CLASS_MAPS, read_cards, title_of
from swath.plugin.processing.parameters import PROFILES
from swath.plugin.processing.request import (
    SegmentForm,
    parse_bands,
    profile_text,
    raster_source,
    segment_request,
)

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "bands"),
    [
        ("", {}),
        ("red=4", {"red": "4"}),
        (" red = 4 ,nir=B8A;blue=SR B2 ,", {"red": "4", "nir": "B8A", "blue": "SR B2"}),
        ("red=a=b", {"red": "a=b"}),
    ],
)
def test_bands_by_role(text, bands):
    assert parse_bands(text) == bands


@pytest.mark.parametrize("text", ["red", "=4", "red=", "red=4, nir"])
def test_bands_that_are_no_pairs_are_refused(text):
    with pytest.raises(EngineError, match="ROLE=BAND") as caught:
        parse_bands(text)
    assert caught.value.code is ErrorCode.REQUEST_INVALID


def test_the_sun_goes_with_a_profile():
    assert profile_text("landsat-c1-l1", 64.7436) == "landsat-c1-l1:sun_elevation=64.7436"
    assert profile_text("auto", None) == "auto"
    with pytest.raises(EngineError) as caught:
        profile_text("auto", 30.0)
    assert caught.value.code is ErrorCode.PROFILE_PARAMETER


def test_paths_are_absolute_and_existing_outputs_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    request = segment_request(SegmentForm(source="/data/in.tif", output="out.tif", vector="v.gpkg"))
    assert request.output.raster == str(tmp_path / "out.tif")
    assert request.output.vector == str(tmp_path / "v.gpkg")
    assert request.output.probability is None
    assert request.output.overwrite


@pytest.mark.parametrize(
    "outputs",
    [
        {"output": "in.tif"},
        {"output": "link.tif"},
        {"output": "out.tif", "probability": "out.tif"},
        {"output": "out.tif", "probability": "sub/../out.tif"},
    ],
)
def test_no_output_replaces_the_input_or_another_output(outputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.tif").write_text("")
    (tmp_path / "link.tif").symlink_to("in.tif")
    with pytest.raises(EngineError, match="same file") as caught:
        segment_request(SegmentForm(source=str(tmp_path / "in.tif"), **outputs))
    assert caught.value.code is ErrorCode.OUTPUT_UNWRITABLE


def test_no_output_replaces_a_further_input(tmp_path):
    other = NamedInput("after", InputSpec((str(tmp_path / "two.tif"),)))
    form = SegmentForm(source="/one.tif", output=str(tmp_path / "two.tif"), others=(other,))
    with pytest.raises(EngineError, match="same file as a further raster"):
        segment_request(form)


@pytest.mark.parametrize("suffix", ["", "|option:OVERVIEW_LEVEL=1", "|credential:AWS_REGION=x"])
def test_the_file_behind_a_layer(suffix, tmp_path):
    path = tmp_path / "ein Bild.tif"
    path.write_text("")
    assert raster_source("gdal", f"{path}{suffix}", "x") == str(path)


def test_places_on_the_network_stay_as_they_are():
    assert raster_source("gdal", "/vsicurl/https://a/b.tif", "x") == "/vsicurl/https://a/b.tif"


@pytest.mark.parametrize(
    ("provider", "source"), [("wms", "url=https://a"), ("gdal", 'NETCDF:"/a.nc":v')]
)
def test_layers_that_are_no_files_are_refused_with_a_way_out(provider, source):
    with pytest.raises(EngineError, match=r"my layer.*Save it as a GeoTIFF") as caught:
        raster_source(provider, source, "my layer")
    assert caught.value.code is ErrorCode.INPUT_UNREADABLE


def test_the_bundled_cards_can_be_chosen():
    folder = CHECKOUT / "resources" / "cards"
    cards, every = read_cards(folder, CLASS_MAPS), read_cards(folder)
    assert {c.id for c in every} == {
        json.loads(p.read_text("utf-8"))["id"] for p in folder.glob("*.json")
    }
    assert {c.id for c in cards} == {c.id for c in every if set(c.tasks) & set(CLASS_MAPS)}
    six = next(c for c in cards if c.id == "clouds-6band-l1c")
    assert six.bands == ("blue", "green", "red", "nir", "swir16", "swir22")
    assert title_of(cards, six.id) == six.title
    assert title_of(cards, "/models/my own.onnx") == "my own"


def test_what_is_no_card_is_passed_over(tmp_path):
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text('{"id": "x"}')
    (tmp_path / "list.json").write_text("[]")
    assert read_cards(tmp_path, CLASS_MAPS) == ()


def test_the_profiles_offered_are_the_engines():
    tree = ast.parse((CHECKOUT / "engine" / "io" / "profiles.py").read_text("utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    names = [c.args[0].value for c in calls if getattr(c.func, "id", "") == "Profile"]
    assert set(PROFILES) == {"auto", *names}

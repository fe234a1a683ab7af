import hashlib
import json
import subprocess
from pathlib import Path

import pyogrio
import pytest
import rasterio

MODEL_FILE = Path(__file__).with_name("clouds_dissolved.model3")


def run(headless, algorithm, **parameters):
    words = [f"{name}={value}" for name, value in parameters.items()]
    return headless("--json", "run", algorithm, "--", *words)


def results_of(done):
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout[done.stdout.index("{") :])["results"]


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_the_algorithms_are_listed_without_an_engine(headless):
    done = headless("list", SWATH_ENGINE="/nowhere")
    assert "swath:segment" in done.stdout
    assert "swath:installmodel" in done.stdout
    assert "error loading plugin" not in done.stderr


def test_help_names_every_parameter(headless):
    text = headless("help", "swath:segment").stdout
    names = ("INPUT", "MODEL", "EXTENT", "MASK", "PROFILE", "OUTPUT", "VECTOR", "PROBABILITY")
    assert all(f"{name}:" in text for name in names)


def test_the_same_bytes_from_qgis_and_from_the_command_line(headless, place, engine):
    by_qgis, by_hand = place.folder / "by qgis.tif", place.folder / "by hand.tif"
    results = results_of(
        run(
            headless,
            "swath:segment",
            INPUT=place.scene,
            OUTPUT=by_qgis,
            VECTOR=place.folder / "v.gpkg",
        )
    )
    assert results["MODEL_USED"] == "clouds-6band-l1c"
    assert results["PIXELS"] == 90000
    assert Path(results["AREAS"]).read_text("utf-8").count("\n") == 4
    command = [engine, "-I", "-m", "engine.cli", "segment", str(place.scene), str(by_hand)]
    state = {"SWATH_STATE": str(place.state), "PATH": "/usr/bin:/bin"}
    subprocess.run(command, check=True, env=state, capture_output=True)
    assert digest(by_qgis) == digest(by_hand)
    with rasterio.open(by_qgis) as made, rasterio.open(place.scene) as scene:
        assert (made.crs, made.transform, made.shape) == (scene.crs, scene.transform, scene.shape)


def test_a_model_chains_it_with_an_algorithm_of_qgis(headless, place):
    classes, dissolved = place.folder / "classes.tif", place.folder / "dissolved.gpkg"
    words = {"segment:Classes": classes, "dissolve:Dissolved": dissolved}
    results_of(run(headless, str(MODEL_FILE), scene=place.scene, **words))
    _, _, _, (names,) = pyogrio.raw.read(dissolved, columns=["class_name"], read_geometry=False)
    assert sorted(names) == ["clear", "cloud", "shadow"]
    with rasterio.open(classes) as made:
        assert made.nodata == 255


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"BANDS": "nir=9"}, "9"),
        ({"EXTENT": "0,10,0,10 [EPSG:32632]"}, "outside the raster"),
        ({"VECTOR": "polygons.shp"}, "gpkg"),
        ({"PROFILE": "landsat-c1-l1"}, "sun_elevation"),
    ],
)
def test_bad_input_is_one_sentence_and_no_file(headless, place, bad, sentence):
    output = place.folder / "out.tif"
    done = run(headless, "swath:segment", INPUT=place.scene, OUTPUT=output, **bad)
    said = done.stderr + done.stdout
    assert done.returncode != 0
    assert sentence in said
    assert "Traceback" not in said
    assert not output.exists()


def test_without_an_engine_the_run_says_what_to_do(headless, place, outside):
    if outside:
        pytest.skip("an engine runs already")
    done = headless(
        *("run", "swath:segment", "--", f"INPUT={place.scene}", f"OUTPUT={place.folder}/o.tif"),
        SWATH_ENGINE="/nowhere/python",
    )
    assert done.returncode != 0
    assert "/nowhere/python" in done.stderr + done.stdout

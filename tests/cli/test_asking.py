import sys
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cli import asking
from engine.contract.errors import EngineError

numbers = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    "uri", ["/vsizip/a.zip/b.tif", "/vsicurl/https://x/y.tif", "s3://x/y.tif", "https://x/y"]
)
def test_what_is_not_of_the_file_system_stays_as_it_is(uri):
    assert asking.absolute(uri) == uri


def test_paths_are_made_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert asking.absolute("Küste 1.tif") == str(tmp_path / "Küste 1.tif")
    assert asking.vector_reference("a b.gpkg|layername=c") == f"{tmp_path / 'a b.gpkg'}|layername=c"
    assert asking.model_reference("m/net.onnx") == str(tmp_path / "m" / "net.onnx")
    assert asking.model_reference("clouds-6band-l1c") == "clouds-6band-l1c"


@pytest.mark.skipif(sys.platform == "win32", reason="homes differ")
def test_the_home_folder_is_known(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ä")
    assert asking.absolute("~/x.tif") == "/home/ä/x.tif"


def test_patterns_that_the_shell_left_are_filled_in(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("b2.tif", "b1.tif", "other.txt"):
        Path(name).touch()
    found = asking.input_uris(["*.tif", "/vsicurl/https://x/*.tif", "missing*.tif"])
    names = ["b1.tif", "b2.tif"]
    assert found[:2] == tuple(str(tmp_path / name) for name in names)
    assert found[2] == "/vsicurl/https://x/*.tif"
    assert found[3] == str(tmp_path / "missing*.tif")


@pytest.mark.parametrize(
    ("texts", "bands"),
    [
        ([], {}),
        (["blue=2,green=3"], {"blue": "2", "green": "3"}),
        (["blue=2", "green=3"], {"blue": "2", "green": "3"}),
        (["blue=a,b.tif,nir=c d.tif"], {"blue": "a,b.tif", "nir": "c d.tif"}),
        (["red=B04=10m.tif"], {"red": "B04=10m.tif"}),
    ],
)
def test_bands_by_role(texts, bands):
    assert asking.bands_by_role(texts) == bands


@pytest.mark.parametrize("text", ["blue", "=2", "blue=", ""])
def test_bands_without_a_role_are_refused(text):
    with pytest.raises(EngineError, match="--bands"):
        asking.bands_by_role([text])


@given(st.tuples(numbers, numbers, numbers, numbers), st.booleans())
def test_an_extent_is_understood_in_one_word_or_four(bounds, equals):
    text = ",".join(map(repr, bounds))
    words = [f"--bounds={text}"] if equals else ["--bounds", text]
    separate = ["--bounds", *map(repr, bounds)]
    assert asking.split_bounds(["a", *words, "b"]) == ["a", *separate, "b"]
    assert asking.split_bounds(["a", *separate, "b"]) == ["a", *separate, "b"]


def test_words_after_two_dashes_are_files():
    words = ["--", "--bounds", "1,2,3,4"]
    assert asking.split_bounds(words) == words


@given(st.integers(0, 999), st.sampled_from("smhdw"))
def test_times_are_read(number, unit):
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[unit]
    assert asking.duration(f"{number}{unit}") == timedelta(seconds=number * seconds)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("calibrate p --predictors a b -o c", "calibrate p --predictors a --predictors b -o c"),
        ("calibrate p --predictors a --predictors b", None),
        ("calibrate p --predictors a --field f x", None),
        ("calibrate --predictors a -- b c", None),
        ("apply a b --predictors", None),
    ],
)
def test_predictors_may_follow_each_other(typed, meant):
    assert asking.repeated(typed.split()) == (meant or typed).split()

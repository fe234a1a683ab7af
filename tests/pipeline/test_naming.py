"""A raster without a name is the input that the model's card lacks, or is refused."""

import dataclasses

import pytest

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec, ModelClass, NamedInput
from engine.geo.tiling import TileRule
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput
from engine.pipeline.naming import naming_notes, with_names


def card(*inputs):
    """With inputs written as ``after``, ``prior?`` (optional) or ``image 1-12`` (a series)."""
    return ModelCard(
        id="two",
        version="1",
        title="Two",
        summary="",
        tasks=("semantic-segmentation",),
        inputs=tuple(map(described, inputs)),
        tiling=TileRule(64, 0, 1),
        merge="crop",
        output=ModelOutput((ModelClass(0, "a", "#000000"), ModelClass(1, "b", "#ffffff"))),
        file=ModelFile("file:///x.onnx", "0" * 64, 1, "onnx"),
        license="CC0-1.0",
        attribution="",
        citation="",
    )


def described(text):
    name, _, dates = text.partition(" ")
    plain = ModelInput(("red",), "raw", (0, 1), (), 10, (1, 100), name=name.rstrip("?"))
    span = tuple(map(int, dates.split("-"))) if dates else None
    return dataclasses.replace(plain, is_optional=name.endswith("?"), dates=span)


def rasters(names):
    return [NamedInput(n, InputSpec((f"/data/{i}.tif",))) for i, n in enumerate(names)]


@pytest.mark.parametrize(
    ("inputs", "given", "found"),
    [
        (["before", "after"], [""], ["after"]),
        (["before", "after", "prior?"], [""], ["after"]),
        (["before", "after", "prior"], ["", ""], ["after", "prior"]),
        (["before", "after", "prior"], ["", "after"], ["prior", "after"]),
        (["before", "after", "prior?"], ["after", ""], ["after", "prior"]),
        (["image 1-12"], ["", "", ""], ["image"] * 3),
        (["image 2-2", "height?"], [""], ["image"]),
        (["image 1-12", "height?"], ["height", "", ""], ["height", "image", "image"]),
        (["before", "after"], ["after"], ["after"]),
        (["before", "after"], ["", ""], ["after", "after"]),
        (["image"], [], []),
    ],
)
def test_names_that_only_one_way_is_open_for(inputs, given, found):
    named = with_names(card(*inputs), rasters(given))
    assert [one.name for one in named] == found
    assert [one.input for one in named] == [one.input for one in rasters(given)]


@pytest.mark.parametrize(
    ("inputs", "count", "says"),
    [
        (["image"], 1, "room for none"),
        (["before", "after", "prior?"], 2, "room for after, prior"),
        (["image 1-12", "height?"], 1, "room for image, height"),
        (["image 2-12", "prior"], 5, "room for image, prior"),
    ],
)
def test_what_is_not_clear_is_refused(inputs, count, says):
    with pytest.raises(EngineError, match=says) as caught:
        with_names(card(*inputs), rasters([""] * count))
    assert caught.value.code is ErrorCode.REQUEST_INVALID
    assert "--with NAME=FILE" in caught.value.hint


def test_the_user_reads_what_was_found():
    given = rasters(["after", ""])
    notes = naming_notes(given, with_names(card("before", "after", "prior"), given))
    assert notes == ("1.tif is taken as the model's input «prior».",)

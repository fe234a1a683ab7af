"""The command on a page asks for the very run that the page is about."""

import shlex
from dataclasses import replace

import pytest

from engine.cli.__main__ import main
from engine.contract.messages import (
    ChangeOptions,
    InputSpec,
    NamedInput,
    OutputSpec,
    PolygonOptions,
    Region,
    SegmentRequest,
    TaskName,
)
from engine.jobs.store import JobStore
from engine.models.catalogue import load_catalogue
from engine.pipeline.command import can_tell, command_of

CARD = next(card for card in load_catalogue() if card.id == "clouds-6band-l1c")
BANDS = {"red": "3", "nir": "B 8"}


@pytest.fixture
def asked(monkeypatch, state):
    """The submission that a command makes."""
    made = []

    def create(_store, submission, *_):
        made.append(submission)
        raise SystemExit

    monkeypatch.setenv("SWATH_STATE", str(state))
    monkeypatch.setattr(JobStore, "create", create)

    def ask(command):
        words = shlex.split(command)
        assert words[0] == "swath"
        with pytest.raises(SystemExit):
            main(words[1:])
        return made.pop()

    return ask


def files(folder, *names):
    for name in names:
        (folder / name).write_text("")
    return [str(folder / name) for name in names]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"change": ChangeOptions("cva", threshold=3.25)},
        {"change": ChangeOptions("logratio", false_alarm=1e-05)},
        {"clouds": "ignore", "change": ChangeOptions("classes"), "model": "scenes"},
        {"coregister": True, "device": "cuda:1", "precision": "fast", "memory": 900},
        {"change": None, "model": "clouds-6band-l1c"},
        {"region": Region((-5.5, 10.25, 1e-07, 70.0), "EPSG:4326", None)},
        {"polygons": PolygonOptions(900.5, 10.0, 2.0)},
    ],
)
def test_changes(changes, asked, tmp_path):
    one, two, out, html = files(tmp_path, "a b.tif", "é'\"$.tif", "o.tif", "o.html")
    spec = InputSpec((one,), "reflectance", BANDS, 0.0, 10.0, date="2021-06-01")
    after = replace(spec, uris=(two,), profile="raw", date="2022-06-02")
    request = SegmentRequest(
        spec,
        OutputSpec(out, report=html, vector=str(tmp_path / "v.gpkg"), overwrite=True),
        others=(NamedInput("after", after),),
        change=ChangeOptions(),
        clouds="mask",
    )
    request = replace(request, **changes)
    assert can_tell(request)
    found = asked(command_of(request, CARD))
    assert found.task is TaskName.CHANGE
    assert found.request == request


def test_changes_with_more_than_two_scenes(asked, tmp_path):
    one, two, three, prior = files(tmp_path, "1.tif", "2.tif", "3.tif", "map.tif")
    spec = InputSpec((one,), "decibel", {"vv": "1"})
    after, also = (
        NamedInput(n, replace(spec, uris=(f,))) for n, f in (("after", two), ("also", three))
    )
    request = SegmentRequest(
        spec,
        OutputSpec(str(tmp_path / "o.tif"), overwrite=True),
        others=(after, also),
        change=ChangeOptions("logratio"),
    )
    assert asked(command_of(request, CARD)).request == request
    earlier = NamedInput("", InputSpec((prior,), "raw"))
    request = replace(request, others=(after, earlier), change=None, model="dist-s1")
    assert can_tell(request)
    assert asked(command_of(request, CARD)).request == request


def test_scenes_of_one_date(asked, tmp_path):
    one, two, aoi = files(tmp_path, "B4.tif", "B8.tif", "field.gpkg")
    request = SegmentRequest(
        InputSpec((one, two), "landsat-c1-l1:sun_elevation=64.7", BANDS, date="2021-06-01"),
        OutputSpec(str(tmp_path / "o.tif"), probability=str(tmp_path / "p.tif"), overwrite=True),
        region=Region(aoi=f"{aoi}|layername=a b"),
        polygons=PolygonOptions(square=("big house", "shed")),
    )
    found = asked(command_of(request, CARD))
    assert found.task is TaskName.SEGMENT
    assert found.request == replace(request, model=CARD.id), "auto might choose another one"


def test_further_scenes_under_their_names(asked, tmp_path):
    one, two, picture = files(tmp_path, "a.tif", "b=c.tif", "q.png")
    request = SegmentRequest(
        InputSpec((one,), "reflectance"),
        OutputSpec(str(tmp_path / "o.tif"), overwrite=True),
        model=str(tmp_path / "m.onnx"),
        others=(
            NamedInput("prior", InputSpec((two,), "raw")),
            NamedInput("image", InputSpec((two,), "reflectance", date="2021-06-01")),
        ),
        query=picture,
    )
    found = asked(command_of(request, CARD))
    assert found.task is TaskName.APPLY
    assert found.request == request


def test_what_no_option_can_say_is_known():
    spec = InputSpec(("/a.tif",))
    other = NamedInput("prior", InputSpec(("/b.tif",), bands={"red": "1"}))
    request = SegmentRequest(spec, OutputSpec("/o.tif"), others=(other,))
    assert not can_tell(request)
    assert can_tell(replace(request, others=(replace(other, input=InputSpec(("/b.tif",))),)))
    after = replace(other, name="after")
    assert not can_tell(replace(request, others=(after,), change=ChangeOptions()))

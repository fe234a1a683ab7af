"""Clouds of two dates are found first, and leave no change behind."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from engine.contract.errors import CancelledError, EngineError, ErrorCode
from engine.contract.messages import (
    ChangeOptions,
    InputSpec,
    ModelClass,
    NamedInput,
    OutputSpec,
    SegmentRequest,
)
from engine.models import catalogue
from engine.models.cardfile import card_from_json
from engine.models.store import ModelStore
from engine.pipeline import cloud_models
from engine.pipeline.clouds import without_clouds
from engine.pipeline.planning import settled_plan
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

NAMES = ("clear", "cloud", "shadow")
CLOUD = (slice(20, 50), slice(130, 180))
PATCH = (slice(90, 120), slice(40, 80))
"""What changed."""


@pytest.fixture
def knowing(lab, monkeypatch):
    """A catalogue of one model, for which what is brighter than one half is a cloud."""
    card = card_from_json(json.loads(lab.card().read_text("utf-8")))
    classes = tuple(ModelClass(n, name, "#808080") for n, name in enumerate(NAMES))
    given = (replace(card.input, quantity="toa_reflectance"),)
    card = replace(card, id="clouds", inputs=given, output=replace(card.output, classes=classes))
    for module in (catalogue, cloud_models):
        monkeypatch.setattr(module, "load_catalogue", lambda: (card,))
    return card


def two_dates(lab, rows=0):
    """Dim ground, at the second date with a change and a cloud, moved down by some rows."""
    rng = np.random.default_rng(3)
    before = (0.1 + 0.2 * lab.data(150, 230)).astype(np.float32)
    after = (before + rng.normal(0, 0.002, before.shape)).astype(np.float32)
    after[(slice(None), *PATCH)] += 0.1
    after[(slice(None), *CLOUD)] = 0.9 + rng.normal(0, 0.02, (2, 30, 50))
    return lab.scene(before, "a.tif"), lab.scene(np.roll(after, rows, axis=1), "b.tif")


def asked(lab, before, after, name="out", clouds="mask", **changes):
    one, other = (InputSpec((str(path),), profile="reflectance") for path in (before, after))
    return SegmentRequest(
        one,
        OutputSpec(str(lab.folder / f"{name}.tif")),
        others=(NamedInput("after", other),),
        change=ChangeOptions("cva"),
        clouds=clouds,
        **changes,
    )


def compare(lab, request, store=None, work=None, report=None):
    """As a job does it."""
    store, report = store or lab.store, report or Silence()
    work = work or lab.folder / f"work {Path(request.output.raster).stem}"
    known = without_clouds(request, store, work, report)
    plan = settled_plan(known, store, work, store.install)
    run_plan(plan, store, work, report)
    with rasterio.open(request.output.raster) as source:
        return plan, source.read(1)


def assert_hidden(found, expected):
    """But for the corners of what is bright, where a mean of nine pixels is not."""
    assert ((found == 255) != expected).sum() <= 4


def hidden(shape=(150, 230)):
    found = np.zeros(shape, bool)
    found[CLOUD] = True
    return found


@pytest.mark.usefixtures("knowing")
def test_what_lies_below_clouds_has_no_result(lab):
    dates = two_dates(lab)
    plan, found = compare(lab, asked(lab, *dates))
    assert_hidden(found, hidden())
    changed = np.zeros(found.shape, bool)
    changed[PATCH] = True
    assert ((found == 1) == changed).mean() > 0.999
    share = 100 * (found == 255).mean()
    sentence = (
        f"Masked as clouds and their shadows by clouds 1: 0 % of the first date and {share:.3g} %"
    )
    assert any(note.startswith(sentence) for note in plan.notes)
    assert plan.preflight.has_data[1] < 1
    _, taken = compare(lab, asked(lab, *dates, name="taken", clouds="ignore"))
    assert (taken[CLOUD] == 1).mean() > 0.99


@pytest.mark.usefixtures("knowing")
def test_equal_runs_give_equal_bytes_in_any_folder(lab):
    dates = two_dates(lab)
    names = ("one", "two")
    for name in names:
        compare(lab, asked(lab, *dates, name=name), work=lab.folder / "somewhere" / name)
    one, two = ((lab.folder / f"{name}.tif").read_bytes() for name in names)
    assert one == two


class Stopping(Silence):
    """Cancels when the clouds of the second date are looked for."""

    def __init__(self):
        self.stages = []

    def progress(self, stage, done, _total, _unit):
        self.stages.append((stage, done))

    def cancelled(self):
        return self.stages.count(("clouds", 0)) > 1


@pytest.mark.usefixtures("knowing")
def test_a_run_that_was_stopped_among_the_clouds_goes_on(lab):
    request, work = asked(lab, *two_dates(lab)), lab.folder / "work"
    with pytest.raises(CancelledError):
        compare(lab, request, work=work, report=Stopping())
    assert not Path(request.output.raster).exists()
    first = work / "clouds/before.tif"
    written = first.stat().st_mtime_ns
    _, found = compare(lab, request, work=work)
    assert first.stat().st_mtime_ns == written, "the first date is not looked at again"
    assert_hidden(found, hidden())


@pytest.mark.usefixtures("knowing")
def test_the_mask_moves_with_a_scene_that_is_moved(lab):
    _, found = compare(lab, asked(lab, *two_dates(lab, rows=4), coregister=True))
    expected = hidden()
    expected[-4:] = True
    assert_hidden(found, expected)


def test_a_model_that_is_not_installed_is_named_and_not_fetched(lab, knowing, monkeypatch):
    far = replace(knowing, file=replace(knowing.file, uri="https://example.org/clouds.onnx"))
    monkeypatch.setattr(cloud_models, "load_catalogue", lambda: (far,))
    empty = ModelStore(lab.folder / "empty")
    plan, found = compare(lab, asked(lab, *two_dates(lab)), store=empty)
    assert not empty.is_installed(far)
    assert (found != 255).all()
    told = [note for note in plan.notes if "swath models install clouds" in note]
    assert ["first" in told[0], "second" in told[1]] == [True, True]


@pytest.mark.usefixtures("knowing")
def test_nothing_is_looked_for_where_no_model_fits(lab):
    dates = two_dates(lab)
    plain = asked(lab, *dates)
    unknown = replace(plain.input, profile="raw")
    second = NamedInput("after", replace(plain.others[0].input, profile="raw"))
    raw = replace(plain, input=unknown, others=(second,))
    assert without_clouds(raw, lab.store, lab.work, Silence()) is not None
    assert without_clouds(raw, lab.store, lab.work, Silence()) == raw
    assert not lab.work.exists()


@pytest.mark.usefixtures("knowing")
def test_what_cannot_be_written_is_refused_before_clouds_are_looked_for(lab):
    request = asked(lab, *two_dates(lab))
    Path(request.output.raster).write_bytes(b"mine")
    with pytest.raises(EngineError) as caught:
        without_clouds(request, lab.store, lab.work, Silence())
    assert caught.value.code is ErrorCode.OUTPUT_EXISTS
    assert not lab.work.exists()


# --- real clouds ---------------------------------------------------------------------------------

BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
SENTINEL = [1, 2, 3, 7, 11, 12]
PLANTED = [(slice(60, 90), slice(40, 80)), (slice(230, 250), slice(100, 140))]


@pytest.fixture
def cloudy(lab):
    """Sentinel-2 of Virginia, and the same under real clouds of another place, new ground in it.

    Returns:
        Both files, where the clouds and their shadows are by hand, and where the ground is new.
    """
    data = Path(os.environ.get("SWATH_SHARED") or Path(__file__).parents[3] / "shared") / "data"
    with rasterio.open(data / "s2_l1c_virginia/s2_l1c_20m_13b.tif") as source:
        before, profile = source.read()[SENTINEL].astype(np.float32) / 1e4, source.profile
    chip = np.load(data / "ukis_cloud/sentinel2.npz")
    part = (slice(96, 416), slice(192, 512))
    image, label = chip["img"].transpose(2, 0, 1)[:, *part], chip["msk"].squeeze()[part]
    rng = np.random.default_rng(0)
    after = 1.05 * before + 0.005 + rng.normal(0, 0.003, before.shape)
    new = np.zeros(label.shape, bool)
    for where in PLANTED:
        new[where] = True
    soil = np.array([0.14, 0.16, 0.2, 0.25, 0.3, 0.27])[:, None]
    after[:, new] = soil + rng.normal(0, 0.01, (6, new.sum()))
    after[:, label == 4] = image[:, label == 4]
    after[:, label == 0] *= 0.45
    paths = []
    for name, pixels in (("a.tif", before), ("b.tif", after)):
        path = lab.folder / name
        profile = {**profile, "count": 6, "dtype": "float32", "nodata": None}
        with rasterio.open(path, "w", **profile) as target:
            target.write(pixels.astype(np.float32))
            target.descriptions = BANDS
        paths.append(path)
    return (*paths, np.isin(label, (0, 4)), new)


@pytest.mark.shared
@pytest.mark.network
@pytest.mark.parametrize("method", ["irmad", "cva"])
def test_real_clouds_hide_change_and_are_no_change(method, lab, cloudy, capsys):
    before, after, clouds, new = cloudy
    chosen = os.environ.get("SWATH_TEST_MODELS")
    store = ModelStore(Path(chosen) if chosen else Path.home() / ".cache/swath/test-models")
    card = next(c for c in cloud_models.load_catalogue() if c.id == "clouds-6band-l1c")
    if not store.is_installed(card):
        store.install(card, lambda _done, _total: None, lambda: False)
    figures = {}
    for rule in ("ignore", "mask"):
        request = asked(lab, before, after, name=rule, clouds=rule)
        request = replace(request, change=ChangeOptions(method))
        _, found = compare(lab, request, store=store)
        false = ((found == 1) & ~new).mean()
        figures[rule] = (false, (found == 1)[new & ~clouds].mean())
    with capsys.disabled():
        for rule, (false, hits) in figures.items():
            print(f"\n{method}, clouds {rule}: false change {false:.2%}, planted found {hits:.0%}")  # noqa: T201
    assert figures["mask"][0] < 0.25 * figures["ignore"][0]
    assert figures["mask"][1] > 0.6 > figures["ignore"][1]

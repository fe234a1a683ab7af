"""Tile sizes are chosen for least time within memory."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.codec import to_plain
from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import OutputSpec, Region
from engine.geo.lattice import Lattice
from engine.geo.tiling import TileRule
from engine.geo.window import Window
from engine.models.measure import Measurement, Point
from engine.pipeline.plan import plan_from_json
from engine.pipeline.planning import make_plan, settled_plan
from engine.pipeline.sizing import ENGINE_MEMORY, MIB, choose_size, estimate, sentence

FREE = TileRule(2048, 32, 32, fixed=False)
WHOLE = Window(0, 0, 10_000, 10_000)


def measurement(seconds_per_pixel=1e-6, bytes_per_pixel=600, sizes=(256, 512, 1024, 2048)):
    points = [
        Point(s, seconds_per_pixel * s * s, round(2 * bytes_per_pixel * s * s)) for s in sizes
    ]
    return Measurement("0" * 64, "cpu", 2, tuple(points))


def chosen(memory_mib, **kwargs):
    lattice = Lattice(WHOLE.shape)
    return choose_size(FREE, lattice, WHOLE, measurement(**kwargs), memory_mib * MIB).size


def test_more_memory_gives_larger_tiles():
    assert [chosen(m) for m in (700, 1600, 6000)] == [512, 1024, 2048]


def test_a_model_that_is_slow_on_large_tiles_gets_small_ones():
    slow = Measurement("0" * 64, "cpu", 2, (Point(512, 0.1, 0), Point(1024, 0.9, 0)))
    assert choose_size(FREE, Lattice(WHOLE.shape), WHOLE, slow, 2**40).size == 512


def test_a_small_scene_gets_no_larger_tile_than_it_needs():
    small = Window(0, 0, 200, 240)
    rule = choose_size(FREE, Lattice(small.shape), small, measurement(), 2**40)
    assert rule.size == 256


def test_too_little_memory_is_said_to_be():
    with pytest.raises(EngineError) as caught:
        chosen(350)
    assert caught.value.code is ErrorCode.OUT_OF_MEMORY
    assert "--memory" in caught.value.hint


def test_a_fixed_size_stays():
    rule = TileRule(256, 32, 32)
    assert choose_size(rule, Lattice(WHOLE.shape), WHOLE, measurement(), 0) is rule


@given(st.integers(700, 8000), st.integers(100, 20_000), st.integers(100, 20_000))
def test_the_choice_fits_and_no_allowed_size_is_much_faster(memory, height, width):
    lattice, region = Lattice((height, width)), Window(0, 0, height, width)
    known = measurement()
    rule = choose_size(FREE, lattice, region, known, memory * MIB)
    cost = estimate(rule, lattice, region, known, 1)
    assert cost.memory <= memory * MIB
    for point in known.points:
        if ENGINE_MEMORY + point.memory <= memory * MIB:
            other = TileRule(point.size, 32, 32, fixed=False)
            assert cost.seconds <= 1.03 * estimate(other, lattice, region, known, 1).seconds


def test_the_estimate_counts_what_the_tiling_does():
    cost = estimate(FREE, Lattice(WHOLE.shape), WHOLE, measurement(), bands=2)
    assert cost.kept == 10**8
    assert cost.computed / cost.kept < 1.2
    assert cost.disk == 2 * 10**8
    assert cost.seconds == pytest.approx(cost.computed * 1e-6 / 2, rel=0.01)
    text = sentence(cost)
    assert "100 million pixels" in text
    assert "min" in text or " s," in text


def test_a_plan_is_settled_once_and_found_again(lab):
    request = lab.request(lab.scene(lab.data(300, 320)), lab.card())
    asked = []
    plan = settled_plan(request, lab.store, lab.work, asked.append)
    again = settled_plan(request, lab.store, lab.work, asked.append)
    assert again == plan == plan_from_json((lab.work / "plan" / "plan.json").read_text())
    assert [card.id for card in asked] == ["box", "box"]


def test_other_pixels_make_another_plan(lab):
    request = lab.request(lab.scene(lab.data(300, 320)), lab.card())
    plan = settled_plan(request, lab.store, lab.work, lambda _card: None)
    lab.scene(lab.data(300, 320, seed=1))
    assert settled_plan(request, lab.store, lab.work, lambda _card: None).digest != plan.digest


def test_a_model_of_free_size_is_measured_once_and_gives_the_same_pixels(lab, monkeypatch):
    scene = lab.scene(lab.data(700, 720))
    request = lab.request(scene, lab.card(TileRule(512, 4, 4, fixed=False)))
    plan = settled_plan(request, lab.store, lab.work, lambda _card: None)
    assert plan.recipe.rule.size in (256, 384, 512)
    (kept,) = (lab.store.root / "measurements").iterdir()
    found = json.loads(kept.read_text())
    assert [p["size"] for p in found["points"]] == [256, 512]
    assert all(p["seconds"] > 0 for p in found["points"])
    monkeypatch.setattr("engine.models.measure._measure_apart", None)
    settled_plan(request, lab.store, lab.folder / "other", lambda _card: None)
    outcome = lab.carry_out(plan)
    fixed = lab.run(scene, lab.card(TileRule(64, 4, 4)), "fixed")
    assert to_plain(outcome.summary.areas) == to_plain(fixed.summary.areas)


@pytest.mark.parametrize("role", ["folder", "aoi"])
def test_nothing_that_is_read_is_ever_replaced(lab, role):
    folder = lab.folder / "scene"
    folder.mkdir()
    scene = lab.scene(lab.data(80, 90), "scene/only.tif")
    mask = lab.folder / "mask.gpkg"
    mask.write_bytes(b"a layer of the user's")
    before = scene.read_bytes()
    output = {"overwrite": True}
    region = Region()
    if role == "aoi":
        output["vector"], region = str(mask), Region(aoi=str(mask))
    request = lab.request(folder, lab.card(), output=output, region=region)
    if role == "folder":
        request = replace(request, output=OutputSpec(str(scene), overwrite=True))
    with pytest.raises(EngineError) as caught:
        make_plan(request, lab.store)
    assert caught.value.code is ErrorCode.OUTPUT_UNWRITABLE
    assert "is an input of this run" in caught.value.message
    assert scene.read_bytes() == before


@pytest.mark.parametrize("wrong", [{"raster": "x.gpkg"}, {"vector": "x.tif"}])
def test_a_name_must_say_the_format_that_is_written(lab, wrong):
    request = lab.request(lab.scene(lab.data(80, 90)), lab.card())
    named = {role: str(lab.folder / name) for role, name in wrong.items()}
    with pytest.raises(EngineError) as caught:
        make_plan(replace(request, output=replace(request.output, **named)), lab.store)
    assert caught.value.code is ErrorCode.OUTPUT_UNWRITABLE

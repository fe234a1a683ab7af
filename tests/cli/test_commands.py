"""What there is besides segmenting."""

import json
import sys
import time

import pytest

from engine.cli.__main__ import main
from engine.cli.exits import NOT_THE_INPUT, exit_code
from engine.contract.errors import ErrorCode
from engine.contract.places import connection_path

HOSTILE = ("PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "GDAL_DRIVER_PATH")


def test_the_models_are_listed_and_shown(swath):
    table = swath("models", "list").out.splitlines()
    assert table[0].split()[:3] == ["id", "installed", "bands"]
    models = swath("models", "list", "--json").json["models"]
    assert len(models) == len(table) - 1
    for model in models:
        shown = swath("models", "show", model["id"])
        assert shown.code == 0
        assert (f"swath models install {model['id']}" in shown.out) != model["installed"]
        assert model["license"] in shown.out


@pytest.mark.parametrize("verb", ["show", "install", "measure"])
def test_an_unknown_model_is_answered_with_the_nearest(swath, verb):
    said = swath("models", verb, "clouds-6band-l1")
    assert (said.code, said.error) == (2, "MODEL_NOT_FOUND")
    assert "clouds-6band-l1c" in said.err


def test_a_model_is_measured_once_beside_its_card(swath, state, model):
    path = model(passes=2)
    said = swath("models", "measure", path)
    assert said.code == 0
    rows = [line.split() for line in said.out.splitlines()]
    assert ["margin", "for", "equal", "scores", "2", "4"] in rows
    assert ["stride", "1", "4"] in rows
    assert said.out.splitlines()[-1] == "The card's tiling is safe."
    kept = {p: p.stat().st_mtime_ns for p in (state / "models" / "measurements").iterdir()}
    found = swath("models", "measure", path, "--json").json
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert [point["size"] for point in found["speed"]["points"]] == [64]
    assert (found["field"]["margin"], found["field"]["stride"]) == (2, 1)
    assert (found["advice"]["merge"], found["advice"]["warnings"]) == ("crop", [])


def test_a_margin_that_is_too_small_is_warned_of(swath, model):
    path = model(passes=3).with_suffix(".json")
    card = json.loads(path.read_text(encoding="utf-8"))
    card["swath:tiling"]["margin"] = 0
    path.write_text(json.dumps(card), encoding="utf-8")
    said = swath("models", "measure", path)
    assert said.code == 0
    assert "warning: Seams will show: beyond the card's margin of 0, " in said.out


def test_what_cannot_be_measured_says_why(swath, model):
    said = swath("models", "measure", "clouds-6band-l1c")
    assert (said.code, said.error) == (2, "MODEL_NOT_INSTALLED")
    said = swath("models", "measure", model(), "--device", "abacus")
    assert (said.code, said.error) == (2, "DEVICE_UNAVAILABLE")
    assert said.out == ""


def test_the_doctor_finds_a_healthy_engine_ready(swath, state):
    said = swath("doctor")
    assert said.code == 0
    assert said.out.splitlines()[-1] == "READY"
    assert "BROKEN" not in said.out
    names = {f["name"]: f["text"] for f in swath("doctor", "--json").json["findings"]}
    assert {"python", "GDAL", "PROJ", "providers", "state folder", "disk", "engine"} <= set(names)
    assert str(state) in names["state folder"]
    assert "CPU" in names["providers"]


def test_the_doctor_says_what_to_do_about_a_broken_state_folder(swath, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("in the way", encoding="utf-8")
    said = swath("doctor", SWATH_STATE=str(blocked / "state"))
    assert said.code == 1
    assert said.out.splitlines()[-1] == "NOT READY"
    assert "SWATH_STATE" in said.out
    assert "Traceback" not in said.out + said.err


def test_the_environment_of_another_gis_does_no_harm(swath, tmp_path):
    wrong = tmp_path / "QGIS"
    wrong.mkdir()
    (wrong / "proj.db").write_bytes(b"of another version")
    said = swath("doctor", **dict.fromkeys(HOSTILE, str(wrong)))
    assert (said.code, said.out.splitlines()[-1]) == (0, "READY")


def test_serve_runs_is_seen_by_the_doctor_and_refuses_a_second(swath, start, state):
    server = start("serve", "--stay")
    while not connection_path(state).exists():
        assert server.poll() is None
        time.sleep(0.02)
    pid = json.loads(connection_path(state).read_text(encoding="utf-8"))["pid"]
    assert f"process {pid}" in swath("doctor").out
    second = swath("serve")
    assert (second.code, second.error) == (2, "STATE_LOCKED")
    server.terminate()
    server.communicate(timeout=20)
    if sys.platform != "win32":
        assert server.returncode == 0
        assert not connection_path(state).exists()


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_has_its_exit_code(code):
    expected = 1 if code in NOT_THE_INPUT else 2
    assert exit_code(code) == (130 if code is ErrorCode.CANCELLED else expected)


def test_a_defect_is_a_sentence_that_names_its_log(monkeypatch, state, capsys):
    def break_down(_):
        raise ZeroDivisionError("the secret of the defect")

    monkeypatch.setenv("SWATH_STATE", str(state))
    monkeypatch.setattr("engine.cli.asking.split_bounds", break_down)
    assert main(["jobs", "list"]) == 1
    said = capsys.readouterr().err
    log = state / "logs" / "swath.log"
    assert said.startswith("error INTERNAL: ")
    assert str(log) in said
    assert "secret" not in said
    assert "the secret of the defect" in log.read_text(encoding="utf-8")


@pytest.mark.network
def test_the_demo_shows_clouds(swath, tmp_path):
    said = swath("demo", tmp_path / "demo")
    assert said.code == 0
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"clouds.tif", "clouds.gpkg", "clouds_probability.tif", "clouds.png"} <= names
    assert str(tmp_path / "demo" / "clouds.png") in said.out

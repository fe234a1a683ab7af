"""The main job from a terminal."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
import requests
import shapely

from engine.contract.codec import to_plain
from engine.contract.messages import JobState
from engine.contract.places import connection_path
from engine.jobs.store import JobStore

ON_POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def segment(swath, model):
    """Segment with the small model."""

    def call(*words, then=(), **variables):
        how = ("--model", model(), "--input-profile", "reflectance", *then)
        return swath("segment", *words, *how, **variables)

    return call


def classes(path):
    with rasterio.open(path) as raster:
        return raster.read(1)


def left(folder):
    """Names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def test_a_scene_becomes_a_map_a_table_and_a_list_of_files(segment, scene, tmp_path):
    out = tmp_path / "Klassen ü.tif"
    said = segment(scene(), out)
    assert said.code == 0
    found = classes(out)
    assert (found[0] == 255).all()
    assert (found[1:, :98] == 1).all()
    assert (found[1:, 102:] == 2).all()
    lines = said.out.splitlines()
    assert "class" in lines[1]
    assert "red" in lines[2]
    assert "14,900" in lines[2]
    assert "50.00 %" in lines[2]
    assert any(line.split() == ["raster", *str(out).split()] for line in lines)


def test_progress_and_notes_are_plain_lines_on_stderr(segment, scene, tmp_path):
    said = segment(scene(), tmp_path / "out.tif")
    lines = said.err.splitlines()
    assert any(line.startswith("Model: Mean") for line in lines)
    assert any("reflectance" in line for line in lines)
    progress = [line for line in lines if line.startswith("segment ")]
    assert progress[-1].startswith("segment 100 % ")
    assert progress[-1].endswith(" tiles")
    assert "\x1b" not in said.err
    assert "\r" not in said.err


def test_json_is_the_finished_job_and_nothing_else(segment, scene, tmp_path):
    out, vector = tmp_path / "out.tif", tmp_path / "out.gpkg"
    probability = tmp_path / "p.tif"
    job = segment(scene(), out, "--vector", vector, "--probability", probability, "--json").json
    assert (job["state"], job["error"]) == ("succeeded", None)
    uris = {a["role"]: a["uri"] for a in job["artifacts"]}
    assert uris["raster"] == str(out)
    assert uris["vector"] == str(vector)
    assert uris["probability"] == str(probability)
    assert sum(a["pixels"] for a in job["summary"]["areas"]) == 149 * 200
    assert job["summary"]["areas"][0]["area_m2"] == pytest.approx(1_490_000, rel=2e-3)


@ON_POSIX
def test_a_terminal_gets_moving_bars(model, scene, environment, tmp_path):
    import pty  # noqa: PLC0415 - POSIX only

    ours, theirs = pty.openpty()
    words = ["segment", str(scene()), str(tmp_path / "out.tif"), "--model", str(model())]
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "engine.cli", *words, "--input-profile", "reflectance"],
        env={**environment, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # Linux' way to say that the other end is closed
        while piece := os.read(ours, 4096):
            seen += piece
    os.close(ours)
    assert process.communicate(timeout=60)[0].count(b"raster") == 1
    assert process.returncode == 0
    assert b"segment" in seen
    assert b"100%" in seen
    assert b"\x1b[" in seen


def test_quiet_says_nothing(segment, scene, tmp_path):
    said = segment(scene(), tmp_path / "out.tif", "-q")
    assert (said.code, said.out, said.err) == (0, "", "")


def test_relative_paths_are_of_the_users_folder(segment, scene, tmp_path):
    scene("in.tif")
    assert segment("in.tif", "out.tif").code == 0
    assert (tmp_path / "out.tif").exists()


def test_nothing_is_overwritten_unless_told(segment, scene, tmp_path):
    out = tmp_path / "out.tif"
    out.write_text("precious", encoding="utf-8")
    source = scene()
    said = segment(source, out)
    assert (said.code, said.error) == (2, "OUTPUT_EXISTS")
    assert out.read_text(encoding="utf-8") == "precious"
    assert segment(source, out, "--overwrite").code == 0
    assert classes(out).shape == (150, 200)


def test_equal_runs_give_equal_bytes(segment, scene, tmp_path):
    source = scene()
    for name in ("a.tif", "b.tif"):
        assert segment(source, tmp_path / name, "-q").code == 0
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def post(connection, path, body):
    headers = {"X-Swath-Token": connection["token"]}
    answer = requests.post(f"{connection['url']}/v1{path}", json=body, headers=headers, timeout=30)
    assert answer.ok, answer.text
    return answer.json()


@pytest.fixture
def connection(start, state):
    """A running engine's connection file."""
    server = start("serve", "--stay")
    while not connection_path(state).exists():
        assert server.poll() is None
        time.sleep(0.02)
    yield json.loads(connection_path(state).read_text(encoding="utf-8"))
    server.terminate()
    server.communicate(timeout=20)


def finished(state, job_id):
    jobs, deadline = JobStore(state), time.monotonic() + 60
    while not jobs.get(job_id).state.is_final and time.monotonic() < deadline:
        time.sleep(0.05)
    job = jobs.get(job_id)
    jobs.close()
    return job


def test_the_server_gives_the_same_bytes(segment, connection, model, scene, tmp_path):
    source = scene()
    said = segment(source, tmp_path / "a.tif", "--json")
    request = {
        "input": {"uris": [str(source)], "profile": "reflectance"},
        "output": {"raster": str(tmp_path / "b.tif")},
        "model": str(model()),
    }
    job = post(connection, "/jobs", {"task": "segment", "request": request})
    done = finished(tmp_path / "Zustand ä", job["id"])
    assert done.state is JobState.SUCCEEDED, done.error
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert to_plain(done.summary.areas) == said.json["summary"]["areas"]


@pytest.mark.parametrize("one_word", [True, False])
def test_only_an_extent(segment, scene, tmp_path, one_word):
    values = ["500100", "4999000", "500300", "4999500"]
    words = [",".join(values)] if one_word else values
    assert segment(scene(), tmp_path / "out.tif", "--bounds", *words).code == 0
    with rasterio.open(tmp_path / "out.tif") as raster:
        assert raster.bounds == (500100, 4999000, 500300, 4999500)


def test_only_inside_polygons(segment, scene, tmp_path):
    polygon = shapely.box(500_400, 4_999_000, 500_600, 4_999_500)
    aoi = tmp_path / "Gebiet ö.geojson"
    collection = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}},
        "features": [
            {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(polygon)}
        ],
    }
    aoi.write_text(json.dumps(collection), encoding="utf-8")
    assert segment(scene(), tmp_path / "out.tif", "--aoi", aoi).code == 0
    found = classes(tmp_path / "out.tif")
    assert (found != 255).sum() == 20 * 50


def test_another_extent_crs(segment, scene, tmp_path):
    words = ("--bounds", "9.001,45.145,9.01,45.15", "--bounds-crs", "EPSG:4326")
    assert segment(scene(), tmp_path / "out.tif", *words).code == 0
    with rasterio.open(tmp_path / "out.tif") as raster:
        assert 500_000 < raster.bounds.left < 500_200
        assert raster.width < 100


def test_an_image_without_georeference_runs_and_says_so(segment, scene, tmp_path):
    photo = scene("photo.tif", crs=None, transform=rasterio.Affine.identity())
    said = segment(photo, tmp_path / "out.tif")
    assert said.code == 0
    assert "georeference" in said.err
    assert "km²" not in said.out


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def text(path):
    path.write_text("This is no raster.", encoding="utf-8")
    return path


def rotated(scene):
    turned = rasterio.Affine(10, 2, 500_000, 2, -10, 5_000_000)
    return scene("rotated.tif", transform=turned)


def bad_file(name, scene, folder):
    """A file that cannot be segmented."""
    made = {
        "missing": lambda: folder / "none.tif",
        "text": lambda: text(folder / "text.tif"),
        "truncated": lambda: truncate(scene()),
        "rotated": lambda: rotated(scene),
        "one band": lambda: scene(count=1),
    }
    return made[name]()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("missing", "INPUT_NOT_FOUND"),
        ("text", "INPUT_UNREADABLE"),
        ("truncated", "INPUT_UNREADABLE"),
        ("rotated", "INPUT_ROTATED"),
        ("one band", "BAND_MISSING"),
    ],
)
def test_a_bad_file_is_a_sentence_and_leaves_no_file(segment, scene, tmp_path, name, code):
    folder = tmp_path / "results"
    folder.mkdir()
    said = segment(bad_file(name, scene, tmp_path), folder / "out.tif")
    assert (said.code, said.error, said.out) == (2, code, "")
    assert left(folder) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--bounds", "0,0,1,1"], "EXTENT_OUTSIDE"),
        (["--bounds", "5,5,5,5"], "EXTENT_INVALID"),
        (["--aoi", "none.gpkg"], "MASK_UNREADABLE"),
        (["--input-profile", "mars"], "PROFILE_UNKNOWN"),
        (["--model", "none"], "MODEL_NOT_FOUND"),
        (["--device", "cuda:99"], "DEVICE_UNAVAILABLE"),
        (["--probability", "no/p.tif"], "OUTPUT_UNWRITABLE"),
    ],
)
def test_a_bad_option_is_a_sentence_and_leaves_no_file(segment, scene, tmp_path, words, code):
    folder = tmp_path / "results"
    folder.mkdir()
    said = segment(scene(), folder / "out.tif", then=words)
    assert (said.code, said.error, said.out) == (2, code, "")
    assert left(folder) == []


def test_a_word_that_is_no_device_is_refused_before_there_is_a_job(segment, swath, scene, tmp_path):
    said = segment(scene(), tmp_path / "out.tif", then=["--device", "foo"])
    assert (said.code, said.error) == (2, "DEVICE_UNAVAILABLE")
    assert "«foo» is not a device" in said.err
    assert swath("jobs", "list", "--json").json["jobs"] == []


def test_a_fast_run_is_one_or_says_that_it_is_none(segment, scene, tmp_path):
    said = segment(scene(), tmp_path / "out.tif", "--precision", "fast", "--device", "cpu")
    assert said.code == 0
    is_told = "although --precision fast was asked for" in said.err
    device = "cpu" if is_told else "cpu (bfloat16 by OpenVINO"
    item = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert item["properties"]["swath:device"].startswith(device)
    assert item["properties"]["swath:options"]["precision"] == ("exact" if is_told else "fast")


def test_a_model_that_was_changed_is_refused(swath, model, scene, tmp_path):
    net = model()
    data = bytearray(net.read_bytes())
    data[-1] ^= 1
    net.write_bytes(data)
    words = ("--model", net, "--input-profile", "reflectance")
    said = swath("segment", scene(), tmp_path / "out.tif", *words)
    assert (said.code, said.error) == (2, "MODEL_HASH_MISMATCH")
    assert not (tmp_path / "out.tif").exists()


def test_an_output_folder_that_is_not_there_is_refused(segment, scene, tmp_path):
    said = segment(scene(), tmp_path / "nowhere" / "out.tif")
    assert (said.code, said.error) == (2, "OUTPUT_UNWRITABLE")


def test_a_failed_job_is_json_too(segment, tmp_path):
    said = segment(tmp_path / "none.tif", tmp_path / "out.tif", "--json")
    assert said.code == 2
    assert said.json["state"] == "failed"
    assert said.json["error"]["code"] == said.error == "INPUT_NOT_FOUND"


def test_an_unusable_state_folder_is_a_sentence(segment, scene, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("in the way", encoding="utf-8")
    said = segment(scene(), tmp_path / "out.tif", SWATH_STATE=str(blocked / "state"))
    assert (said.code, said.error) == (2, "STATE_UNUSABLE")


@pytest.fixture
def long_run(start, model, scene, tmp_path):
    """A run that takes a while, stopped in the middle of its tiles."""
    folder = tmp_path / "results"
    folder.mkdir()
    how = ("--model", model(400), "--input-profile", "reflectance")
    source = scene("big.tif", height=3000, width=3000)
    process = start("segment", source, folder / "out.tif", *how)
    while not process.stderr.readline().startswith("segment"):
        assert process.poll() is None
    return process, folder


@ON_POSIX
@pytest.mark.parametrize(
    ("number", "state"), [(signal.SIGINT, "cancelled"), (signal.SIGTERM, "interrupted")]
)
def test_being_stopped_leaves_nothing_half_written(long_run, swath, number, state):
    process, folder = long_run
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert "Stopping" in err
    assert "error CANCELLED: " in err
    assert "Traceback" not in err
    assert left(folder) == []
    assert swath("jobs", "list", "--json").json["jobs"][0]["state"] == state


@ON_POSIX
def test_a_job_is_cancelled_from_another_terminal(long_run, swath):
    process, folder = long_run
    job = swath("jobs", "list", "--json").json["jobs"][0]
    assert job["state"] == "running"
    started = time.monotonic()
    assert swath("jobs", "cancel", job["id"]).code == 0
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - started < 10
    assert left(folder) == []


@ON_POSIX
def test_a_killed_run_can_be_resumed(long_run, swath, state):
    process, folder = long_run
    process.kill()
    process.communicate()
    job = swath("jobs", "list", "--json").json["jobs"][0]
    assert (job["state"], job["error"]["code"]) == ("interrupted", "WORKER_DIED")
    row = swath("jobs", "list").out.splitlines()[1]
    assert re.search(r"interrupted .* segment \d+ %, can be resumed until \d{4}-\d\d-\d\d", row)
    shown = swath("jobs", "show", job["id"]).out
    assert f"swath jobs resume {job['id']}" in shown
    assert str(state / "jobs" / job["id"]) in shown
    small = state / "jobs.sqlite"
    with sqlite3.connect(small) as db:  # the rest of the run, made short for the test
        plain = json.loads(db.execute("SELECT request FROM jobs").fetchone()[0])
        plain["region"]["bounds"] = [500_000, 4_999_000, 501_000, 5_000_000]
        db.execute("UPDATE jobs SET request = ?", (json.dumps(plain),))
    db.close()
    said = swath("jobs", "resume", job["id"], "--json")
    assert (said.code, said.json["id"], said.json["state"]) == (0, job["id"], "succeeded")
    assert np.isin(classes(folder / "out.tif"), (1, 2, 255)).all()


def test_jobs_are_remembered_shown_and_forgotten(segment, swath, scene, tmp_path):
    assert segment(scene(), tmp_path / "out.tif", "-q").code == 0
    assert segment(tmp_path / "none.tif", tmp_path / "b.tif", "-q").code == 2
    failed, done = swath("jobs", "list", "--json").json["jobs"]
    table = swath("jobs", "list").out.splitlines()
    assert [line.split()[1] for line in table] == ["state", "failed", "succeeded"]
    shown = swath("jobs", "show", done["id"]).out
    assert str(tmp_path / "out.tif") in shown
    assert "INPUT_NOT_FOUND" in swath("jobs", "show", failed["id"]).out
    nothing = {"forgotten": [], "freed_bytes": 0}
    assert swath("jobs", "clean", "--json").json == nothing
    assert len(swath("jobs", "clean", "--all", "--json").json["forgotten"]) == 2
    assert swath("jobs", "list", "--json").json == {"jobs": []}
    assert (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("verb", ["show", "cancel", "resume"])
def test_an_unknown_job_is_bad_input(swath, verb):
    said = swath("jobs", verb, "none")
    assert (said.code, said.error) == (2, "JOB_NOT_FOUND")

"""The page about a run, from the request to the file that a person opens."""

import base64
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import rasterio
import scipy.ndimage
from PIL import Image
from rasterio.transform import from_origin

from engine.contract.errors import CancelledError, EngineError, ErrorCode
from engine.contract.messages import (
    ChangeOptions,
    InputSpec,
    JobState,
    ModelClass,
    NamedInput,
    OutputSpec,
    PolygonOptions,
    SegmentRequest,
    Submission,
    TaskName,
)
from engine.io.pam import pam_xml
from engine.io.stac_input import is_stac_item
from engine.jobs.run import run_job
from engine.jobs.store import JobStore
from engine.pipeline import page
from engine.pipeline.planning import settled_plan
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

VICTIM = Path(__file__).parent / "victim.py"
EVIL = "<script>alert(1)</script> & $x^2$"
SMALL = 600_000
"""Bytes of a page with three pictures."""


class Reader(HTMLParser):
    """What is on a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts, self.images = [], [], []
        self.feed(path.read_text("utf-8"))
        self.text = " ".join(self.texts)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_data(self, data):
        self.texts.append(" ".join(data.split()))

    @property
    def photos(self):
        sources = [i["src"] for i in self.images if "svg" not in i["src"][:30]]
        return [Image.open(io.BytesIO(base64.b64decode(s.partition(",")[2]))) for s in sources]

    @property
    def drawings(self):
        sources = [i["src"] for i in self.images if "svg" in i["src"][:30]]
        return [base64.b64decode(s.partition(",")[2]).decode() for s in sources]


def dates(lab, height=150, width=230):
    rng = np.random.default_rng(0)
    noise = scipy.ndimage.gaussian_filter(rng.random((2, height, width)), (0, 3, 3))
    before = (0.1 + 0.5 * (noise - noise.min()) / np.ptp(noise)).astype(np.float32)
    after = (1.2 * before + rng.normal(0, 0.004, before.shape)).astype(np.float32)
    after[:, 40:80, 100:160] += 0.1
    return lab.scene(before, "before.tif"), lab.scene(after, f"after {EVIL[8:13]} & é.tif")


def change_request(lab, before, after, name="out", **changes):
    known = {"profile": "reflectance", **changes.pop("spec", {})}
    report = lab.folder / f"{name}.html"
    output = {"report": str(report), **changes.pop("output", {})}
    return SegmentRequest(
        InputSpec((str(before),), date="2021-06-01", **known),
        OutputSpec(str(lab.folder / f"{name}.tif"), **output),
        others=(NamedInput("after", InputSpec((str(after),), date="2022-06-03", **known)),),
        change=changes.pop("change", ChangeOptions()),
        **changes,
    )


def carried_out(lab, request, name="out"):
    work = lab.folder / f"work-{name}"
    plan = settled_plan(request, lab.store, work, lab.store.install)
    outcome = run_plan(plan, lab.store, work, Silence())
    return plan, outcome, Reader(Path(request.output.report))


def test_a_page_of_change_tells_all_that_a_reader_must_know(lab):
    before, after = dates(lab)
    plan, outcome, read = carried_out(lab, change_request(lab, before, after))
    assert "Change from 2021-06-01 to 2022-06-03" in read.texts
    for title in ("Result", "Can the two dates be compared?", "Scenes", "Method", "Provenance"):
        assert title in read.texts
    for finding in plan.preflight.findings:
        assert finding.sentence in read.texts
        assert finding.topic.capitalize() in read.texts
    assert plan.scaling in read.texts
    assert any("Otsu" in text for text in read.texts)
    assert plan.digest in read.texts
    share = next(a.share for a in outcome.summary.areas if a.name == "change")
    assert f"{100 * share:.3g}" in read.text
    assert "swath change" in read.text
    assert "--method irmad" in read.text
    assert "script" not in read.tags


def test_the_page_is_one_of_the_outputs(lab):
    before, after = dates(lab)
    _, outcome, _ = carried_out(lab, change_request(lab, before, after))
    artifact = next(a for a in outcome.artifacts if a.role == "report")
    assert (artifact.media_type, artifact.uri) == ("text/html", str(lab.folder / "out.html"))
    assert Path(artifact.uri).stat().st_size < SMALL
    item = json.loads((lab.folder / "out.json").read_text())
    assert item["assets"]["report"]["href"] == "./out.html"
    assert is_stac_item(lab.folder / "out.json")


def test_before_after_and_change_are_seen_at_one_size(lab):
    before, after = dates(lab)
    _, _, read = carried_out(lab, change_request(lab, before, after))
    photos = read.photos
    assert len(photos) == 3
    assert len({p.size for p in photos}) == 1
    was, became, changed = (np.asarray(p.convert("RGB")).astype(int) for p in photos)
    times = photos[0].size[0] // 230
    patch = np.s_[50 * times : 70 * times, 110 * times : 150 * times]
    elsewhere = np.s_[100 * times : 120 * times, 20 * times : 60 * times]
    red = changed[..., 0] - changed[..., 2]
    assert red[patch].mean() > 80
    assert abs(red[elsewhere].mean()) < 10
    same = np.corrcoef(was[elsewhere].ravel(), became[elsewhere].ravel())[0, 1]
    assert same > 0.9
    assert any("change" in d and "area (" in d for d in read.drawings)


def test_without_being_asked_no_page_is_made(lab, monkeypatch):
    monkeypatch.setattr(page, "publish_page", None)
    before, after = dates(lab)
    request = change_request(lab, before, after, output={"report": None})
    work = lab.folder / "work"
    outcome = run_plan(
        settled_plan(request, lab.store, work, lab.store.install), lab.store, work, Silence()
    )
    assert "report" not in {a.role for a in outcome.artifacts}
    assert not list(lab.folder.glob("*.html"))


def class_map(lab, seed, name, legend):
    noise = scipy.ndimage.gaussian_filter(np.random.default_rng(seed).random((150, 230)), 3)
    codes = (np.digitize(noise, np.quantile(noise, (0.3, 0.7))) + 1).astype(np.uint8)
    path = lab.folder / name
    where = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 10, 10)}
    size = {"height": 150, "width": 230, "count": 1, "dtype": "uint8", "nodata": 255}
    with rasterio.open(path, "w", driver="GTiff", **where, **size) as target:
        target.write(codes, 1)
    path.with_name(f"{name}.aux.xml").write_text(pam_xml(legend), "utf-8")
    return path


def test_names_of_classes_and_files_are_text_and_nothing_more(lab):
    legend = tuple(
        ModelClass(n, name, c)
        for n, name, c in ((1, EVIL, "#ff0000"), (2, "b", "#00ff00"), (3, "c", "#0000ff"))
    )
    before = class_map(lab, 1, "a '\"&$.tif", legend)
    after = class_map(lab, 2, "b {{ 7 * 7 }}.tif", legend)
    request = change_request(
        lab, before, after, spec={"profile": "auto"}, change=ChangeOptions("classes")
    )
    _, _, read = carried_out(lab, request)
    assert "script" not in read.tags
    assert any(text.endswith(f"b → {EVIL}") for text in read.texts)
    assert "a '\"&$.tif" in read.texts
    assert "b {{ 7 * 7 }}.tif" in read.texts
    matrix = next(d for d in read.drawings if "sum before" in d)
    assert "<script" not in matrix
    one = np.asarray(read.photos[0].convert("RGB")).reshape(-1, 3)
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255)} <= set(map(tuple, one))


def test_a_page_of_a_class_map_shows_scene_result_legend_and_model(lab):
    scene = lab.scene(lab.data(120, 90), nodata=np.nan)
    request = lab.request(scene, lab.card(), output={"report": str(lab.folder / "out.html")})
    _, outcome, read = carried_out(lab, request)
    assert "Box: scene.tif" in read.texts
    assert len(read.photos) == 2
    for area in outcome.summary.areas:
        assert area.name in read.texts
    assert {"CC0-1.0", "A test network", "Model"} <= set(read.texts)
    assert "swath segment" in read.text
    assert "Can the two dates be compared?" not in read.texts


def test_large_scenes_become_small_pictures_read_with_few_pixels(lab, monkeypatch):
    scene = lab.scene(lab.data(2500, 700), nodata=np.nan, tiled=True)
    request = lab.request(scene, lab.card(), output={"report": str(lab.folder / "out.html")})
    shapes = []
    from engine.io import quicklook  # noqa: PLC0415

    real = quicklook.stretch
    monkeypatch.setattr(quicklook, "stretch", lambda d, v: (shapes.append(v.shape), real(d, v))[1])
    _, _, read = carried_out(lab, request)
    assert {p.size for p in read.photos} == {(252, 900)}
    assert shapes == [(900, 252)]


def test_an_input_that_has_gone_costs_its_picture_only(lab, monkeypatch):
    before, after = dates(lab)

    def gone(_scene, _coarse):
        raise EngineError(ErrorCode.INPUT_NOT_FOUND, "It has gone.", "Bring it back.")

    monkeypatch.setattr("engine.pipeline.page_pictures.look_at", gone)
    _, outcome, read = carried_out(lab, change_request(lab, before, after))
    assert "No picture of before.tif: It has gone." in read.texts
    assert len(read.photos) == 1
    assert outcome.summary.areas


@pytest.mark.parametrize(
    ("name", "code"),
    [("out.pdf", ErrorCode.OUTPUT_UNWRITABLE), ("none/out.html", ErrorCode.OUTPUT_UNWRITABLE)],
)
def test_a_page_that_cannot_be_written_is_refused_before_any_work(name, code, lab):
    before, after = dates(lab)
    request = change_request(lab, before, after, output={"report": str(lab.folder / name)})
    with pytest.raises(EngineError) as caught:
        settled_plan(request, lab.store, lab.folder / "work", lab.store.install)
    assert caught.value.code is code


def test_a_page_that_is_there_is_not_replaced_unasked(lab):
    before, after = dates(lab)
    (lab.folder / "out.html").write_text("notes of mine")
    with pytest.raises(EngineError) as caught:
        carried_out(lab, change_request(lab, before, after))
    assert caught.value.code is ErrorCode.OUTPUT_EXISTS
    assert (lab.folder / "out.html").read_text() == "notes of mine"


class Impatient(Silence):
    """Cancels as soon as the last other file is being written."""

    def __init__(self):
        self.stage = ""

    def progress(self, stage, *_):
        self.stage = stage

    def cancelled(self):
        return self.stage == "raster"


def test_a_cancellation_leaves_neither_page_nor_map(lab):
    before, after = dates(lab)
    request = change_request(lab, before, after)
    work = lab.folder / "work"
    plan = settled_plan(request, lab.store, work, lab.store.install)
    with pytest.raises(CancelledError):
        run_plan(plan, lab.store, work, Impatient())
    assert not list(lab.folder.glob("*out*"))


def test_a_kill_among_the_renames_leaves_no_half_of_it(lab):
    number = 4
    before, after = dates(lab)
    page_path = lab.folder / "out.html"
    request = change_request(lab, before, after, output={"overwrite": True})
    page_path.write_text("the page of last year")
    jobs = JobStore(lab.folder)
    job_id = jobs.create(Submission(TaskName.CHANGE, request)).id
    command = [sys.executable, VICTIM, "--state", jobs.state, "--job", job_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
        for line in victim.stdout:
            number -= line.strip() == "rename"
            if number == 0:
                victim.kill()
                break
    jobs.mark_interrupted()
    assert page_path.read_text() == "the page of last year"
    assert not (lab.folder / "out.tif").exists()
    jobs.requeue(job_id)
    assert run_job(jobs, job_id).state is JobState.SUCCEEDED
    assert "Provenance" in Reader(page_path).texts
    assert not [p for p in lab.folder.iterdir() if p.name.startswith(".swath")]


def test_options_are_told_as_they_were_given(lab):
    before, after = dates(lab)
    request = change_request(
        lab,
        before,
        after,
        change=ChangeOptions("cva", threshold=3.5),
        polygons=PolygonOptions(min_area=900),
        output={"vector": str(lab.folder / "v.gpkg")},
    )
    _, _, read = carried_out(lab, request)
    command = next(t for t in read.texts if t.startswith("swath change"))
    assert re.search(r"--method cva --threshold 3.5 .*--vector \S+v.gpkg .*--min-area 900", command)
    assert "Polygons: min area" in read.texts
    assert any(text.startswith("3.5, the root") for text in read.texts)

"""Whatever kills a run at whatever moment, going on gives the files of an undisturbed one."""

import collections
import hashlib
import json
import random
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyogrio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.errors import CancelledError, EngineError, ErrorCode
from engine.contract.messages import JobState, PolygonOptions, Shard, Submission, TaskName
from engine.geo.tiling import TileRule
from engine.jobs.keeping import ABANDONED, clean
from engine.jobs.run import run_job
from engine.jobs.store import JobStore
from engine.models.measure import passes_side_by_side
from engine.models.network_model import NetworkModel
from engine.pipeline.blocks import BlockStore
from engine.pipeline.kept import KeptPlan
from engine.pipeline.planning import settled_plan
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan, run_shard
from engine.pipeline.shards import blocks_of
from engine.pipeline.workplace import Workplace

VICTIM = Path(__file__).parent / "victim.py"
SHAPE = (3100, 300)
HOLE = (slice(1000, 1100), slice(150, 300))
DATES = ("datetime", "created", "processing:datetime")

MOMENTS = [
    # the n-th step of a phase at which to kill, and whether the outputs replace others
    ("start", 1, False),
    ("reading", 1, False),
    ("reading", 10, True),
    ("reading", 20, False),
    ("forward", 1, False),
    ("forward", 9, True),
    ("forward", 15, False),
    ("forward", 22, False),
    ("block", 1, False),
    ("block", 3, True),
    ("cog", 2, False),
    ("cog", 5, True),
    ("cog", 10, False),
    ("polygons", 1, False),
    ("polygons", 1, True),
    ("polygons", 2, False),
    ("rename", 1, True),
    ("rename", 2, False),
    ("rename", 4, True),
    ("rename", 6, False),
    ("rename", 7, True),
    ("rename", 7, False),
    ("end", 1, True),
    ("end", 1, False),
]


def nobody(_card):
    """Provide nothing: the model is installed."""


class Bench:
    """One scene, one model, one undisturbed result to compare with."""

    def __init__(self, lab):
        self.lab = lab
        self.jobs = JobStore(lab.folder)
        data = lab.data(*SHAPE)
        data[:, *HOLE] = np.nan
        self.scene = lab.scene(data, nodata=np.nan)
        self.card = lab.card(TileRule(256, 4, 4))
        self.count = 0

    def request(self, folder, **changes):
        folder.mkdir(exist_ok=True)
        more = {"vector": str(folder / "out.gpkg"), "probability": str(folder / "p.tif")}
        output = {**more, **changes.pop("output", {})}
        request = self.lab.request(self.scene, self.card, f"{folder.name}/out", output=output)
        return replace(request, **changes)

    def submit(self, request):
        return self.jobs.create(Submission(TaskName.SEGMENT, request)).id

    def finished(self, job_id):
        """Do a job here, to its end."""
        job = run_job(self.jobs, job_id)
        assert job.state is JobState.SUCCEEDED, job.error
        return job

    def killed(self, job_id, phase, number, delay):
        """Kill a worker when it comes to a step; the phase in which it died."""
        command = [sys.executable, VICTIM, "--state", self.jobs.state, "--job", job_id]
        victim = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        left, last = number, ""
        for line in victim.stdout:
            last = line.strip()
            left -= last == phase
            if left == 0:
                time.sleep(delay)
                break
        victim.kill()
        rest = victim.stdout.read().split()
        assert victim.wait() != 0, "the worker came to its end"
        return (rest or [last])[-1]


@pytest.fixture(scope="module")
def bench(tmp_path_factory, request):
    lab_class = request.getfixturevalue("lab_class")
    return Bench(lab_class(tmp_path_factory.mktemp("Läufe 1")))


@pytest.fixture(scope="module")
def whole(bench):
    """What an undisturbed run gives."""
    folder = bench.lab.folder / "whole"
    job = bench.finished(bench.submit(bench.request(folder)))
    assert {a.role for a in job.artifacts} >= {"raster", "probability", "vector", "item", "areas"}
    return contents(folder)


def contents(folder):
    """Every file's bytes as a digest; the item without its dates, the polygons row by row too."""
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    item = json.loads((folder / "out.json").read_text("utf-8"))
    for name in DATES:
        item["properties"].pop(name, None)
    found["out.json"] = item
    _, _, shapes, fields = pyogrio.raw.read(folder / "out.gpkg", layer="out")
    found["rows"] = [list(shapes), *(list(values) for values in fields)]
    return found


def test_a_kill_at_any_moment_costs_nothing_but_time(bench, whole, capsys):
    dice, died, equal, began = random.Random(7), collections.Counter(), 0, time.monotonic()
    for index, (phase, number, replaces) in enumerate(MOMENTS):
        folder = bench.lab.folder / f"killed {index}"
        request = bench.request(folder, output={"overwrite": replaces})
        if replaces:
            (folder / "out.tif").write_bytes(b"the map of last year")
            (folder / "out.tif.ovr").write_bytes(b"its overviews")
        job_id = bench.submit(request)
        died[bench.killed(job_id, phase, number, dice.uniform(0, 0.012))] += 1
        if index % 2:
            assert bench.jobs.mark_interrupted() == (job_id,)
        else:  # as a machine that went down: nobody tidies up before the job goes on
            bench.jobs.finish(job_id, JobState.INTERRUPTED)
        bench.jobs.requeue(job_id)
        job = bench.finished(job_id)
        assert {a.role for a in job.artifacts} >= {"raster", "probability", "vector", "item"}
        assert sum(row.pixels for row in job.summary.areas) == SHAPE[0] * SHAPE[1] - 100 * 150
        assert contents(folder) == whole, (phase, number)
        assert not bench.jobs.work_folder(job_id).exists()
        equal += 1
    with capsys.disabled():
        phases = ", ".join(f"{phase} {count}" for phase, count in sorted(died.items()))
        seconds = time.monotonic() - began
        told = f"{equal} of {len(MOMENTS)} equal after kill -9: {phases} ({seconds:.0f} s)"
        sys.stdout.write(f"\n{told}\n")
    assert all(died[phase] for phase in ("reading", "forward", "cog", "polygons", "rename"))


OLD = {"out.tif": "old map", "out_areas.csv": "old table"}


def killed(bench, name, phase, number, **changes):
    """A job killed at a step, and its folder, with old outputs where it may replace them."""
    folder = bench.lab.folder / name
    request = bench.request(folder, **changes)
    for old, text in OLD.items() if request.output.overwrite else ():
        (folder / old).write_text(text)
    job_id = bench.submit(request)
    bench.killed(job_id, phase, number, 0)
    return folder, job_id


def texts(folder):
    return {p.name: p.read_bytes().decode("utf-8", "replace") for p in folder.iterdir()}


def test_what_a_killed_job_had_replaced_comes_back_when_its_death_is_noticed(bench, whole):
    folder, job_id = killed(bench, "noticed", "rename", 4, output={"overwrite": True})
    assert texts(folder).get("out_areas.csv") != OLD["out_areas.csv"] or len(texts(folder)) > 2
    assert bench.jobs.mark_interrupted() == (job_id,)
    assert texts(folder) == OLD
    bench.jobs.requeue(job_id)
    bench.finished(job_id)
    assert contents(folder) == whole


def test_a_job_given_up_in_the_middle_of_the_renames_gives_back_what_was_there(bench):
    folder, job_id = killed(bench, "given up", "rename", 4, output={"overwrite": True})
    bench.jobs.finish(job_id, JobState.FAILED)
    assert len(texts(folder)) > 2
    gone = clean(bench.jobs, ABANDONED * 0)
    assert job_id in gone.jobs
    assert gone.freed > SHAPE[0] * SHAPE[1]
    assert not bench.jobs.work_folder(job_id).exists()
    assert texts(folder) == OLD


def test_a_job_cancelled_after_it_died_leaves_nothing(bench):
    folder, job_id = killed(bench, "cancelled", "rename", 5)
    assert texts(folder)
    bench.jobs.mark_interrupted()
    bench.jobs.request_cancel(job_id)
    assert texts(folder) == {}
    assert not bench.jobs.work_folder(job_id).exists()


def test_what_is_published_is_not_done_again(bench, whole, monkeypatch):
    folder, job_id = killed(bench, "published", "end", 1)
    bench.jobs.mark_interrupted()
    found = contents(folder)
    assert found == whole
    (folder / "out_areas.csv").write_text("edited by the user meanwhile")
    monkeypatch.setattr(NetworkModel, "predict", None)
    bench.jobs.requeue(job_id)
    job = bench.finished(job_id)
    assert {a.role for a in job.artifacts} >= {"raster", "vector"}
    assert job.summary.areas
    assert (folder / "out_areas.csv").read_text() == "edited by the user meanwhile"


def test_a_file_that_the_user_put_there_meanwhile_is_told_of_before_any_work(bench, monkeypatch):
    folder, job_id = killed(bench, "meanwhile", "rename", 3)
    bench.jobs.mark_interrupted()
    (folder / "out.tif").write_text("precious")
    monkeypatch.setattr(NetworkModel, "predict", None)
    bench.jobs.requeue(job_id)
    job = run_job(bench.jobs, job_id)
    assert (job.state, job.error.code) == (JobState.FAILED, ErrorCode.OUTPUT_EXISTS)
    assert [p.name for p in folder.iterdir()] == ["out.tif"]
    assert (folder / "out.tif").read_text() == "precious"


def test_two_shards_at_once_and_the_rest_give_what_one_run_gives(bench, whole, monkeypatch):
    folder, work = bench.lab.folder / "sharded", bench.lab.folder / "shared blocks"
    request = bench.request(folder, work=str(work))
    workers = []
    for number in (1, 2):
        job_id = bench.submit(replace(request, shard=Shard(number, 2)))
        command = [sys.executable, VICTIM, "--state", bench.jobs.state, "--job", job_id]
        workers.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0]
    assert list(folder.iterdir()) == []
    passes = count_passes(monkeypatch)
    job = bench.finished(bench.submit(request))
    assert passes == []
    assert contents(folder) == whole
    assert list(work.iterdir()) == []
    assert {a.role for a in job.artifacts} >= {"raster", "vector"}


def count_passes(monkeypatch):
    """A list that grows by one with every forward pass."""
    real, passes = NetworkModel.predict, []

    def counted(self, batch):
        passes.append(threading.current_thread().name)
        return real(self, batch)

    monkeypatch.setattr(NetworkModel, "predict", counted)
    return passes


def test_a_shard_that_was_not_run_is_made_up_for(bench, whole):
    folder, work = bench.lab.folder / "one of three", bench.lab.folder / "blocks of one"
    request = bench.request(folder, work=str(work))
    bench.finished(bench.submit(replace(request, shard=Shard(2, 3))))
    assert len(list(work.rglob("*.npy"))) == 1
    bench.finished(bench.submit(request))
    assert contents(folder) == whole


@given(st.integers(0, 60), st.integers(1, 70))
def test_shards_share_the_blocks_out(blocks, count):
    parts = [blocks_of(Shard(n, count), range(blocks)) for n in range(1, count + 1)]
    assert [block for part in parts for block in part] == list(range(blocks))
    sizes = {len(part) for part in parts}
    assert max(sizes) - min(sizes) <= 1


def test_plans_settled_at_once_become_one(lab):
    request = lab.request(lab.scene(lab.data(90, 80)), lab.card())
    plan = settled_plan(request, lab.store, lab.folder / "elsewhere", nobody)
    plans = [replace(plan, scaling=f"made by {n}") for n in range(12)]
    start, kept = threading.Barrier(len(plans)), []

    def keep(mine):
        start.wait()
        kept.append(KeptPlan(lab.work).keep(mine, request))

    threads = [threading.Thread(target=keep, args=(mine,)) for mine in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == len(plans)
    assert all(mine == kept[0] for mine in kept)
    assert kept[0] in plans
    assert [p.name for p in lab.work.iterdir()] == ["plan"]


def test_a_shared_folder_belongs_to_one_question_and_to_inputs_as_they_were(lab):
    request = lab.request(lab.scene(lab.data(90, 80)), lab.card(), work=str(lab.work))
    plan = settled_plan(request, lab.store, lab.work, nobody)
    other = replace(request, shard=Shard(1, 2), memory=900)
    assert settled_plan(other, lab.store, lab.work, nobody) == plan
    for wrong in (
        replace(request, polygons=PolygonOptions(min_area=7.0)),
        replace(request, device="cpu"),
    ):
        with pytest.raises(EngineError, match="asked for otherwise") as caught:
            settled_plan(wrong, lab.store, lab.work, nobody)
        assert caught.value.code is ErrorCode.REQUEST_INVALID
    lab.scene(lab.data(90, 80, seed=1))
    with pytest.raises(EngineError, match="other inputs") as caught:
        settled_plan(request, lab.store, lab.work, nobody)
    assert caught.value.code is ErrorCode.REQUEST_INVALID


@pytest.mark.parametrize("left", [0, 1, 60, 130, 5000, -1, -4])
def test_a_block_that_a_crash_of_the_machine_cut_short_counts_as_absent(tmp_path, left):
    blocks = BlockStore(tmp_path)
    bands = np.arange(2 * 50 * 60, dtype=np.uint8).reshape(2, 50, 60)
    blocks.write(3, bands)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:left])
    assert not blocks.has(3)
    with pytest.raises(EngineError) as caught:
        blocks.read(3)
    assert caught.value.code is ErrorCode.STATE_UNUSABLE
    blocks.write(3, bands)
    np.testing.assert_array_equal(blocks.read(3), bands)


@pytest.mark.parametrize("place", [0, 100, 3000, -2])
def test_a_block_whose_bytes_never_reached_the_disk_counts_as_absent(tmp_path, place):
    blocks = BlockStore(tmp_path)
    blocks.write(0, np.full((1, 64, 64), 7, np.uint8))
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[place:] = bytes(len(data[place:]))
    path.write_bytes(data)
    assert not blocks.has(0)


def test_a_damaged_block_is_computed_again(lab):
    request = lab.request(lab.scene(lab.data(2100, 90)), lab.card(), "a")
    plan = settled_plan(request, lab.store, lab.work, nobody)
    run_shard(plan, lab.store, lab.work, Silence(), Shard(1, 1))
    first, *_ = sorted(lab.work.rglob("*.npy"))
    first.write_bytes(b"")
    run_plan(plan, lab.store, lab.work, Silence())
    lab.run(lab.scene(lab.data(2100, 90)), lab.card(), "b")
    assert (lab.folder / "a.tif").read_bytes() == (lab.folder / "b.tif").read_bytes()


class Cancelled(Silence):
    """Asks to stop when told to, and remembers what was said."""

    def __init__(self, stop):
        self.stop = stop
        self.said = []

    def cancelled(self):
        return self.stop.is_set()

    def message(self, _, text):
        self.said.append(text)


def test_after_a_cancellation_only_the_passes_in_hand_end(lab, monkeypatch):
    plan = lab.plan(lab.scene(lab.data(1200, 600)), lab.card())
    stop, real, begun, ended = threading.Event(), NetworkModel.predict, [], []
    side_by_side = passes_side_by_side("cpu")

    def slow(self, batch):
        begun.append(stop.is_set())
        time.sleep(0.02)
        if len(begun) >= 6 * side_by_side:
            stop.set()
        answer = real(self, batch)
        ended.append(time.monotonic())
        return answer

    monkeypatch.setattr(NetworkModel, "predict", slow)
    threads = set(threading.enumerate())
    report = Cancelled(stop)
    with pytest.raises(CancelledError):
        lab.carry_out(plan, report)
    idle = time.monotonic()
    assert begun.count(True) == 0
    assert len(ended) == len(begun) < plan.recipe.tiling.count / 4
    assert idle - ended[-1] < 1.0
    assert set(threading.enumerate()) <= threads


def test_who_finishes_the_same_run_waits_and_can_be_told_to_stop(lab):
    plan = lab.plan(lab.scene(lab.data(90, 80)), lab.card())
    stop = threading.Event()
    report = Cancelled(stop)
    with Workplace(lab.work).alone(Silence()):
        threading.Timer(0.2, stop.set).start()
        with pytest.raises(CancelledError):
            run_plan(plan, lab.store, lab.work, report)
    assert "Another process" in report.said[0]
    assert not Path(plan.output.raster).exists()

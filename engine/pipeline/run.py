"""Carry out a plan: every block, then the finished files."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract.messages import Artifact, RunSummary
from engine.geo.tiling import Block, Tile
from engine.io.aoi import read_aoi
from engine.io.scene import open_scene
from engine.models.runtime import Model, open_model
from engine.models.store import ModelStore
from engine.pipeline.ahead import map_ahead
from engine.pipeline.blocks import BlockStore
from engine.pipeline.forward import Forward, TileScores
from engine.pipeline.merge import CropMerge
from engine.pipeline.plan import Plan, Recipe, plan_to_json
from engine.pipeline.publish import publish
from engine.pipeline.report import Report, stop_if_cancelled
from engine.tasks.segment import Decision, SegmentTask


@dataclass(frozen=True)
class Outcome:
    """What a run leaves."""

    artifacts: tuple[Artifact, ...]
    summary: RunSummary


def run_plan(plan: Plan, store: ModelStore, work: Path, report: Report) -> Outcome:
    """Compute the blocks that are missing in ``work`` and publish the results.

    Args:
        plan: What to do.
        store: Holds the model, installed.
        work: The job's private folder; blocks in it are taken up again, and go on success.
        report: Told of progress, asked for cancellation before every tile.

    Raises:
        EngineError: ``CANCELLED`` or whatever went wrong; no output has been touched then.
    """
    started = time.monotonic()
    for note in (plan.scaling, *plan.notes):
        report.message("info", note)
    folder = work / plan.digest[:16]
    blocks = BlockStore(folder)
    (folder / "plan.json").write_text(plan_to_json(plan), encoding="utf-8")
    device = _compute(plan, store, blocks, report)
    published = publish(plan, blocks, device, report)
    summary = RunSummary(
        model=plan.recipe.card.id,
        device=device,
        seconds=round(time.monotonic() - started, 3),
        pixels=sum(row.pixels for row in published.areas),
        areas=published.areas,
        notes=(plan.scaling, *plan.notes),
    )
    shutil.rmtree(folder, ignore_errors=True)
    return Outcome(published.artifacts, summary)


def _compute(plan: Plan, store: ModelStore, blocks: BlockStore, report: Report) -> str:
    """Make all missing blocks; the device used."""
    recipe = plan.recipe
    missing = [b for b in recipe.blocks if not blocks.has(b.index)]
    with _forward(recipe, store) as forward:
        total = recipe.tiling.count
        progress = _Progress(report, total - sum(len(b.tiles) for b in missing), total)
        results = map_ahead(forward, _tiles(missing), _threads(forward.model))
        take = functools.partial(progress.take, results)
        with contextlib.closing(results):
            for block in missing:
                decision = _decide(recipe, block, forward.task, take)
                every_class = plan.output.probability is not None
                blocks.write(block.index, _bands(decision, every_class=every_class))
        return forward.model.device


class _Progress:
    """Counts tiles, and stops at the first one after a cancellation."""

    def __init__(self, report: Report, done: int, total: int) -> None:
        self._report = report
        self._done = done
        self._total = total
        self._tell()

    def take(self, results: Iterator[TileScores]) -> TileScores:
        """The next result."""
        stop_if_cancelled(self._report)
        part = next(results)
        self._done += 1
        self._tell()
        return part

    def _tell(self) -> None:
        self._report.progress("segment", self._done, self._total, "tiles")


@contextlib.contextmanager
def _forward(recipe: Recipe, store: ModelStore) -> Iterator[Forward]:
    source = open_scene(recipe.input).source(recipe.card.input.bands)
    with contextlib.closing(source):
        model = open_model(recipe.card, store.path(recipe.card), recipe.device, threads=1)
        with contextlib.closing(model):
            aoi = read_aoi(recipe.aoi, recipe.grid) if recipe.aoi else None
            yield Forward(recipe, source, model, SegmentTask(recipe.card), aoi)


def _threads(model: Model) -> int:
    """Single-threaded forwards side by side beat one forward with many threads on a CPU."""
    return (os.cpu_count() or 1) if model.device == "cpu" else 2


def _tiles(blocks: list[Block]) -> Iterator[Tile]:
    for block in blocks:
        yield from block.tiles


def _decide(
    recipe: Recipe, block: Block, task: SegmentTask, take: Callable[[], TileScores]
) -> Decision:
    merge = CropMerge(recipe, block, len(task.card.output.classes))
    for _ in block.tiles:
        merge.feed(take())
    return task.decide(*merge.result())


def _bands(decision: Decision, *, every_class: bool) -> npt.NDArray[np.uint8]:
    """What a block keeps: classes, the probability of the class decided, and all of them."""
    winner = decision.probability.max(axis=0)
    kept = [decision.classes, winner]
    if every_class:
        kept += list(decision.probability)
    return np.stack(kept)

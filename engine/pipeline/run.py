"""Carry out a plan: every block, then the finished files."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.contract.messages import Artifact, RunSummary
from engine.geo.tiling import Block
from engine.io.aoi import read_aoi
from engine.io.scene import open_scene
from engine.models.measure import measure_open, measured, passes_side_by_side
from engine.models.runtime import Model, open_model
from engine.models.store import ModelStore
from engine.pipeline.ahead import map_ahead
from engine.pipeline.blocks import BlockStore
from engine.pipeline.forward import Forward, TileResult
from engine.pipeline.merge import Merge, merge_for
from engine.pipeline.plan import Plan
from engine.pipeline.publish import publish
from engine.pipeline.report import Report, stop_if_cancelled
from engine.pipeline.sizing import estimate, sentence
from engine.tasks.segment import Detail, SegmentTask

SHARED_BYTES = 192 * 2**20
"""Scores kept for blocks to come that need them too."""
WORTH_MEASURING = 16
"""Runs of fewer tiles are over before an estimate would be."""


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
    folder = work / f"{plan.digest[:16]}-{_detail(plan)}"
    blocks = BlockStore(folder)
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
    with _forward(plan, store) as forward:
        _tell_cost(plan, forward.model, store, report)
        progress = _Progress(report, recipe.blocks, missing)
        with contextlib.closing(_results(forward, missing)) as results:
            for block in missing:
                blocks.write(block.index, _merged(forward, block, results, progress))
        return forward.model.device


def _tell_cost(plan: Plan, model: Model, store: ModelStore, report: Report) -> None:
    """What the run will cost, unless finding out would cost more."""
    recipe = plan.recipe
    if recipe.tiling.count < WORTH_MEASURING:
        return
    if recipe.rule.fixed:
        known = measure_open(model)
    else:
        folder = store.root / "measurements"
        known = measured(recipe.card, store.path(recipe.card), recipe.device, folder)
    bands = SegmentTask(recipe.card).bands(_detail(plan))
    cost = estimate(recipe.rule, recipe.lattice, recipe.region, known, bands)
    report.message("info", sentence(cost))


class _Progress:
    """Counts tiles, and stops at the first one after a cancellation."""

    def __init__(self, report: Report, every: Sequence[Block], missing: Sequence[Block]) -> None:
        self._report = report
        self._total = sum(len(b.tiles) for b in every)
        self._done = self._total - sum(len(b.tiles) for b in missing)
        self._tell()

    def step(self, *, is_own: bool) -> None:
        """A tile was merged; each counts once, in the block that owns it."""
        stop_if_cancelled(self._report)
        if is_own:
            self._done += 1
            self._tell()

    def _tell(self) -> None:
        self._report.progress("segment", self._done, self._total, "tiles")


def _results(forward: Forward, blocks: Sequence[Block]) -> Generator[TileResult]:
    """The scores of all tiles that the blocks need, in the order of need."""
    recipe = forward.recipe
    needed = [tile for block in blocks for tile in _merge(forward, block).tiles]
    tile_bytes = 4 * len(recipe.card.output.classes) * recipe.rule.size**2
    return map_ahead(
        forward, needed, passes_side_by_side(forward.model.device), SHARED_BYTES // tile_bytes
    )


@contextlib.contextmanager
def _forward(plan: Plan, store: ModelStore) -> Iterator[Forward]:
    recipe = plan.recipe
    source = open_scene(recipe.input).source(recipe.card.input.bands)
    with contextlib.closing(source):
        model = open_model(recipe.card, store.path(recipe.card), recipe.device, threads=1)
        with contextlib.closing(model):
            aoi = read_aoi(recipe.aoi, recipe.grid) if recipe.aoi else None
            yield Forward(recipe, source, model, SegmentTask(recipe.card), aoi, _detail(plan))


def _detail(plan: Plan) -> Detail:
    """What the outputs need beside the classes."""
    if plan.output.probability is not None:
        return "every"
    return "class" if plan.output.vector is None else "confidence"


def _merge(forward: Forward, block: Block) -> Merge:
    return merge_for(forward.recipe, block, forward.task, forward.detail)


def _merged(
    forward: Forward, block: Block, results: Iterator[TileResult], progress: _Progress
) -> npt.NDArray[np.uint8]:
    merge = _merge(forward, block)
    own = {tile.index for tile in block.tiles}
    for tile in merge.tiles:
        merge.feed(next(results))
        progress.step(is_own=tile.index in own)
    return merge.result()

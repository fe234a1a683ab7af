"""Carry out a plan: every block, then the finished files."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from engine.contract.messages import Shard
from engine.geo.tiling import Block, Tile
from engine.io.aoi import read_aoi
from engine.io.journal import settle
from engine.io.spool import Reading, Spool
from engine.models.measure import (
    measure_open,
    measured,
    passes_side_by_side,
    tiles_side_by_side,
)
from engine.models.network_model import telling_memory
from engine.models.runtime import Model, open_model, used_device
from engine.models.store import ModelStore
from engine.pipeline.ahead import map_ahead
from engine.pipeline.blocks import BlockStore
from engine.pipeline.forward import Forward, TileResult
from engine.pipeline.inputs import open_inputs
from engine.pipeline.merge import Merge, merge_for
from engine.pipeline.outcome import Outcome, Run, outcome_in
from engine.pipeline.plan import Plan
from engine.pipeline.publish import publish
from engine.pipeline.report import Report, stop_if_cancelled
from engine.pipeline.shards import blocks_of
from engine.pipeline.sizing import estimate, sentence
from engine.pipeline.tensors import Tensors
from engine.pipeline.timeline import timeline_of
from engine.pipeline.workplace import Workplace
from engine.tasks.task import Bands, task_for

SHARED_BYTES = 192 * 2**20
"""Scores kept for blocks to come that need them too."""
WORTH_MEASURING = 16
"""Runs of fewer tiles are over before an estimate would be."""


def run_plan(plan: Plan, store: ModelStore, work: Path, report: Report) -> Outcome:
    """Compute the blocks that are missing in ``work`` and publish the results.

    A process that died here before is succeeded by this one: what it had published in part is
    undone, what it had published whole is not done again.

    Args:
        plan: What to do.
        store: Holds the model, installed.
        work: The job's folder; blocks in it are taken up, and go on success.
        report: Told of progress, asked for cancellation before every tile.

    Raises:
        EngineError: ``CANCELLED`` or whatever went wrong; no output has been touched then.
    """
    began = time.monotonic()
    place = Workplace(work)
    with place.alone(report):
        outcome = outcome_in(settle(place.journal), plan)
        if outcome is None:
            plan.destination.check(plan.output.overwrite, plan.recipe.uris)
            _tell_notes(plan, report)
            blocks = place.blocks(plan)
            device = _compute(plan, store, blocks, plan.recipe.blocks, report)
            outcome = publish(Run(plan, device, began), blocks, place.journal, report)
        place.drop_blocks(plan)
    return outcome


def run_shard(plan: Plan, store: ModelStore, work: Path, report: Report, shard: Shard) -> Outcome:
    """Compute the blocks of one shard that are missing in ``work``, and leave them there.

    Args:
        plan: As all other shards have it.
        store: Holds the model, installed.
        work: The folder of all shards.
        report: Told of progress, asked for cancellation before every tile.
        shard: Which blocks.

    Raises:
        EngineError: ``CANCELLED`` or whatever went wrong.
    """
    began = time.monotonic()
    mine = blocks_of(shard, plan.recipe.blocks)
    _tell_notes(plan, report)
    device = _compute(plan, store, Workplace(work).blocks(plan), mine, report)
    report.message("info", f"{len(mine)} of {len(plan.recipe.blocks)} blocks are ready in {work}.")
    return Run(plan, device, began).outcome()


def _tell_notes(plan: Plan, report: Report) -> None:
    for note in (plan.scaling, *plan.notes):
        report.message("info", note)


def _compute(
    plan: Plan, store: ModelStore, blocks: BlockStore, wanted: Sequence[Block], report: Report
) -> str:
    """Make the wanted blocks that are missing; the device used."""
    missing = [b for b in wanted if not blocks.has(b.index)]
    with _spool(plan, blocks, report) as spool, _forward(plan, store, spool) as forward:
        _tell_device(forward.model, report)
        if missing:
            _tell_cost(plan, forward.model, store, report)
        progress = _Progress(report, wanted, missing)
        with contextlib.closing(_results(forward, missing, report)) as results:
            for block in missing:
                blocks.write(block.index, _merged(forward, block, results, progress))
        return used_device(forward.model)


def _tell_device(model: Model, report: Report) -> None:
    """What the model runs on, and why not on what was tried before."""
    for note in model.notes:
        report.message("warning", note)
    report.message("info", f"The model runs on {used_device(model)}.")


def _tell_cost(plan: Plan, model: Model, store: ModelStore, report: Report) -> None:
    """What the run will cost, unless finding out would cost more."""
    recipe = plan.recipe
    if recipe.tiling.count < WORTH_MEASURING:
        return
    if recipe.rule.fixed:
        known = measure_open(model)
    else:
        folder = store.root / "measurements"
        path = store.path(recipe.card)
        known = measured(recipe.card, path, recipe.device, folder, recipe.precision)
    bands = task_for(recipe.card).empty(plan.detail, (1, 1)).nbytes
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


def _results(forward: Forward, blocks: Sequence[Block], report: Report) -> Generator[TileResult]:
    """The scores of all tiles that the blocks need, in the order of need."""

    def passed(tile: Tile) -> TileResult:
        stop_if_cancelled(report)  # here too: what waits in the queue must not begin any more
        return forward(tile)

    recipe = forward.recipe
    needed = [tile for block in blocks for tile in _merge(forward, block).tiles]
    tile_bytes = 4 * recipe.card.output.channels * recipe.cells.length(recipe.rule.size) ** 2
    threads = tiles_side_by_side(forward.model.device)
    return map_ahead(passed, needed, threads, SHARED_BYTES // tile_bytes)


@contextlib.contextmanager
def _forward(plan: Plan, store: ModelStore, spool: Spool) -> Iterator[Forward]:
    recipe = plan.recipe
    inputs = open_inputs(recipe.card, recipe.input, recipe.others)
    with inputs.sources(spool) as sources:
        path = store.path(recipe.card)
        model = open_model(recipe.card, path, recipe.device, 1, recipe.precision)
        with contextlib.closing(model):
            aoi = read_aoi(recipe.aoi, recipe.grid) if recipe.aoi else None
            tensors = Tensors(recipe, sources, model.upload, timeline_of(inputs))
            gate = threading.Semaphore(passes_side_by_side(model.device))
            yield Forward(recipe, tensors, model, task_for(recipe.card), aoi, plan.detail, gate)


@contextlib.contextmanager
def _spool(plan: Plan, blocks: BlockStore, report: Report) -> Iterator[Spool]:
    """Copies of the input that are read instead, where it cannot be read in part."""
    recipe = plan.recipe
    edge = round(recipe.rule.size * max(recipe.factors))
    group = max(round(recipe.block * max(recipe.factors)), edge)
    reading = Reading(recipe.tiling.count, edge, group, os.cpu_count() or 1)
    with tempfile.TemporaryDirectory(
        prefix=".input-", dir=blocks.folder, ignore_cleanup_errors=True
    ) as folder:
        yield Spool(
            Path(folder),
            reading,
            tell=lambda text: report.message("info", text),
            between=lambda: stop_if_cancelled(report),
        )


def _merge(forward: Forward, block: Block) -> Merge:
    return merge_for(forward.recipe, block, forward.task, forward.detail)


def _merged(
    forward: Forward, block: Block, results: Iterator[TileResult], progress: _Progress
) -> Bands:
    merge = _merge(forward, block)
    own = {tile.index for tile in block.tiles}
    with telling_memory(forward.recipe.card):
        for tile in merge.tiles:
            merge.feed(next(results))
            progress.step(is_own=tile.index in own)
        return merge.result()

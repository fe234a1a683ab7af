"""Blocks become the files that a user opens; all of them appear, or none."""

from __future__ import annotations

from pathlib import Path

from engine.contract.messages import ClassArea
from engine.io.staging import Staging
from engine.pipeline.blocks import BlockStore
from engine.pipeline.outcome import Outcome, Run, note_of
from engine.pipeline.provenance import describe
from engine.pipeline.publication import Publication
from engine.pipeline.publish_classes import publish_classes
from engine.pipeline.publish_transitions import publish_transitions
from engine.pipeline.publish_values import publish_values
from engine.pipeline.report import Report, stop_if_cancelled


def publish(run: Run, blocks: BlockStore, journal: Path, report: Report) -> Outcome:
    """Write every output of a run from its blocks.

    Args:
        run: What to write, and what there is to tell about it.
        blocks: All blocks of its plan.
        journal: Where a successor of this process finds how far it came, and the outcome.
        report: Told of progress and of finished files.

    Raises:
        EngineError: ``OUTPUT_UNWRITABLE``, ``OUTPUT_EXISTS``, ``DISK_FULL``, ``CANCELLED``; no
            output has been touched then.
    """
    plan = run.plan
    with Staging(overwrite=plan.output.overwrite, journal=journal) as staging:
        work = Publication(plan, blocks, staging, report)
        areas: tuple[ClassArea, ...] = ()
        if plan.destination.has_transitions:
            areas = publish_transitions(work)
            pixels = sum(row.pixels for row in areas)
        elif plan.recipe.card.output.classes:
            areas = publish_classes(work)
            pixels = sum(row.pixels for row in areas)
        else:
            pixels = publish_values(work)
        provenance = describe(plan, run.device)
        if plan.destination.report is not None:
            from engine.pipeline.page import publish_page  # noqa: PLC0415 - draws and writes HTML

            publish_page(work, run, provenance, areas, plan.destination.report)
        work.item(areas, provenance)
        stop_if_cancelled(report)
        outcome = run.outcome(work.artifacts, areas, pixels)
        staging.commit(note_of(plan, outcome))
    for artifact in outcome.artifacts:
        report.artifact(artifact)
    return outcome

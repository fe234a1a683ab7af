"""What a run leaves, and how a successor of its process finds it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.codec import from_plain, to_plain
from engine.contract.messages import Artifact, ClassArea, RunSummary
from engine.pipeline.plan import Plan, plan_to_json


@dataclass(frozen=True)
class Outcome:
    """Finished files and what there is to tell about them."""

    artifacts: tuple[Artifact, ...]
    """None of a shard, which leaves blocks."""
    summary: RunSummary


@dataclass(frozen=True)
class Run:
    """A plan being carried out."""

    plan: Plan
    device: str
    """Really used."""
    began: float
    """On the monotonic clock, seconds."""

    def outcome(
        self,
        artifacts: Sequence[Artifact] = (),
        areas: Sequence[ClassArea] = (),
        pixels: int = 0,
    ) -> Outcome:
        """What it leaves, now."""
        summary = RunSummary(
            model=self.plan.recipe.card.id,
            device=self.device,
            seconds=round(time.monotonic() - self.began, 3),
            pixels=pixels,
            areas=tuple(areas),
            notes=(self.plan.scaling, *self.plan.notes),
        )
        return Outcome(tuple(artifacts), summary)


def note_of(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """The outcome of a plan for the journal of its publication."""
    return {"plan": _identity(plan), "outcome": to_plain(outcome)}


def outcome_in(note: Any, plan: Plan) -> Outcome | None:
    """The outcome of a publication that is over, if it is this plan's and its files are there."""
    if note is None or note["plan"] != _identity(plan):
        return None
    outcome = from_plain(Outcome, note["outcome"])
    return outcome if all(Path(a.uri).is_file() for a in outcome.artifacts) else None


def _identity(plan: Plan) -> str:
    return hashlib.sha256(plan_to_json(plan).encode()).hexdigest()

"""Clouds of two dates: found first, and left out of what is compared."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

from engine.contract.errors import EngineError
from engine.contract.messages import Artifact, InputSpec, OutputSpec, SegmentRequest
from engine.io.handles import shown
from engine.io.mosaic import place
from engine.io.scene import open_scene
from engine.io.source import Scene
from engine.models.card import ModelCard
from engine.models.licence import credit
from engine.models.store import ModelStore
from engine.pipeline.cloud_models import cloud_card
from engine.pipeline.destination import Destination
from engine.pipeline.planning import settled_plan
from engine.pipeline.report import Report
from engine.pipeline.run import run_plan
from engine.pipeline.workplace import MASKS

DATES = ("before", "after")


def without_clouds(
    request: SegmentRequest, store: ModelStore, work: Path, report: Report
) -> SegmentRequest:
    """The same request, its two dates masked where they show clouds or their shadows.

    A cloud model of the catalogue runs on all of each date, as any model does, and what it finds
    stays in the work folder as long as the job; an interrupted run takes it up. Nothing is done
    for scenes that no cloud model fits, and nothing is installed.

    Args:
        request: Of two dates; of others nothing changes.
        store: Has the cloud models, or not.
        work: The run's folder, which shards share.
        report: Told of progress, asked for cancellation.

    Raises:
        EngineError: ``OUTPUT_EXISTS`` and the like, before any pixel is computed; or what running
            a model raises.
    """
    if request.clouds != "mask" or not request.others:
        return request
    specs = (request.input, request.others[0].input)
    scenes = tuple(map(_opened, specs))
    if None in scenes or not _touch(*scenes):
        return request  # planning says what is wrong
    read = [uri for spec in specs for uri in spec.uris]
    Destination.of(request.output, has_classes=False).check(request.output.overwrite, read)
    finder = _Finder(request, store, report)
    first, second = (
        finder.masked(spec, cloud_card(scene, store), work / MASKS / name)
        for spec, scene, name in zip(specs, scenes, DATES, strict=True)
        if scene is not None
    )
    others = (replace(request.others[0], input=second), *request.others[1:])
    return replace(request, input=first, others=others)


def _opened(spec: InputSpec) -> Scene | None:
    with contextlib.suppress(EngineError):
        return open_scene(spec)
    return None


def _touch(first: Scene | None, second: Scene | None) -> bool:
    return bool(first and second and place(second.grid, first.grid))


@dataclass(frozen=True)
class _Finder:
    request: SegmentRequest
    """Says what to compute with."""
    store: ModelStore
    report: Report

    def masked(self, spec: InputSpec, card: ModelCard | None, folder: Path) -> InputSpec:
        """One date with its clouds masked, where there is a model for it."""
        if spec.mask is not None or card is None or not self.store.is_installed(card):
            return spec
        request, mask = self.request, folder.with_suffix(".tif")
        wanted = SegmentRequest(
            replace(spec, date=None),
            OutputSpec(str(mask), overwrite=True),
            card.id,
            device=request.device,
            precision=request.precision,
            memory=request.memory,
            work=request.work and str(folder),
        )
        told = f"Clouds are looked for in {shown(spec.uris[0])} with {card.id}. {credit(card)}"
        self.report.message("info", told)
        folder.mkdir(parents=True, exist_ok=True)
        plan = settled_plan(wanted, self.store, folder, lambda _: None)
        run_plan(plan, self.store, folder, _Aside(self.report))
        return replace(spec, mask=str(mask))


class _Aside:
    """The report of a run whose result nobody asked for by name."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def progress(self, stage: str, done: int, total: int, unit: str) -> None:
        """Of the computing alone."""
        if stage == "segment":
            self._report.progress("clouds", done, total, unit)

    def message(self, level: str, text: str) -> None:
        """Warnings only."""
        if level == "warning":
            self._report.message(level, text)

    def artifact(self, artifact: Artifact) -> None:
        """Say nothing: the file goes with the job."""

    def cancelled(self) -> bool:
        """Whether the user asked to stop."""
        return self._report.cancelled()

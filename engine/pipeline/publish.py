"""Blocks become the files that a user opens; all of them appear, or none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.assess.mapped import MappedArea
from engine.contract.messages import Artifact, ClassArea
from engine.geo.window import Window
from engine.io.cog import RasterLayout, write_cog
from engine.io.geopackage import VectorLayout, class_fields, write_polygons
from engine.io.pam import pam_xml
from engine.io.stac import ItemAsset, stac_item, write_stac_item
from engine.io.staging import Staging, write_text
from engine.io.style import polygon_qml, probability_qml, raster_qml
from engine.io.tables import write_area_table
from engine.pipeline.blocks import BlockStore
from engine.pipeline.destination import Destination
from engine.pipeline.outcome import Outcome, Run, note_of
from engine.pipeline.plan import Plan
from engine.pipeline.polygons import polygon_batches
from engine.pipeline.provenance import describe
from engine.pipeline.report import Report, stop_if_cancelled
from engine.tasks.segment import PROBABILITY_NODATA, PROBABILITY_SCALE

U8 = npt.NDArray[np.uint8]
CLASSES, WINNER, FIRST_CLASS = 0, 1, 2
"""Bands of a block."""
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
GEOPACKAGE = "application/geopackage+sqlite3"
CSV = "text/csv"
ITEM = "application/geo+json"


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
        work = _Publication(plan, blocks, staging, report)
        areas = work.classes()
        if plan.output.probability is not None:
            work.probability(Path(plan.output.probability))
        if plan.output.vector is not None:
            work.polygons(Path(plan.output.vector))
        work.table(areas)
        work.item(areas, run.device)
        stop_if_cancelled(report)
        outcome = run.outcome(work.artifacts, areas)
        staging.commit(note_of(plan, outcome))
    for artifact in outcome.artifacts:
        report.artifact(artifact)
    return outcome


class _Publication:
    """The outputs of one plan, each written under a temporary name."""

    def __init__(self, plan: Plan, blocks: BlockStore, staging: Staging, report: Report) -> None:
        self._plan = plan
        self._recipe = plan.recipe
        self._legend = plan.recipe.card.output.classes
        self._blocks = blocks
        self._staging = staging
        self._report = report
        self._places = Destination.of(plan.output)
        self._assets: list[ItemAsset] = []
        self.artifacts: list[Artifact] = []

    def classes(self) -> tuple[ClassArea, ...]:
        """The class raster with its legend, and the areas counted on the way."""
        areas = MappedArea(self._recipe.grid, self._legend, self._recipe.flat_pixel_area)

        def counted() -> Iterator[tuple[Window, U8]]:
            for window, bands in self._windows("raster"):
                areas.add(window, bands[CLASSES])
                yield self._in_output(window), bands[CLASSES : CLASSES + 1]

        layout = RasterLayout(
            dtype="uint8",
            nodata=self._recipe.card.output.nodata,
            descriptions=("class",),
            overview="mode",
            classes=self._legend,
            tags=self._tags(),
        )
        places = self._places
        self._raster("raster", places.raster, layout, counted())
        write_text(self._staging.path(places.legend), pam_xml(self._legend))
        self._style("raster", places.raster_style, raster_qml(self._legend))
        return areas.table()

    def probability(self, path: Path) -> None:
        """One band a class, stored as uint8."""
        layout = RasterLayout(
            dtype="uint8",
            nodata=PROBABILITY_NODATA,
            descriptions=tuple(f"probability of {c.name}" for c in self._legend),
            overview="average",
            scale=PROBABILITY_SCALE,
            offset=0.0,
            tags=self._tags(),
        )
        parts = (
            (self._in_output(window), bands[FIRST_CLASS:])
            for window, bands in self._windows("probability")
        )
        self._raster("probability", path, layout, parts)
        self._style("probability", self._places.probability_style, probability_qml())

    def polygons(self, path: Path) -> None:
        """The patches of equal class."""
        parts = (
            (window, bands[CLASSES], bands[WINNER]) for window, bands in self._windows("polygons")
        )
        layout = VectorLayout(
            layer=path.stem,
            crs=self._recipe.grid.crs,
            fields=class_fields(self._recipe.area_field),
            style_qml=polygon_qml(self._legend),
        )
        written = self._staging.path(path)
        write_polygons(written, layout, polygon_batches(self._plan, parts))
        self._add(
            ItemAsset(
                "vector",
                path,
                written,
                GEOPACKAGE,
                "Polygons by class",
                ("data",),
                None,
                self._legend,
            )
        )

    def table(self, areas: tuple[ClassArea, ...]) -> None:
        """Areas per class."""
        path = self._places.areas
        written = self._staging.path(path)
        write_area_table(written, areas)
        self._add(ItemAsset("areas", path, written, CSV, "Area per class", ("metadata",)))

    def item(self, areas: tuple[ClassArea, ...], device: str) -> None:
        """The STAC item that tells where everything comes from."""
        path = self._places.item
        provenance = describe(self._plan, device)
        item = stac_item(path, self._recipe.output_grid, provenance, self._assets, areas)
        write_stac_item(self._staging.path(path), item)
        self.artifacts.append(Artifact("item", str(path), ITEM))

    def _raster(
        self,
        role: str,
        path: Path,
        layout: RasterLayout,
        parts: Iterator[tuple[Window, U8]],
    ) -> None:
        written = self._staging.path(path)
        write_cog(written, self._recipe.output_grid, layout, parts)
        title = "Classes" if role == "raster" else "Probability of each class"
        self._add(ItemAsset(role, path, written, COG, title, ("data",), layout, layout.classes))

    def _style(self, role: str, path: Path, qml: str) -> None:
        """Put a style beside the artifact just added."""
        write_text(self._staging.path(path), qml)
        last = self.artifacts[-1]
        self.artifacts[-1] = Artifact(role, last.uri, last.media_type, str(path))

    def _add(self, asset: ItemAsset) -> None:
        self._assets.append(asset)
        self.artifacts.append(Artifact(asset.key, str(asset.path), asset.media_type))

    def _windows(self, stage: str) -> Iterator[tuple[Window, U8]]:
        """Every block's bands with the source pixels it covers."""
        every = self._recipe.blocks
        for number, block in enumerate(every, 1):
            stop_if_cancelled(self._report)
            window = self._recipe.window_of(block)
            if not window.is_empty:
                yield window, self._blocks.read(block.index)
            self._report.progress(stage, number, len(every), "blocks")

    def _in_output(self, window: Window) -> Window:
        return window.shift(-self._recipe.region.row, -self._recipe.region.col)

    def _tags(self) -> dict[str, str]:
        """Provenance inside a raster; no date, so that equal runs give equal bytes."""
        card = self._recipe.card
        return {
            "TIFFTAG_SOFTWARE": f"Swath {self._recipe.engine}",
            "SWATH_MODEL": f"{card.id} {card.version}",
            "SWATH_MODEL_SHA256": card.file.sha256,
            "SWATH_PLAN": self._plan.digest,
            "SWATH_SCALING": self._plan.scaling,
        }

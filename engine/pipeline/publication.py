"""The outputs of one plan on their way: each written under a temporary name, and described."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from engine.contract.messages import Artifact, ClassArea
from engine.geo.window import Window
from engine.io.cog import BlockStream, RasterLayout, write_cog
from engine.io.stac import ItemAsset, Provenance, stac_item, write_stac_item
from engine.io.staging import Staging, write_text
from engine.models.cardfile import residuals_to_json
from engine.pipeline.blocks import BlockStore
from engine.pipeline.plan import Plan
from engine.pipeline.report import Report, stop_if_cancelled
from engine.tasks.task import Bands

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
ITEM = "application/geo+json"


class Publication:
    """What all kinds of results share."""

    def __init__(self, plan: Plan, blocks: BlockStore, staging: Staging, report: Report) -> None:
        self.plan = plan
        self.recipe = plan.recipe
        self.places = plan.destination
        self.staging = staging
        self.artifacts: list[Artifact] = []
        self._blocks = blocks
        self._report = report
        self.assets: list[ItemAsset] = []

    def windows(self, stage: str) -> Iterator[tuple[Window, Bands]]:
        """Every block's bands with the pixels of the frame that it covers."""
        every = self.recipe.blocks
        for number, block in enumerate(every, 1):
            stop_if_cancelled(self._report)
            window = self.recipe.window_of(block)
            if not window.is_empty:
                yield window, self._blocks.read(block.index)
            self._report.progress(stage, number, len(every), "blocks")

    def pause(self) -> None:
        """Stop here when the user asked for it.

        Raises:
            CancelledError: when so.
        """
        stop_if_cancelled(self._report)

    def in_output(self, window: Window) -> Window:
        """A window of the frame as one of the file."""
        return window.shift(-self.recipe.result.row, -self.recipe.result.col)

    def raster(
        self, role: str, path: Path, title: str, layout: RasterLayout, parts: BlockStream
    ) -> None:
        """Write a COG from windows of the file and their pixels."""
        written = self.staging.path(path)
        write_cog(written, self.recipe.output_grid, layout, parts)
        self.add(ItemAsset(role, path, written, COG, title, ("data",), layout, layout.classes))

    def style(self, role: str, path: Path, qml: str) -> None:
        """Put a style beside the artifact just added."""
        write_text(self.staging.path(path), qml)
        last = self.artifacts[-1]
        self.artifacts[-1] = Artifact(role, last.uri, last.media_type, str(path))

    def add(self, asset: ItemAsset) -> None:
        """Take a file that is written into the item and the list of artifacts."""
        self.assets.append(asset)
        self.artifacts.append(Artifact(asset.key, str(asset.path), asset.media_type))

    def item(self, areas: tuple[ClassArea, ...], provenance: Provenance) -> None:
        """The STAC item that tells where everything comes from."""
        path = self.places.item
        item = stac_item(path, self.recipe.output_grid, provenance, self.assets, areas)
        write_stac_item(self.staging.path(path), item)
        self.artifacts.append(Artifact("item", str(path), ITEM))

    def tags(self) -> dict[str, str]:
        """Provenance inside a raster; no date, so that equal runs give equal bytes."""
        card = self.recipe.card
        errors = card.residuals
        return {
            "TIFFTAG_SOFTWARE": f"Swath {self.recipe.engine}",
            "SWATH_MODEL": f"{card.id} {card.version}",
            "SWATH_MODEL_SHA256": card.file.sha256,
            "SWATH_PLAN": self.plan.digest,
            "SWATH_SCALING": self.plan.scaling,
            **({"SWATH_RESIDUALS": json.dumps(residuals_to_json(errors))} if errors else {}),
        }

"""All files that a run delivers, derived from the ones that were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.contract.messages import OutputSpec
from engine.io.outputs import (
    RASTER_SUFFIXES,
    REPORT_SUFFIXES,
    VECTOR_SUFFIXES,
    check_outputs,
    check_spared,
    check_suffix,
)
from engine.models.card import ModelCard


@dataclass(frozen=True)
class ClassRaster:
    """A raster of classes with its names and colours."""

    path: Path

    @property
    def legend(self) -> Path:
        """Class names, where GDAL looks for them."""
        return self.path.with_name(f"{self.path.name}.aux.xml")

    @property
    def style(self) -> Path:
        """Where QGIS looks for its style."""
        return self.path.with_suffix(".qml")

    @property
    def files(self) -> tuple[Path, ...]:
        """All three."""
        return self.path, self.legend, self.style


@dataclass(frozen=True)
class Destination:
    """Final names."""

    raster: Path
    probability: Path | None
    vector: Path | None
    has_classes: bool = True
    """Whether the raster has a legend and areas."""
    has_transitions: bool = False
    """Whether its classes are transitions, of which there is a table and a picture."""
    has_dates: bool = False
    """Whether the classes of both dates come as rasters too."""
    report: Path | None = None
    """The page about the run."""

    @classmethod
    def by(cls, card: ModelCard, output: OutputSpec) -> Destination:
        """The files that a model makes of what ``output`` asks for."""
        if card.has_transitions:
            has_dates = card.output.semantic_change is not None
            return replace(cls.of(output), has_transitions=True, has_dates=has_dates)
        return cls.of(output, has_classes=bool(card.output.classes))

    @classmethod
    def of(cls, output: OutputSpec, *, has_classes: bool = True) -> Destination:
        """The files that ``output`` asks for."""
        probability = Path(output.probability) if output.probability is not None else None
        vector = Path(output.vector) if output.vector is not None else None
        report = Path(output.report) if output.report is not None else None
        return cls(Path(output.raster), probability, vector, has_classes, report=report)

    def check(self, overwrite: bool, inputs: Sequence[str]) -> None:
        """Refuse what could not be delivered in the end.

        Raises:
            EngineError: ``OUTPUT_EXISTS``, ``OUTPUT_UNWRITABLE`` or ``DISK_FULL``.
        """
        for path in (self.raster, self.probability):
            if path is not None:
                check_suffix(path, RASTER_SUFFIXES)
        if self.vector is not None:
            check_suffix(self.vector, VECTOR_SUFFIXES)
        if self.report is not None:
            check_suffix(self.report, REPORT_SUFFIXES)
        check_outputs(self.asked, overwrite, sidecars=self.sidecars, inputs=inputs)

    def check_spares(self, inputs: Sequence[str]) -> None:
        """Refuse to replace what the run reads: also the files of a folder or a STAC item.

        Raises:
            EngineError: ``OUTPUT_UNWRITABLE``.
        """
        check_spared([*self.asked, *self.sidecars], inputs)

    @property
    def asked(self) -> tuple[Path, ...]:
        """What the user named."""
        chosen = (self.raster, self.probability, self.vector, self.report)
        return tuple(path for path in chosen if path is not None)

    @property
    def sidecars(self) -> tuple[Path, ...]:
        """What comes beside it."""
        beside: tuple[Path, ...] = (self.raster_style, self.item)
        if self.has_classes:
            beside = (self.legend, *beside, self.areas)
        if self.has_transitions:
            beside = (*beside, self.transitions, self.matrix)
        if self.has_dates:
            beside = (*beside, *self.before.files, *self.after.files)
        return beside if self.probability is None else (*beside, self.probability_style)

    @property
    def legend(self) -> Path:
        """Class names, where GDAL looks for them."""
        return self.raster.with_name(f"{self.raster.name}.aux.xml")

    @property
    def raster_style(self) -> Path:
        """Where QGIS looks for the raster's style."""
        return self.raster.with_suffix(".qml")

    @property
    def probability_style(self) -> Path:
        """Where QGIS looks for the probability raster's style."""
        return (self.probability or self.raster).with_suffix(".qml")

    @property
    def areas(self) -> Path:
        """The table of areas."""
        return self.raster.with_name(f"{self.raster.stem}_areas.csv")

    @property
    def before(self) -> ClassRaster:
        """The classes of the first date."""
        return ClassRaster(self.raster.with_name(f"{self.raster.stem}_from.tif"))

    @property
    def after(self) -> ClassRaster:
        """Those of the second."""
        return ClassRaster(self.raster.with_name(f"{self.raster.stem}_to.tif"))

    @property
    def transitions(self) -> Path:
        """The table of transitions."""
        return self.raster.with_name(f"{self.raster.stem}_transitions.csv")

    @property
    def matrix(self) -> Path:
        """Their picture."""
        return self.raster.with_name(f"{self.raster.stem}_transitions.svg")

    @property
    def item(self) -> Path:
        """The STAC item."""
        return self.raster.with_suffix(".json")

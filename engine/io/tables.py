"""Tables of results."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from engine.contract.messages import ClassArea
from engine.io.staging import write_text

_HEADER = ("class_id", "class_name", "pixels", "area_m2", "area_ha", "share")


def write_area_table(path: Path, areas: Sequence[ClassArea]) -> None:
    """Write the area of each class as CSV (UTF-8); areas stay empty without georeference.

    Raises:
        EngineError: ``DISK_FULL``, ``OUTPUT_UNWRITABLE``.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_HEADER)
    rows.writerows(_row(area) for area in areas)
    write_text(path, text.getvalue())


def _row(area: ClassArea) -> tuple[object, ...]:
    m2, ha = ("", "")
    if area.area_m2 is not None:
        m2, ha = f"{area.area_m2:.2f}", f"{area.area_m2 / 10_000:.6f}"
    return area.class_id, area.name, area.pixels, m2, ha, f"{area.share:.6f}"

"""Tables of results."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from engine.contract.messages import ClassArea
from engine.io.staging import write_text

_HEADER = ("class_id", "class_name", "pixels", "area_m2", "area_ha", "share")


def write_area_table(path: Path, areas: Sequence[ClassArea]) -> None:
    """Write the area of each class as CSV (UTF-8); areas stay empty without georeference.

    Raises:
        EngineError: ``DISK_FULL``, ``OUTPUT_UNWRITABLE``.
    """
    write_table(path, _HEADER, map(_row, areas))


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV (UTF-8).

    Raises:
        EngineError: ``DISK_FULL``, ``OUTPUT_UNWRITABLE``.
    """
    text = io.StringIO()
    target = csv.writer(text, lineterminator="\n")
    target.writerow(header)
    target.writerows(rows)
    write_text(path, text.getvalue())


def _row(area: ClassArea) -> tuple[object, ...]:
    share = f"{area.share:.6f}"
    return area.class_id, area.name, area.pixels, *shown_area(area.area_m2), share


def shown_area(area_m2: float | None) -> tuple[str, str]:
    """Square metres and hectares of a table; nothing without georeference."""
    return ("", "") if area_m2 is None else (f"{area_m2:.2f}", f"{area_m2 / 10_000:.6f}")

"""Words on the terminal: results on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from engine.contract.codec import to_plain
from engine.contract.errors import ErrorInfo
from engine.contract.messages import ClassArea, Job
from engine.contract.update import ObjectCount

SQUARE_KM = 1e6
SHOW_KM_FROM = 1e5
"""Square metres from which a table speaks of square kilometres."""
MOST_ROWS = 20
"""Of a table of areas on the terminal; the file has all."""
UNCHANGED = "no change"


def say(text: str = "") -> None:
    """A line of the result."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """A line beside the result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def note_from_signal(text: str) -> None:
    """The same from a signal's handler, which may have interrupted a line being written."""
    with contextlib.suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), f"{text}{os.linesep}".encode())


def complain(error: ErrorInfo) -> None:
    """An error, and what to do about it."""
    note(f"error {error.code.value}: {error.message}")
    if error.hint:
        note(f"hint: {error.hint}")


def say_json(message: Any) -> None:
    """A message for programs."""
    say(json.dumps(to_plain(message), indent=2, ensure_ascii=False))


def columns(rows: Iterable[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Rows as lines of aligned columns; those in ``right`` are aligned to the right."""
    table = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]

    def cell(index: int, text: str) -> str:
        return text.rjust(widths[index]) if index in right else text.ljust(widths[index])

    return ["  ".join(cell(i, text) for i, text in enumerate(row)).rstrip() for row in table]


def say_result(job: Job, also: Sequence[tuple[str, str]] = ()) -> None:
    """What a finished job found, and where it lies."""
    if job.summary is not None and job.summary.areas:
        say()
        for line in _area_table(job.summary.areas[:MOST_ROWS]):
            say(line)
        for line in _beyond_table(job):
            say(line)
        say("Mapped areas, not corrected for the map's own errors.")
    if job.summary is not None and job.summary.objects:
        say()
        for line in _object_table(job.summary.objects):
            say(line)
    say()
    for line in columns([*((a.role, a.uri) for a in job.artifacts), *also]):
        say(line)


def _beyond_table(job: Job) -> list[str]:
    """What a long table of transitions leaves to be said."""
    areas = job.summary.areas if job.summary else ()
    table = next((a.uri for a in job.artifacts if a.role == "transitions"), None)
    left, lines = areas[MOST_ROWS:], []
    if left:
        share = 100 * sum(a.share for a in left)
        lines.append(f"… and {len(left)} more with {share:.2f} % together.")
    if table is not None:
        share = 100 * sum(a.share for a in areas if a.name != UNCHANGED)
        lines.append(f"{share:.2f} % of the pixels with data at both dates changed their class.")
    return lines


def _area_table(areas: Sequence[ClassArea]) -> list[str]:
    largest = max((a.area_m2 or 0 for a in areas), default=0)
    rows = [("class", "pixels", "share", "area")]
    for a in areas:
        row = (a.name, f"{a.pixels:,}", f"{100 * a.share:.2f} %", _area(a.area_m2, largest))
        rows.append(row)
    return columns(rows, right=frozenset({1, 2, 3}))


def _object_table(counts: Sequence[ObjectCount]) -> list[str]:
    """What became of the objects of a map, as far as there are any."""
    shown = [count for count in counts if count.old or count.new]
    largest = max((a or 0 for c in shown for a in (c.old_area_m2, c.new_area_m2)), default=0)
    rows: list[tuple[str, ...]] = [("status", "old", "new", "old area", "new area")]
    for c in shown:
        areas = (_area(a, largest) for a in (c.old_area_m2, c.new_area_m2))
        rows.append((c.status, f"{c.old:,}", f"{c.new:,}", *areas))
    return columns(rows, right=frozenset({1, 2, 3, 4}))


def _area(area: float | None, largest: float) -> str:
    if area is None:
        return "-"
    if largest >= SHOW_KM_FROM:
        return f"{area / SQUARE_KM:,.3f} km²"
    return f"{area:,.1f} m²"

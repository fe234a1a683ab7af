"""The tables that are printed, and the file that is kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmark.limits import BASE_TILE
from benchmark.rows import Check, Findings, Speeds

KEPT = Path("bench") / "results"
HEADLINE = {"unet": "{:.2f}", "tiny": "{:.2f}", "rss_mib": "{:.0f}", "seams_pct": "{:.4f}"}
"""Numbers of the last line of a quick run, in this order."""
WIDTH = 132
"""Characters at least, also where nobody knows how many fit."""
COLUMNS = (
    "",
    "model",
    "raster",
    "wall s",
    "limit s",
    f"ratio {BASE_TILE}",
    "strict",
    "at tile",
    "CPU ratio",
    "peak MiB",
    "others",
)
QUIET = 0.1
"""Shares of other work, and of difference between probes, above which times are rough."""
ROUGH = (
    "Times and ratios are rough: other work took up to {:.0f} % of the machine during a run, and "
    "the probes on both sides of a run differ by up to {:.0f} %."
)
NOTES = (
    f"ratio {BASE_TILE}: wall from process start to the file's final name, over what the forward "
    f"pass alone at {BASE_TILE} beside that run, reading and writing need on all cores with "
    "nothing in between. strict: over that of the quietest moment met. at tile: the forward pass "
    "taken at the tile in brackets. CPU ratio: the same in processor seconds. others: share of "
    "the machine that other work took during the runs."
)


def show(found: Findings, machine: dict[str, Any]) -> None:
    """Print everything found."""
    console = Console(highlight=False, width=max(Console().width, WIDTH))
    console.print(
        f"[bold]{machine['processor']}[/], {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, commit {machine['commit']}"
    )
    if found.speeds:
        console.print(_speeds(found.speeds))
        for line in _noise(found.speeds):
            console.print(line)
        console.print(NOTES, style="dim")
    if found.checks:
        console.print(_checks(found.checks))


def headline(found: Findings) -> str:
    """The last line of a quick run; ``-`` stands for what was not measured."""
    values = found.headline
    return " ".join(
        f"{name}={form.format(values[name]) if name in values else '-'}"
        for name, form in HEADLINE.items()
    )


def keep(found: Findings, machine: dict[str, Any], name: str, settings: dict[str, Any]) -> Path:
    """Write what was found into the project's folder of results."""
    now = datetime.now(UTC)
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{now:%Y-%m-%d-%H%M}-{name}.json"
    document = {
        "date": now.isoformat(timespec="seconds"),
        "machine": machine,
        **settings,
        "measured": found.record,
        "checks": [
            {"what": c.what, "value": c.value, "bar": c.bar, "holds": c.holds} for c in found.checks
        ],
    }
    text = json.dumps(_rounded(document), indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
    return path


def _speeds(speeds: list[Speeds]) -> Table:
    table = Table(*COLUMNS, title="Speed", title_justify="left")
    for column in table.columns[3:]:
        column.justify = "right"
    for line in speeds:
        table.add_row(*_cells(line))
    return table


def _cells(line: Speeds) -> list[str]:
    timing = line.timing
    at_tile = "" if line.ratio_at_tile is None else f"{line.ratio_at_tile:.2f} ({line.tile})"
    return [
        line.who,
        line.model,
        line.raster,
        " ".join(f"{r.wall:.1f}" for r in timing.runs),
        f"{timing.limit(timing.all_probes.median).wall:.1f}",
        f"{timing.ratio:.2f}",
        f"{timing.strict_ratio:.2f}",
        at_tile,
        f"{timing.cpu_ratio:.2f}",
        f"{timing.peak_mib:.0f}",
        " ".join(f"{100 * r.others:.0f} %" for r in timing.runs),
    ]


def _noise(speeds: list[Speeds]) -> list[str]:
    """How steady the machine was."""
    others = max(run.others for s in speeds for run in s.timing.runs)
    unrest = max(s.timing.unrest for s in speeds)
    lines = []
    if max(others, unrest) > QUIET:
        lines.append(f"[yellow]{ROUGH.format(100 * others, 100 * unrest)}[/]")
    for model in dict.fromkeys(s.model for s in speeds):
        bursts = [b for s in speeds if s.model == model for p in s.timing.probes for b in p.bursts]
        probes = [p.median for s in speeds if s.model == model for p in s.timing.probes]
        lines.append(
            f"{model} forward alone at {BASE_TILE}, MPix/s: bursts {min(bursts):.2f} to "
            f"{max(bursts):.2f}; medians of the probes, in order: "
            + " ".join(f"{p:.2f}" for p in probes)
        )
    return lines


def _checks(checks: list[Check]) -> Table:
    table = Table("measured", "value", "bar", "", title="Against the bar", title_justify="left")
    table.columns[1].justify = "right"
    words = {True: "[green]holds[/]", False: "[red]missed[/]", None: ""}
    for check in checks:
        table.add_row(check.what, check.value, check.bar, words[check.holds])
    return table


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value

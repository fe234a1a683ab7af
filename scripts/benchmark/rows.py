"""What is measured, row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmark.change import figures
from benchmark.limits import BASE_TILE
from benchmark.models import CLASSES
from benchmark.polygons import judge
from benchmark.seams import difference, whole_image, wrong_nodata
from benchmark.shapes import QUICKER, REFERENCE, SHAPES, run_shape
from benchmark.stack import EDGE, QUICK_EDGE, run_stack
from benchmark.timing import Bench, Scale, Timing, as_record

MEMORY_MIB = {"unet": 1500, "tiny": 700}
"""Bars of peak memory; the first is also what Swath is told to stay within."""
POLYGONS_MIB = 1000
POLYGONS_S = 60
RATIOS = {"unet": 1.25, "tiny": 1.6}
OVERLAP = 1.2
WORK = 1.5
"""Processor seconds per pixel of an odd raster over those of an ordinary one."""
INNER_PERCENT, BORDER_PERCENT = 0.05, 0.1
EXACT = 1e-9


QUICK = Scale("rgb_2500", repeats=2, patience_s=10, probe_s=1.0, bars=False)
FULL = Scale("rgb_10k", repeats=2, patience_s=150, probe_s=5.0, bars=True)
LARGE = Scale("rgb_40k", repeats=1, patience_s=0, probe_s=5.0, bars=True)
COMPARED = Scale("rgb_5k", repeats=1, patience_s=0, probe_s=4.0, bars=False)
"""Peers are measured at this size, since most of them grow with the raster."""


@dataclass(frozen=True)
class Check:
    """One number and the bar it is held to."""

    what: str
    value: str
    bar: str = ""
    holds: bool | None = None


@dataclass(frozen=True)
class Speeds:
    """One line of the table of speeds."""

    who: str
    model: str
    raster: str
    timing: Timing
    tile: int | None = None
    ratio_at_tile: float | None = None


@dataclass
class Findings:
    """Everything found so far."""

    speeds: list[Speeds] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    headline: dict[str, float] = field(default_factory=dict)
    """Numbers of the last line of a quick run."""

    def timing(self, model: str, raster: str) -> Timing | None:
        """Swath on a raster, if it was measured."""
        found = (s for s in self.speeds if (s.who, s.model, s.raster) == ("Swath", model, raster))
        return next((s.timing for s in found), None)


def speed_row(model: str) -> Measure:
    """Wall, memory and overlap of a model."""

    def measure(bench: Bench, scale: Scale, found: Findings) -> None:
        timing = add_swath(bench, scale, found, model)
        ratio, bar = timing.ratio, RATIOS[model]
        found.headline[model] = ratio
        if model == "tiny":
            found.headline["rss_mib"] = timing.peak_mib
        if scale.bars:
            title = f"{model} {scale.raster}: wall / limit at {BASE_TILE}"
            found.checks.append(Check(title, f"{ratio:.2f}", f"≤ {bar}", ratio <= bar))
        found.checks.append(_memory(f"{model} {scale.raster}", timing.peak_mib, MEMORY_MIB[model]))
        overlap = bench.tiles(model, scale.raster).overlap
        title = f"{model} {scale.raster}: pixels computed / kept"
        # A raster of a few tiles shows the margins at its edges, not those that repeat.
        bar_text = f"≤ {OVERLAP}" if scale.bars else ""
        holds = overlap <= OVERLAP if scale.bars else None
        found.checks.append(Check(title, f"{overlap:.3f}", bar_text, holds))

    return measure


def large_row(model: str) -> Measure:
    """The same on a raster sixteen times as large, whatever else is asked for."""
    row = speed_row(model)

    def measure(bench: Bench, _scale: Scale, found: Findings) -> None:
        row(bench, LARGE, found)

    return measure


def add_swath(bench: Bench, scale: Scale, found: Findings, model: str) -> Timing:
    """Time Swath, and the forward pass alone at the tile size that it took."""
    memory = MEMORY_MIB[model] if model == "unet" else 0
    timing = bench.time_swath(model, scale, memory)
    tiles = bench.tiles(model, scale.raster)
    relative = bench.forward(model).relative_speed(tiles.rule.size, 2 * scale.probe_s)
    speed = timing.all_probes.median
    ratio = timing.ratio * timing.limit(speed).wall / timing.limit(speed * relative).wall
    found.speeds.append(Speeds("Swath", model, scale.raster, timing, tiles.rule.size, ratio))
    found.record[f"swath {model} {scale.raster}"] = as_record(timing) | {
        "tile": tiles.rule.size,
        "margin": tiles.rule.margin,
        "overlap": tiles.overlap,
        "forward_at_tile_over_512": relative,
        "ratio_at_tile": ratio,
    }
    return timing


def polygons_row(bench: Bench, scale: Scale, found: Findings) -> None:
    """Polygons of the tiny model's speckled classes: the worst case."""
    timing = found.timing("tiny", scale.raster)
    plain = min(timing.runs, key=lambda r: r.exit) if timing else bench.swath("tiny", scale.raster)
    run = bench.swath("tiny", scale.raster, polygons=True)
    result = bench.result("tiny", scale.raster)
    made = judge(result.with_suffix(".gpkg"), result)
    beside = run.exit - plain.exit
    title = f"{made.count:,} polygons of tiny {scale.raster}"
    limit = (f"≤ {POLYGONS_S} s", beside <= POLYGONS_S) if scale.bars else ("", None)
    found.checks += [
        Check(f"{title}: time beside the raster run", f"{beside:.1f} s", *limit),
        Check(f"{title}: invalid", str(made.invalid), "0", made.invalid == 0),
        Check(
            f"{title}: planar area error",
            f"{made.area_error:.1e}",
            f"≤ {EXACT:g}",
            abs(made.area_error) <= EXACT,
        ),
        Check(f"{title}: cut at edges", str(made.cut), "0", made.cut == 0),
        _memory(title, run.peak_mib, POLYGONS_MIB),
    ]
    found.record[f"polygons {scale.raster}"] = asdict(made) | {
        "cut": made.cut,
        "beside_s": beside,
        "exit_s": run.exit,
        "cpu_s": run.cpu,
        "cpu_beside_s": run.cpu - plain.cpu,
        "peak_mib": run.peak_mib,
        "others": run.others,
    }


def seams_row(bench: Bench, _scale: Scale, found: Findings) -> None:
    """The U-Net against one forward pass over the whole of a small raster."""
    raster = "rgb_2k"
    model = bench.models["unet"]
    reference = whole_image(model, bench.workload.raster(raster), bench.cache)
    bench.swath("unet", raster, memory=MEMORY_MIB["unet"])
    seen = difference(bench.result("unet", raster), reference)
    title = "unet 2048²: differs from one whole-image forward"
    found.headline["seams_pct"] = seen.all
    found.checks += [
        Check(f"{title}, all", f"{seen.all:.4f} %"),
        _percent(f"{title}, away from borders", seen.inner, INNER_PERCENT),
        _percent(f"{title}, last 64 px", seen.border, BORDER_PERCENT),
        Check(f"{title}, worst line", f"{seen.worst_line:.2f} %"),
    ]
    tiles = bench.tiles("unet", raster)
    found.record["seams"] = asdict(seen) | {"tile": tiles.rule.size, "margin": tiles.rule.margin}


def nodata_row(bench: Bench, _scale: Scale, found: Findings) -> None:
    """Pixels without data stay without, and no others become so."""
    bench.swath("tiny", "nd_2500")
    wrong = wrong_nodata(bench.result("tiny", "nd_2500"), len(CLASSES))
    found.checks.append(Check("wrong nodata pixels", str(wrong), "0", wrong == 0))
    found.record["wrong_nodata_pixels"] = wrong


def shapes_row(bench: Bench, scale: Scale, found: Findings) -> None:
    """Rasters of odd shapes and layouts: bounded memory, and no more work than a tiled one."""
    ordinary = 0.0
    for name, full in SHAPES.items():
        shape = full if scale.bars else full.smaller(QUICKER)
        run = run_shape(bench, name, shape)
        work = run.cpu / shape.pixels * 1e6
        ordinary = work if name == REFERENCE else ordinary
        title = f"{name}, {shape.height} x {shape.width} x {shape.bands} ({run.exit:.0f} s)"
        bar = (f"≤ {WORK}", work / ordinary <= WORK) if scale.bars else ("", None)
        found.checks += [
            _memory(title, run.peak_mib, MEMORY_MIB["tiny"]),
            Check(f"{title}: work per pixel / {REFERENCE}", f"{work / ordinary:.2f}", *bar),
        ]
        found.record[f"shape {name}"] = asdict(shape) | asdict(run) | {"cpu_s_per_mpix": work}


def stack_row(bench: Bench, scale: Scale, found: Findings) -> None:
    """Biomass from five sources on as many grids, within the memory of a small network."""
    edge = EDGE if scale.bars else QUICK_EDGE
    run = run_stack(bench, edge, edge, MEMORY_MIB["tiny"])
    title = f"biomass of five sources, {edge}² ({run.exit:.0f} s)"
    found.checks.append(_memory(title, run.peak_mib, MEMORY_MIB["tiny"]))
    found.record["stack"] = {"edge": edge} | asdict(run)


def change_row(_bench: Bench, _scale: Scale, found: Findings) -> None:
    """Maps of change where the truth is known; it takes no time worth measuring."""
    for figure in figures():
        found.checks.append(Check(figure.what, figure.value, figure.bar, figure.holds))
        found.record[f"change: {figure.what}"] = figure.value


Measure = Callable[[Bench, Scale, Findings], None]
ROWS: dict[str, Measure] = {
    "unet": speed_row("unet"),
    "tiny": speed_row("tiny"),
    "seams": seams_row,
    "nodata": nodata_row,
    "polygons": polygons_row,
    "shapes": shapes_row,
    "change": change_row,
    "stack": stack_row,
    "tiny-40k": large_row("tiny"),
    "unet-40k": large_row("unet"),
}
QUICK_ROWS = ("unet", "tiny", "seams")


def _memory(what: str, mib: float, bar: int) -> Check:
    return Check(f"{what}: peak memory", f"{mib:.0f} MiB", f"≤ {bar} MiB", mib <= bar)


def _percent(what: str, value: float, bar: float) -> Check:
    return Check(what, f"{value:.4f} %", f"≤ {bar} %", value <= bar)

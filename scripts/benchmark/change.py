"""Two dates: how right the maps of change are, where the truth is known."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pyogrio
import rasterio
import shapely
from PIL import Image
from rasterio.transform import from_origin
from scipy import stats

from engine.change.irmad import fit_irmad
from engine.change.vectors import fit_vectors
from engine.contract.errors import EngineError
from engine.contract.messages import (
    ChangeMethod,
    ChangeOptions,
    InputSpec,
    NamedInput,
    OutputSpec,
    SegmentRequest,
)
from engine.models.store import ModelStore
from engine.pipeline.plan import Plan
from engine.pipeline.planning import settled_plan
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

SHARED = Path(os.environ.get("SWATH_SHARED") or Path(__file__).parents[3] / "shared") / "data"
COUNT = 40_000
PLANTED = COUNT // 20
SHIFTS = ((0.0, 0.0), (0.3, -0.3), (1.0, 0.0), (3.0, -3.0))
"""Rows and columns, pixels."""
EDGE = 256
BORDER = 8
FALSE_ALARM = 0.001
SURE = 3.0
"""Standard deviations from which on DIST-S1 counts as change."""
DARKER = 10**-0.4
KS, AUC, NEAR, EXACT = 0.01, 0.99, 0.1, 1e-9
FEW, MOST = 0.005, 0.99
"""Bars."""
DARK, NODATA = 127, 255

F32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Figure:
    """One number, and whether it is as it must be."""

    what: str
    value: str
    bar: str = ""
    holds: bool | None = None


def figures() -> Iterator[Figure]:
    """Everything that is known of maps of change; parts without their data say so."""
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        for part in (statistics, shifts, dubai, disturbance, sums):
            try:
                yield from part(desk)
            except FileNotFoundError as error:
                yield Figure(f"{part.__name__}: needs {error.filename}", "-")


class Desk:
    """Runs comparisons in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._store = ModelStore(folder / "models")
        self._count = 0

    def write(self, pixels: npt.NDArray[Any], names: tuple[str, ...], pixel: float = 10.0) -> str:
        """``[C, H, W]`` as a georeferenced file."""
        self._count += 1
        path = self.folder / f"{self._count:03}.tif"
        layout = {"driver": "GTiff", "crs": "EPSG:32632", "dtype": pixels.dtype.name}
        layout |= {"transform": from_origin(500_000, 5_000_000, pixel, pixel), "count": len(pixels)}
        height, width = pixels.shape[1:]
        with rasterio.open(path, "w", height=height, width=width, **layout) as target:
            target.write(pixels)
            target.descriptions = names
        return str(path)

    def run(self, first: InputSpec, *others: NamedInput, **asked: Any) -> tuple[Plan, Path]:
        """What was planned, and the raster."""
        self._count += 1
        out = self.folder / f"out{self._count}.tif"
        vector = str(out.with_suffix(".gpkg")) if asked.pop("vector", False) else None
        request = SegmentRequest(first, OutputSpec(str(out), vector), others=others, **asked)
        work = self.folder / f"work{self._count}"

        def provide(card: Any) -> None:
            self._store.install(card, lambda *_: None, lambda: False)

        plan = settled_plan(request, self._store, work, provide)
        run_plan(plan, self._store, work, Silence())
        return plan, out


def statistics(_desk: Desk) -> Iterator[Figure]:
    """Where the truth was made: noise that is noise, and change that was planted."""
    for bands in (1, 2, 4, 9):
        before, after, changed = _made(bands)
        difference = fit_irmad(before, after).difference
        statistic = difference.statistic(before, after)
        found = stats.kstest(difference.unchanged(statistic)[~changed], "uniform").statistic
        title = f"irmad, {bands} bands: Kolmogorov-Smirnov distance of unchanged pixels"
        yield Figure(title, f"{found:.4f}", f"< {KS}", found < KS)
        area = _area_under_curve(statistic, changed)
        title = f"irmad, {bands} bands: area under the curve, planted change"
        yield Figure(title, f"{area:.5f}", f"≥ {AUC}", area >= AUC)


def shifts(desk: Desk) -> Iterator[Figure]:
    """A real scene beside itself, moved: what is found, and what moving it back takes away."""
    with rasterio.open(SHARED / "s2_l1c_virginia/s2_l1c_20m_13b.tif") as source:
        ground = source.read([4, 8], window=((0, EDGE), (0, EDGE))).astype(np.float32) / 1e4
    before = desk.write(ground, ("red", "nir"))
    for shift in SHIFTS:
        after = desk.write(_noisy(_moved(ground, *shift)), ("red", "nir"))
        pair = (_reflectance(before), NamedInput("after", _reflectance(after)))
        named = f"shift {shift[0]:g}, {shift[1]:g}"
        for method in ("irmad", "cva"):
            change = ChangeOptions(method, false_alarm=FALSE_ALARM)
            plan, plain = desk.run(*pair, change=change)
            _, moved = desk.run(*pair, change=change, coregister=True)
            if method == "irmad" and plan.preflight:
                told = plan.preflight.shift
                error = max(abs(told.rows - shift[0]), abs(told.cols - shift[1]))
                yield Figure(
                    f"{named}: estimate {told.rows:+.2f}, {told.cols:+.2f}; error in pixels",
                    f"{error:.2f}",
                    f"≤ {NEAR}",
                    error <= NEAR,
                )
            left, right = _share_within(plain), _share_within(moved)
            title = f"{named}, {method}: false change as it lies, and with --coregister"
            yield Figure(title, f"{left:.2%}, {right:.2%}")


def dubai(desk: Desk) -> Iterator[Figure]:
    """New buildings in Dubai (OSCD), by every method that takes three bands of pictures."""
    folder = SHARED / "oscd_dubai_nc"
    pictures = (np.asarray(Image.open(folder / n))[..., :3] for n in ("before.png", "after.png"))
    before, after = (p.transpose(2, 0, 1) for p in pictures)
    truth = np.asarray(Image.open(folder / "label.png")) > DARK
    for method, fit in (("irmad", lambda *x: fit_irmad(*x).difference), ("cva", fit_vectors)):
        dates = [d.reshape(3, -1).astype(np.float32) for d in (before, after)]
        area = _area_under_curve(fit(*dates).statistic(*dates), truth.ravel())
        yield Figure(f"Dubai, {method}: area under the curve", f"{area:.3f}")
    roles = ("red", "green", "blue")
    first, second = (InputSpec((desk.write(d, roles),), "raw") for d in (before, after))
    for method in get_args(ChangeMethod):
        try:
            _, out = desk.run(first, NamedInput("after", second), change=ChangeOptions(method))
        except EngineError as error:
            yield Figure(f"Dubai, {method}: does not apply ({error.code.value})", "-")
            continue
        found = _read(out) == 1
        hits = (found & truth).sum()
        f1 = 2 * hits / (found.sum() + truth.sum())
        title = f"Dubai, {method}: F1, precision, recall"
        values = (f1, hits / max(found.sum(), 1), hits / truth.sum())
        yield Figure(title, ", ".join(f"{value:.3f}" for value in values))


def disturbance(desk: Desk) -> Iterator[Figure]:
    """DIST-S1 on ten real dates: nothing known to have changed, and then a place 4 dB darker."""
    folder = SHARED / "opera_rtc_s1_png"
    paths = [sorted(folder.glob(f"*_{band}_tv_cropped.tif")) for band in ("VV", "VH")]
    if not paths[0]:
        raise FileNotFoundError(2, "no images", str(folder))
    dates = np.array([[_read(path) for path in pair] for pair in zip(*paths, strict=True)])
    place = np.s_[40:60, 60:80]
    rest = np.ones(dates.shape[2:], bool)
    rest[place] = False
    for model in ("dist-s1", "dist-s1-32"):
        for darker in (False, True):
            images = dates.copy()
            if darker:
                images[-1][:, *place] *= DARKER
            specs = [
                InputSpec((desk.write(d, ("vv", "vh"), 30),), "power", date=f"2024-03-{n:02}")
                for n, d in enumerate(images.astype(np.float32), 1)
            ]
            earlier = (NamedInput("before", spec) for spec in specs[:-1])
            _, out = desk.run(specs[-1], *earlier, model=model)
            sure = _read(out) > SURE
            share = sure[rest].mean()
            title = (
                f"{model}{', a place 4 dB darker' if darker else ''}: beyond {SURE:g} deviations"
            )
            yield Figure(f"{title} elsewhere", f"{share:.3%}", f"≤ {FEW:.1%}", share <= FEW)
            if darker:
                found = sure[place].mean()
                yield Figure(f"{title} there", f"{found:.1%}", f"≥ {MOST:.0%}", found >= MOST)


def sums(desk: Desk) -> Iterator[Figure]:
    """Areas of polygons and of tables against the pixels'."""
    rng = np.random.default_rng(0)
    ground = rng.random((2, 700, 1100)).astype(np.float32)
    later = ground + rng.normal(0, 0.02, ground.shape).astype(np.float32)
    later[:, 200:400, 300:700] += 0.3
    dates = [_reflectance(desk.write(d, ("red", "nir"))) for d in (ground, later)]
    change = ChangeOptions("cva", threshold=3.0)
    _, out = desk.run(dates[0], NamedInput("after", dates[1]), change=change, vector=True)
    yield _exact("cva", out, int((_read(out) == 1).sum()))
    fields = (rng.integers(0, 4, (1, 140, 220), np.uint8) for _ in range(2))
    maps = [codes.repeat(5, axis=1).repeat(5, axis=2) for codes in fields]
    first, second = (InputSpec((desk.write(m, ("class",)),), "raw") for m in maps)
    change = ChangeOptions("classes")
    _, out = desk.run(first, NamedInput("after", second), change=change, vector=True)
    yield _exact("classes", out, int((maps[0] != maps[1]).sum()))
    table = np.genfromtxt(
        out.with_name(f"{out.stem}_transitions.csv"), delimiter=",", names=True, encoding="utf-8"
    )
    counted = np.zeros((4, 4), np.int64)
    counted[table["from_id"].astype(int), table["to_id"].astype(int)] = table["pixels"]
    wanted = np.zeros((4, 4), np.int64)
    np.add.at(wanted, (maps[0].ravel(), maps[1].ravel()), 1)
    wrong = int(np.abs(counted - wanted).sum())
    yield Figure(
        "classes: pixels that the matrix of transitions has wrong", f"{wrong}", "0", not wrong
    )


def _exact(method: str, out: Path, pixels: int) -> Figure:
    shapes = shapely.from_wkb(pyogrio.raw.read(out.with_suffix(".gpkg"), layer=out.stem)[2])
    error = float(shapely.area(shapes).sum() / (100 * pixels) - 1)
    title = f"{method}: planar area of {len(shapes):,} polygons against {pixels:,} pixels"
    return Figure(title, f"{error:.1e}", f"≤ {EXACT:g}", abs(error) <= EXACT)


def _made(bands: int) -> tuple[F32, F32, Bool]:
    """Correlated bands, those of another sensor with noise, and where change was planted."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(bands, bands)) + 2
    before = 300 * mixing @ rng.normal(size=(bands, COUNT)) + 1000
    after = 1.3 * before + 50 + rng.normal(0, 20, before.shape)
    after[:, :PLANTED] += 400 * rng.normal(size=(bands, 1))
    return before, after, np.arange(COUNT) < PLANTED


def _moved(image: F32, rows: float, cols: float) -> F32:
    """By parts of pixels, exactly for what pixels can hold."""
    height, width = image.shape[1:]
    whole = np.concatenate([image, image[:, ::-1]], axis=1)
    whole = np.concatenate([whole, whole[:, :, ::-1]], axis=2)
    turns = np.fft.fftfreq(2 * height)[:, None] * rows + np.fft.fftfreq(2 * width) * cols
    turned = np.fft.fft2(whole) * np.exp(-2j * np.pi * turns)
    moved: F32 = np.fft.ifft2(turned).real[:, :height, :width].astype(np.float32)
    return moved


def _noisy(image: F32) -> F32:
    """Another sun, and noise of a tenth of the image's own spread."""
    noise = np.random.default_rng(0).normal(0, 0.1, image.shape)
    found = 1.1 * image + 0.02 + noise * image.std(axis=(1, 2), keepdims=True)
    return found.astype(np.float32)


def _reflectance(path: str) -> InputSpec:
    return InputSpec((path,), "reflectance")


def _read(path: str | Path) -> npt.NDArray[Any]:
    with rasterio.open(path) as source:
        return source.read(1)


def _share_within(path: Path) -> float:
    """Of change among what has a result, away from the edge."""
    found = _read(path)[BORDER:-BORDER, BORDER:-BORDER]
    return float((found == 1).mean() / (found != NODATA).mean())


def _area_under_curve(score: npt.NDArray[np.floating], truth: Bool) -> float:
    """Chance that a changed pixel scores above an unchanged one."""
    changed, rest = int(truth.sum()), int((~truth).sum())
    ranks = stats.rankdata(score)[truth].sum()
    return float((ranks - changed * (changed + 1) / 2) / (changed * rest))

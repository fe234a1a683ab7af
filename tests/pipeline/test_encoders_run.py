"""Galileo and Presto of the catalogue on real series, beside what the encoders give directly."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import InputSpec, NamedInput
from engine.geo.tiling import TileRule
from engine.io.sensors import ROLE_BY_TOKEN, SENTINEL_2, band_token
from engine.models.catalogue import choose_model
from engine.models.encoders.bands import S1_BANDS, S2_BANDS
from engine.models.encoders.embedding import ChipEncoder, PixelEncoder
from engine.models.encoders.series import ChipSeries, PixelSeries

SHARED = Path(os.environ.get("SWATH_SHARED") or Path(__file__).resolve().parents[3] / "shared")
FINLAND = {"crs": "EPSG:32635", "transform": from_origin(500_000, 6_800_000, 10, 10)}
S2_MONTHS = ("Sep", "Feb", "Mar", "Apr", "Jun", "Aug")
NUMBERS = {"Sep": 9, "Nov": 11, "Feb": 2, "Mar": 3, "Apr": 4, "Jun": 6, "Aug": 8}
WINDOW, STEP, PATCH = 32, 16, 4


def write(path, data, names, place=FINLAND):
    """``[C, H, W]``, NaN for no data; Sentinel-2's bands by their common names."""
    roles = ROLE_BY_TOKEN[SENTINEL_2]
    layout = {"driver": "GTiff", "dtype": "float32", "nodata": np.nan, "count": len(data)}
    layout |= {"height": data.shape[1], "width": data.shape[2], **place}
    with rasterio.open(path, "w", **layout) as target:
        target.write(data.astype(np.float32))
        target.descriptions = [roles.get(band_token(n), n.lower()) for n in names]
    return path


def forest(month, height=96, width=160):
    """Sentinel-2 of a month in a Finnish forest, as digital numbers."""
    with rasterio.open(SHARED / "data/biomassters/0060c0a5_S2.tif") as raster:
        first = 11 * S2_MONTHS.index(month)
        found = raster.read(range(first + 1, first + 11)).astype(np.float32)
    return found[:, :height, :width]


def radar(month, height=96, width=160):
    """Sentinel-1 of a month there, decibels."""
    with rasterio.open(SHARED / "data/biomassters/0060c0a5_S1_dBx100.tif") as raster:
        names = [f"{band}_asc_{month}" for band in S1_BANDS]
        found = raster.read([raster.descriptions.index(n) + 1 for n in names]).astype(np.float32)
    return np.where(found == -32768, np.nan, found / 100)[:, :height, :width]


class Series:
    """Rasters of several dates in a lab, and the runs over them."""

    def __init__(self, lab):
        self.lab = lab
        self.given = []

    def add(self, name, date, data, place=FINLAND):
        names = S2_BANDS if name == "s2" else S1_BANDS
        path = self.lab.folder / f"{name}-{date}-{len(self.given)}.tif"
        numbers = data / 1e4 if name == "s2" else data
        write(path, numbers, names, place)
        profile = "reflectance" if name == "s2" else "decibel"
        self.given.append(NamedInput(name, InputSpec((str(path),), profile=profile, date=date)))

    def plan(self, model, name="out", **kwargs):
        first, *others = sorted(self.given, key=lambda n: n.name != "s2")
        [path] = first.input.uris
        date = {"date": first.input.date}
        return self.lab.plan(path, model, name, others=tuple(others), input=date, **kwargs)

    def run(self, model, name="out", **kwargs):
        self.lab.carry_out(self.plan(model, name, **kwargs))
        return self.read(name)

    def read(self, name="out"):
        with rasterio.open(self.lab.folder / f"{name}.tif") as raster:
            return raster.read()


@pytest.fixture
def series(lab):
    return Series(lab)


def cosine(first, second):
    lengths = np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0)
    return (first * second).sum(0) / lengths


def torch_galileo():
    pytest.importorskip("torch", reason="needs PyTorch (scripts/environment --torch)")
    from engine.models.encoders.galileo import Choices, open_galileo  # noqa: PLC0415 - the skip

    return open_galileo(SHARED / "models/galileo_nano/encoder.pt", Choices(placed=False))


def torch_presto():
    pytest.importorskip("torch", reason="needs PyTorch (scripts/environment --torch)")
    from engine.models.encoders.presto import open_presto  # noqa: PLC0415 - the skip

    return open_presto(SHARED / "models/presto/default_model.pt")


def by_windows(encoder: ChipEncoder, months, s2, s1=None):
    """Embed overlapping windows one by one, and average them by their distance to the centre."""
    rows, cols = (n // PATCH for n in s2.shape[2:])
    total, weights = np.zeros((128, rows, cols)), np.zeros((rows, cols))
    near = 1 - np.abs(np.arange(8) - 3.5) / 4
    for top in range(0, s2.shape[2] - WINDOW + 1, STEP):
        for left in range(0, s2.shape[3] - WINDOW + 1, STEP):
            cut = np.s_[:, :, top : top + WINDOW, left : left + WINDOW]
            shown = ChipSeries(months[None], s2[cut][None], None if s1 is None else s1[cut][None])
            spot = np.s_[top // PATCH : top // PATCH + 8, left // PATCH : left // PATCH + 8]
            made = encoder.embed(shown)[0]
            total[:, *spot] += np.nan_to_num(made) * np.outer(near, near)
            weights[spot] += np.outer(near, near)
    return total / weights


# --- the numbers --------------------------------------------------------------------------------


@pytest.mark.torch
@pytest.mark.shared
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_galileos_raster_is_what_the_encoder_gives(series):
    encoder = torch_galileo()
    nothing = np.full((2, 96, 160), np.nan, np.float32)
    s2 = np.full((5, 10, 96, 160), np.nan, np.float32)
    s1 = np.stack([radar("Apr"), nothing, nothing, nothing, radar("Aug")])
    s2[0], s2[2] = forest("Apr"), forest("Jun")
    series.add("s2", "2020-06-11", s2[2])
    series.add("s2", "2020-04-02", s2[0])
    series.add("s1", "2020-08-30", s1[4])
    series.add("s1", "2020-04-29", s1[0])
    found = series.run("galileo-nano")
    wanted = by_windows(encoder, np.arange(3, 8), s2, s1)
    assert found.shape == (128, 24, 40)
    assert cosine(found, wanted).min() >= 0.9999
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.torch
@pytest.mark.shared
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_galileo_without_radar_leaves_it_out(series):
    encoder = torch_galileo()
    series.add("s2", "2020-06-11", forest("Jun", 64, 64))
    found = series.run("galileo-nano")
    wanted = by_windows(encoder, np.array([5]), forest("Jun", 64, 64)[None])
    assert cosine(found, wanted).min() >= 0.9999


def togo():
    """Twelve months of 17 x 17 pixels in Togo: Sentinel-2, Sentinel-1, their place."""
    with rasterio.open(SHARED / "data/presto_togo/98-togo_2019-02-06_2020-02-01.tif") as raster:
        data = raster.read().astype(np.float32)
        place = {"crs": raster.crs, "transform": raster.transform}
    months = data[: 12 * 17].reshape(12, 17, 17, 17)
    return months[:, [3, 4, 5, 6, 7, 8, 9, 10, 13, 14]], months[:, :2], place


def embedded_pixels(encoder: PixelEncoder, s2, s1, place, first_month):
    count, rows, cols = len(s2), *s2.shape[2:]
    x, y = np.meshgrid(np.arange(cols) + 0.5, np.arange(rows) + 0.5)
    lon, lat = place["transform"] @ (x.ravel(), y.ravel())
    flat = [a.reshape(count, a.shape[1], -1).transpose(2, 0, 1) for a in (s2, s1)]
    months = np.tile((first_month + np.arange(count)) % 12, (rows * cols, 1))
    latlon = np.column_stack([lat, lon]).astype(np.float32)
    return encoder.embed(PixelSeries(latlon, months, *flat)).T.reshape(128, rows, cols)


@pytest.mark.torch
@pytest.mark.shared
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_prestos_raster_is_what_the_encoder_gives(series):
    encoder = torch_presto()
    s2, s1, place = togo()
    s2[2, :, 3:9, 2:8] = np.nan  # a cloud
    s2[:, :, 12:, 13:] = np.nan  # never seen
    s1[4:6] = np.nan
    for n in range(12):
        date = f"{2019 + (n + 1) // 12}-{(n + 1) % 12 + 1:02}-06"
        series.add("s2", date, s2[n], place)
        if n not in {4, 5}:
            series.add("s1", date, s1[n], place)
    found = series.run("presto")
    wanted = embedded_pixels(encoder, s2, s1, place, first_month=1)
    never = np.isnan(s2[0, 0]) & np.isnan(s2[1, 0])
    assert np.isnan(found[:, never]).all()
    assert cosine(found, wanted)[~never].min() >= 0.9999
    np.testing.assert_allclose(found[:, ~never], wanted[:, ~never], atol=1e-4)


# --- seams, holes, edges ------------------------------------------------------------------------


def with_tiles(plan, size):
    rule = TileRule(size, plan.recipe.rule.margin, plan.recipe.rule.stride, fixed=False)
    return replace(plan, recipe=replace(plan.recipe, rule=rule, block=100))


@pytest.mark.shared
def test_galileos_tiles_leave_no_seams(series):
    series.add("s2", "2020-06-11", forest("Jun", 256, 256))
    series.add("s1", "2020-06-20", radar("Jun", 256, 256))
    whole = series.run("galileo-nano", "whole")
    plan = with_tiles(series.plan("galileo-nano", "tiled"), 96)
    assert plan.recipe.tiling.count > 9
    series.lab.carry_out(plan)
    np.testing.assert_array_equal(series.read("tiled"), whole)
    jumps = np.linalg.norm(np.diff(whole, axis=2), axis=0).mean(0)
    edges = np.arange(1, 64) % 4 == 0  # where windows begin
    assert jumps[edges].mean() < 1.1 * jumps[~edges].mean()


@pytest.mark.shared
def test_pixels_that_are_missing_stay_missing_and_harm_nobody(series):
    data = forest("Jun", 128, 128)
    whole, first = data.copy(), data.copy()
    first[:, 40:56, 40:46] = np.nan
    first[:, 80:83, 80:83] = np.nan
    series.add("s2", "2020-06-11", whole)
    intact = series.run("galileo-nano", "intact")
    series.given.clear()
    series.add("s2", "2020-06-11", first)
    found = series.run("galileo-nano", "holed")
    empty = np.zeros((32, 32), bool)
    empty[10:14, 10:12] = True  # half of a patch, 9 of 16 pixels
    empty[10:14, 11] = False  # columns 44 and 45 of four: half of it is there
    empty[20, 20] = True
    np.testing.assert_array_equal(np.isnan(found).all(0), empty)
    assert np.isfinite(found[:, ~empty]).all()
    far = np.ones((32, 32), bool)
    far[2:28, 2:28] = False
    np.testing.assert_allclose(found[:, far], intact[:, far], atol=1e-4)


@pytest.mark.shared
def test_rasters_of_any_size_have_an_embedding_everywhere(series):
    series.add("s2", "2020-06-11", forest("Jun", 13, 45))
    found = series.run("galileo-nano")
    assert found.shape == (128, 4, 12)
    assert np.isfinite(found).all()


@pytest.mark.shared
def test_dates_of_one_month_are_averaged_where_they_saw_something(series):
    s2, _, place = togo()
    one, two = s2[0].copy(), s2[1].copy()
    one[:, :5], two[:, 10:] = np.nan, np.nan
    series.add("s2", "2019-03-02", one, place)
    series.add("s2", "2019-03-20", two, place)
    found = series.run("presto", "two")
    series.given.clear()
    both = np.where(np.isnan(one), two, np.where(np.isnan(two), one, (one + two) / 2))
    series.add("s2", "2019-03-11", both, place)
    np.testing.assert_allclose(found, series.run("presto", "mean"), atol=1e-4)


# --- what comes out -----------------------------------------------------------------------------


@pytest.mark.shared
def test_the_files_say_what_they_are(series):
    series.add("s2", "2020-06-11", forest("Jun", 64, 64))
    series.run("galileo-nano")
    with rasterio.open(series.lab.folder / "out.tif") as raster:
        assert raster.dtypes == ("float32",) * 128
        assert raster.descriptions[::127] == ("embedding 1", "embedding 128")
        assert raster.transform == FINLAND["transform"] @ rasterio.Affine.scale(4)
        assert raster.crs == FINLAND["crs"]
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert (series.lab.folder / "out.qml").is_file()
    assert "galileo-nano" in (series.lab.folder / "out.json").read_text()


# --- what is refused ----------------------------------------------------------------------------


def plain(months=1, bands=S2_BANDS):
    return np.full((len(bands), 40, 40), 1000.0)


@pytest.mark.parametrize("model", ["galileo-nano", "presto"])
def test_series_that_are_too_long_or_undated_are_refused(series, model):
    series.add("s2", "2020-01-11", plain())
    series.add("s2", "2022-01-11", plain())
    with pytest.raises(EngineError, match="span 25 months, and the model takes 24") as caught:
        series.plan(model)
    assert caught.value.code is ErrorCode.REQUEST_INVALID
    series.given.pop()
    series.add("s2", None, plain())
    with pytest.raises(EngineError, match="tell no date"):
        series.plan(model)


def test_missing_bands_are_named(series):
    path = write(series.lab.folder / "few.tif", plain()[:4], ("B02", "B03", "B04", "B08"))
    with pytest.raises(EngineError, match="rededge071, rededge075"):
        series.lab.plan(path, "galileo-nano", input={"date": "2020-06-11"})


def test_presto_wants_to_know_where_pixels_are(series):
    series.add("s2", "2020-06-11", plain(), place={"transform": FINLAND["transform"]})
    with pytest.raises(EngineError, match="no georeference"):
        series.run("presto")


def test_auto_never_takes_an_encoder():
    roles = (*(ROLE_BY_TOKEN[SENTINEL_2][band_token(b)] for b in S2_BANDS), "vv", "vh")
    assert choose_model(roles, "toa_reflectance").id == "clouds-6band-l1c"

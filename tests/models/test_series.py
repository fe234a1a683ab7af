"""Series and their batches, without any network: a run is whatever takes the inputs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract.errors import EngineError, ErrorCode
from engine.models.encoders.bands import S2_BANDS
from engine.models.encoders.embedding import ChipEncoder, PixelEncoder, alike
from engine.models.encoders.series import UNKNOWN_COVER, WIDTH, ChipSeries, PixelSeries

MONTHS = np.arange(3)[None]


def pixels(count=4, dates=3, **changes):
    given_ = {
        "latlon": np.zeros((count, 2), np.float32),
        "months": np.tile(np.arange(dates), (count, 1)),
        "s2": np.ones((count, dates, 10), np.float32),
        **changes,
    }
    return PixelSeries(**given_)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"s2": None}, "neither Sentinel-2 nor Sentinel-1"),
        ({"s2": np.zeros((1, 2, 10, 8, 8), np.float32)}, r"s2 of shape \[1, 2, 10, 8, 8\]"),
        ({"s1": np.zeros((1, 3, 2, 8, 4), np.float32)}, r"s1 of shape \[1, 3, 2, 8, 4\]"),
        ({"months": np.array([[0, 1, 12]])}, "months outside of 0 to 11"),
        ({"months": np.zeros((1, 25), np.int64)}, r"T from 1 to 24"),
        ({"months": np.zeros(3, np.int64)}, r"months of shape \[3\]"),
    ],
)
def test_chips_that_no_encoder_takes_are_refused(changes, words):
    with pytest.raises(EngineError, match=words) as caught:
        ChipSeries(**{"months": MONTHS, "s2": np.zeros((1, 3, 10, 8, 8), np.float32), **changes})
    assert caught.value.code is ErrorCode.MODEL_FAILED


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("latlon", (4, 3)),
        ("s2", (4, 3, 9)),
        ("s1", (3, 3, 2)),
        ("srtm", (4, 3, 2)),
        ("cover", (4,)),
    ],
)
def test_pixels_that_no_encoder_takes_are_refused(name, shape):
    with pytest.raises(EngineError, match=f"{name} of shape"):
        pixels(**{name: np.zeros(shape, np.float32)})


def test_a_chip_without_a_sensor_has_it_as_not_seen():
    chips = ChipSeries(MONTHS, s1=np.zeros((1, 3, 2, 8, 4), np.float32), gsd=20)
    inputs = chips.inputs(0)
    assert inputs["s2"].shape == (3, 10, 8, 4)
    assert np.isnan(inputs["s2"]).all()
    assert inputs["s1"].shape == (3, 2, 8, 4)
    assert inputs["gsd"].tolist() == [20]


def test_chips_go_through_one_by_one():
    shown = np.arange(2 * 3 * 2 * 8 * 8, dtype=np.float32).reshape(2, 3, 2, 8, 8)
    chips = ChipSeries(MONTHS.repeat(2, 0), s1=shown)
    made = ChipEncoder(lambda inputs: inputs["s1"]).embed(chips)
    np.testing.assert_array_equal(made, shown)


def test_seen_names_the_groups_of_which_all_bands_are_there():
    s2 = np.ones((1, 3, 10), np.float32)
    s2[0, 1, S2_BANDS.index("B06")] = np.nan
    s2[0, 2, S2_BANDS.index("B04")] = np.inf
    cover = np.array([[UNKNOWN_COVER, 0, 8]])
    series = pixels(1, 3, s2=s2, srtm=np.ones((1, 2), np.float32), cover=cover)
    groups = np.split(series.seen()[0], [3, 6, 9, 12, 15, 18, 21, 24, 25])
    seen = [group.tolist() for group in groups]
    s1, rgb, red_edge, nir10, nir20, swir, vegetation, era5, srtm, land = seen
    assert s1 == era5 == [False] * 3
    assert rgb == vegetation == [True, True, False]
    assert red_edge == [True, False, True]
    assert nir10 == nir20 == swir == [True] * 3
    assert srtm == [True]
    assert land == [False, True, True]


def test_pixels_are_run_with_those_of_which_the_same_was_seen():
    s2 = np.ones((5, 3, 10), np.float32)
    s2[[1, 3], 0] = np.nan
    s2[4] = np.nan
    s2[:, 1, 0] = np.where(np.isnan(s2[:, 1, 0]), np.nan, np.arange(5))
    calls = []

    def run(inputs):
        assert np.isfinite(inputs["s2"][:, 0]).all() == inputs["seen"][3]
        calls.append(len(inputs["s2"]))
        return inputs["s2"][:, 1, :1].repeat(WIDTH, 1)

    made = PixelEncoder(run, step=2).embed(pixels(5, 3, s2=s2))
    assert sorted(calls) == [2, 2]
    np.testing.assert_array_equal(made[:4, 0], np.arange(4))
    assert np.isnan(made[4]).all()


def test_no_pixels_give_no_embeddings():
    assert PixelEncoder(lambda _: 1 / 0).embed(pixels(0)).shape == (0, WIDTH)


@given(st.lists(st.lists(st.booleans(), min_size=11, max_size=11), max_size=30))
def test_alike_shares_the_rows_out(rows):
    seen = np.array(rows, np.bool_).reshape(-1, 11)
    kinds = list(alike(seen))
    members = np.concatenate([m for m, _ in kinds]) if kinds else np.empty(0)
    assert sorted(members.tolist()) == list(range(len(rows)))
    assert all((seen[m] == row).all() for m, row in kinds)
    assert len({row.tobytes() for _, row in kinds}) == len(kinds)

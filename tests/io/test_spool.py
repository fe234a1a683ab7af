"""Files in lines and strips are decoded once, and read as they are."""

import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contract.errors import CancelledError, EngineError, ErrorCode
from engine.contract.messages import InputSpec
from engine.geo.window import Window
from engine.io import spool as spool_module
from engine.io.scene import open_scene
from engine.io.spool import Reading, Spool

MANY = Reading(tiles=10_000, edge=64, group=64, threads=2)


@pytest.fixture
def small_cache(monkeypatch):
    """Rasters of a test are spooled like large ones."""
    monkeypatch.setattr(spool_module, "CACHE_BYTES", 1000)
    monkeypatch.setattr(spool_module, "LINES_BYTES", 20_000)


@pytest.fixture
def spool(tmp_path, small_cache):
    said = []
    folder = tmp_path / "copies"
    folder.mkdir()
    made = Spool(folder, MANY, said.append, lambda: None)
    made.said = said
    return made


def pixels(count, height, width, dtype="uint16"):
    return np.random.default_rng(2).integers(0, 250, (count, height, width)).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("lines", [1, 7, 100])
@pytest.mark.parametrize("stored", ["pixel deflate", "band deflate", "pixel none", "band none"])
def test_a_copy_has_the_files_pixels(spool, write_raster, dtype, lines, stored):
    data = pixels(5, 100, 700, dtype)
    interleave, compress = stored.split()
    layout = {"interleave": interleave, "BLOCKYSIZE": lines, "compress": compress}
    uri = write_raster("strips.tif", data, **layout)
    copied = spool(uri)
    assert copied != uri
    assert spool(uri) == copied
    with rasterio.open(copied) as source:
        assert source.block_shapes[0][1] < 700
        np.testing.assert_array_equal(source.read(), data)
    assert len(spool.said) == 1
    assert "strips.tif" in spool.said[0]


@pytest.mark.parametrize(
    "layout",
    [
        {"tiled": True, "blockxsize": 64, "blockysize": 64},
        {"mask": np.full((100, 700), 255, np.uint8)},
    ],
    ids=["tiles", "mask"],
)
def test_other_files_are_read_where_they_are(spool, write_raster, layout):
    uri = write_raster("tiles.tif", pixels(3, 100, 700), compress="deflate", **layout)
    assert spool(uri) == uri
    assert spool.said == []


def test_a_file_that_the_cache_holds_is_read_where_it_is(tmp_path, write_raster):
    uri = write_raster("small.tif", pixels(3, 100, 700), compress="deflate")
    assert Spool(tmp_path, MANY, print, lambda: None)(uri) == uri


def test_a_few_tiles_are_not_worth_a_copy(tmp_path, small_cache, write_raster):
    uri = write_raster("lines.tif", pixels(3, 1000, 700), compress="deflate", BLOCKYSIZE=1)
    few = Reading(tiles=20, edge=64, group=64, threads=2)
    assert Spool(tmp_path, few, print, lambda: None)(uri) == uri


@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_chips_are_the_same_with_a_copy(data, tmp_path_factory):
    height, width = data.draw(st.integers(1, 90)), data.draw(st.integers(17, 300))
    folder = tmp_path_factory.mktemp("spool")
    values = pixels(4, height, width, "uint8")
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 4, "height": height, "width": width}
    profile |= {"nodata": 7, "BLOCKYSIZE": data.draw(st.integers(1, height)), "compress": "lzw"}
    profile |= {"interleave": data.draw(st.sampled_from(["pixel", "band"])), "alpha": "yes"}
    path = folder / "a.tif"
    with rasterio.open(path, "w", **profile) as target:
        target.write(values)
    scene = open_scene(InputSpec((str(path),), profile="rgb8"))
    row, col = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = Window(row, col, 40, 40).intersect(scene.grid.window)
    chips = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "CACHE_BYTES", 0)
        copies = Spool(folder, MANY, lambda _text: None, lambda: None)
        for stand_in in (None, copies):
            source = scene.source((), stand_in=stand_in)
            chips.append(source.read(window))
            source.close()
    assert copies(str(path)) != str(path)
    np.testing.assert_array_equal(chips[0].data, chips[1].data)
    np.testing.assert_array_equal(chips[0].valid, chips[1].valid)


def test_threads_share_one_copy(spool, write_raster):
    uri = write_raster("strips.tif", pixels(3, 100, 700), compress="deflate")
    found = []
    threads = [threading.Thread(target=lambda: found.append(spool(uri))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == len(spool.said) == 1


def test_copying_stops_when_it_is_told_to(tmp_path, small_cache, write_raster):
    def stop():
        raise CancelledError

    uri = write_raster("strips.tif", pixels(3, 100, 700), compress="deflate")
    with pytest.raises(CancelledError):
        Spool(tmp_path, MANY, print, stop)(uri)


def test_without_room_the_file_is_read_where_it_is(spool, write_raster, monkeypatch):
    monkeypatch.setattr(spool_module, "free_bytes", lambda _path: 10)
    uri = write_raster("strips.tif", pixels(3, 100, 700), compress="deflate")
    assert spool(uri) == uri
    assert "no room" in spool.said[0]


def test_a_damaged_file_is_said_to_be(spool, write_raster):
    uri = write_raster("strips.tif", pixels(3, 400, 700), compress="deflate", BLOCKYSIZE=1)
    content = bytearray(Path(uri).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 5000] = bytes(5000)
    Path(uri).write_bytes(content)
    with pytest.raises(EngineError) as caught:
        spool(uri)
    assert caught.value.code is ErrorCode.INPUT_UNREADABLE


def test_a_piece_too_large_is_told_before_a_run(write_raster, monkeypatch):
    monkeypatch.setattr("engine.io.scene.LARGE_PIECE", 400_000)
    one = write_raster("one.tif", pixels(3, 300, 300), compress="deflate", BLOCKYSIZE=300)
    lines = write_raster("lines.tif", pixels(3, 300, 300), compress="deflate", BLOCKYSIZE=1)
    told = [n for n in open_scene(InputSpec((one,), profile="raw")).notes if "pieces" in n]
    assert len(told) == 1
    assert "TILED=YES" in told[0]
    assert not any("pieces" in n for n in open_scene(InputSpec((lines,), profile="raw")).notes)

"""The models that come with Swath, on places that they did not learn from, through the engine.

Each test prints its figure: these are the commands that the models' cards refer to.
"""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from PIL import Image
from rasterio.merge import merge
from rasterio.transform import from_origin
from scipy import ndimage

from engine.contract.messages import InputSpec, OutputSpec, PolygonOptions, SegmentRequest
from engine.models.store import ModelStore
from engine.pipeline.planning import make_plan, with_tile_size
from engine.pipeline.report import Silence
from engine.pipeline.run import run_plan

pytestmark = pytest.mark.shared
IGNORED = 255
ROOFS = PolygonOptions(min_area=5.0, square=("building",))
"""As the buildings' card counts them."""


@pytest.fixture
def tell(capsys):
    """Print a figure although the test passes."""

    def tell(text):
        with capsys.disabled():
            print(f"\n{text}")  # noqa: T201 - the figure is what the test is for

    return tell


@pytest.fixture
def data():
    beside = Path(__file__).resolve().parents[3] / "shared"
    return Path(os.environ.get("SWATH_SHARED") or beside) / "data"


@pytest.fixture
def mapped(tmp_path):
    """The class raster that a model makes of some files, open, perhaps with polygons beside it."""
    store = ModelStore(tmp_path / "models")

    def mapped(files, model, name="map", polygons=None, **spec):
        vector = str(tmp_path / f"{name}.gpkg") if polygons else None
        output = OutputSpec(str(tmp_path / f"{name}.tif"), vector)
        scene = InputSpec(tuple(str(f) for f in files), **spec)
        request = SegmentRequest(scene, output, model=model, polygons=polygons or PolygonOptions())
        plan = make_plan(request, store)
        plan = with_tile_size(plan, store, 1500)
        run_plan(plan, store, tmp_path / f"work-{name}", Silence())
        return rasterio.open(output.raster)

    return mapped


def counts(found, truth, classes):
    """``[classes, classes]`` pixels by truth and by map."""
    known = truth != IGNORED
    pairs = truth[known].astype(np.int64) * classes + found[known]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def overlaps(table):
    """Intersection over union of every class."""
    hits = np.diag(table)
    return hits / (table.sum(0) + table.sum(1) - hits)


def under(raster, path):
    """The map under one tile, and the tile's mask."""
    with rasterio.open(path) as tile:
        window = raster.window(*tile.bounds).round_offsets().round_lengths()
        mask = path.with_name(f"{path.stem}_mask.tif")
        with rasterio.open(mask) as truth:
            shape = tile.shape
            return raster.read(1, window=window, out_shape=shape), truth.read(1)


def column_row(path):
    _, column, row, _ = path.stem.split("-")
    return int(column), int(row)


def building_table(mapped, tiles, name):
    with mapped(tiles, "buildings", name, ROOFS, profile="rgb8") as raster:
        return sum(counts(*under(raster, path), 2) for path in tiles)


def counted(tmp_path, name, tiles, outlines):
    """Polygons of buildings, outlines of labelled ones, and patches of labels that hang together.

    An outline belongs to the tiles if a point inside it does, since its rest may be elsewhere.
    """
    _, _, _, (classes,) = pyogrio.raw.read(
        tmp_path / f"{name}.gpkg", layer=name, columns=["class_id"], read_geometry=False
    )
    shapes = shapely.from_wkb(pyogrio.raw.read(outlines)[2])
    place = shapely.union_all([shapely.box(*extent(path)) for path in tiles])
    inside = shapely.within(shapely.point_on_surface(shapes), place)
    labels, _ = merge([p.with_name(f"{p.stem}_mask.tif") for p in tiles], nodata=IGNORED)
    return (classes == 1).sum(), inside.sum(), ndimage.label(labels[0] == 1)[1]


def extent(path):
    with rasterio.open(path) as tile:
        return tile.bounds


def count_told(where, found, outlines, patches):
    return (
        f"{where}: {found} polygons for {outlines} outlines ({found / outlines - 1:+.0%}), "
        f"which make {patches} patches ({found / patches - 1:+.0%})"
    )


def tiles_of(folder, suffix, wanted):
    found = sorted(p for p in folder.glob(f"*{suffix}") if not p.stem.endswith("_mask"))
    return [path for path in found if wanted(*column_row(path))]


def test_buildings_of_kampala(mapped, data, tmp_path, tell):
    folder = data / "fair_kampala_buildings"
    coarse = tiles_of(folder / "z20", ".tif", lambda column, _: column >= 619226)
    fine = tiles_of(folder / "z21", ".tif", lambda column, _: column >= 1238452)
    tables = [building_table(mapped, coarse, "z20"), building_table(mapped, fine, "z21")]
    values = [overlaps(t)[1] for t in (*tables, sum(tables))]
    tell("Kampala: building IoU {2:.3f} (zoom 20: {0:.3f}, zoom 21: {1:.3f})".format(*values))
    for name, tiles in (("z20", coarse), ("z21", fine)):
        number = counted(tmp_path, name, tiles, folder / "buildings_osm.gpkg")
        tell(count_told(f"Kampala, {name}", *number))
    assert values[2] >= 0.58


def test_buildings_of_banepa(mapped, data, tmp_path, tell):
    folder = data / "fair_banepa_buildings"
    tiles = tiles_of(folder, ".jpg", lambda _, row: row >= 220245)
    value = overlaps(building_table(mapped, tiles, "banepa"))[1]
    tell(f"Banepa: building IoU {value:.3f}")
    number = counted(tmp_path, "banepa", tiles, folder / "buildings.geojson")
    tell(count_told("Banepa", *number))
    assert value >= 0.78


def test_land_cover_of_a_tile_apart(mapped, data, tmp_path, tell):
    folder = next((data / "dubai_mbrsc").glob("*6*"))
    colours = ((60, 16, 152), (132, 41, 246), (110, 193, 228), (254, 221, 58), (226, 169, 41))
    parts = [f"image_part_{n:03}" for n in range(1, 10)]
    pixels = joined([Image.open(folder / "images" / f"{p}.jpg").convert("RGB") for p in parts])
    masks = joined([Image.open(folder / "masks" / f"{p}.png").convert("RGB") for p in parts])
    truth = np.full(masks.shape[:2], IGNORED, np.uint8)
    for number, colour in enumerate(colours):
        truth[(masks == colour).all(2)] = number
    path = tmp_path / "tile.tif"
    layout = {"driver": "GTiff", "dtype": "uint8", "count": 3, "photometric": "RGB"}
    shape = {"height": pixels.shape[0], "width": pixels.shape[1]}
    with rasterio.open(path, "w", **layout, **shape) as target:
        target.write(pixels.transpose(2, 0, 1))
    with mapped([path], "landcover", profile="rgb8", gsd=1.0) as raster:
        each = overlaps(counts(raster.read(1), truth, 5))
    tell(f"Dubai, tile 6: mean IoU {each.mean():.3f} ({', '.join(f'{v:.3f}' for v in each)})")
    assert each.mean() >= 0.60


def joined(parts):
    rows = [np.hstack([np.asarray(p) for p in parts[n : n + 3]]) for n in range(0, 9, 3)]
    return np.vstack(rows)


def test_scene_classes_of_squares_apart(mapped, data, tmp_path, tell):
    names = sorted(path.stem for path in (data / "eurosat_rgb").glob("*.tar"))
    pixels = np.concatenate([patches(data / "eurosat_rgb" / f"{n}.tar", n) for n in names], axis=1)
    path = tmp_path / "patches.tif"
    where = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 10, 10)}
    layout = {"driver": "GTiff", "dtype": "uint8", "count": 3, "photometric": "RGB"}
    shape = {"height": pixels.shape[1], "width": pixels.shape[2]}
    with rasterio.open(path, "w", **layout, **shape, **where) as target:
        target.write(pixels)
    stretch = 0.275 / 254  # of EuroSAT's pictures: reflectance 0 is 1, 0.275 is 255
    profile = f"custom:quantity=toa_reflectance,scale={stretch},offset={-stretch}"
    with mapped([path], "scenes", profile=profile) as raster:
        found = raster.read(1)
    right = (found.reshape(10, 100) == np.arange(10)[:, None]).mean()
    tell(f"EuroSAT: {100 * right:.1f} % of 1000 squares")
    assert right >= 0.97


def patches(archive, name):
    """The pictures 701 to 800 of a class: ten rows of ten, ``[3, 640, 640]``."""
    with tarfile.open(archive) as members:
        read = (members.extractfile(f"{name}/{name}_{n}.jpg").read() for n in range(701, 801))
        tiles = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in read]
    rows = [np.hstack(tiles[n : n + 10]) for n in range(0, 100, 10)]
    return np.vstack(rows).transpose(2, 0, 1)


def test_flood_water_on_the_chips_that_it_learnt_from(mapped, data, tell):
    """No measure of how good it is elsewhere: that, ``scripts/train/flood --score`` tells."""
    table = 0
    chips = [*(data / "sen1floods11_s1").glob("*_S1Hand.tif")]
    chips += (data / "sen1floods11_spain").glob("*_S1Hand.tif")
    for number, chip in enumerate(sorted(chips)):
        with mapped(
            [chip], "flood", str(number), profile="decibel", bands={"vv": "1", "vh": "2"}
        ) as raster:
            found = raster.read(1)
        with rasterio.open(str(chip).replace("S1Hand", "LabelHand")) as labels:
            truth = labels.read(1).astype(np.int16)
        truth[(truth < 0) | (found == IGNORED)] = IGNORED
        table = table + counts(found, truth, 2)
    value = overlaps(table)[1]
    tell(f"Flood chips: water IoU {value:.3f} where it learnt")
    assert value >= 0.70


@pytest.mark.parametrize(("name", "share"), [("tiny", 0.0), ("unet", 0.0005)])
def test_a_file_with_deepness_metadata_gives_what_it_gives_alone(data, tmp_path, name, share, tell):
    """Its own tiles and overlap, against one forward pass over the whole picture."""
    import onnxruntime  # noqa: PLC0415

    path = data.parent / "models" / "bench" / f"{name}.onnx"
    picture = next((data / "dubai_mbrsc" / "tile_6" / "images").glob("*.jpg"))
    pixels = np.asarray(Image.open(picture).convert("RGB"))[:640, :704].transpose(2, 0, 1)
    scene = tmp_path / "scene.tif"
    where = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 0.1, 0.1)}
    layout = {"driver": "GTiff", "dtype": "uint8", "count": 3, "photometric": "RGB"}
    with rasterio.open(scene, "w", height=640, width=704, **layout, **where) as target:
        target.write(pixels)
    store = ModelStore(tmp_path / "models")
    output = OutputSpec(str(tmp_path / "map.tif"))
    spec = InputSpec((str(scene),), profile="rgb8")
    plan = make_plan(SegmentRequest(spec, output, model=str(path)), store)
    run_plan(plan, store, tmp_path / "work", Silence())
    session = onnxruntime.InferenceSession(path.read_bytes())
    tile = (pixels / 255).astype(np.float32)[None]
    alone = session.run(None, {session.get_inputs()[0].name: tile})[0][0].argmax(0)
    with rasterio.open(output.raster) as raster:
        differing = (raster.read(1) != alone).mean()
    tell(f"{name} as Deepness has it: {100 * differing:.4f} % of the pixels differ")
    assert differing <= share

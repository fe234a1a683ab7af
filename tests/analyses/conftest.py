"""Small real maps and layers, and the commands as a user types them."""

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
from affine import Affine
from typer.testing import CliRunner

from engine.cli.app import app

UTM = "EPSG:32633"
CORNER = (500_000.0, 5_400_000.0)
PIXEL = 10.0


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("SWATH_STATE", str(tmp_path / "state"))


@pytest.fixture
def swath():
    def run(*arguments):
        return CliRunner().invoke(app, [*map(str, arguments)])

    return run


@pytest.fixture
def write_map(tmp_path):
    def write(name, *bands, nodata=None, crs=UTM, units=(), tags=None):
        stack = np.stack(bands)
        transform = Affine(PIXEL, 0, CORNER[0], 0, -PIXEL, CORNER[1])
        layout = {"count": len(stack), "height": stack.shape[1], "width": stack.shape[2]}
        layout |= {"dtype": stack.dtype.name, "crs": crs, "transform": transform}
        path = tmp_path / name
        with rasterio.open(path, "w", "GTiff", nodata=nodata, **layout) as file:
            file.write(stack)
            file.update_tags(**(tags or {}))
            if units:
                file.units = units
        return path

    return write


def on_ground(shapes):
    """Shapes in pixels (x = column, y = row) as map coordinates."""

    def moved(xy):
        return np.column_stack([CORNER[0] + PIXEL * xy[:, 0], CORNER[1] - PIXEL * xy[:, 1]])

    return shapely.transform(np.asarray(shapes, object), moved)


@pytest.fixture
def write_layer(tmp_path):
    def write(file, shapes, /, crs=UTM, **fields):
        shapes = on_ground(shapes)
        kind = shapes[0].geom_type
        path = tmp_path / file
        columns = [
            np.array(v, object) if isinstance(v[0], str) else np.array(v) for v in fields.values()
        ]
        pyogrio.raw.write(
            path,
            shapely.to_wkb(shapes),
            field_data=columns,
            fields=np.array(list(fields), object),
            geometry_type=kind,
            crs=crs,
            driver="GPKG",
        )
        return path

    return write

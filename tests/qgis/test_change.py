"""``swath:change`` with the real engine: two real dates, and a scene whose change is known."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio

CHECKOUT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SWATH_SHARED") or CHECKOUT.parent / "shared")
TWO_DATES = SHARED / "data/ftw_s2_two_dates/s2_two_dates.tif"
"""Sentinel-2 over fields at two dates: red, green, blue and nir of each."""
ROLES = ("red", "green", "blue", "nir")
ROW, COLUMN, EDGE, RISE = 90, 40, 60, 0.25
"""Where the later scene differs, and by how much."""


def copy_of(path, target, change):
    """A raster whose bands ``change`` has worked on."""
    with rasterio.open(path) as source:
        bands, profile, names = source.read(), source.profile, source.descriptions
    with rasterio.open(target, "w", **profile) as made:
        made.write(change(bands).astype(bands.dtype))
        made.descriptions = names
    return target


def write_later(place, gain=1.0):
    """The scene at a second date: another light and noise, and another surface in one square."""

    def change(bands):
        noisy = gain * bands + 0.01 + np.random.default_rng(3).normal(0, 0.004, bands.shape)
        noisy[3, ROW : ROW + EDGE, COLUMN : COLUMN + EDGE] += RISE
        return noisy

    return copy_of(place.scene, place.folder / "später.tif", change)


@pytest.fixture
def two_dates(place):
    """The real dates, one file each."""
    paths = place.folder / "May é.tif", place.folder / "July é.tif"
    with rasterio.open(TWO_DATES) as source:
        bands, profile = source.read(), {**source.profile, "count": len(ROLES)}
    for path, part in zip(paths, np.split(bands, 2), strict=True):
        with rasterio.open(path, "w", **profile) as made:
            made.write(part)
            made.descriptions = ROLES
    return paths


def run(headless, before, after, output, **parameters):
    given = {"BEFORE": before, "AFTER": after, "OUTPUT": output, **parameters}
    texts = [f"{name}={value}" for name, value in given.items()]
    return headless("--json", "run", "swath:change", "--", *texts)


def results_of(done):
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    return json.loads(done.stdout[done.stdout.index("{") :])["results"]


def read(path):
    with rasterio.open(path) as made:
        return made.read(1)


@pytest.mark.parametrize(("method", "gain"), [("irmad", 0.8), ("cva", 1.0)])
def test_the_changed_square_is_what_is_found(method, gain, headless, place):
    later = write_later(place, gain)
    output, polygons = place.folder / "change.tif", place.folder / "change.gpkg"
    asked = {"METHOD": method, "VECTOR": polygons, "MIN_AREA": 5000, "PROFILE": "reflectance"}
    asked["CLOUDS"] = False  # one of them lies above the square
    done = run(headless, place.scene, later, output, **asked)
    assert results_of(done)["MODEL_USED"] == method
    assert "Change begins at" in done.stdout + done.stderr
    truth = np.zeros((300, 300), bool)
    truth[ROW : ROW + EDGE, COLUMN : COLUMN + EDGE] = True
    with rasterio.open(output) as made, rasterio.open(place.scene) as scene:
        assert (made.crs, made.transform, made.shape) == (scene.crs, scene.transform, scene.shape)
    assert ((read(output) == 1) == truth).mean() > 0.99
    meta, _, _, fields = pyogrio.raw.read(polygons, layer=polygons.stem)
    named = dict(zip(meta["fields"], fields, strict=True))
    assert set(named["class_name"]) == {"change"}
    assert named["area_m2"].max() == pytest.approx((30 * EDGE) ** 2, rel=0.05)


@pytest.mark.shared
def test_two_real_dates_give_what_the_command_line_gives(headless, place, two_dates, engine):
    output, same = place.folder / "change.tif", place.folder / "same.tif"
    dates = {"BEFORE_DATE": "2023-05-03", "AFTER_DATE": "2023-07-31"}
    asked = {"FALSE_ALARM": 0.001, "PROFILE": "reflectance-10000", **dates}
    results = results_of(run(headless, *two_dates, output, **asked))
    assert results["PIXELS"] == 288 * 288
    command = [engine, "-m", "engine.cli", "change", *two_dates, same, "--false-alarm", "0.001"]
    command += ["--input-profile", "reflectance-10000", "--quiet"]
    state = {**os.environ, "SWATH_STATE": str(place.folder / "other state")}
    subprocess.run(command, check=True, env=state, cwd=place.folder)
    np.testing.assert_array_equal(read(output), read(same))
    share = (read(output) == 1).mean()
    print(f"changed between the two real dates: {share:.3f}")  # noqa: T201 - a figure for people
    assert 0.01 < share < 0.9


@pytest.mark.shared
def test_a_shifted_date_is_told_and_moved_when_asked(headless, place, two_dates):
    before, shifted = two_dates[0], place.folder / "shifted.tif"
    copy_of(before, shifted, lambda bands: np.roll(bands, 2, axis=2))
    output, profile = place.folder / "change.tif", {"PROFILE": "reflectance-10000"}
    done = run(headless, before, shifted, output, **profile)
    results_of(done)
    said = done.stdout + done.stderr
    assert "The second date lies 2.0" in said
    assert "the box «Move the layer after onto the layer before»" in said
    assert "--coregister" not in said
    results_of(run(headless, before, shifted, output, COREGISTER="true", **profile))
    inner = read(output)[8:-8, 8:-8]
    assert (inner == 1).mean() < 0.01


def test_the_log_ratio_of_optical_images_is_refused_in_the_dialogs_words(headless, place):
    output = place.folder / "change.tif"
    done = run(
        headless, place.scene, write_later(place), output, METHOD="logratio", PROFILE="reflectance"
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "The log-ratio is for radar" in said
    assert "the parameter «Method» of the algorithm «Find changes» with irmad" in said
    assert not output.exists()


def test_help_names_every_parameter(headless):
    text = headless("help", "swath:change").stdout
    wanted = ("BEFORE", "AFTER", "METHOD", "FALSE_ALARM", "COREGISTER", "CLOUDS", "BEFORE_DATE")
    assert all(f"{name}:" in text for name in wanted)


DIALOG = "[w for w in visible(QtWidgets.QDialog) if hasattr(w, 'setParameters')][0]"
GROUPS = "QgsProject.instance().layerTreeRoot().findGroups()"
DRAWN = "[layer.name() for layer in iface.mapCanvas().layers()]"
FLICKER = "plugins['swath'].actions.flicker"


@pytest.mark.desktop
@pytest.mark.shared
def test_button_dialog_run_and_flicker(desktop, place, two_dates, shots):
    qgis = desktop(environment=place.environment, layers=two_dates, binds=[place.folder])
    qgis.until("len(QgsProject.instance().mapLayers()) == 2")
    before, after = (path.stem for path in two_dates)
    if qgis.py("[n.name() for n in QgsProject.instance().layerTreeRoot().children()]")[0] == before:
        before, after = after, before  # QGIS puts files of its command line in its own order
    qgis.click("plugins['swath'].actions.change")
    qgis.until("'Find Changes' in ' '.join(windows())")
    chosen = "QgsProject.instance().mapLayer({}.createProcessingParameters()[{!r}]).name()"
    names = [qgis.py(chosen.format(DIALOG, name)) for name in ("BEFORE", "AFTER")]
    assert names == [before, after]
    qgis.py(f"""
from qgis.core import QgsProcessingOutputLayerDefinition as Output
dialog = {DIALOG}
vector = Output({str(place.folder / "change.gpkg")!r}, QgsProject.instance())
given = {{'VECTOR': vector, 'PROFILE': 'reflectance-10000', 'MIN_AREA': 2000}}
dialog.setParameters({{**dialog.createProcessingParameters(), **given}})
""")
    qgis.shot(shots / "1-dialog.png")
    qgis.click("button('Run')")
    qgis.until(f"[g.name() for g in {GROUPS}]", 60)
    qgis.until("not button('Cancel').isEnabled()")
    qgis.shot(shots / "2-log.png")
    assert qgis.py(f"{GROUPS}[0].name()").startswith(f"Swath: {before} → {after} – ")
    roles = f"[n.layer().customProperty('swath/role') for n in {GROUPS}[0].children()]"
    assert qgis.py(roles) == ["vector", "raster"]
    legend = "[x.data(0) for x in iface.layerTreeView().layerTreeModel().layerLegendNodes({})]"
    shown = qgis.py(legend.format(f"{GROUPS}[0].children()[1]"))
    assert {"change", "no change"} <= set(shown)
    qgis.click("button('Close')")
    qgis.py("iface.mapCanvas().waitWhileRendering()")
    qgis.shot(shots / "3-map.png")
    check_flicker(qgis, before, after, shots)
    assert qgis.py("ERRORS") == []


def check_flicker(qgis, before, after, shots):
    """The two layers in turn, by the clock and by the key, and all as before when it ends."""
    every = qgis.py(DRAWN)
    qgis.py("iface.layerTreeView().setCurrentLayer(None)")
    qgis.click(FLICKER)
    for name in (before, after):
        qgis.until(f"{DRAWN} == [{name!r}]", 5)
        qgis.py("iface.mapCanvas().waitWhileRendering()")
    qgis.key("b")
    halted = qgis.py(DRAWN)
    qgis.py("iface.mapCanvas().waitWhileRendering()")
    qgis.shot(shots / "4-flicker.png")
    assert qgis.py(DRAWN) == halted
    qgis.key("b")
    assert qgis.py(DRAWN) != halted
    qgis.click(FLICKER)
    qgis.until(f"{DRAWN} == {every!r}", 5)
    assert qgis.py(f"{FLICKER}.isChecked()") is False
    qgis.click(FLICKER)
    qgis.py("QgsProject.instance().clear()")
    assert qgis.py(f"{FLICKER}.isChecked()") is False


@pytest.mark.desktop
def test_a_batch_gives_each_pair_its_group(desktop, place):
    later = write_later(place)
    qgis = desktop(environment=place.environment, layers=[place.scene], binds=[place.folder])
    qgis.until("iface.activeLayer() is not None")
    outputs = [str(place.folder / f"batch {row}.tif") for row in range(2)]
    dates = {"BEFORE": str(place.scene), "AFTER": str(later)}
    qgis.py(f"""
from processing.gui.BatchAlgorithmDialog import BatchAlgorithmDialog
from qgis.core import QgsProcessingContext
registry = QgsApplication.processingRegistry()
batch = BatchAlgorithmDialog(registry.createAlgorithmById("swath:change"), iface.mainWindow())
panel = batch.mainWidget()
panel.addRow()
panel.checkLoadLayersOnCompletion.setChecked(True)
columns = panel.parameter_to_column
for row, path in enumerate({outputs!r}):
    for name, value in {dates!r}.items():
        panel.wrappers[row][columns[name]].setParameterValue(value, QgsProcessingContext())
    panel.tblParameters.cellWidget(row + 1, columns["OUTPUT"]).setValue(path)
batch.show()
""")
    qgis.click("button('Run')")
    qgis.until(f"len({GROUPS}) == 2", 90)
    assert qgis.py("ERRORS") == []

"""OPERA's radar disturbance networks on PyTorch, and their way from there into the catalogue."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (scripts/environment --torch)")

from engine.contract.errors import EngineError, ErrorCode  # noqa: E402 - after the skip
from engine.models.encoders.dist_s1 import load_dist_s1  # noqa: E402 - the same
from engine.models.encoders.dist_s1_map import (  # noqa: E402 - the same
    TENTH,
    SeriesTile,
    SeriesVerdict,
    SeriesWindows,
)
from engine.models.encoders.onnx_run import OnnxRun  # noqa: E402 - the same

pytestmark = [
    pytest.mark.torch,
    pytest.mark.shared,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]
CHECKOUT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SWATH_SHARED") or CHECKOUT.parent / "shared")
WEIGHTS = SHARED / "models/distmetrics_s1"
FOLDERS = {"dist-s1": "transformer_optimized", "dist-s1-32": "transformer_v1_32"}
SAME = 1e-4


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden/dist_s1.npz") as kept:
        return dict(kept)


@pytest.mark.parametrize(("model", "dates"), [("dist-s1", 9), ("dist-s1", 3), ("dist-s1-32", 9)])
def test_the_networks_answer_as_their_authors_code(golden, model, dates):
    network = load_dist_s1(WEIGHTS / FOLDERS[model])
    window, several = network.form.window, 5
    scenes = torch.from_numpy(golden["decibels"].astype(np.float32))
    with torch.inference_mode():
        series, newest, passes = SeriesTile(window, several)(
            scenes[None, -1], scenes[None, 9 - dates : 9]
        )
        run = SeriesWindows(network, several)
        pieces = [run(torch.tensor(n), series, newest) for n in range(passes)]
        answer = SeriesVerdict(window)(torch.stack(pieces), newest)[0]
    mean, spread = np.split(golden[f"{model}_{dates}"], 2)
    power = (answer[3:5].double() * TENTH).exp()
    np.testing.assert_allclose(torch.logit(power), mean, atol=SAME, rtol=0)
    np.testing.assert_allclose(answer[5:], spread, atol=SAME, rtol=0)


@pytest.mark.parametrize("model", FOLDERS)
def test_the_catalogues_files_are_what_the_conversion_makes(golden, tmp_path, model):
    made = tmp_path / "made.onnx"
    program = CHECKOUT / "scripts/converting/dist_s1.py"
    command = [sys.executable, "-W", "ignore", program, WEIGHTS / FOLDERS[model], made]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    scenes = golden["decibels"].astype(np.float32)
    scenes[2, :, :20] = -1e6
    months = np.ones((1, 9), np.float32)
    shown = {"after": scenes[None, -1], "before": scenes[None, :-1], "months": months}
    kept = OnnxRun(CHECKOUT / f"resources/models/{model}.onnx")
    np.testing.assert_allclose(OnnxRun(made)(shown), kept(shown), atol=SAME)


@pytest.mark.parametrize("spoilt", ["state_dict.pt", "config.json", "another form"])
def test_folders_that_are_no_network_are_refused(tmp_path, spoilt):
    for name in ("state_dict.pt", "config.json"):
        shutil.copyfile(WEIGHTS / "transformer_optimized" / name, tmp_path / name)
    if spoilt == "another form":
        told = json.loads((tmp_path / "config.json").read_text("utf-8"))
        (tmp_path / "config.json").write_text(json.dumps({**told, "max_seq_len": 12}))
    else:
        (tmp_path / spoilt).write_text("{}")
    with pytest.raises(EngineError) as caught:
        load_dist_s1(tmp_path)
    assert caught.value.code is ErrorCode.MODEL_INVALID

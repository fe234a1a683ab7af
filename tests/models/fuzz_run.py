"""Tries one group of broken models as a user would, one after the other, and prints what came.

Run as ``python fuzz_run.py GROUP FOLDER START``: each line is JSON, ``begin`` before a case and its
answer after it, so that whoever reads knows in which one this process died.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import sys
import time
from pathlib import Path

import broken_models
import numpy as np
import rasterio
from rasterio.transform import from_origin

from engine.cli.__main__ import main
from engine.contract.messages import ModelClass
from engine.geo.tiling import TileRule
from engine.models.card import ModelCard, ModelFile, ModelInput, ModelOutput, Transform
from engine.models.cardfile import card_to_json

BANDS = ("red", "nir")
SUFFIXES = {"onnx": ".onnx", "torchscript": ".pt", "pt2": ".pt2", "safetensors": ".safetensors"}
PLACE = "model"
"""Name of the tried files; what belongs to them may name it."""


def write_scene(path):
    data = np.random.default_rng(1).uniform(0.05, 0.9, (2, 70, 60)).astype(np.float32)
    where = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_000_000, 10, 10)}
    layout = {"driver": "GTiff", "dtype": "float32", "count": 2, "height": 70, "width": 60}
    with rasterio.open(path, "w", **layout, **where) as target:
        target.write(data)
        target.descriptions = BANDS


def card_of(content, kind, uri, *, free=False):
    """A card that fits the network which was broken."""
    digest = hashlib.sha256(content).hexdigest()
    colours = ("#808080", "#d03030", "#30a040")
    card = ModelCard(
        id="broken",
        version="1",
        title="Broken",
        summary="What nobody should have made.",
        tasks=("semantic-segmentation",),
        inputs=(
            ModelInput(
                BANDS,
                "reflectance",
                (-0.2, 2),
                (Transform("z-score", (0.3, 0.4), (0.2, 0.3)),),
                10.0,
                (8.0, 12.0),
            ),
        ),
        tiling=TileRule(64, 8, 32, fixed=not free),
        merge="crop",
        output=ModelOutput(
            tuple(ModelClass(i, f"class {i}", c) for i, c in enumerate(colours)), "softmax"
        ),
        file=ModelFile(uri, digest, max(len(content), 1), kind),
        license="CC0-1.0",
        attribution="Nobody",
        citation="None",
    )
    return card_to_json(card)


def cases_of(group, canary, folder):
    if group == "onnx":
        return broken_models.onnx_cases(canary, folder)
    if group == "cards":
        content = broken_models.network().SerializeToString()
        return broken_models.card_cases(canary, folder, card_of(content, "onnx", "model.onnx"))
    import broken_torch_models  # noqa: PLC0415 - needs PyTorch

    return broken_torch_models.cases_of(group, canary, folder)


def laid_out(case, place):
    """The case's files in a folder of their own; what is to be given as ``--model``."""
    place.mkdir(parents=True)
    model = place / f"{PLACE}{SUFFIXES.get(case.format, '.pt')}"
    model.write_bytes(case.content)
    for name, content in case.beside.items():
        if name.startswith("->"):
            with contextlib.suppress(OSError):  # links are not everybody's on Windows
                (place / name[2:]).symlink_to(content.decode())
        else:
            (place / name).write_bytes(content)
    card = place / f"{PLACE}.json"
    if case.card is None:
        card.write_text(
            json.dumps(card_of(case.content, case.format, model.name, free=case.free)), "utf-8"
        )
    elif case.card:
        card.write_bytes(case.card)
    return model


def tried(case, folder, number):
    """One case by the command line: its exit code, the error's code and what was said."""
    model = laid_out(case, folder / f"{number}")
    words = ["segment", str(folder / "scene.tif"), str(folder / f"{number}" / "out.tif")]
    said = io.StringIO()
    began = time.monotonic()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main([*words, "--model", str(model), "--input-profile", "reflectance", "--quiet"])
    text = said.getvalue()
    error = re.search(r"^error ([A-Z_]+): ", text, re.MULTILINE)
    return {
        "name": case.name,
        "exit": code,
        "error": error and error[1],
        "refused": case.refused,
        "seconds": round(time.monotonic() - began, 2),
        "text": text[-600:],
    }


def run(group, folder, start):
    os.environ["SWATH_STATE"] = str(folder / "state")
    os.fsync = lambda _file: None  # what a crash of the machine leaves is not tried here
    canary = folder / "canary"
    if not (folder / "scene.tif").exists():
        write_scene(folder / "scene.tif")
    for number, case in enumerate(cases_of(group, canary, folder)):
        if number < start:
            continue
        tell({"begin": case.name, "number": number})
        found = tried(case, folder, f"{group}-{number}")
        tell({**found, "number": number, "ran": canary.exists()})
        if canary.exists():
            canary.rmdir() if canary.is_dir() else canary.unlink()
    tell({"peak_mib": peak_mib()})


def peak_mib():
    """The most memory that this process ever had; 0 where the system does not tell."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (
        20 if sys.platform == "darwin" else 10
    )


def tell(line):
    print(json.dumps(line), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))

"""Runs geodeep: RASTER MODEL.onnx RESULT.tif WORK_FOLDER. Needs only its own environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import onnx
from geodeep import run
from geodeep.segmentation import save_mask_to_raster

TILE = 512
SAID = {
    "model_type": json.dumps("Segmentor"),
    "class_names": json.dumps({"0": "dark", "1": "bright", "2": "texture"}),
    "resolution": "10",
    "tiles_overlap": "15",
    "seg_thresh": "0.0",
    "seg_small_segment": "0",
}
"""What geodeep wants to read in a model file; no sieve, so that classes stay the network's."""


def prepared(network: Path, folder: Path) -> Path:
    """The network with the fixed tile and the words that geodeep needs."""
    made = folder / f"{network.stem}-{TILE}.onnx"
    if not made.is_file():
        model = onnx.load(network)
        sizes = model.graph.input[0].type.tensor_type.shape.dim[2:]
        for size in sizes:
            size.dim_value = TILE
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, SAID)
        onnx.save(model, made)
    return made


def main() -> None:
    """Classes of the whole raster, in geodeep's usual way."""
    raster, network, result, folder = sys.argv[1:]
    classes = run(raster, str(prepared(Path(network), Path(folder))), output_type="raw")
    save_mask_to_raster(raster, classes, result)


if __name__ == "__main__":
    main()

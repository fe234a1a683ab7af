"""Runs geo-inference: RASTER MODEL.onnx RESULT.tif WORK_FOLDER. Needs only its own environment."""

from __future__ import annotations

import sys
from pathlib import Path

import torchscript
from geo_inference.geo_inference import GeoInference


def main() -> None:
    """Classes of the whole raster, with the settings that geo-inference has by itself."""
    raster, network, result, folder = sys.argv[1:]
    script = torchscript.converted(Path(network), Path(folder))
    program = GeoInference(model=str(script), work_dir=folder, device="cpu", num_classes=3)
    name = program(inference_input=raster)
    (Path(folder) / name).replace(result)


if __name__ == "__main__":
    torchscript.mend_torchvision()
    main()

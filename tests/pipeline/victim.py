"""A worker that says on every step what it is about to do, slowly enough to be killed there.

Started as a program by the tests: ``victim.py --state DIR --job ID``. Its last line tells in which
phase it died.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import pyogrio.raw
import rasterio.io
import rasterio.shutil

from engine.io.journal import Move
from engine.jobs import worker
from engine.jobs.store import JobStore
from engine.models.network_model import NetworkModel
from engine.pipeline.blocks import BlockStore
from engine.pipeline.workplace import Workplace

STEPS = [
    # phase, where, what, seconds that it takes longer
    ("reading", rasterio.io.DatasetReader, "read", 0.004),
    ("forward", NetworkModel, "predict", 0.008),
    ("block", BlockStore, "write", 0.01),
    ("cog", rasterio.io.DatasetWriter, "write", 0.01),
    ("cog", rasterio.shutil, "copy", 0.03),
    ("polygons", pyogrio.raw, "write", 0.03),
    ("rename", Move, "apply", 0.02),
    ("end", Workplace, "drop_blocks", 0.02),
    ("end", JobStore, "finish", 0.02),
]


def tell(phase):
    sys.stdout.write(f"{phase}\n")
    sys.stdout.flush()


def slowly(phase, real, seconds):
    """The same, told of, with half of the pause before it and half of it after."""

    def step(*args, **kwargs):
        tell(phase)
        time.sleep(seconds / 2)
        answer = real(*args, **kwargs)
        time.sleep(seconds / 2)
        return answer

    return step


if __name__ == "__main__":
    for phase, place, name, seconds in STEPS:
        setattr(place, name, slowly(phase, getattr(place, name), seconds))
    tell("start")
    sys.exit(worker.main())

"""A worker whose job does what its label says; started as a program by the tests.

Put into a state folder's jobs it needs no pixels and no model: ``quick``, ``slow`` (until it is
cancelled, for a minute at most), ``bad``, ``defect``, ``crash`` (no goodbye), ``blocks`` (crashes
after two of four blocks, and goes on from there the next time).
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.contract.errors import EngineError, ErrorCode
from engine.contract.messages import Artifact, ClassArea, RunSummary
from engine.jobs.worker import main
from engine.pipeline.report import stop_if_cancelled


class Outcome:
    """What a run leaves, without the rooms that the real one brings along."""

    def __init__(self, submission):
        area = ClassArea(1, "cloud", "#ffffff", 10, 9000.0, 1.0)
        self.artifacts = (Artifact("raster", submission.request.output.raster, "image/tiff"),)
        self.summary = RunSummary("fake", "cpu", 0.1, 10, (area,), ("A note.",))


def execute(submission, work, report):
    report.message("info", "Model: a fake.")
    ACTS[submission.label](work, report)
    Path(submission.request.output.raster).write_bytes(b"pixels")
    return Outcome(submission)


def quick(work, report):
    for done in range(5):
        report.progress("segment", done + 1, 5, "tiles")


def slow(work, report):
    for done in range(6000):
        stop_if_cancelled(report)
        report.progress("segment", done, 6000, "tiles")
        time.sleep(0.01)


def bad(work, report):
    raise EngineError(ErrorCode.BAND_MISSING, "There is no band nir.", "Name it with --bands.")


def defect(work, report):
    raise ZeroDivisionError("the secret of the defect")


def crash(work, report):
    report.progress("segment", 1, 2, "tiles")
    os._exit(9)


def blocks(work, report):
    for index in range(4):
        block = work / f"block-{index}"
        if not block.exists():
            block.write_text(str(os.getpid()), encoding="utf-8")
            if index == 1:
                os._exit(9)
    owners = {(work / f"block-{i}").read_text(encoding="utf-8") for i in range(4)}
    report.message("info", f"Blocks by {len(owners)} processes.")


ACTS = {f.__name__: f for f in (quick, slow, bad, defect, crash, blocks)}

if __name__ == "__main__":
    sys.exit(main(execute=execute))

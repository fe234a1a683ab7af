"""The process that does one job: ``python -I -m engine.jobs.worker --state DIR --job ID``."""

from __future__ import annotations

import argparse
import faulthandler
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.contract.errors import EngineError
from engine.contract.messages import JobState
from engine.environment import drop_foreign_geodata
from engine.jobs.processes import be_nice
from engine.jobs.run import Execute, run_job
from engine.jobs.stopping import StopRequest
from engine.jobs.store import JobStore


def main(argv: Sequence[str] | None = None, execute: Execute | None = None) -> int:
    """Do the job; 0 when it succeeded."""
    drop_foreign_geodata()
    parser = argparse.ArgumentParser(prog="engine.jobs.worker", description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--job", required=True)
    chosen = parser.parse_args(argv)
    faulthandler.enable()
    be_nice()
    stop = StopRequest()
    try:
        with stop.on_signals():
            job = run_job(JobStore(chosen.state), chosen.job, execute, stop=stop)
    except EngineError as error:
        sys.stderr.write(f"{error.code.value}: {error}\n")
        return 2
    return 0 if job.state is JobState.SUCCEEDED else 1


if __name__ == "__main__":
    sys.exit(main())

"""The command line of the benchmark; started by ``scripts/bench``."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmark.machine import describe, short_name
from benchmark.models import bench_models
from benchmark.peers import PEERS, measure_peers
from benchmark.progress import tell
from benchmark.report import headline, keep, show
from benchmark.rows import COMPARED, FULL, QUICK, QUICK_ROWS, ROWS, Findings
from benchmark.runs import RunFailedError
from benchmark.timing import Bench
from benchmark.workload import Workload, cache_folder
from engine.contract.errors import EngineError

ABOUT = "Measures Swath end to end against this machine's limits. See bench/README.md."


def main() -> int:
    """Measure what the arguments ask for and print it; the exit status."""
    asked = _arguments()
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    workload = Workload(cache)
    found = Findings()
    models = bench_models(cache, workload)
    folder = Path(tempfile.mkdtemp(dir=cache, prefix="run-"))
    complete = _measure(asked, Bench(workload, models, cache, folder), found)
    if complete:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        tell(f"logs and results are kept in {folder}")
    machine = describe()
    show(found, machine)
    if asked.keep:
        settings = {"quick": asked.quick, "models": {n: m.sha256 for n, m in models.items()}}
        name = f"{short_name()}-quick" if asked.quick else short_name()
        print(f"kept as {keep(found, machine, name, settings)}")
    if asked.quick:
        print(headline(found))
    return 0 if complete else 1


def _measure(asked: argparse.Namespace, bench: Bench, found: Findings) -> bool:
    """Whether all of it could be measured; what came before a failure is shown all the same."""
    scale = QUICK if asked.quick else FULL
    try:
        for row in asked.only:
            tell(f"row {row}")
            ROWS[row](bench, scale, found)
        if asked.peers:
            measure_peers(bench, QUICK if asked.quick else COMPARED, found)
    except (RunFailedError, EngineError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return False
    return True


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=ABOUT)
    parser.add_argument(
        "--quick", action="store_true", help="at 2500², in under a minute; ends with one line"
    )
    parser.add_argument("--peers", action="store_true", help=f"also {' and '.join(PEERS)}")
    parser.add_argument(
        "--only", metavar="ROW,...", type=_rows, help=f"of {', '.join(ROWS)}; none: no row"
    )
    parser.add_argument("--keep", action="store_true", help="keep the results under bench/results")
    asked = parser.parse_args()
    if asked.only is None:
        asked.only = QUICK_ROWS if asked.quick else tuple(ROWS)
    return asked


def _rows(text: str) -> tuple[str, ...]:
    """Rows by name, in the order in which they build on each other."""
    named = set() if text == "none" else set(text.split(","))
    if named - set(ROWS):
        raise argparse.ArgumentTypeError(f"known rows are {', '.join(ROWS)}")
    return tuple(row for row in ROWS if row in named)


if __name__ == "__main__":
    sys.exit(main())

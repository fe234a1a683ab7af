"""``python -I -m engine.server --state DIR --for-pid PID``, the same as ``swath serve``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.contract.errors import EngineError, ErrorInfo
from engine.contract.places import state_dir
from engine.environment import drop_foreign_geodata
from engine.jobs.defects import record_defect


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until nobody needs the engine; 2 when it cannot."""
    drop_foreign_geodata()
    parser = argparse.ArgumentParser(prog="swath serve", description="Run the local engine.")
    parser.add_argument("--state", type=Path, default=None)
    parser.add_argument("--for-pid", type=int, default=None)
    parser.add_argument("--stay", action="store_true")
    chosen = parser.parse_args(argv)
    state = (chosen.state or state_dir()).expanduser().absolute()
    try:
        from engine.server.serve import serve  # noqa: PLC0415 - after the environment is clean

        serve(state, chosen.for_pid, stay=chosen.stay)
    except EngineError as error:
        _complain(error.info)
        return 2
    except Exception:  # noqa: BLE001 - the process boundary: no traceback for users
        _complain(record_defect(state / "logs" / "engine.log"))
        return 1
    return 0


def _complain(error: ErrorInfo) -> None:
    sys.stderr.write(f"error {error.code.value}: {error.message}\nhint: {error.hint}\n")


if __name__ == "__main__":
    sys.exit(main())

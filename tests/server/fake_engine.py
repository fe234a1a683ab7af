"""The real server with workers that need no pixels: ``fake_engine.py WORKER [options]``."""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import engine.server.serve as server
from engine.server.__main__ import main


def command(worker, state, job_id):
    return [sys.executable, worker, "--state", str(state), "--job", job_id]


if __name__ == "__main__":
    server.serve = partial(server.serve, command=partial(command, sys.argv[1]))
    sys.exit(main(sys.argv[2:]))

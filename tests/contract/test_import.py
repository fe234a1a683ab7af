"""QGIS' Python imports the contract as it is: old versions, nothing installed."""

import ast
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "engine" / "contract").glob("*.py"))
TALK = """
import sys
sys.path.insert(0, sys.argv[1])
from engine.contract import codec, errors, events, messages, places, version
job = messages.Job("1", messages.TaskName.SEGMENT, messages.JobState.FAILED, "now",
                   error=errors.ErrorInfo(errors.ErrorCode.DISK_FULL, "Full."))
page = events.EventPage((events.Event(1, "1", "now", events.EventKind.STATE,
                                      state=messages.JobState.FAILED, error=job.error),))
assert codec.from_plain(messages.Job, codec.to_plain(job)) == job
assert codec.from_plain(events.EventPage, codec.to_plain(page)) == page
foreign = {m.split(".")[0] for m in sys.modules} & {"numpy", "pydantic", "rasterio", "requests"}
assert not foreign, foreign
print("%d.%d" % sys.version_info[:2])
"""


@functools.cache
def interpreters():
    """The working Pythons of this machine, by minor version."""
    home = Path.home()
    managed = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", home / ".local/share/uv/python"))
    paths = [shutil.which(f"python3.{minor}") for minor in range(9, 15)]
    paths += [shutil.which("python3", path="/usr/bin"), sys.executable]
    paths += (home / ".pyenv" / "versions").glob("3.*/bin/python3")
    paths += managed.glob("cpython-3*/bin/python3")
    found = {}
    for path in filter(None, paths):
        code = "import sys; print(sys.version_info[1] if sys.version_info[0] == 3 else 0)"
        answer = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
        if answer.returncode == 0 and int(answer.stdout) >= 9:
            found.setdefault(int(answer.stdout), path)
    return found


def imported(tree):
    """Top-level names of the absolute imports, and levels of the relative ones."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0], node.level


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_python_3_9_and_imports_the_standard_library_alone(file):
    tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 9))
    for name, level in imported(tree):
        if level:
            assert level == 1, f"{file.name} reaches out of the contract"
        else:
            assert name in sys.stdlib_module_names, f"{file.name} imports {name}"


@pytest.mark.parametrize("minor", range(9, 15))
def test_it_talks_on_every_python_that_is_here(minor):
    python = interpreters().get(minor)
    if python is None:
        pytest.skip(f"no Python 3.{minor} on this machine")
    command = [python, "-I", "-W", "error", "-c", TALK, str(ROOT)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.stderr == ""
    assert answer.stdout.strip() == f"3.{minor}"

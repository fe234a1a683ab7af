"""Runs the project's test suites, and adds up what they say.

Started by `scripts/test`, which prepares all that the suites need. Each suite is one run of pytest
in one Python, with a time limit; what it reports is read from its JUnit file. A suite that ends
badly without a failed test in its report (a crash, its time limit, nothing collected) counts as one
failure, so that the last line never says less than what happened.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
REPORTS = CHECKOUT / "build" / "test"
PROFILE = CHECKOUT / ".qgis-settings"
"""Where pytest-qgis keeps a QGIS profile; one of another QGIS version is better not met."""
SETUP_LIMIT_S = 900
TORCH_PLACE = "build/torch-venv"
"""An environment of its own: the engine does without PyTorch, and its tests have to show that."""
TORCH_SETUP = (
    "env",
    f"SWATH_VENV={TORCH_PLACE}",
    "scripts/environment",
    "--dev",
    "--fast",
    "--torch",
    "--smp",
)
DEFAULT = ("engine", "plugin", "desktop")
IN_QGIS = ("plugin", "qgis")
"""Folders of tests/ that need QGIS; the engine's Python runs all others."""


@dataclass(frozen=True)
class Suite:
    """One run of pytest: which program, on which folders, for how long at most."""

    name: str
    command: tuple[str, ...]
    folders: tuple[str, ...]
    limit_s: int
    setup: tuple[tuple[str, ...], ...] = ()
    """Commands that bring what the suite needs beyond .venv; quick when all is there."""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Count:
    """How many tests ended how; ``shared`` counts the skips for want of the data folder."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    shared: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(
            self.passed + other.passed,
            self.failed + other.failed,
            self.skipped + other.skipped,
            self.shared + other.shared,
        )

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def engine_folders() -> tuple[str, ...]:
    """The folders of tests/ that run in the engine's own environment."""
    rooms = sorted(p.name for p in (CHECKOUT / "tests").iterdir() if any(p.glob("test_*.py")))
    return tuple(f"tests/{room}" for room in rooms if room not in IN_QGIS)


def known_suites() -> dict[str, Suite]:
    """All suites by name; those of the plugin name the QGIS that they run in."""
    engine = (".venv/bin/python", "-m", "pytest")
    with_torch = (f"{TORCH_PLACE}/bin/python", "-m", "pytest", "-m", "torch or openvino")
    in_qgis = ("build/qgis-venv/bin/python", "-m", "pytest")
    in_root = ("scripts/qgis/pytest-in-root", "trixie")
    system, venv = ("scripts/system",), ("scripts/qgis/venv",)
    roots, root = ("scripts/system", "--roots"), ("scripts/qgis/root", "trixie")
    offscreen, trixie = {"QT_QPA_PLATFORM": "offscreen"}, {"SWATH_QGIS_SUITE": "trixie"}
    plugin, desktop = ("tests/plugin",), ("tests/qgis",)
    suites = (
        Suite("engine", (*engine, "-m", "not torch"), engine_folders(), 1500),
        Suite("torch", with_torch, ("tests/models", "tests/pipeline"), 900, (TORCH_SETUP,)),
        Suite("plugin", in_qgis, plugin, 300, (system, venv), offscreen),
        Suite("desktop", engine, desktop, 600, (system,)),
        Suite("plugin-3.40", in_root, plugin, 300, (roots, root)),
        Suite("desktop-3.40", engine, desktop, 600, (roots, root), trixie),
    )
    return {suite.name: suite for suite in suites}


def run_suite(suite: Suite, extra: Sequence[str]) -> Count:
    """Prepare and run one suite; pytest's output goes straight to ours."""
    print(f"== {suite.name}: {' '.join(suite.folders)}", flush=True)
    start = time.monotonic()
    report = REPORTS / f"{suite.name}.xml"
    report.unlink(missing_ok=True)
    shutil.rmtree(PROFILE, ignore_errors=True)
    status = prepare(suite)
    prepared_s = time.monotonic() - start
    if status == 0:
        pytest = (*suite.command, *suite.folders, f"--junitxml={report}")
        status = run_limited((*pytest, "-o", "junit_family=xunit1", *extra), suite)
    count = read_report(report, status)
    total_s = time.monotonic() - start
    print(f"== {suite.name}: {count}; {total_s:.0f} s ({prepared_s:.0f} s of set-up)", flush=True)
    return count


def prepare(suite: Suite) -> int:
    """Run the suite's set-up; the first bad exit status, or 0."""
    for command in suite.setup:
        try:
            done = subprocess.run(
                command,
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                timeout=SETUP_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return give_up(command, f"took longer than {SETUP_LIMIT_S} s", 124)
        if done.returncode:
            return give_up(command, f"ended with status {done.returncode}", done.returncode)
    return 0


def give_up(command: Sequence[str], why: str, status: int) -> int:
    """Say which set-up step failed, so that no tests could run."""
    print(f"== set-up failed: {' '.join(command)} {why}", flush=True)
    return status


def run_limited(command: Sequence[str], suite: Suite) -> int:
    """The exit status; at the time limit the suite's whole process group is ended."""
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env={**os.environ, **suite.environment},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(timeout=suite.limit_s)
    except subprocess.TimeoutExpired:
        print(f"== {suite.name}: ended after its limit of {suite.limit_s} s", flush=True)
        return 124
    finally:
        end_group(process)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End what the suite left running, the way a closed terminal would, then for certain."""
    for sign, patience_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 0.0)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + patience_s
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
    process.wait()


def read_report(report: Path, status: int) -> Count:
    """What the JUnit file says; one failure more when the status is bad and no test tells why."""
    try:
        cases = list(ET.parse(report).iter("testcase"))  # noqa: S314 - our own pytest wrote it
    except (OSError, ET.ParseError):
        cases = []
    count = sum((count_case(case) for case in cases), Count())
    if count.failed == 0 and (status != 0 or not cases):
        print(f"== exit status {status}, {len(cases)} tests and no failed one: counted as failed")
        count += Count(failed=1)
    return count


def count_case(case: ET.Element) -> Count:
    """One test: failed in any phase is failed; xfail counts as skipped, as JUnit has it."""
    if case.find("failure") is not None or case.find("error") is not None:
        return Count(failed=1)
    if case.find("skipped") is None:
        return Count(passed=1)
    marked = any(p.get("name") == "shared" for p in case.iter("property"))
    return Count(skipped=1, shared=int(marked))


def parse(arguments: Sequence[str], known: Mapping[str, Suite]) -> argparse.Namespace:
    """The suites and options; what follows ``--`` is pytest's and was cut off before."""
    parser = argparse.ArgumentParser(
        prog="scripts/test",
        usage="scripts/test [--no-shared-skips] [SUITE ...] [-- PYTEST ARGUMENTS]",
        description=f"Run the tests: {', '.join(DEFAULT)} unless suites are named.",
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(known))
    parser.add_argument("--no-shared-skips", action="store_true", help="such a skip is a failure")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.suites if name not in known]
    if unknown:
        parser.error(f"no suite is called {', '.join(unknown)}; there are {', '.join(known)}")
    return options


def main(arguments: Sequence[str]) -> int:
    """Run the suites asked for and print the sum as the last line."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    known = known_suites()
    options = parse(arguments[:end], known)
    REPORTS.mkdir(parents=True, exist_ok=True)
    total = Count()
    for name in options.suites or DEFAULT:
        total += run_suite(known[name], arguments[end + 1 :])
    print(f"skipped for want of the data folder ($SWATH_SHARED): {total.shared}")
    if options.no_shared_skips and total.shared:
        print("== the data folder is there, so these skips count as failed")
        total += Count(failed=total.shared, skipped=-total.shared)
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

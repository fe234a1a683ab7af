"""What lies in the repository: pins without an index, nothing of one machine, scripts that run."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[2]
PINS = CHECKOUT / "resources" / "requirements"
HASHED = ("engine", "build", "dev", "qgis", "uv")
# Written in pieces, so that this file does not find itself.
INDEX_HOSTS = (
    "pypi" + ".org",
    "python" + "hosted.org",
    "pytorch" + ".org/whl",
    "deb.debian" + ".org",
    "security.debian" + ".org",
    "archive.ubuntu" + ".com",
    "registry.npm" + "js.org",
)
PLACES = re.compile("/" + "work/|/tmp" + "/w/|/root" + "/(?![.])")
TEXT = ("", ".py", ".md", ".txt", ".toml", ".json", ".qml", ".model3", ".xml", ".svg")
OUTSIDE = {".git", ".venv", "build", "__pycache__"}


def repository_files() -> list[Path]:
    """Tracked files and new ones that git does not ignore; all of them where there is no git."""
    if not (CHECKOUT / ".git").exists():
        parts = ((p, p.relative_to(CHECKOUT).parts) for p in CHECKOUT.rglob("*") if p.is_file())
        return [path for path, names in parts if not OUTSIDE & set(names)]
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        check=True,
    )
    paths = (CHECKOUT / os.fsdecode(name) for name in listed.stdout.split(b"\0") if name)
    return [p for p in paths if p.is_file()]


def test_nothing_that_git_ignores_is_kept():
    if (CHECKOUT / ".git").exists():
        command = ["git", "ls-files", "--ignored", "--cached", "--exclude-standard"]
        kept = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
        assert kept.stdout.splitlines() == []


def lines_with(found) -> list[str]:
    hits = []
    for path in repository_files():
        if path.suffix in TEXT and path.name != "LICENSE":
            lines = path.read_text("utf-8").splitlines()
            where = path.relative_to(CHECKOUT)
            hits += [f"{where}:{i}: {line}" for i, line in enumerate(lines, 1) if found(line)]
    return hits


def test_no_file_names_a_package_index():
    assert lines_with(lambda line: any(host in line for host in INDEX_HOSTS)) == []


def test_no_file_names_a_place_on_one_machine():
    assert lines_with(PLACES.search) == []


def pinned(name: str) -> dict[str, Requirement]:
    text = (PINS / f"{name}.txt").read_text("utf-8").replace("\\\n", " ")
    entries = (line.split(" --hash")[0] for line in text.splitlines() if not line.startswith("#"))
    requirements = [Requirement(entry) for entry in entries if entry.strip()]
    return {canonicalize_name(r.name): r for r in requirements}


@pytest.mark.parametrize("name", HASHED)
def test_pins_are_exact_and_hashed(name):
    text = (PINS / f"{name}.txt").read_text("utf-8").replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", entry), entry


def test_pins_give_what_the_project_asks_for():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
    groups = project["dependency-groups"]
    wanted = {"engine": project["project"]["dependencies"], **groups}
    wanted["torch"] = project["project"]["optional-dependencies"]["torch"]
    for name, requirements in wanted.items():
        pins = pinned(name)
        for requirement in map(Requirement, requirements):
            (exact,) = pins[canonicalize_name(requirement.name)].specifier
            assert requirement.specifier.contains(exact.version), (name, str(requirement))


def test_the_files_of_pins_agree_with_each_other():
    engine, dev = pinned("engine"), pinned("dev")
    both = engine.keys() & dev.keys()
    assert both
    assert {n: str(dev[n]) for n in both} == {n: str(engine[n]) for n in both}


def test_rasterio_is_the_one_for_python_3_11():
    assert str(pinned("engine")["rasterio"].specifier).startswith("==1.4.")
    assert pinned("engine")["rasterio"].marker is None


def test_torch_is_no_part_of_the_engine():
    assert "torch" not in pinned("engine")
    assert str(pinned("torch")["torch"].specifier) == "==2.13.0"


def shell_scripts() -> list[Path]:
    scripts = [p for p in repository_files() if p.parent.name in ("scripts", "qgis", ".ci")]
    return [p for p in scripts if p.suffix == ""]


@pytest.mark.parametrize("path", shell_scripts(), ids=lambda p: p.name)
def test_a_script_can_be_run_and_says_what_it_does(path):
    first, second = path.read_text("utf-8").splitlines()[:2]
    assert first in ("#!/usr/bin/env bash", "#!/usr/bin/env python3")
    assert second.lstrip('# "').startswith(path.name)
    assert os.access(path, os.X_OK)
    if first.endswith("bash"):
        assert subprocess.run(["bash", "-n", path], check=False).returncode == 0

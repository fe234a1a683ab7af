"""Fresh QGIS profiles with the plugin in them, and programs of QGIS without a screen."""

import configparser
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

Settings = Mapping[str, Mapping[str, str]]
HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
LINK = CHECKOUT / "scripts" / "link"
PACKAGE = ("__init__.py", "metadata.txt", "plugin", "resources", "engine/__init__.py")
CONTRACT = "engine/contract"
FROM_OUTSIDE = ("PYTHON", "QGIS_", "QT_", "VIRTUAL_ENV", "SWATH_")
"""Variables of the caller that this QGIS must not inherit."""
QUIET = {
    "qgis": {
        "checkVersion": "false",
        "showTips": "false",
        r"networkAndProxy\networkTimeout": "2000",
    },
    "app": {
        r"projections\unknownCrsBehavior": "NoAction",
        r"plugin_installer\checkOnStart": "false",
    },
    "news-feed": {"disabled": "true", r"httpsfeedqgisorg\disabled": "true"},
    "locale": {"overrideFlag": "true", "userLocale": "en_US", "globalLocale": "en_US"},
    "PythonPlugins": {"swath": "true", "processing": "true"},
}
"""No tips, news, questions or downloads: the same start every time."""


def make_profile(home: Path, *, installed: bool = False, settings: Settings | None = None) -> Path:
    """A fresh profile with the plugin on; returns what ``--profiles-path`` takes.

    Args:
        home: A folder of its own.
        installed: True copies what the plugin consists of, as if unpacked from its zip; False
            links the checkout, as in development.
        settings: More settings, by section.
    """
    profile = home / "profiles" / "default"
    plugins = profile / "python" / "plugins"
    plugins.mkdir(parents=True)
    if installed:
        copy_plugin(plugins / "swath")
    else:
        subprocess.run(
            [sys.executable, str(LINK), str(plugins)], stdout=subprocess.DEVNULL, check=True
        )
    for name in ("QGIS3.ini", "QGIS4.ini"):
        ini = configparser.RawConfigParser()
        ini.optionxform = str
        ini.read_dict(QUIET)
        ini.read_dict(settings or {})
        (profile / "QGIS").mkdir(exist_ok=True)
        with (profile / "QGIS" / name).open("w", encoding="utf-8") as file:
            ini.write(file, space_around_delimiters=False)
    return home


def copy_plugin(target: Path) -> None:
    """What QGIS needs of the checkout, and nothing of the engine but its contract."""
    clutter = shutil.ignore_patterns("__pycache__", "models", "requirements")
    for name in (*PACKAGE, CONTRACT):
        source, place = CHECKOUT / name, target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, ignore=clutter)
        else:
            shutil.copy(source, place)


def qgis_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without what would lead QGIS astray."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(FROM_OUTSIDE)}
    return {**kept, "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", **extra}


def in_root(suite: str | None, binds: Sequence[Path]) -> list[str]:
    """What to put before a command so that it runs with the QGIS of a Debian root; [] without."""
    if not suite:
        return []
    found = subprocess.run([str(HERE / "root"), suite], stdout=subprocess.PIPE, check=True)
    command = [str(HERE / "inroot"), found.stdout.decode().strip()]
    for folder in binds:
        command += ["-b", str(folder)]
    return [*command, "--"]


def qgis_process(
    home: Path,
    *arguments: str,
    suite: str | None = None,
    environment: Mapping[str, str] | None = None,
    binds: Sequence[Path] = (),
    seconds: float = 180.0,
) -> subprocess.CompletedProcess[str]:
    """Run ``qgis_process`` with a profile; the caller looks at its exit status and output.

    Debian's wrapper of the name without ``.bin`` hands on an option that QGIS 3.22 refuses.
    """
    program = "qgis_process.bin" if suite or shutil.which("qgis_process.bin") else "qgis_process"
    temporary = home / "tmp"
    temporary.mkdir(exist_ok=True)
    home.chmod(0o700)
    variables = {
        "QT_QPA_PLATFORM": "offscreen",
        "QGIS_CUSTOM_CONFIG_PATH": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "TMPDIR": str(temporary),  # seen from inside and outside of a root alike
        **(environment or {}),
    }
    set_them = ["env", *(f"{k}={v}" for k, v in variables.items())]
    return subprocess.run(
        [*in_root(suite, [home, CHECKOUT, *binds]), *set_them, program, *arguments],
        env=qgis_environment({}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )

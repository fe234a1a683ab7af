"""The user's own package index: as pip and uv are told about it.

What is read: pip's configuration files and ``PIP_`` variables, uv's ``UV_`` variables. A default
index set for either of them wins over the standard one; further indexes of both are asked too.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_TIMEOUT = 30.0
"""Seconds of silence after which a server counts as gone."""
SECTIONS = ("global", "install")
"""Of pip's configuration files, the later one wins."""
TRUE = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Which indexes to ask, and how to reach them."""

    indexes: tuple[str, ...]
    """Base addresses in order; empty: none is to be asked but ``find_links``."""
    find_links: tuple[str, ...] = ()
    """Folders, files or pages with links to packages."""
    cert: str | None = None
    """A bundle of certificate authorities in place of the usual ones."""
    client_cert: str | None = None
    proxy: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    """``host`` or ``host:port`` whose certificate is not checked."""
    timeout: float = DEFAULT_TIMEOUT


def load_settings(environment: Mapping[str, str] | None = None) -> IndexSettings:
    """The settings in force for this user in this environment."""
    env = os.environ if environment is None else environment
    pip = _pip_options(env)
    return IndexSettings(
        indexes=_indexes(pip, env),
        find_links=_several(pip.get("find-links"), env.get("UV_FIND_LINKS")),
        cert=pip.get("cert"),
        client_cert=pip.get("client-cert"),
        proxy=pip.get("proxy"),
        trusted_hosts=_several(pip.get("trusted-host"), env.get("UV_INSECURE_HOST")),
        timeout=_seconds(pip.get("timeout") or pip.get("default-timeout")),
    )


def _indexes(pip: Mapping[str, str], env: Mapping[str, str]) -> tuple[str, ...]:
    no_index = (pip.get("no-index", ""), env.get("UV_NO_INDEX", ""))
    if any(v.lower() in TRUE for v in no_index):
        return ()
    named = (
        env.get("PIP_INDEX_URL"),
        env.get("UV_DEFAULT_INDEX"),
        env.get("UV_INDEX_URL"),
        pip.get("index-url"),
    )
    first = next((v for v in named if v), None) or _standard_index()
    further = (pip.get("extra-index-url"), env.get("UV_INDEX"), env.get("UV_EXTRA_INDEX_URL"))
    return _several(_without_name(first), *further)


def _standard_index() -> str:
    import pypi_simple  # noqa: PLC0415 - half a second, for those who set no index

    return pypi_simple.PYPI_SIMPLE_ENDPOINT


def _several(*settings: str | None) -> tuple[str, ...]:
    """The words of lists that white space separates, each once, in order."""
    words = (word for setting in settings if setting for word in setting.split())
    return tuple(dict.fromkeys(_without_name(w) for w in words))


def _without_name(address: str) -> str:
    """The address alone: for uv an index may be written as ``name=address``."""
    name, equals, rest = address.partition("=")
    return rest if equals and "/" not in name and "://" in rest else address


def _seconds(text: str | None) -> float:
    with contextlib.suppress(TypeError, ValueError):
        seconds = float(text or "")
        return seconds if seconds > 0 else DEFAULT_TIMEOUT
    return DEFAULT_TIMEOUT


def _pip_options(env: Mapping[str, str]) -> dict[str, str]:
    """What pip is told, by the options' long names; environment variables win over files."""
    options: dict[str, str] = {}
    for path in _config_files(env):
        options |= _file_options(path)
    prefix = "PIP_"
    named = {k[len(prefix) :]: v for k, v in env.items() if k.upper().startswith(prefix) and v}
    return options | {k.lower().replace("_", "-"): v for k, v in named.items()}


def _file_options(path: Path) -> dict[str, str]:
    """The options in one file; an unreadable one has none, as pip would say by itself."""
    parser = configparser.RawConfigParser()
    with contextlib.suppress(OSError, UnicodeDecodeError, configparser.Error):
        parser.read_string(path.read_text(encoding="utf-8-sig"))
    options: dict[str, str] = {}
    for section in filter(parser.has_section, SECTIONS):
        options |= {k.replace("_", "-"): v for k, v in parser.items(section)}
    return options


def _config_files(env: Mapping[str, str]) -> list[Path]:
    """Where pip is configured, the strongest last."""
    chosen = env.get("PIP_CONFIG_FILE", "")
    if chosen == os.devnull:
        return []
    name = "pip.ini" if sys.platform == "win32" else "pip.conf"
    legacy = Path.home() / ("pip" if sys.platform == "win32" else ".pip") / name
    files = [*_system_files(env), legacy, _user_file(env), Path(sys.prefix) / name]
    return [*files, Path(chosen)] if chosen else files


def _system_files(env: Mapping[str, str]) -> list[Path]:
    if sys.platform == "win32":
        return [Path(env.get("PROGRAMDATA", r"C:\ProgramData")) / "pip" / "pip.ini"]
    if sys.platform == "darwin":
        return [Path("/Library/Application Support/pip/pip.conf")]
    folders = [f for f in env.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if f]
    return [*(Path(f) / "pip" / "pip.conf" for f in folders), Path("/etc/pip.conf")]


def _user_file(env: Mapping[str, str]) -> Path:
    home = Path.home()
    if sys.platform == "win32":
        return Path(env.get("APPDATA", str(home / "AppData" / "Roaming"))) / "pip" / "pip.ini"
    support = home / "Library" / "Application Support" / "pip"
    if sys.platform == "darwin" and support.is_dir():
        return support / "pip.conf"
    return Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"

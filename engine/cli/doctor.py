"""``swath doctor``: whether the engine can work here, and what to do if not."""

from __future__ import annotations

import importlib
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine.contract.errors import EngineError
from engine.contract.places import TOKEN_HEADER, Connection
from engine.version import VERSION

PACKAGES = ("numpy", "rasterio", "fiona", "pyogrio", "pyproj", "shapely", "scipy", "onnxruntime")
SERVER = ("starlette", "uvicorn", "pydantic", "requests", "psutil")
LEAST_FREE = 200_000_000
"""Bytes on the state folder's disk below which no model can be fetched."""
OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    text: str
    hint: str = ""
    """What to do, when it is not well."""


def examine(state: Path) -> list[Finding]:
    """Look at everything that a run needs."""
    packages = [_package(name) for name in (*PACKAGES, *SERVER)]
    findings = [_python(), *packages]
    if all(p.ok for p in packages):
        findings += [_attempt("GDAL", _gdal), _attempt("PROJ", _proj)]
        findings += [_attempt("providers", _providers), _attempt("models", _models, state)]
    return [*findings, _attempt("state folder", _state, state), _disk(state), _engine(state)]


def _attempt(name: str, look: Callable[..., Finding], *args: Any) -> Finding:
    try:
        return look(*args)
    except EngineError as error:
        return Finding(name, ok=False, text=error.message, hint=error.hint)
    except Exception as error:  # noqa: BLE001 - the doctor reports whatever is broken
        return Finding(name, ok=False, text=f"{type(error).__name__}: {error}", hint=_REINSTALL)


_REINSTALL = "Install the engine again."


def _python() -> Finding:
    text = f"{platform.python_version()} ({sys.executable}), Swath {VERSION}"
    return Finding("python", sys.version_info >= OLDEST_PYTHON, text, "Use Python 3.11 or newer.")


def _package(name: str) -> Finding:
    try:
        importlib.import_module(name)
        return Finding(name, ok=True, text=version(name))
    except (ImportError, OSError, PackageNotFoundError) as error:
        return Finding(name, ok=False, text=f"cannot be loaded: {error}", hint=_REINSTALL)


def _gdal() -> Finding:
    import rasterio  # noqa: PLC0415 - may be broken
    from rasterio.drivers import raster_driver_extensions  # noqa: PLC0415

    raster_driver_extensions()
    with rasterio.Env() as env:
        missing = [d for d in ("GTiff", "COG") if d not in env.drivers()]
    text = rasterio.__gdal_version__
    if missing:
        text += f" without the drivers {', '.join(missing)}"
    return Finding("GDAL", not missing, text, _REINSTALL)


def _proj() -> Finding:
    import pyproj  # noqa: PLC0415 - may be broken
    from rasterio.crs import CRS  # noqa: PLC0415

    CRS.from_epsg(32633).to_wkt()
    move = pyproj.Transformer.from_crs(4326, 32633, always_xy=True)
    easting, _ = move.transform(15.0, 50.0)
    right = abs(easting - 500000.0) < 1e-3  # noqa: PLR2004 - the zone's central meridian
    hint = "Remove the variables PROJ_LIB and PROJ_DATA, or install the engine again."
    return Finding("PROJ", right, pyproj.proj_version_str, hint)


def _providers() -> Finding:
    import onnxruntime  # noqa: PLC0415 - may be broken

    names = onnxruntime.get_available_providers()
    local = [n for n in names if not n.startswith("Azure")]  # no pixel leaves the machine
    text = ", ".join(n.removesuffix("ExecutionProvider") for n in local)
    return Finding("providers", "CPUExecutionProvider" in names, text, _REINSTALL)


def _models(state: Path) -> Finding:
    from engine.models.catalogue import load_catalogue  # noqa: PLC0415 - after the packages
    from engine.models.store import ModelStore  # noqa: PLC0415

    cards, store = load_catalogue(), ModelStore(state / "models")
    count = sum(store.is_installed(card) for card in cards)
    return Finding("models", ok=True, text=f"{count} of {len(cards)} installed")


def _state(state: Path) -> Finding:
    from engine.jobs.store import JobStore  # noqa: PLC0415 - psutil may be missing

    store = JobStore(state)
    store.mark_interrupted()
    probe = state / f".probe-{platform.node()}"
    probe.write_text("Swath", encoding="utf-8")
    probe.unlink()
    count = len(store.jobs(limit=-1).jobs)
    store.close()
    return Finding("state folder", ok=True, text=f"{state} ({count} jobs)")


def _disk(state: Path) -> Finding:
    place = next(p for p in (state, *state.parents) if p.exists())
    free = shutil.disk_usage(place).free
    hint = "Free some space, or move the state folder with the variable SWATH_STATE."
    return Finding("disk", free >= LEAST_FREE, f"{free / 1e9:.1f} GB free", hint)


def _engine(state: Path) -> Finding:
    from engine.server.connection import read_connection  # noqa: PLC0415 - lazily

    connection = read_connection(state)
    if connection is None:
        return Finding("engine", ok=True, text="none is running; programs start it when needed")
    if _answers(connection):
        text = f"running at {connection.url} (process {connection.pid})"
        return Finding("engine", ok=True, text=text)
    text = f"none is running; one left its connection file ({connection.url})"
    return Finding("engine", ok=True, text=text)


def _answers(connection: Connection) -> bool:
    import requests  # noqa: PLC0415 - lazily

    session = requests.Session()
    session.trust_env = False  # a proxy has no part in a conversation within this machine
    try:
        headers = {TOKEN_HEADER: connection.token}
        return session.get(f"{connection.url}/v1/hello", headers=headers, timeout=5).ok
    except requests.RequestException:
        return False

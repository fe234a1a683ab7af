"""For all rooms: tests on the data folder beside the project are skipped, and counted, without it.

Loaded by the engine's Python and by QGIS' own alike, so it needs pytest alone.
"""

import contextlib
import os
from pathlib import Path

import pytest

with contextlib.suppress(ImportError):  # QGIS' own Python has none
    from hypothesis import settings

    settings.register_profile("swath", deadline=None)  # machines may be busy
    settings.load_profile("swath")

CHECKOUT = Path(__file__).resolve().parent.parent


def shared_folder() -> Path:
    return Path(os.environ.get("SWATH_SHARED") or CHECKOUT.parent / "shared")


def pytest_collection_modifyitems(items):
    """Leave the mark in the report, where scripts/suites.py counts skips of such tests."""
    for item in items:
        if item.get_closest_marker("shared"):
            item.user_properties.append(("shared", "yes"))


def pytest_runtest_setup(item):
    if item.get_closest_marker("shared") and not shared_folder().is_dir():
        pytest.skip(f"needs the data folder {shared_folder()} ($SWATH_SHARED)")

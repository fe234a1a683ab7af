"""Open files, one handle a thread, and GDAL's failures in words for people."""

from __future__ import annotations

import functools
import logging
import os
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.env import set_gdal_config
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from engine.contract.errors import EngineError, ErrorCode

GDAL_ERRORS = (RasterioError, CPLE_BaseError, OSError)
"""What GDAL raises through rasterio when a file cannot be opened or read."""
CACHE_BYTES = 128 * 2**20
"""GDAL's block cache, shared by all files and threads; its own default is 5 % of the memory."""
OPEN_FILES = 32
"""Handles that a thread keeps open; a mosaic may have thousands of tiles."""


class Handles:
    """Datasets by URI, each opened once a thread: GDAL's handles must not be shared."""

    def __init__(
        self, limit: int = OPEN_FILES, stand_in: Callable[[str], str] | None = None
    ) -> None:
        """Open nothing yet; ``stand_in`` names the file whose pixels are read for a URI."""
        self._stand_in = stand_in
        self._limit = limit
        self._lock = threading.Lock()
        self._pools: list[OrderedDict[str, Any]] = []
        self._local = threading.local()

    def dataset(self, uri: str) -> Any:
        """This thread's open dataset of ``uri``.

        Raises:
            EngineError: ``INPUT_NOT_FOUND``, ``INPUT_UNREADABLE``.
        """
        pool = self._pool()
        found = pool.pop(uri, None)
        if found is None:
            found = open_dataset(self._stand_in(uri) if self._stand_in else uri)
        pool[uri] = found
        if len(pool) > self._limit:
            pool.popitem(last=False)[1].close()
        return found

    def close(self) -> None:
        """Close every thread's datasets; a later read opens them again."""
        with self._lock:
            pools, self._pools = self._pools, []
            self._local = threading.local()
        for pool in pools:
            for dataset in pool.values():
                dataset.close()

    def _pool(self) -> OrderedDict[str, Any]:
        pool: OrderedDict[str, Any] | None = getattr(self._local, "pool", None)
        if pool is None:
            pool = self._local.pool = OrderedDict()
            with self._lock:
                self._pools.append(pool)
        return pool


def open_dataset(uri: str) -> Any:
    """The raster ``uri``, open for reading.

    Raises:
        EngineError: ``INPUT_NOT_FOUND``, ``INPUT_UNREADABLE``.
    """
    _prepare()
    if is_local(uri) and not Path(uri).exists():
        raise not_found(uri)
    try:
        return rasterio.open(uri)
    except GDAL_ERRORS as error:
        raise unreadable(uri, error) from None


def is_local(uri: str) -> bool:
    """Whether ``uri`` is a plain path of this machine."""
    return "://" not in uri and not uri.startswith("/vsi")


def shown(uri: str) -> str:
    """The file as a person would name it."""
    return Path(uri).name or uri


def not_found(uri: str) -> EngineError:
    """The error for a path that leads nowhere."""
    return EngineError(
        ErrorCode.INPUT_NOT_FOUND,
        f"The input «{uri}» does not exist.",
        "Check the path.",
    )


def unreadable(uri: str, error: BaseException) -> EngineError:
    """The error for a file that GDAL cannot open or read."""
    reason = " ".join(str(error.__cause__ or error).split()).rstrip(".")
    if any(words in reason for words in ("No such file", "does not exist in the file system")):
        return not_found(uri)
    if "not recognized as being in a supported file format" in reason:
        reason = "it is not a raster in a format known here"
    return EngineError(
        ErrorCode.INPUT_UNREADABLE,
        f"The file «{shown(uri)}» cannot be read: {reason}.",
        "Check that it opens in QGIS and was copied or downloaded whole.",
    )


@functools.cache
def _prepare() -> None:
    """Bound the cache; failures are told as errors, so that rasterio's log is for nobody."""
    if "GDAL_CACHEMAX" not in os.environ:
        set_gdal_config("GDAL_CACHEMAX", CACHE_BYTES)
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

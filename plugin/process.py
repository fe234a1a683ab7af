"""Find the engine, start it apart from QGIS, and reach one that runs already.

Pure Python without Qt: it works from a Processing thread, where no event loop turns.
"""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from ..engine.contract.codec import from_plain
from ..engine.contract.errors import CancelledError, EngineError, ErrorCode
from ..engine.contract.messages import Tenant
from ..engine.contract.places import STATE_VARIABLE, Connection, connection_path
from ..engine.contract.version import PROTOCOL, is_compatible
from .client import EngineClient

ENGINE_VARIABLE = "SWATH_ENGINE"
START_SECONDS = 60.0
"""Time for the first start: a virus scanner may read every file of the environment."""
HELLO_SECONDS = 5.0
LOG_NAME = "start.log"
LOG_BYTES = 1 << 20
LOG_TAIL, LOG_LINES = 8192, 12
LOOK_SECONDS, AGAIN_SECONDS = 0.05, 0.3

FOREIGN_PREFIXES = (
    *("PYTHON", "VIRTUAL_ENV", "CONDA_"),
    *("GDAL_", "OGR_", "CPL_", "PROJ_", "GEOTIFF_CSV", "QGIS_", "GRASS_", "GISBASE"),
    *("QT_", "QML", "O4W_", "OSGEO4W_"),
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_"),
)
"""Variables with which QGIS' launchers and packages lead another Python or its wheels astray.
Everything else stays, such as proxies, certificates, package indexes and cloud credentials."""

_starting = threading.Lock()
_started: List["subprocess.Popen[bytes]"] = []
"""Engines started here, kept so that they are no orphans of the garbage collector."""


@dataclass(frozen=True)
class Launch:
    """All that it takes to find or start an engine."""

    setting: str
    """The user's own choice, "" for none: an environment's folder, its Python or ``swath``."""
    plugin_folder: Path
    """Where ``metadata.txt`` lies; may be a link to a checkout."""
    state: Path
    """The engine's state folder."""


def engine_environment(base: Mapping[str, str]) -> Dict[str, str]:
    """The environment for the engine: ``base`` without what belongs to QGIS."""
    kept = {k: v for k, v in base.items() if not k.upper().startswith(FOREIGN_PREFIXES)}
    root = base.get("OSGEO4W_ROOT", "")
    if root:  # QGIS' DLLs on the PATH of Windows
        parts = kept.get("PATH", "").split(os.pathsep)
        kept["PATH"] = os.pathsep.join(p for p in parts if not _is_under(p, root))
    return kept


def _is_under(path: str, folder: str) -> bool:
    return os.path.normcase(path).startswith(os.path.normcase(folder))


def find_engine(launch: Launch, environ: Mapping[str, str] = os.environ) -> Tuple[str, ...]:
    """The command that starts the engine, without its options.

    Looked for in this order: the setting, ``$SWATH_ENGINE``, ``.venv`` in the plugin's folder.

    Raises:
        EngineError: ``ENGINE_NOT_FOUND``, saying where was looked and what to do.
    """
    for name, choice in (
        ("The setting swath/engine", launch.setting),
        (f"The variable {ENGINE_VARIABLE}", environ.get(ENGINE_VARIABLE, "")),
    ):
        if choice:
            command = _command(Path(choice).expanduser())
            if command is None:
                raise EngineError(
                    ErrorCode.ENGINE_NOT_FOUND,
                    f"{name} names «{choice}», where there is no engine.",
                    "Press «Engine status», «Choose engine…», and point at the Python of the "
                    "environment that Swath's engine is installed in.",
                )
            return command
    command = _command(launch.plugin_folder.resolve() / ".venv")
    if command is None:
        raise EngineError(
            ErrorCode.ENGINE_NOT_FOUND,
            "Swath's engine, the separate program that does the computing, was not found.",
            "Run scripts/environment in a checkout of Swath; then press «Engine status», "
            "«Choose engine…», and point at .venv/bin/python in that checkout "
            "(.venv\\Scripts\\python.exe on Windows).",
        )
    return command


def _command(place: Path) -> Optional[Tuple[str, ...]]:
    """How to start the engine of ``place``: a folder, a Python or the ``swath`` program."""
    if place.is_dir():
        return _python_command(_python_of(place)) or _command_below(place / ".venv")
    if not place.is_file():
        return None
    if place.stem.lower() == "swath":
        beside = _python_beside(place.resolve())  # a link to the program lies elsewhere
        return _python_command(beside) or (str(place), "serve")
    return _python_command(place)  # never resolved: its place is what makes it the engine's


def _command_below(folder: Path) -> Optional[Tuple[str, ...]]:
    return _python_command(_python_of(folder))


def _python_of(folder: Path) -> Path:
    windows = folder / "Scripts" / "python.exe"
    return windows if windows.is_file() else folder / "bin" / "python"


def _python_beside(program: Path) -> Path:
    return program.with_name("python.exe" if program.suffix.lower() == ".exe" else "python")


def _python_command(python: Path) -> Optional[Tuple[str, ...]]:
    if not python.is_file():
        return None
    # -I: nothing of the user's or QGIS' Python comes along, whatever the environment says
    return (str(python), "-I", "-X", "utf8", "-m", "engine.server")


def may_have_engine(launch: Launch) -> Optional[EngineError]:
    """None when an engine can be started or seems to run; cheap, asks nobody."""
    if connection_path(launch.state).exists():
        return None
    try:
        find_engine(launch)
    except EngineError as error:
        return error
    return None


def running_engine(launch: Launch) -> Optional[EngineClient]:
    """The engine that works on the state folder, or None when none answers.

    Raises:
        EngineError: ``PROTOCOL_MISMATCH`` when it is of another generation.
    """
    connection = _read_connection(connection_path(launch.state))
    if connection is None:
        return None
    client = EngineClient(connection)
    try:
        theirs = client.hello(HELLO_SECONDS).protocol
    except EngineError as error:
        client.close()
        if error.code is not ErrorCode.PROTOCOL_MISMATCH:
            return None  # gone, or its port belongs to another program now
        theirs = connection.protocol
    if not is_compatible(theirs):
        client.close()
        raise EngineError(
            ErrorCode.PROTOCOL_MISMATCH,
            f"The running engine {connection.version} speaks protocol {theirs}, "
            f"this plugin speaks {PROTOCOL}.",
            "Close the other QGIS windows so that the engine ends, or update the older of the two.",
        )
    return client


def _read_connection(path: Path) -> Optional[Connection]:
    try:
        return from_plain(Connection, json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, EngineError):  # absent, or being written
        return None


def ensure_engine(launch: Launch, is_cancelled: Callable[[], bool] = lambda: False) -> EngineClient:
    """A client of a running engine; starts one when none runs. Safe from any thread.

    Raises:
        EngineError: ``ENGINE_NOT_FOUND``, ``ENGINE_START_FAILED`` with the engine's last words,
            ``PROTOCOL_MISMATCH``; ``CANCELLED`` when asked to stop waiting.
    """
    with _starting:
        return _join(launch) or _start(launch, is_cancelled)


def _join(launch: Launch) -> Optional[EngineClient]:
    """The running engine, told that this process needs it; None when it goes or has gone."""
    client = running_engine(launch)
    if client is None:
        return None
    try:
        client.register(Tenant(os.getpid(), "QGIS"))
    except EngineError as error:
        client.close()
        if error.code is not ErrorCode.ENGINE_UNREACHABLE:
            raise
        return None
    return client


@dataclass(frozen=True)
class _Attempt:
    """An engine that was started and has not answered yet."""

    process: "subprocess.Popen[bytes]"
    log: Path
    begin: int
    """Where in the log its own words begin."""

    def failed(self, message: str) -> EngineError:
        """Why it is given up, with its last words."""
        return EngineError(
            ErrorCode.ENGINE_START_FAILED,
            f"{message}{self.last_words()}",
            "Install the engine again as the README says, or choose another with the setting "
            "swath/engine.",
        )

    def last_words(self) -> str:
        """What it wrote, for the end of an error message."""
        with self.log.open("rb") as file:
            file.seek(self.begin)
            lines = file.read()[-LOG_TAIL:].decode("utf-8", "replace").strip().splitlines()
        if not lines:
            return f" It wrote nothing into {self.log}."
        return " Its last words:\n" + "\n".join(lines[-LOG_LINES:]) + "\n"


def _start(launch: Launch, is_cancelled: Callable[[], bool]) -> EngineClient:
    command = find_engine(launch)
    deadline = time.monotonic() + START_SECONDS
    while True:
        log = _open_log(launch.state)
        begin = log.stat().st_size if log.exists() else 0
        attempt = _Attempt(_spawn(command, launch.state, log), log, begin)
        client = _wait(attempt, launch, deadline, is_cancelled)
        if client is not None:
            return client
        time.sleep(AGAIN_SECONDS)


def _open_log(state: Path) -> Path:
    """The file for what the engine says while it starts; begun anew when it has grown."""
    log = state / "logs" / LOG_NAME
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.write_bytes(b"")
    except OSError as error:
        raise EngineError(
            ErrorCode.STATE_UNUSABLE,
            f"The engine's state folder {state} cannot be written: {error.strerror}.",
            f"Make it writable, or set {STATE_VARIABLE} to another folder.",
        ) from None
    return log


def _spawn(command: Tuple[str, ...], state: Path, log: Path) -> "subprocess.Popen[bytes]":
    """Start the engine without a console, in a process group of its own."""
    arguments = [*command, "--state", str(state), "--for-pid", str(os.getpid())]
    no_window = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    own_group = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 # nosec B603 - the user's own engine, no shell
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=engine_environment(os.environ),
                cwd=str(state),
                creationflags=no_window | own_group,
                start_new_session=sys.platform != "win32",
            )
    except OSError as error:
        raise EngineError(
            ErrorCode.ENGINE_START_FAILED,
            f"The engine's program {command[0]} could not be started: {error.strerror}.",
            "Check the setting swath/engine.",
        ) from None
    _started.append(process)
    return process


def _wait(
    attempt: _Attempt, launch: Launch, deadline: float, is_cancelled: Callable[[], bool]
) -> Optional[EngineClient]:
    """Wait for the hello of the engine just started, or of one that was quicker.

    None when another engine holds the state folder and does not answer: it is about to come or
    to go, and starting once more will find out.
    """
    while time.monotonic() < deadline:
        ended = attempt.process.poll()  # before the look, so that a race's loser sees the winner
        client = _join(launch)
        if client is not None:
            return client
        if ended is not None and ErrorCode.STATE_LOCKED.value in attempt.last_words():
            return None
        if ended is not None:
            raise attempt.failed(f"The engine ended with code {ended} while it started.")
        if is_cancelled():
            raise CancelledError
        time.sleep(LOOK_SECONDS)
    attempt.process.terminate()
    raise attempt.failed(f"The engine did not answer within {START_SECONDS:.0f} seconds.")

#!/usr/bin/env python3
"""A real QGIS on a screen of its own, worked with a real mouse.

From a test:

    with Desktop(folder) as qgis:
        qgis.click("plugins['swath'].actions.segment")
        qgis.until("windows()")
        qgis.shot(Path("dialog.png"))

By hand, which leaves QGIS running until Enter is pressed:

    scripts/qgis/desktop.py [--suite trixie] [LAYER...]

Needs Xvfb, openbox, xdotool and ImageMagick (`scripts/system`). QGIS gets a fresh profile each
time: one that was killed while it loaded a plugin disables that plugin at its next start.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from profiles import CHECKOUT, Settings, in_root, make_profile, qgis_environment

HERE = Path(__file__).resolve().parent
START_SECONDS = 90.0


class Desktop:
    """A running QGIS; a context manager that ends only what it has started."""

    def __init__(
        self,
        folder: Path,
        *,
        suite: str | None = None,
        installed: bool = False,
        environment: Mapping[str, str] | None = None,
        settings: Settings | None = None,
        binds: Sequence[Path] = (),
        layers: Sequence[Path] = (),
        size: str = "1400x900",
    ) -> None:
        self.folder = folder
        self.log = folder / "qgis.log"
        self.processes: list[subprocess.Popen[bytes]] = []
        folder.mkdir(parents=True, exist_ok=True)
        home = make_profile(folder / "home", installed=installed, settings=settings)
        self.display = self._start_screen(size)
        self._start_qgis(home, suite, environment or {}, [folder, CHECKOUT, *binds], layers)

    def _start_screen(self, size: str) -> str:
        """An Xvfb on a free display, and a window manager, without which dialogs misbehave."""
        reader, writer = os.pipe()
        command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", f"{size}x24", "-nolisten"]
        self._spawn([*command, "tcp", "-noreset"], "xvfb.log", dict(os.environ), (writer,))
        os.close(writer)
        with os.fdopen(reader) as numbers:
            display = f":{numbers.readline().strip()}"
        self._spawn(["openbox"], "openbox.log", {**os.environ, "DISPLAY": display})
        return display

    def _start_qgis(
        self,
        home: Path,
        suite: str | None,
        environment: Mapping[str, str],
        binds: Sequence[Path],
        layers: Sequence[Path],
    ) -> None:
        runtime, temporary = self.folder / "run", self.folder / "tmp"
        runtime.mkdir(mode=0o700, exist_ok=True)
        temporary.mkdir()
        variables = {
            "DISPLAY": self.display,
            "XDG_RUNTIME_DIR": str(runtime),
            "TMPDIR": str(temporary),  # seen from inside and outside of a root alike
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "QT_X11_NO_MITSHM": "1",
            "PYTHONFAULTHANDLER": "1",
            "SWATH_DESKTOP": str(self.folder),
            **environment,
        }
        program = "qgis.bin" if suite or shutil.which("qgis.bin") else "qgis"
        arguments = ["--profiles-path", str(home), "--profile", "default", "--nologo"]
        arguments += ["--noversioncheck", "--code", str(HERE / "inside.py"), *map(str, layers)]
        # the variables are set by env, inside of a root too, where `inroot` has cleaned up
        set_them = ["env", *(f"{k}={v}" for k, v in variables.items())]
        command = [*in_root(suite, binds), *set_them, program, *arguments]
        self.qgis = self._spawn(command, self.log.name, qgis_environment({}))

    def _spawn(
        self,
        command: Sequence[str],
        log: str,
        environment: Mapping[str, str],
        descriptors: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=descriptors,
            )
        self.processes.append(process)
        return process

    def __enter__(self) -> Self:
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_until_ready(self) -> None:
        """Until QGIS answers; a plugin that fails to load holds it up behind a dialog."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                self.py("Qgis.QGIS_VERSION")
                return
            if self.qgis.poll() is not None:
                raise RuntimeError(f"QGIS ended at its start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.1)
        self.shot(self.folder / "stuck.png")
        raise TimeoutError(f"QGIS did not answer; see {self.folder / 'stuck.png'}")

    def py(self, source: str, seconds: float = 60.0) -> Any:
        """Run Python in QGIS' main thread; the value of a last expression comes back."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(seconds)
            peer.connect(str(self.folder / "inside.sock"))
            peer.sendall(json.dumps({"source": source}).encode() + b"\n")
            with peer.makefile("rb") as lines:
                line = lines.readline()
        if not line:
            raise ConnectionError("QGIS hung up")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def until(self, expression: str, seconds: float = 30.0) -> Any:
        """Ask until the answer is true, and return it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            value = self.py(expression)
            if value:
                return value
            time.sleep(0.1)
        self.shot(self.folder / "waiting.png")
        raise TimeoutError(f"not true within {seconds:g} s: {expression}")

    def click(self, thing: str, *, button: int = 1) -> None:
        """Click with the mouse on a widget or on the toolbar button of an action."""
        x, y = self._at_rest(f"centre({thing})")
        self._xdotool("mousemove", x, y)  # --sync would wait long when the pointer is there already
        time.sleep(0.1)
        self._xdotool("click", button)
        time.sleep(0.2)

    def _at_rest(self, place: str, seconds: float = 10.0) -> tuple[int, int]:
        """Where a thing is once it stays there: the window manager moves a new window."""
        deadline = time.monotonic() + seconds
        before, now = None, self.py(place)
        while before != now and time.monotonic() < deadline:
            time.sleep(0.4)
            before, now = now, self.py(place)
        return now[0], now[1]

    def key(self, *keys: str) -> None:
        """Press keys, such as ``ctrl+s``."""
        self._xdotool("key", *keys)
        time.sleep(0.2)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self._xdotool("type", "--delay", 15, text)
        time.sleep(0.2)

    def shot(self, path: Path) -> Path:
        """A picture of the whole screen, dialogs and menus included."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._with_screen(["import", "-window", "root", str(path)])
        return path

    def _xdotool(self, *words: object) -> None:
        self._with_screen(["xdotool", *map(str, words)])

    def _with_screen(self, command: Sequence[str]) -> None:
        environment = {**os.environ, "DISPLAY": self.display}
        subprocess.run(command, env=environment, check=True, timeout=30)

    def quit(self, seconds: float = 20.0) -> None:
        """Close QGIS the way a user does, without saving."""
        with contextlib.suppress(OSError, ConnectionError):
            self.py("QgsProject.instance().clear()")
            self.py("QtCore.QTimer.singleShot(0, iface.actionExit().trigger)")
        self.qgis.wait(seconds)

    def stop(self) -> None:
        """End QGIS, the window manager and the screen, in this order."""
        for process in reversed(self.processes):
            for sign in (signal.SIGTERM, signal.SIGKILL):
                if process.poll() is None:
                    process.send_signal(sign)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(5)


def main() -> None:
    """Start a desktop to try things by hand."""
    parser = argparse.ArgumentParser(description="A QGIS with Swath on a virtual screen.")
    parser.add_argument("--suite", help="the QGIS of a Debian root, such as trixie")
    parser.add_argument("layers", nargs="*", type=lambda p: Path(p).resolve())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        binds = [layer.parent for layer in options.layers]
        home = Path(folder)
        with Desktop(home, suite=options.suite, binds=binds, layers=options.layers) as qgis:
            print(f"QGIS {qgis.py('Qgis.QGIS_VERSION')} on display {qgis.display}, in {folder}")
            sys.stdin.readline()


if __name__ == "__main__":
    main()

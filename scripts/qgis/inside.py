"""Runs inside a QGIS under test (``qgis --code inside.py``): answers what ``desktop.py`` asks.

A local socket in ``$SWATH_DESKTOP`` takes one JSON line with Python source, runs it in QGIS' main
thread, also while a modal dialog is open, and answers with one JSON line. Whoever can open the
socket runs code in this QGIS: for test machines only.
"""

import ast
import json
import os
import sys
import traceback

from qgis.core import Qgis, QgsApplication, QgsProject  # noqa: F401 - for the source that comes
from qgis.PyQt import QtCore, QtWidgets
from qgis.PyQt.QtNetwork import QLocalServer
from qgis.utils import iface, plugins  # noqa: F401 - the same

ERRORS = []
"""Tracebacks of exceptions that nobody caught, such as those in slots."""
MESSAGES = []
"""``(tag, level, text)`` of QGIS' message log."""
SOCKET = os.path.join(os.environ["SWATH_DESKTOP"], "inside.sock")  # noqa: PTH118 - for Qt


def _note_error(kind, value, trace):
    ERRORS.append("".join(traceback.format_exception(kind, value, trace)))
    _previous_hook(kind, value, trace)


def _note_message(text, tag, level):
    MESSAGES.append((tag, int(getattr(level, "value", level)), text))


_previous_hook, sys.excepthook = sys.excepthook, _note_error
QgsApplication.messageLog().messageReceived[str, str, Qgis.MessageLevel].connect(_note_message)


def visible(kind=QtWidgets.QWidget):
    """Widgets of a class that are on the screen."""
    return [w for w in QtWidgets.QApplication.allWidgets() if isinstance(w, kind) and w.isVisible()]


def named(name):
    """The visible widget of this object name."""
    return next(w for w in visible() if w.objectName() == name)


def button(text):
    """The visible push button with this text."""
    return next(b for b in visible(QtWidgets.QPushButton) if b.text().replace("&", "") == text)


def centre(thing):
    """Where to click: the middle of a widget, or of the toolbar button of an action."""
    if isinstance(thing, QtWidgets.QAction):
        bars = [w for w in visible(QtWidgets.QToolBar) if w.widgetForAction(thing)]
        thing = bars[0].widgetForAction(thing)
    point = thing.mapToGlobal(thing.rect().center())
    return [point.x(), point.y()]


def windows():
    """Titles of all open windows besides the main one, message boxes by their text."""
    tops = [w for w in QtWidgets.QApplication.topLevelWidgets() if w.isVisible()]
    return [
        w.text() if isinstance(w, QtWidgets.QMessageBox) else w.windowTitle()
        for w in tops
        if w is not iface.mainWindow() and isinstance(w, QtWidgets.QDialog)
    ]


def bar_texts():
    """What the message bar shows."""
    return [item.text() for item in iface.messageBar().items()]


def _run(source):
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<desktop>", "exec"), globals())  # noqa: S102 - that is its purpose
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "<desktop>", "eval"), globals())  # noqa: S307


def _answer(line):
    try:
        return json.dumps({"value": _run(json.loads(line)["source"])}, default=repr)
    except Exception:  # noqa: BLE001 - the boundary: whatever it was goes back as text
        return json.dumps({"error": traceback.format_exc()})


class Listener(QtCore.QObject):
    """Reads lines, answers lines."""

    def __init__(self):
        super().__init__()
        self.server = QLocalServer(self)
        QLocalServer.removeServer(SOCKET)
        self.server.newConnection.connect(self.accept)
        if not self.server.listen(SOCKET):
            raise RuntimeError(self.server.errorString())

    def accept(self):
        """One more caller."""
        peer = self.server.nextPendingConnection()
        peer.readyRead.connect(lambda: self.read(peer))
        peer.disconnected.connect(peer.deleteLater)

    def read(self, peer):
        """Answer all whole lines; an unfinished one stays in the peer's buffer."""
        while peer.canReadLine():
            answer = _answer(bytes(peer.readLine()).decode())
            peer.write(answer.encode() + b"\n")
            peer.flush()


iface.mainWindow().showMaximized()
_listener = Listener()

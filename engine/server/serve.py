"""The server's life: lock, port, connection file, queue, tenants, and leaving."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from engine.contract.errors import EngineError
from engine.contract.places import Connection
from engine.contract.version import PROTOCOL
from engine.jobs.keeping import sweep
from engine.jobs.store import JobStore
from engine.jobs.workers import Command, Supervisor, worker_command
from engine.server.connection import remove_connection, write_connection
from engine.server.gate import Gate
from engine.server.lock import StateLock
from engine.server.routes import Engine, make_app
from engine.version import VERSION

LOOK_ROUND = 2.0
"""Seconds between two looks at who still needs the engine."""
LOG_SIZE = 1_000_000
"""Bytes of the engine's log, twice: now and before."""


class _Server(uvicorn.Server):
    """Uvicorn that says when it listens, and leaves when the engine wants to."""

    def __init__(self, config: uvicorn.Config, engine: Engine, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._engine = engine
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then let the world know."""
        await super().startup(sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to leave."""
        leave = await super().on_tick(counter) or self._engine.leaving
        self._engine.leaving = leave
        return leave


def serve(
    state: Path,
    for_pid: int | None = None,
    *,
    stay: bool = False,
    command: Command = worker_command,
) -> None:
    """Answer requests until nobody needs the engine any more.

    Args:
        state: The state folder.
        for_pid: The program that started the engine: its first tenant.
        stay: Go on when the last tenant has left.
        command: Makes a worker's command line.

    Raises:
        EngineError: ``STATE_LOCKED``, ``STATE_UNUSABLE``.
    """
    lock = StateLock(state)
    with contextlib.ExitStack() as leaving:
        leaving.callback(lock.release)
        store = JobStore(state)
        leaving.callback(store.close)
        _keep_log(state)
        engine = Engine(store, Supervisor(store, command))
        if for_pid is not None:
            engine.tenants.expect(for_pid)
        leaving.enter_context(_quiet_signals())
        _listen(engine, lock, stay=stay)


def _listen(engine: Engine, lock: StateLock, *, stay: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as bound:
        if sys.platform == "win32":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        token = secrets.token_urlsafe(32)
        config = _config(Gate(make_app(engine), token, port))
        url = f"http://127.0.0.1:{port}"
        connection = Connection(url, token, os.getpid(), PROTOCOL, VERSION)

        def ready() -> None:
            lock.tell(url)
            write_connection(engine.store.state, connection)
            _after_start(engine, stay=stay)

        try:
            _Server(config, engine, ready).run(sockets=[bound])
        finally:
            remove_connection(engine.store.state, token)
            engine.leaving = True
            engine.supervisor.stop()


def _config(app: Gate) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=2,
    )


def _after_start(engine: Engine, *, stay: bool) -> None:
    """What need not stand between the start and the first answer."""
    engine.supervisor.start()
    threading.Thread(target=_tidy, args=(engine,), name="swath-tidy", daemon=True).start()
    if not stay:
        watch = threading.Thread(target=_watch, args=(engine,), name="swath-tenants", daemon=True)
        watch.start()


def _tidy(engine: Engine) -> None:
    try:
        sweep(engine.store)
    except Exception:
        logging.getLogger(__name__).exception("old work folders could not be removed")


def _watch(engine: Engine) -> None:
    """Leave when the last tenant has gone and the queue is done."""
    pause = threading.Event()
    while not engine.leaving:
        with contextlib.suppress(EngineError):  # a store that is busy or full now may not be later
            engine.leaving |= engine.tenants.all_gone and engine.supervisor.is_idle
        pause.wait(LOOK_ROUND)


@contextlib.contextmanager
def _quiet_signals() -> Iterator[None]:
    """Uvicorn raises the signal that ended it once more; by then we leave anyway."""
    names = ("SIGINT", "SIGTERM", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _keep_log(state: Path) -> None:
    folder = state / "logs"
    folder.mkdir(exist_ok=True)
    file = logging.handlers.RotatingFileHandler(
        folder / "engine.log", maxBytes=LOG_SIZE, backupCount=1, encoding="utf-8", delay=True
    )
    logging.basicConfig(
        level=logging.WARNING, handlers=[file], format="%(asctime)s %(levelname)s %(message)s"
    )

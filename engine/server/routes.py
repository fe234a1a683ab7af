"""What can be asked over HTTP; each handler is one call of the rooms below."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import platform
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.contract.errors import EngineError, ErrorCode, ErrorInfo
from engine.contract.events import EventPage
from engine.contract.messages import (
    EngineInfo,
    InstallRequest,
    Job,
    ModelInfo,
    ModelList,
    Submission,
    TaskName,
    Tenant,
)
from engine.contract.version import PROTOCOL
from engine.jobs.store import JobStore
from engine.jobs.submission import check_submission
from engine.jobs.workers import Supervisor
from engine.server.tenants import Tenants
from engine.server.wire import TooLargeError, read_message, read_submission, refuse, reply
from engine.version import VERSION

LONGEST_WAIT = 30.0
"""Seconds of a long poll."""
LOOK_AGAIN = 0.1
"""Seconds between two looks at a job while a long poll waits."""

_log = logging.getLogger(__name__)


@dataclass
class Engine:
    """What the handlers work with."""

    store: JobStore
    supervisor: Supervisor
    tenants: Tenants = field(default_factory=Tenants)
    leaving: bool = False
    """Set by whoever wants the server to stop."""

    @property
    def info(self) -> EngineInfo:
        """Who answers."""
        return EngineInfo(
            protocol=PROTOCOL,
            version=VERSION,
            pid=os.getpid(),
            python=platform.python_version(),
            state_dir=str(self.store.state),
            tasks=tuple(TaskName),
        )


Handler = Callable[[Engine, Request], Awaitable[Response]]


def make_app(engine: Engine) -> Starlette:
    """The routes over an engine."""
    table: tuple[tuple[str, str, Handler], ...] = (
        ("GET", "/v1/hello", _hello),
        ("GET", "/v1/models", _list_models),
        ("POST", "/v1/models/{id}/install", _install_model),
        ("POST", "/v1/jobs", _submit),
        ("GET", "/v1/jobs", _list_jobs),
        ("GET", "/v1/jobs/{id}", _get_job),
        ("DELETE", "/v1/jobs/{id}", _delete_job),
        ("GET", "/v1/jobs/{id}/events", _events),
        ("POST", "/v1/jobs/{id}/cancel", _cancel),
        ("POST", "/v1/jobs/{id}/resume", _resume),
        ("POST", "/v1/tenants", _add_tenant),
        ("POST", "/v1/shutdown", _shutdown),
    )
    routes = [Route(path, _bound(handler, engine), methods=[verb]) for verb, path, handler in table]
    return Starlette(routes=routes, exception_handlers={HTTPException: _no_route})


def _bound(handler: Handler, engine: Engine) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint whose every failure is an answer in the contract's words."""

    @wraps(handler)
    async def endpoint(request: Request) -> Response:
        try:
            return await handler(engine, request)
        except TooLargeError as error:
            return refuse(error.info, 413)
        except EngineError as error:
            return refuse(error.info)
        except Exception:  # noqa: BLE001 - the process boundary: the caller gets an answer
            _log.exception("%s %s", request.method, request.url.path)
            log = engine.store.state / "logs" / "engine.log"
            hint = f"Please report it with the file {log}."
            return refuse(ErrorInfo(ErrorCode.INTERNAL, "The engine failed to answer.", hint))

    return endpoint


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    message = f"The engine does not know {request.method} {request.url.path}."
    hint = "Install the plugin and the engine of the same release."
    return refuse(ErrorInfo(ErrorCode.NOT_FOUND, message, hint), status)


async def _hello(engine: Engine, _: Request) -> Response:
    return reply(engine.info)


async def _list_models(engine: Engine, _: Request) -> Response:
    return reply(await run_in_threadpool(_models, engine.store.state))


async def _install_model(engine: Engine, request: Request) -> Response:
    model_id = request.path_params["id"]
    wanted = await read_message(request, InstallRequest, InstallRequest())
    gone = asyncio.create_task(_until_gone(engine, request))
    try:
        info = await run_in_threadpool(_install, engine.store.state, model_id, wanted, gone.done)
    finally:
        gone.cancel()
    return reply(info)


async def _submit(engine: Engine, request: Request) -> Response:
    submission = await read_submission(request)
    job = await run_in_threadpool(_create, engine, submission)
    return reply(job, 201)


async def _list_jobs(engine: Engine, _: Request) -> Response:
    return reply(await run_in_threadpool(engine.store.jobs))


async def _get_job(engine: Engine, request: Request) -> Response:
    return reply(await run_in_threadpool(engine.store.get, request.path_params["id"]))


async def _delete_job(engine: Engine, request: Request) -> Response:
    return reply(await run_in_threadpool(engine.store.delete, request.path_params["id"]))


async def _cancel(engine: Engine, request: Request) -> Response:
    return reply(await run_in_threadpool(engine.store.request_cancel, request.path_params["id"]))


async def _resume(engine: Engine, request: Request) -> Response:
    job = await run_in_threadpool(engine.store.requeue, request.path_params["id"])
    engine.supervisor.wake()
    return reply(job)


async def _events(engine: Engine, request: Request) -> Response:
    after = int(_number(request, "after"))
    wait = min(_number(request, "wait"), LONGEST_WAIT)
    return reply(await _next_events(engine, request, after, wait))


async def _add_tenant(engine: Engine, request: Request) -> Response:
    tenant = await read_message(request, Tenant)
    if engine.leaving:
        raise EngineError(
            ErrorCode.ENGINE_UNREACHABLE,
            "The engine is about to leave.",
            "Start it again in a moment.",
        )
    await run_in_threadpool(engine.tenants.add, tenant.pid)
    return reply(tenant, 201)


async def _shutdown(engine: Engine, _: Request) -> Response:
    engine.leaving = True
    return reply(engine.info, 202)


async def _next_events(engine: Engine, request: Request, after: int, wait: float) -> EventPage:
    """Hold the answer until something happens, the job is over, or the time has run out."""
    job_id = request.path_params["id"]
    deadline = time.monotonic() + wait
    while True:
        last, state = await run_in_threadpool(engine.store.position, job_id)
        over = time.monotonic() >= deadline or engine.leaving
        if last > after or state.is_final or over or await request.is_disconnected():
            return await run_in_threadpool(engine.store.events, job_id, after)
        await asyncio.sleep(LOOK_AGAIN)


async def _until_gone(engine: Engine, request: Request) -> None:
    while not (engine.leaving or await request.is_disconnected()):  # noqa: ASYNC110 - no event
        await asyncio.sleep(LOOK_AGAIN)


def _number(request: Request, name: str) -> float:
    text = request.query_params.get(name, "0")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise EngineError(
            ErrorCode.REQUEST_INVALID,
            f"The query parameter {name} should be a number from 0, not «{text[:40]}».",
            "Check the request against the contract of this engine's protocol version.",
        )
    return value


def _create(engine: Engine, submission: Submission) -> Job:
    check_submission(submission)
    job = engine.store.create(submission)
    engine.supervisor.wake()
    return job


def _models(state: Path) -> ModelList:
    from engine.models.catalogue import known_cards, model_info  # noqa: PLC0415 - after hello
    from engine.models.store import ModelStore  # noqa: PLC0415 - after hello

    store = ModelStore(state / "models")
    return ModelList(tuple(model_info(card, store) for card in known_cards(store)))


def _install(
    state: Path, model_id: str, wanted: InstallRequest, cancelled: Callable[[], bool]
) -> ModelInfo:
    from engine.models.catalogue import find_card, model_info  # noqa: PLC0415 - after hello
    from engine.models.store import ModelStore  # noqa: PLC0415 - after hello

    store = ModelStore(state / "models")
    card = find_card(model_id, store)
    if wanted.accepted_licence == card.license and store.has_open_terms(card):
        store.licences.accept(card)
    store.install(card, lambda _done, _total: None, cancelled)
    return model_info(card, store)

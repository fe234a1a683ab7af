"""EngineClient: what a program can ask of a running engine, over HTTP on the loopback."""

from typing import Any, Callable, Optional, Type, TypeVar

import requests

from ..engine.contract.codec import from_plain, to_plain
from ..engine.contract.errors import EngineError, ErrorCode
from ..engine.contract.events import Event, EventPage
from ..engine.contract.messages import (
    EngineInfo,
    InstallRequest,
    Job,
    ModelInfo,
    ModelList,
    Submission,
    Tenant,
)
from ..engine.contract.places import PROTOCOL_HEADER, TOKEN_HEADER, Connection
from ..engine.contract.version import PROTOCOL

T = TypeVar("T")
POLL_SECONDS = 0.25
"""Longest wait for events in :meth:`EngineClient.follow`: a cancel is forwarded within it."""
ANSWER_SECONDS = 15.0
"""Time for an answer that needs no waiting."""
FETCH_SECONDS = 3600.0
"""Time for a model to be fetched over a slow line."""


class EngineClient:
    """One conversation with one engine; not to be shared between threads.

    A context manager that closes its connections.

    Every method raises ``EngineError``: the engine's own errors as it sent them, and
    ``ENGINE_UNREACHABLE`` when nobody answers.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy and no .netrc between two local programs
        self._session.headers.update(
            {TOKEN_HEADER: connection.token, PROTOCOL_HEADER: PROTOCOL},
        )

    def __enter__(self) -> "EngineClient":  # noqa: PYI034 - Self is newer than Python 3.9
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the sockets."""
        self._session.close()

    def hello(self, seconds: float = ANSWER_SECONDS) -> EngineInfo:
        """Who the engine is."""
        return self._call(EngineInfo, "GET", "/v1/hello", seconds=seconds)

    def register(self, tenant: Tenant) -> None:
        """Keep the engine running for as long as the tenant's process lives."""
        self._request("POST", "/v1/tenants", body=tenant)

    def models(self) -> ModelList:
        """The catalogue."""
        return self._call(ModelList, "GET", "/v1/models")

    def install(self, model_id: str, accepted_licence: Optional[str] = None) -> ModelInfo:
        """Fetch a model's weights; the answer comes when they are there and checked.

        ``accepted_licence`` is the licence that the user has seen and agrees to.
        """
        path = f"/v1/models/{model_id}/install"
        wanted = InstallRequest(accepted_licence)
        return self._call(ModelInfo, "POST", path, body=wanted, seconds=FETCH_SECONDS)

    def submit(self, submission: Submission) -> Job:
        """Queue a job."""
        return self._call(Job, "POST", "/v1/jobs", body=submission)

    def job(self, job_id: str) -> Job:
        """The job as it stands."""
        return self._call(Job, "GET", f"/v1/jobs/{job_id}")

    def events(self, job_id: str, after: int = 0, wait: float = POLL_SECONDS) -> EventPage:
        """Events numbered above ``after``; waits up to ``wait`` seconds for the first."""
        params = {"after": after, "wait": wait}
        path = f"/v1/jobs/{job_id}/events"
        return self._call(EventPage, "GET", path, params=params, seconds=wait + ANSWER_SECONDS)

    def cancel(self, job_id: str) -> None:
        """Ask the job to stop."""
        self._request("POST", f"/v1/jobs/{job_id}/cancel")

    def follow(
        self,
        job_id: str,
        on_event: Callable[[Event], None],
        is_cancelled: Callable[[], bool],
    ) -> Job:
        """Hand on every event until the job has ended, and return the ended job.

        When ``is_cancelled`` turns true the engine is asked once to cancel; the job is then
        followed to its end, which comes within one batch.
        """
        seen, asked = 0, False
        while True:
            if not asked and is_cancelled():
                asked = True
                self._cancel_unless_ended(job_id)
            page = self.events(job_id, seen)
            for event in page.events:
                on_event(event)
                seen = max(seen, event.seq)
            if page.state.is_final and not page.events:
                return self.job(job_id)

    def _cancel_unless_ended(self, job_id: str) -> None:
        try:
            self.cancel(job_id)
        except EngineError as error:
            if error.code is not ErrorCode.JOB_STATE:  # it ended just now: nothing to cancel
                raise

    def _call(self, kind: Type[T], method: str, path: str, **options: Any) -> T:
        return from_plain(kind, self._request(method, path, **options))

    def _request(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Any = None,
        seconds: float = ANSWER_SECONDS,
    ) -> Any:
        try:
            response = self._session.request(
                method,
                self.connection.url.rstrip("/") + path,
                json=None if body is None else to_plain(body),
                params=params,
                timeout=seconds,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise _unreachable(self.connection, error) from None
        return _unpack(response)


def _unpack(response: requests.Response) -> Any:
    """The answer's value; an error envelope becomes the error that it carries."""
    try:
        value = response.json()
    except ValueError:
        value = None
    if response.status_code in (200, 201, 202) and value is not None:
        return value
    raise _error_of(value) or EngineError(
        ErrorCode.ENGINE_UNREACHABLE,
        f"The program at {response.url} answered {response.status_code}, unlike a Swath engine.",
        "Restart QGIS; if it happens again, delete connection.json in the engine's state folder.",
    )


def _error_of(value: Any) -> Optional[EngineError]:
    info = value.get("error") if isinstance(value, dict) else None
    if not isinstance(info, dict) or "message" not in info:
        return None
    try:
        code = ErrorCode(info.get("code"))
    except ValueError:  # a newer engine knows more codes
        code = ErrorCode.INTERNAL
    return EngineError(code, str(info["message"]), str(info.get("hint", "")))


def _unreachable(connection: Connection, error: Exception) -> EngineError:
    what = "did not answer in time" if isinstance(error, requests.Timeout) else "does not answer"
    return EngineError(
        ErrorCode.ENGINE_UNREACHABLE,
        f"The Swath engine (process {connection.pid}) {what}.",
        "Run the algorithm again: it starts a new engine when the old one has gone.",
    )

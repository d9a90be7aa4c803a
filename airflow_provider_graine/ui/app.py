"""The application behind the page, mounted into Airflow's API server below ``/graine``."""

from __future__ import annotations

import mimetypes
from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, Final

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders

from airflow_provider_graine.exceptions import ConfigurationError
from airflow_provider_graine.ui.access import Viewer, may_see_calls, readable
from airflow_provider_graine.ui.answer import Chosen, answer
from airflow_provider_graine.ui.connections import connection_type, offered_connections
from airflow_provider_graine.ui.makers import states_of, tasks_of_marks
from airflow_provider_graine.ui.reports import NoReportError, read_report
from airflow_provider_graine.ui.seen import Maker, Part
from airflow_provider_graine.ui.watched import AllWatched, Calls, Watched
from airflow_provider_graine.watching.clock import clock

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from airflow_provider_graine.hooks.calling_service import CallingServiceHook

_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
#: A report comes from a place that others may write to: it can do nothing but show itself.
_REPORT_POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'self'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
#: What the page consists of, and the package it comes from. Nothing else is served.
_FILES: Final = {
    **dict.fromkeys(("calls.css", "calls.js", "frame.js", "words.js", "icon.svg"), "ui/page"),
    **dict.fromkeys(("theme.css", "charts.js", "chart.umd.min.js"), "charts"),
}
#: Seconds for which the list of connections is good: secrets backends may be slow.
_OFFERED_FOR: Final = 30.0
_MOST_CHOSEN: Final = 50
_LONGEST_ID: Final = 250

Text = Annotated[str | None, Query(max_length=_LONGEST_ID)]


def make_app() -> FastAPI:
    """Make the application; every route of it asks for Airflow's log-in."""
    app = FastAPI(
        title="Graine",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(may_see_calls)],
    )
    app.state.offered = _Offered()
    app.state.watched = AllWatched(_watch)
    app.add_middleware(_SafeHeaders)
    app.get("/")(_page)
    app.get("/static/{name}")(_file)
    app.get("/api/connections")(_connections)
    app.get("/api/calls")(_calls)
    app.get("/report/{dag_id}/{run_id}/{task_id}/{map_index}")(_report)
    return app


async def _page() -> Response:
    return Response(_content("ui/page", "calls.html"), media_type="text/html")


async def _file(name: str) -> Response:
    if name not in _FILES:
        raise HTTPException(404, "Not found")
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
    headers = {"Cache-Control": "private, max-age=300"}
    return Response(_content(_FILES[name], name), media_type=kind, headers=headers)


@cache
def _content(folder: str, name: str) -> bytes:
    return files("airflow_provider_graine").joinpath(folder, name).read_bytes()


async def _connections(request: Request) -> Response:
    offered = await request.app.state.offered.get()
    return JSONResponse([{"id": conn_id, "service": service} for conn_id, service in offered.items()])


async def _calls(
    request: Request,
    user: Viewer,
    conn_id: Annotated[str, Query(max_length=_LONGEST_ID)],
    campaign_id: Text = None,
    dag_id: Text = None,
    run_id: Text = None,
    task_id: Text = None,
    map_index: int | None = None,
    batch_id: Annotated[list[str], Query(max_length=_MOST_CHOSEN)] = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    service = (await request.app.state.offered.get()).get(conn_id)
    if service is None:
        raise HTTPException(404, "There is no such connection to Graine or Kataven.")
    watched: Watched = await request.app.state.watched.get(conn_id, service)
    await watched.look()
    chosen = Chosen(
        campaign_id=campaign_id,
        dag_id=dag_id,
        run_id=run_id,
        task_id=task_id,
        map_index=map_index,
        batch_ids=tuple(batch_id),
    )
    makers, states = await run_in_threadpool(_makers, list(watched.calls.parts.values()), user)
    # In a thread: with thousands of batches it takes a moment, in which this process would answer nobody else.
    return JSONResponse(await run_in_threadpool(answer, watched, chosen, makers, states, service=service))


def _makers(parts: list[Part], user: Any) -> tuple[dict[str, Maker], dict[Maker, str]]:
    """Find the task instances that created something, of DAGs whose tasks the user may read."""
    known = {part.id: part.maker for part in parts if part.maker is not None}
    marked = [part for part in parts if part.task_hash is not None]
    tasks = tasks_of_marks({part.task_hash for part in marked if part.task_hash}) if marked else {}
    for part in marked:
        if (task := tasks.get(part.task_hash or "")) is not None:
            known[part.id] = Maker(task.dag_id, task.run_id, task.task_id, part.map_index)
    allowed = readable({maker.dag_id for maker in known.values()}, user, DagAccessEntity.TASK_INSTANCE)
    makers = {part_id: maker for part_id, maker in known.items() if maker.dag_id in allowed}
    return makers, states_of(set(makers.values()))


async def _report(dag_id: str, run_id: str, task_id: str, map_index: int, user: Viewer) -> Response:
    if not await run_in_threadpool(readable, {dag_id}, user, DagAccessEntity.XCOM):
        raise HTTPException(403, "Forbidden")
    try:
        report = await run_in_threadpool(read_report, dag_id, run_id, task_id, map_index)
    except NoReportError as error:
        raise HTTPException(404, str(error)) from None
    return Response(report, media_type="text/html", headers={"Content-Security-Policy": _REPORT_POLICY})


class _Offered:
    """The connections that are offered, looked up once in a while."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._until = float("-inf")

    async def get(self) -> dict[str, str]:
        if clock.now() >= self._until:
            self._known = await run_in_threadpool(offered_connections)
            self._until = clock.now() + _OFFERED_FOR
        return self._known


def _watch(conn_id: str, service: str) -> Watched:
    from airflow_provider_graine.ui.graine_calls import GraineCalls
    from airflow_provider_graine.ui.kataven_calls import KatavenCalls

    calls: Calls = GraineCalls() if service == "graine" else KatavenCalls()
    return Watched(conn_id, partial(_hook, service), calls)


def _hook(service: str, conn_id: str) -> CallingServiceHook:
    from airflow_provider_graine.hooks.graine import GraineHook
    from airflow_provider_graine.hooks.kataven import KatavenHook

    # What the database lists, a secrets backend or the environment may have under the same name as something else.
    if connection_type(conn_id) != service:
        raise ConfigurationError(f"The connection {conn_id} is not there any more, or of another type.")
    return GraineHook(conn_id) if service == "graine" else KatavenHook(conn_id)


class _SafeHeaders:
    """Says with every answer what a browser may do with it; an answer that says so itself has its way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_safely)

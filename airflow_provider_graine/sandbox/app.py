"""The web application: each service under its prefix, the controls under ``/_sandbox``, the page at ``/``."""

from __future__ import annotations

import gzip
import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from . import faults as fault_effects
from .clock import iso
from .errors import ApiError, WrongState
from .faults import Fault
from .graine.routes import CsvFile
from .overview import overview
from .ranges import ranged
from .recording import Recorder
from .service import Call, bearer, same

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from .recording import ReceivedRequest
    from .service import Service
    from .world import World

    Endpoint = Callable[[Request], Awaitable[Response]]

CONTROLS = "/_sandbox"


def build(
    world: World,
    *,
    record_requests: bool,
    hosts: list[str] | None,
    hint: dict[str, str],
    export_ranges: bool = False,
    gzip_requests: bool = False,
) -> Recorder:
    """
    :param world: the state to serve
    :param record_requests: keep what was received
    :param hosts: ``Host`` names answered to; ``None``: any
    :param hint: what the page tells about connecting
    :param export_ranges: ``export.csv`` can be asked for in parts
    :param gzip_requests: bodies may come with ``Content-Encoding: gzip``
    :return: the application; its ``requests`` are the recorded ones
    """
    controls = _Controls(world, hint)
    routes: list[Route | Mount] = [Route("/", _page), Mount(CONTROLS, routes=controls.routes())]
    for service, (prefix, table) in world.routes.items():
        for method, template, handler in table:
            endpoint = _Endpoint(world, service, f"{method} {template}", handler, export_ranges, gzip_requests)
            routes.append(Route(prefix + template, endpoint, methods=[method]))
    kataven = world.routes["kataven"][0]
    routes.append(Route(f"{kataven}/{{path:path}}", PlainTextResponse("404 page not found", 404)))
    middleware = [] if hosts is None else [Middleware(TrustedHostMiddleware, allowed_hosts=hosts)]
    app = Starlette(routes=routes, middleware=middleware, exception_handlers={HTTPException: _refused})
    recorder = Recorder(
        app, prefixes=tuple(f"{prefix}/" for prefix, _ in world.routes.values()), enabled=record_requests
    )
    controls.recorder = recorder
    return recorder


class _Endpoint:
    """Lets a service answer, with the faults in force."""

    def __init__(
        self,
        world: World,
        service: str,
        endpoint: str,
        handler: Callable[[Any, Call], Any],
        export_ranges: bool,
        gzip_requests: bool,
    ) -> None:
        self._world = world
        self._service = service
        self._endpoint = endpoint
        self._handler = handler
        self._export_ranges = export_ranges
        self._gzip_requests = gzip_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        service = self._world.service(self._service)
        with service.admission(request.headers) as refusal:
            answer = refusal or await self._with_faults(service, request, body)
            await answer(scope, receive, send)

    async def _with_faults(self, service: Service, request: Request, body: bytes) -> Response:
        world = self._world
        if encoding := request.headers.get("content-encoding"):
            if encoding != "gzip" or not self._gzip_requests:
                return service.refuse(415, "Unsupported media type")
            body = gzip.decompress(body)
        with world.lock:
            faults = world.faults.take(service.name, self._endpoint, request.url.path.removeprefix(service.prefix))
        answer = await fault_effects.before(faults, request, body, service.refuse, world.stopping)
        if answer is None:
            by_kind: dict[str, Fault] = {fault.what: fault for fault in faults}
            call = Call(request.path_params, request.query_params, body, request.headers, by_kind)
            answer = self._answer(service, request, call)
            answer = await fault_effects.after(faults, answer, service.refuse, world.stopping)
        return answer

    def _answer(self, service: Service, request: Request, call: Call) -> Response:
        with self._world.caught_up():
            try:
                service.authorize(request.headers)
                result = self._handler(service, call)
            except ApiError as error:
                return service.refuse(error.status, error.detail)
            except WrongState as wrong:
                return service.refuse(service.wrong_state, str(wrong))
            if isinstance(result, Response):
                return result
            if isinstance(result, CsvFile):
                return self._file(request, result)
            return JSONResponse(result)

    def _file(self, request: Request, file: CsvFile) -> Response:
        headers = {"content-disposition": f'attachment; filename="{file.name}"'}
        if self._export_ranges:
            content = "".join(file.pieces).encode()
            return ranged(request, content, media_type="text/csv", headers=headers)
        return StreamingResponse(_locked(self._world, file), media_type="text/csv", headers=headers)


async def _locked(world: World, file: CsvFile) -> AsyncIterator[str]:
    while True:
        with world.lock:
            piece = next(file.pieces, None)
        if piece is None:
            return
        yield piece


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


async def _page(request: Request) -> Response:
    return HTMLResponse(_page_text(), headers={"cache-control": "no-cache"})


@cache
def _page_text() -> str:
    return (files(__package__) / "page" / "index.html").read_text(encoding="utf-8")


class _Controls:
    """``/_sandbox``: the Python API's controls for tests in another process. All but the overview need the token."""

    recorder: Recorder

    def __init__(self, world: World, hint: dict[str, str]) -> None:
        self._world = world
        self._hint = hint

    def routes(self) -> list[Route]:
        return [
            Route("/overview", self.overview),
            Route("/faults", self._guarded(self.list_faults)),
            Route("/faults", self._guarded(self.add_fault), methods=["POST"]),
            Route("/faults", self._guarded(self.clear_faults), methods=["DELETE"]),
            Route("/faults/{fault_id:int}", self._guarded(self.clear_faults), methods=["DELETE"]),
            Route("/advance", self._guarded(self.advance), methods=["POST"]),
            Route("/reset", self._guarded(self.reset), methods=["POST"]),
            Route("/requests", self._guarded(self.requests)),
            Route("/requests", self._guarded(self.clear_requests), methods=["DELETE"]),
        ]

    def _guarded(self, control: Callable[[Request, Any], Any]) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            try:
                with self._world.lock:
                    if not same(bearer(request.headers), self._world.token):
                        raise ApiError(401, "The controls need the sandbox's token, as a bearer")
                    self._world.catch_up()
                    return JSONResponse(control(request, json.loads(body) if body else {}))
            except ApiError as error:
                return JSONResponse({"detail": error.detail}, error.status)
            except (TypeError, ValueError) as error:
                return JSONResponse({"detail": str(error)}, 422)

        return endpoint

    async def overview(self, request: Request) -> Response:
        with self._world.lock:
            self._world.catch_up()
            return JSONResponse(overview(self._world, self._hint), headers={"cache-control": "no-store"})

    def list_faults(self, request: Request, body: Any) -> Any:
        return [fault.as_dict() for fault in self._world.faults]

    def add_fault(self, request: Request, body: Any) -> Any:
        return self._world.faults.add(Fault(**body)).as_dict()

    def clear_faults(self, request: Request, body: Any) -> Any:
        self._world.faults.clear(request.path_params.get("fault_id"))
        return self.list_faults(request, body)

    def advance(self, request: Request, body: Any) -> Any:
        self._world.advance(float(body["seconds"]) if "seconds" in body else 0.0)
        return {"now": iso(self._world.timeline.now)}

    def reset(self, request: Request, body: Any) -> Any:
        self._world.reset()
        self.recorder.clear()
        return {"now": iso(self._world.timeline.now)}

    def requests(self, request: Request, body: Any) -> Any:
        return [_shown(each) for each in self.recorder.requests]

    def clear_requests(self, request: Request, body: Any) -> Any:
        self.recorder.clear()
        return []


def _shown(request: ReceivedRequest) -> dict[str, Any]:
    headers = {name: "Bearer …" if name == "authorization" else value for name, value in request.headers.items()}
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": headers,
        "body": request.body.decode("utf-8", "replace"),
        "status": request.status,
    }

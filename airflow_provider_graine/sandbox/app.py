"""The web application: the service under its prefix, the controls under ``/_sandbox``, the page at ``/``."""

from __future__ import annotations

import asyncio
import gzip
import json
import secrets
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from . import faults as fault_effects
from .clock import iso
from .errors import ApiError
from .faults import Fault
from .graine.routes import PREFIX, ROUTES, Call, CsvFile, Handler, handle
from .overview import overview
from .ranges import ranged
from .recording import Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

    from .recording import ReceivedRequest
    from .world import World

    Endpoint = Callable[[Request], Awaitable[Response]]

CONTROLS = "/_sandbox"


def build(
    world: World,
    *,
    record_requests: bool,
    hosts: list[str] | None,
    hint: dict[str, str],
    stopping: asyncio.Event,
    export_ranges: bool = False,
    gzip_requests: bool = False,
) -> Recorder:
    """
    :param world: the state to serve
    :param record_requests: keep what was received
    :param hosts: ``Host`` names answered to; ``None``: any
    :param hint: what the page tells about connecting
    :param stopping: ends requests that hang
    :param export_ranges: ``export.csv`` can be asked for in parts
    :param gzip_requests: bodies may come with ``Content-Encoding: gzip``
    :return: the application; its ``requests`` are the recorded ones
    """
    controls = _Controls(world, hint)
    routes: list[Route | Mount] = [Route("/", _page), Mount(CONTROLS, routes=controls.routes())]
    for method, template, handler in ROUTES:
        endpoint = _endpoint(world, method, template, handler, stopping, export_ranges, gzip_requests)
        routes.append(Route(PREFIX + template, endpoint, methods=[method]))
    middleware = [] if hosts is None else [Middleware(TrustedHostMiddleware, allowed_hosts=hosts)]
    app = Starlette(routes=routes, middleware=middleware, exception_handlers={HTTPException: _refused})
    recorder = Recorder(app, prefix=PREFIX, enabled=record_requests)
    controls.recorder = recorder
    return recorder


def _endpoint(
    world: World,
    method: str,
    template: str,
    handler: Handler,
    stopping: asyncio.Event,
    export_ranges: bool,
    gzip_requests: bool,
) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        if encoding := request.headers.get("content-encoding"):
            if encoding != "gzip" or not gzip_requests:
                return JSONResponse({"detail": "Unsupported media type"}, 415)
            body = gzip.decompress(body)
        with world.lock:
            faults = world.faults.take(f"{method} {template}", request.url.path.removeprefix(PREFIX))
        answer = await fault_effects.before(faults, request, body, stopping)
        if answer is None:
            call = Call(request.path_params, request.query_params, body, {fault.what: fault for fault in faults})
            answer = _answer(world, request, handler, call, export_ranges)
            answer = await fault_effects.after(faults, answer, stopping)
        return answer

    return endpoint


def _answer(world: World, request: Request, handler: Handler, call: Call, export_ranges: bool) -> Response:
    with world.lock:
        world.catch_up()
        try:
            _check_token(world, request, "Invalid or expired token")
            result = handle(world.graine, handler, call)
        except ApiError as error:
            return JSONResponse({"detail": error.detail}, error.status)
        if isinstance(result, CsvFile):
            headers = {"content-disposition": f'attachment; filename="{result.name}"'}
            if export_ranges:
                content = "".join(result.pieces).encode()
                return ranged(request, content, media_type="text/csv", headers=headers)
            return StreamingResponse(_locked(world, result), media_type="text/csv", headers=headers)
        return JSONResponse(result)


async def _locked(world: World, file: CsvFile) -> AsyncIterator[str]:
    while True:
        with world.lock:
            piece = next(file.pieces, None)
        if piece is None:
            return
        yield piece


def _check_token(world: World, request: Request, detail: str) -> None:
    sent = request.headers.get("authorization", "")
    if not secrets.compare_digest(sent.encode(), f"Bearer {world.token}".encode()):
        raise ApiError(401, detail)


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
                    _check_token(self._world, request, "The controls need the sandbox's token, as a bearer")
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

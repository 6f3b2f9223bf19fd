"""The API's server: what is asked by HTTP, and how it is answered.

Owns the paths under /v1; where they are answered is `lasthop.api.serving`'s. Nothing here decides anything: every
answer comes from an `Operations`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from lasthop import __version__
from lasthop.api.described import describe_access
from lasthop.api.edits import RefusedEdit, add_edits
from lasthop.api.events import add_events
from lasthop.api.inspection import add_inspection
from lasthop.api.metrics import Surroundings, add_metrics
from lasthop.api.selection import conditions, selected, shown
from lasthop.errors import ConfigurationError, DirectorError, EditError, LasthopError, Mistake
from lasthop.model.change import ChangeReport
from lasthop.model.connection import ConnectionReport
from lasthop.model.connection_query import ConnectionQuery, Top
from lasthop.model.counter import CounterReport
from lasthop.model.drain import DrainReport
from lasthop.model.health import HealthReport
from lasthop.model.hop import HopReport
from lasthop.model.leg import LegReport
from lasthop.model.real_server import ServerReport
from lasthop.model.service import ServiceReport
from lasthop.model.status import StatusReport
from lasthop.model.template import TemplateReport
from lasthop.model.timeouts import TimeoutsReport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from lasthop.api.operations import Operations

JSON = "application/json"
#: Longer than any machine runs, and no number that the clock's nanoseconds could not hold.
_AGES_S = 1e9
#: Rows made and encoded before the loop gets its turn: some ten milliseconds.
ROWS_AT_ONCE = 1024
#: Header of a list: how many there are, where the list may be a part.
TOTAL = "Lasthop-Total"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request failed, and what can be done about it."""

    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class MistakenFile(Problem):
    """Why a configuration file cannot be used: every mistake in it."""

    file: str
    mistakes: list[Mistake]


@dataclass(frozen=True, slots=True)
class GivenFile:
    """A configuration file to apply, or to compare with what runs."""

    file: str
    """Its path, for reports."""
    text: str
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Detached:
    """The data plane is out of the kernel."""

    closed: bool
    """Nothing is forwarded through its legs any more."""


@dataclass(frozen=True, slots=True)
class ConnectionCount:
    """How many connections a selection holds."""

    connections: int


def application(operations: Operations, around: Surroundings | None = None) -> FastAPI:
    """The FastAPI application that answers from `operations`; its document is at /v1/openapi.json."""
    problems: dict[int | str, dict[str, Any]] = {
        409: {"model": Problem, "description": "Refused"},
        422: {"model": Problem, "description": "A parameter cannot be read"},
        500: {"model": Problem, "description": "Failed"},
    }
    app = FastAPI(
        title="lasthop",
        version=__version__,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses=problems,
    )
    _add_nouns(app, operations)
    _add_courses(app, operations)
    _add_connections(app, operations)
    _add_verbs(app, operations)
    add_events(app, operations)
    add_edits(app, operations)
    add_inspection(app, operations)
    add_metrics(app, operations, around or Surroundings())
    _add_problems(app)
    describe_access(app)
    return app


def _add_nouns(app: FastAPI, operations: Operations) -> None:
    @app.get("/v1/status", response_model=StatusReport, summary="The director at a glance")
    async def status() -> Response:
        return Response(to_json(operations.status(), indent=2) + b"\n", media_type=JSON)

    @app.get("/v1/legs", response_model=list[LegReport], summary="Interfaces the data plane is attached to")
    async def legs() -> Response:
        return _list(operations.legs())

    @app.get("/v1/services", response_model=list[ServiceReport], summary="Virtual services")
    async def services() -> Response:
        return _list(operations.services())

    @app.get("/v1/servers", response_model=list[ServerReport], summary="Real servers, one per service each")
    async def servers() -> Response:
        return _list(operations.servers())

    @app.get("/v1/hops", response_model=list[HopReport], summary="Where frames are sent")
    async def hops() -> Response:
        return _list(operations.hops())

    @app.get("/v1/counters", response_model=list[CounterReport], summary="Why packets went the way they did")
    async def counters() -> Response:
        return _list(operations.counters())

    @app.get("/v1/templates", response_model=list[TemplateReport], summary="Persistence templates")
    async def templates() -> Response:
        return _list(operations.templates())

    @app.get("/v1/timeouts", response_model=TimeoutsReport, summary="The time-outs in force")
    async def timeouts() -> Response:
        return Response(to_json(operations.timeouts(), indent=2) + b"\n", media_type=JSON)


def _add_courses(app: FastAPI, operations: Operations) -> None:
    """What goes on with real servers."""

    @app.get("/v1/health", response_model=list[HealthReport], summary="Health checks of real servers")
    async def health() -> Response:
        return _list(operations.health())

    @app.get("/v1/drains", response_model=list[DrainReport], summary="Real servers that are drained")
    async def drains() -> Response:
        return _list(operations.drains())


async def _asked(
    *,
    service: Annotated[str | None, Query(description="Label of the service, or its mark alone")] = None,
    server: Annotated[str | None, Query(description="Name of the real server")] = None,
    state: Annotated[str | None, Query(description="State of the connection, in either case")] = None,
    client: Annotated[str | None, Query(description="Address or prefix the originator's address is in")] = None,
    older_than: Annotated[float | None, Query(ge=0, le=_AGES_S, description="Opened so many seconds ago")] = None,
) -> ConnectionQuery:
    return conditions(service, server, state, client, older_than)


_Label = Annotated[str | None, Query(description="Label of the service; left out: all of them")]
_Asked = Annotated[ConnectionQuery, Depends(_asked)]
_Top = Annotated[Top | None, Query(description="Those first that have most of it, both directions together")]
_Limit = Annotated[int | None, Query(ge=0, description="At most so many; 0, or left out: all")]
_PARTS: dict[int | str, dict[str, Any]] = {
    200: {"headers": {TOTAL: {"description": "How many connections match", "schema": {"type": "integer"}}}}
}


def _add_connections(app: FastAPI, operations: Operations) -> None:
    @app.get("/v1/connections", response_model=list[ConnectionReport], responses=_PARTS, summary="Live connections")
    async def connections(query: _Asked, *, top: _Top = None, limit: _Limit = None) -> Response:
        page = selected(operations, shown(query, top, limit))
        return _list(page.connections, {TOTAL: str(page.total)})

    @app.get("/v1/connections/count", response_model=ConnectionCount, summary="How many connections")
    async def connection_count(query: _Asked) -> Response:
        return Response(to_json(ConnectionCount(selected(operations, query).total)) + b"\n", media_type=JSON)


_Closed = Annotated[bool | None, Query(description="Nothing is forwarded any more; left out: as configured")]


def _add_verbs(app: FastAPI, operations: Operations) -> None:
    @app.post("/v1/detach", response_model=Detached, summary="Take the data plane out of the kernel")
    async def detach(closed: _Closed = None) -> Response:
        return Response(to_json(Detached(operations.detach(closed=closed))) + b"\n", media_type=JSON)

    @app.post("/v1/zero", status_code=204, summary="Set statistics to zero")
    async def zero(service: _Label = None) -> None:
        operations.zero(service)

    @app.post(
        "/v1/apply",
        response_model=ChangeReport,
        responses={409: {"model": Problem | MistakenFile, "description": "Refused, and nothing changed"}},
        summary="Let a file be the configuration",
    )
    async def apply(given: GivenFile) -> Response:
        report = operations.apply(given.text, given.file, dry_run=given.dry_run)
        return Response(to_json(report, indent=2) + b"\n", media_type=JSON)


def _add_problems(app: FastAPI) -> None:
    def answer(status: int, problem: str, remedy: str) -> Response:
        return Response(to_json(Problem(problem, remedy)), status, media_type=JSON)

    @app.exception_handler(LasthopError)
    async def refused(_request: Request, error: LasthopError) -> Response:
        if isinstance(error, EditError):
            return Response(
                to_json(RefusedEdit(error.problem, error.remedy, error.code, error.index)), 409, media_type=JSON
            )
        status = 409 if isinstance(error, DirectorError) else 500
        return answer(status, error.problem, error.remedy)

    @app.exception_handler(ConfigurationError)
    async def mistaken(_request: Request, error: ConfigurationError) -> Response:
        told = MistakenFile(error.problem, error.remedy, error.file, list(error.mistakes))
        return Response(to_json(told), 409, media_type=JSON)

    @app.exception_handler(RequestValidationError)
    async def unreadable(_request: Request, error: RequestValidationError) -> Response:
        told = "; ".join(f"{'.'.join(map(str, e['loc'][1:]))} = {e.get('input')!r}: {e['msg']}" for e in error.errors())
        return answer(422, f"can't read the request: {told}", "see /v1/openapi.json")

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        problem = f"can't answer {request.method} {request.scope['path']}: {error.detail}"
        return answer(error.status_code, problem, f"this director is lasthop {__version__}; see /v1/openapi.json")

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        problem = f"can't answer {request.method} {request.scope['path']}: {type(error).__name__}: {error}"
        return answer(500, problem, "this is a fault in lasthop: the director's log has the details")


def _list(reports: Iterable[object], headers: dict[str, str] | None = None) -> Response:
    """One JSON document, one report a line, made and sent in portions: a big table does not hold up the loop."""

    async def portions() -> AsyncIterator[bytes]:
        rows = iter(reports)
        yield b"["
        before = b"\n"
        while portion := list(islice(rows, ROWS_AT_ONCE)):
            yield before + b",\n".join(to_json(report) for report in portion)
            before = b",\n"
            await asyncio.sleep(0)
        yield b"]\n" if before == b"\n" else b"\n]\n"

    return StreamingResponse(portions(), media_type=JSON, headers=headers)

"""The API's part that tells what happened: /v1/events, as a list or as lines that go on.

Owns the reading of its parameters, and that a stream is ended when its reader is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, Query, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from lasthop.model.event import Event, EventQuery, Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from lasthop.api.operations import Follower, Operations

LINES = "application/x-ndjson"
#: A year: longer than anything is kept.
_LONGEST_S = 366 * 86_400
#: 2**53: numbers in JSON are exact up to here.
_LAST = 1 << 53

_Follow = Annotated[bool, Query(description="Go on: one event a line as it happens; an empty line now and then")]
_After = Annotated[
    int | None,
    Query(ge=0, le=_LAST, description="Those after this seq; left out: all that are kept, or with follow from now on"),
]
_Since = Annotated[float | None, Query(ge=0, le=_LONGEST_S, description="Of so many last seconds")]
_Kinds = Annotated[list[Kind] | None, Query(description="Of these kinds; may be repeated")]


class _Stream(StreamingResponse):
    """Events, one a line; its place is given up when this ends, also where the client was killed."""

    def __init__(self, follower: Follower) -> None:
        super().__init__(_lines(follower), media_type=LINES)
        self._follower = follower

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._follower.close()


async def _lines(follower: Follower) -> AsyncIterator[bytes]:
    """An empty line says that the director is there, and finds out whether the reader is."""
    async for portion in follower.portions():
        yield b"".join(to_json(event.document()) + b"\n" for event in portion) or b"\n"


def add_events(app: FastAPI, operations: Operations) -> None:
    """Let `app` answer on /v1/events."""

    @app.get(
        "/v1/events",
        summary="What happened lately, or with follow what happens",
        response_model=list[Event],
        responses={200: {"content": {LINES: {}}}},
    )
    async def events(
        *, follow: _Follow = False, after: _After = None, since: _Since = None, kind: _Kinds = None
    ) -> Response:
        query = EventQuery(after, since, frozenset(kind or ()))
        if follow:
            return _Stream(operations.follow_events(query))
        documents = [event.document() for event in operations.events(query)]
        return Response(to_json(documents, indent=2) + b"\n", media_type="application/json")

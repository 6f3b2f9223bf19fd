"""The API's part that looks at packets: /v1/explain and /v1/capture.

Owns the stream of captured frames, and that a capture is closed when its reader is gone, however it went.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from fastapi import Body, FastAPI, Query, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from lasthop.model.capture import CapturedPortion
from lasthop.model.described import Question
from lasthop.model.explanation import ExplanationReport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from lasthop.api.operations import Capture, Operations


class Direction(StrEnum):
    """Which frames of a leg."""

    IN = "in"
    OUT = "out"
    BOTH = "both"


_LINES = "application/x-ndjson"
_Question = Annotated[Question, Body()]
_Leg = Annotated[str, Query(description="Name of the leg")]
_Direction = Annotated[Direction, Query(description="Frames that come in, that go out, or both")]


class _Stream(StreamingResponse):
    """A capture's portions, one a line; it is closed when this ends, also where the client was killed."""

    def __init__(self, capture: Capture) -> None:
        super().__init__(_lines(capture), media_type=_LINES)
        self._capture = capture

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._capture.close()


async def _lines(capture: Capture) -> AsyncIterator[bytes]:
    async for portion in capture.portions():
        yield to_json(portion) + b"\n"


def add_inspection(app: FastAPI, operations: Operations) -> None:
    """Let `app` answer on /v1/explain and /v1/capture."""

    @app.post("/v1/explain", response_model=ExplanationReport, summary="What would become of a packet, and why")
    async def explain(question: _Question) -> Response:
        return Response(to_json(operations.explain(question), indent=2) + b"\n", media_type="application/json")

    @app.get(
        "/v1/capture",
        summary="Frames of a leg as they come, until the client goes: one document a line",
        response_class=StreamingResponse,
        responses={200: {"model": CapturedPortion, "content": {_LINES: {}}}},
    )
    async def capture(leg: _Leg, direction: _Direction = Direction.BOTH) -> Response:
        directions = {"in", "out"} if direction is Direction.BOTH else {direction.value}
        return _Stream(operations.capture(leg, directions))

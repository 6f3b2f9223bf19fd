"""The API's part that edits the running configuration: /v1/edit and /v1/dump.

Owns how edits are read. Tens of thousands may come at once, so they are validated as bytes, in one go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from lasthop.model.edit import Edit, EditReport

if TYPE_CHECKING:
    from fastapi import FastAPI

    from lasthop.api.operations import Operations

EDITS: TypeAdapter[list[Edit]] = TypeAdapter(list[Annotated[Edit, Field(discriminator="kind")]])
_REFUSED = "An edit cannot be made, and none was"


@dataclass(frozen=True, slots=True)
class RefusedEdit:
    """Why an edit cannot be made, and which."""

    problem: str
    remedy: str
    code: str
    """A word of `lasthop.model.edit.REFUSALS`."""
    index: int
    """Place in the list, from 0."""


def add_edits(app: FastAPI, operations: Operations) -> None:
    """Let `app` answer on /v1/edit and /v1/dump."""
    schema: dict[str, Any] = EDITS.json_schema(ref_template="#/components/schemas/{model}")
    parts = schema.pop("$defs")
    plain = app.openapi

    def with_parts() -> dict[str, Any]:
        document = plain()
        document["components"]["schemas"].update(parts)
        return document

    app.openapi = with_parts  # type: ignore[method-assign]  # FastAPI documents that one may

    @app.post(
        "/v1/edit",
        response_model=EditReport,
        responses={409: {"model": RefusedEdit, "description": _REFUSED}},
        summary="Change the running configuration: all of a list of edits, or none",
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}},
    )
    async def edit(request: Request) -> Response:
        try:
            edits = EDITS.validate_json(await request.body())
        except ValidationError as error:
            raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from None
        return Response(to_json(operations.edit(edits), indent=2) + b"\n", media_type="application/json")

    @app.get("/v1/dump", summary="The running configuration as the text of a configuration file")
    async def dump() -> Response:
        return Response(operations.dump(), media_type="application/toml")

"""What the API's document says beside each path: who may use it, and how callers are known.

Owns security schemes and the answers 401 and 403. They are the gate's, which FastAPI knows nothing of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lasthop.api.gate import METRICS, needed_role
from lasthop.model.access import Role

if TYPE_CHECKING:
    from fastapi import FastAPI

_PROBLEM = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_SCHEMES = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "Over TCP. The file of [api] tokens says which role a token has.",
    },
    "certificate": {
        "type": "mutualTLS",
        "description": "Over TCP, besides the token, if the director has [api] client_ca.",
    },
}
_UNKNOWN = {
    "description": "Over TCP: no token, or none of this director's",
    "headers": {"WWW-Authenticate": {"schema": {"type": "string"}}},
    "content": _PROBLEM,
}
_REFUSED = {"description": "Known, and may not do this", "content": _PROBLEM}


def describe_access(app: FastAPI) -> None:
    """Let the document of `app` say who may use each path."""
    plain = app.openapi

    def with_access() -> dict[str, Any]:
        document = plain()
        document["components"]["securitySchemes"] = _SCHEMES
        document["security"] = [{"token": []}]
        for path, methods in document["paths"].items():
            for method, described in methods.items():
                role = needed_role(method.upper(), path)
                described["x-lasthop-role"] = role.word
                described["responses"] |= {"401": _UNKNOWN}
                if role is Role.WRITER:
                    described["responses"] |= {"403": _REFUSED}
                if path == METRICS:
                    described["security"] = [{"token": []}, {}]
        return document

    app.openapi = with_access  # type: ignore[method-assign]  # FastAPI documents that one may

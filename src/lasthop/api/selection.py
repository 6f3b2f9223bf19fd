"""Which connections a request asks for.

Owns the reading of the parameters of `/v1/connections`, and the refusal of names that nobody knows.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING

from lasthop.errors import DirectorError
from lasthop.model.connection_query import ConnectionQuery
from lasthop.model.director import State

if TYPE_CHECKING:
    from lasthop.api.operations import Operations
    from lasthop.model.connection_query import ConnectionPage, Top


def conditions(
    service: str | None, server: str | None, state: str | None, client: str | None, older_than_s: float | None
) -> ConnectionQuery:
    """Read the conditions of a request: a state in either case, `client` an address or a prefix.

    A service may be named by its mark alone. Raises DirectorError for a state or prefix that cannot be.
    """
    if state is not None and state.upper() not in State.__members__:
        raise DirectorError(
            f"can't select connections by state {state!r}: there is no such state",
            f"states: {', '.join(State.__members__)}",
        )
    try:
        prefix = None if client is None else ip_network(client, strict=False)
    except ValueError:
        raise DirectorError(
            f"can't select connections by client {client!r}: it is neither an address nor a prefix",
            "write it like 192.0.2.7 or 192.0.2.0/24",
        ) from None
    return ConnectionQuery(
        service=f"FWM {service}" if service is not None and service.isdecimal() else service,
        server=server,
        state=None if state is None else State[state.upper()],
        client=prefix,
        older_than_s=older_than_s,
    )


def shown(query: ConnectionQuery, top: Top | None, limit: int | None) -> ConnectionQuery:
    """`query` with what is to be shown of what it finds; a limit of 0 is none."""
    return replace(query, top=top, limit=limit or None)


def selected(operations: Operations, query: ConnectionQuery) -> ConnectionPage:
    """The connections that `query` asks for.

    Raises DirectorError when there are none because no service or real server of that name is known:
    a misspelt name must not look like a quiet network. Names that only old connections know are served.
    """
    page = operations.connections(query)
    if not page.total:
        _must_be_known("service", query.service, [report.service for report in operations.services()])
        _must_be_known("real server", query.server, [report.name for report in operations.servers()])
    return page


def _must_be_known(kind: str, name: str | None, known: list[str]) -> None:
    if name is None or name in known:
        return
    listed = ", ".join(dict.fromkeys(known)) or "none"
    raise DirectorError(f"can't select connections by {kind} {name!r}: there is none of that name", f"known: {listed}")

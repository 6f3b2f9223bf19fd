"""Which connections a request asks for.

Owns the filters of `/v1/connections`; they work on reports, wherever those come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import islice
from typing import TYPE_CHECKING

from lasthop.errors import DirectorError
from lasthop.model.director import State

if TYPE_CHECKING:
    from lasthop.api.operations import Operations
    from lasthop.model.connection import ConnectionReport


@dataclass(frozen=True, slots=True)
class Selection:
    """Conditions on a connection, all of which must hold; None means "any"."""

    service: str | None = None
    server: str | None = None
    state: str | None = None
    client: IPv4Network | IPv6Network | None = None

    def holds(self, connection: ConnectionReport) -> bool:
        """Whether `connection` is asked for."""
        return (
            (self.service is None or connection.service == self.service)
            and (self.server is None or connection.real_server == self.server)
            and (self.state is None or connection.state == self.state)
            and (self.client is None or ip_address(connection.source) in self.client)
        )


def selection(service: str | None, server: str | None, state: str | None, client: str | None) -> Selection:
    """Read the filters of a request: a state in either case, `client` an address or a prefix.

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
    label = f"FWM {service}" if service is not None and service.isdecimal() else service
    return Selection(label, server, None if state is None else state.upper(), prefix)


def selected(operations: Operations, wanted: Selection, limit: int | None) -> list[ConnectionReport]:
    """The connections that `wanted` asks for, at most `limit`.

    Raises DirectorError when there are none because no service or real server of that name is known:
    a misspelt name must not look like a quiet network. Names that only old connections know are served.
    """
    found = list(islice(filter(wanted.holds, operations.connections()), limit))
    if not found:
        _must_be_known("service", wanted.service, [report.service for report in operations.services()])
        _must_be_known("real server", wanted.server, [report.name for report in operations.servers()])
    return found


def _must_be_known(kind: str, name: str | None, known: list[str]) -> None:
    if name is None or name in known:
        return
    listed = ", ".join(dict.fromkeys(known)) or "none"
    raise DirectorError(f"can't select connections by {kind} {name!r}: there is none of that name", f"known: {listed}")

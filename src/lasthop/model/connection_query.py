"""What is asked of the connection table, and what comes back: how many connections match, and those to show.

Owns the words of a query. The reading of the kernel's table is `lasthop.dataplane.connection_table`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lasthop.model.connection import ConnectionReport
    from lasthop.model.director import State


class Top(StrEnum):
    """What the first connections of an answer have most of; packets and bytes of both directions together."""

    PACKETS = "packets"
    BYTES = "bytes"
    AGE = "age"


@dataclass(frozen=True, slots=True)
class ConnectionQuery:
    """Conditions on a connection, all of which must hold (None means "any"), and which of those to show."""

    service: str | None = None
    """Label of the service, such as ``FWM 1``."""
    server: str | None = None
    """Name of the real server, in whatever service."""
    state: State | None = None
    client: IPv4Network | IPv6Network | None = None
    """The originator's address is in it."""
    older_than_s: float | None = None
    """Opened so many seconds ago, or earlier."""
    top: Top | None = None
    """Show those first that have most of it; None: any order."""
    limit: int | None = None
    """Show at most so many; None: all."""

    def holds(self, connection: ConnectionReport) -> bool:
        """Whether `connection` meets the conditions."""
        return (
            (self.service is None or connection.service == self.service)
            and (self.server is None or connection.real_server == self.server)
            and (self.state is None or connection.state == self.state.name)
            and (self.client is None or ip_address(connection.source) in self.client)
            and (self.older_than_s is None or connection.age_s >= self.older_than_s)
        )

    def answer(self, connections: Sequence[ConnectionReport]) -> ConnectionPage:
        """The answer from connections that are reports already."""
        found = [connection for connection in connections if self.holds(connection)]
        if self.top is not None:
            found.sort(key=_MEASURES[self.top], reverse=True)
        return ConnectionPage(len(found), islice(found, self.limit))


@dataclass(frozen=True, slots=True)
class ConnectionPage:
    """The answer to a query."""

    total: int
    """Connections that met the conditions, shown or not."""
    connections: Iterator[ConnectionReport]
    """Those to show, to be gone through once: each is read and put into words when its turn comes, for there
    may be millions. One that has ended since it was counted is left out."""


_MEASURES = {
    Top.PACKETS: lambda connection: connection.packets.request + connection.packets.response,
    Top.BYTES: lambda connection: connection.bytes.request + connection.bytes.response,
    Top.AGE: lambda connection: connection.age_s,
}

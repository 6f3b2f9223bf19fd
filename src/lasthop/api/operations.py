"""What the API asks of a director.

Owns the protocol `Operations`, which the director implements. No HTTP here: that is
`lasthop.api.server`; `lasthop.api.fake` answers from given reports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lasthop.model.connection import ConnectionReport
    from lasthop.model.counter import CounterReport
    from lasthop.model.hop import HopReport
    from lasthop.model.leg import LegReport
    from lasthop.model.real_server import ServerReport
    from lasthop.model.service import ServiceReport
    from lasthop.model.status import StatusReport


class Operations(Protocol):
    """A director as its front ends see it.

    All methods are called in the director's asyncio loop, one at a time, and may raise
    LasthopError. `connections` may take up to a second on a table of a million.
    """

    def status(self) -> StatusReport:
        """The director at a glance."""

    def legs(self) -> list[LegReport]:
        """Every configured leg, in file order."""

    def services(self) -> list[ServiceReport]:
        """Every virtual service, in file order."""

    def servers(self) -> list[ServerReport]:
        """Every real server of every service, in file order."""

    def connections(self) -> list[ConnectionReport]:
        """All live connections, in no particular order."""

    def hops(self) -> list[HopReport]:
        """All hops, by id."""

    def counters(self) -> list[CounterReport]:
        """All counted reasons, zero or not."""

    def detach(self) -> None:
        """Take the data plane out of the kernel; all connections are forgotten."""

"""What the director may ask of the data plane.

Owns the protocol `DataPlane`. `lasthop.dataplane.kernel` is the one that forwards packets;
`lasthop.dataplane.fake` holds the same things in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lasthop.model.connection import ConnectionReport
    from lasthop.model.counter import CounterReport
    from lasthop.model.hop import HopReport
    from lasthop.policy.plan import Plan


@dataclass(frozen=True, slots=True)
class Load:
    """Live connections of one real server of one service."""

    active: int
    inactive: int
    persistent: int


@dataclass(frozen=True, slots=True)
class Attachment:
    """How the data plane is attached to one leg now."""

    leg: str
    how: str
    """``tc`` or ``xdp+tc``."""
    xdp_transmit: bool


@dataclass(frozen=True, slots=True)
class TableSize:
    """How full the connection table is."""

    connections: int
    assured: int
    maximum: int


class DataPlane(Protocol):
    """Programs, maps and attachments of one director. Every method may raise DataPlaneError."""

    @property
    def adopted(self) -> bool:
        """True if the data plane was in the kernel before this object was made."""

    def publish(self, plan: Plan) -> None:
        """Make the data plane hold `plan`: attach and detach legs, switch rules and services by one write.

        A packet sees the old set or the new one. Nothing changes if it raises.
        """

    def attachments(self) -> Sequence[Attachment]:
        """The legs that are attached."""

    def sweep(self) -> TableSize:
        """Expire connections and templates that are due, and count what is left."""

    def load(self) -> dict[tuple[str, str], Load]:
        """(service label, real server) -> live connections."""

    def connections(self) -> list[ConnectionReport]:
        """All live connections, in no particular order."""

    def hops(self) -> list[HopReport]:
        """All hops, by id."""

    def counters(self) -> list[CounterReport]:
        """All counted reasons, in the order of the enum."""

    def detach(self) -> None:
        """Take programs, links and maps out of the kernel. All connections are forgotten."""

    def close(self) -> None:
        """Let go of the data plane; it goes on forwarding."""

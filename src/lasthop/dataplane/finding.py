"""What the data plane says of one frame, in names; the director makes an explanation of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lasthop.model.connection import ConnectionReport, HopName
    from lasthop.model.real_server import Address
    from lasthop.model.template import TemplateReport


@dataclass(frozen=True, slots=True)
class Read:
    """The packet as it was read; of an ICMP error: of the connection it is about."""

    protocol: int
    source: Address
    source_port: int
    destination: Address
    destination_port: int
    length: int
    opening: bool = False
    error: bool = False
    fragment: str = ""


@dataclass(frozen=True, slots=True)
class WayOut:
    """Where a forwarded frame goes."""

    hop: HopName
    source_mac: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What would become of a frame."""

    reason: str
    """As in `lasthop counters`."""
    came_from: HopName | None = None
    read: Read | None = None
    rule: int | None = None
    """Place in `Plan.rules` of the one that matched."""
    service: str = ""
    """Label; empty if none was reached, or for a real server's own address."""
    real_server: str = ""
    chosen_by: str = ""
    """As in `ChoiceReport.by`."""
    connection: ConnectionReport | None = None
    ended: bool = False
    left_out: str = ""
    """What ``connection``, which is over, is counted as: active, inactive. The scheduler did without it. Or empty."""
    last_hop: HopName | None = None
    last_hop_known: bool = False
    out: WayOut | None = None
    turn: int = 0
    """How many turns the service has given so far."""
    template: TemplateReport | None = None
    local: tuple[str, ...] = ()
    """Real servers that the destination has, with lblc and lblcr."""

"""What becomes of one packet, and why: as `lasthop explain` shows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from lasthop.model.connection import ConnectionReport, HopName  # noqa: TC001 -- the API's schema is made from them
from lasthop.model.template import TemplateReport  # noqa: TC001 -- likewise


@dataclass(frozen=True, slots=True)
class PacketReport:
    """The packet as the data plane read it; of an ICMP error: the one it is about, seen from its other end."""

    protocol: str
    source: str
    source_port: int
    destination: str
    destination_port: int
    length: int
    """From the IP header on."""
    opening: bool
    """Of those that may be scheduled."""
    error: bool
    """It is an ICMP error."""
    fragment: str
    """``first``, ``later`` or empty."""


@dataclass(frozen=True, slots=True)
class RuleReport:
    """The rule that matched first."""

    number: int
    """From 1, in the order in which they are tried."""
    place: str
    """The key of its match in the configuration: ``service[0].match[1]``."""
    text: str
    """The match as in the file."""
    service: str
    """Empty for a pass rule."""


@dataclass(frozen=True, slots=True)
class CandidateReport:
    """A real server of the service, with what its scheduler looks at."""

    name: str
    weight: int
    active: int
    inactive: int
    state: str
    """``usable``, ``overloaded``, ``weight 0``, ``dead``, ``leg down`` or ``unresolved``."""
    cost: float | None
    """What the scheduler compares, the least wins; None where it compares nothing, or not this one."""
    chosen: bool


@dataclass(frozen=True, slots=True)
class ChoiceReport:
    """How the real server was chosen."""

    by: str
    """``connection``, ``scheduler``, ``template``, ``related``, ``fragment``, ``rendezvous``, ``address`` or empty."""
    scheduler: str
    """Of the service."""
    compared: str
    """What the scheduler compares, or which slot it looks up; empty if it was not asked."""
    slot: int | None
    """Of the table that was looked up."""
    slots: int | None
    candidates: list[CandidateReport] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PersistenceReport:
    """What the service remembers of the client."""

    client: str
    """The address, masked."""
    prefix: int
    template: TemplateReport | None
    """None: the client is bound to nobody."""


@dataclass(frozen=True, slots=True)
class LastHopReport:
    """Where responses go: of the connection, or of the one that the packet would open."""

    hop: HopName
    known: bool
    """False: it would be learned from this packet."""


@dataclass(frozen=True, slots=True)
class FrameOutReport:
    """How the frame leaves."""

    hop: HopName
    source_mac: str
    destination_mac: str
    vlan: str | None
    """``100``, or ``200.100`` for QinQ; None: untagged."""


@dataclass(frozen=True, slots=True)
class ExplanationReport:
    """One packet, explained. Nothing was changed for it."""

    leg: str
    zone: str
    frame: str
    """The frame in hexadecimal, as it was tried."""
    came_from: HopName | None
    """Leg and MAC address it came from; None if the frame was not looked at so far."""
    packet: PacketReport | None
    """None: it is not IP, or cannot be read."""
    verdict: str
    """``forwarded``, ``kernel`` or ``dropped``."""
    reason: str
    """The counter that would be counted."""
    sentence: str
    connection: ConnectionReport | None
    """The one that was found."""
    ended: bool
    """That one is over: the packet begins another."""
    rule: RuleReport | None
    service: str
    real_server: str
    persistence: PersistenceReport | None
    choice: ChoiceReport
    last_hop: LastHopReport | None
    out: FrameOutReport | None
    notes: list[str] = field(default_factory=list)
    """Sentences: what was assumed, and what may come out otherwise."""

"""What the director may ask of the data plane.

Owns the protocol `DataPlane`. `lasthop.dataplane.kernel` is the one that forwards packets;
`lasthop.dataplane.fake` holds the same things in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from lasthop.dataplane.finding import Finding
    from lasthop.model.asymmetry import AsymmetryReport
    from lasthop.model.capture import CapturedFrame
    from lasthop.model.connection_query import ConnectionPage, ConnectionQuery
    from lasthop.model.counter import CounterReport
    from lasthop.model.hop import HopReport
    from lasthop.model.statistics import Rates, Statistics
    from lasthop.model.template import TemplateReport
    from lasthop.policy.plan import Plan


@dataclass(frozen=True, slots=True)
class Load:
    """Live connections of one real server of one service."""

    active: int
    inactive: int
    persistent: int
    overloaded: bool = False
    """It reached its upper threshold, and takes no new ones."""
    closed: int = 0
    """Of the inactive ones: in TIME_WAIT or CLOSE, as the last sweep found them."""


class Measured(NamedTuple):
    """The traffic of a service or a real server, as of the last sweep that was whole."""

    statistics: Statistics
    """Since `Traffic.zero`, or since it was published first."""
    rates: Rates


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


@dataclass(frozen=True, slots=True)
class Resizing:
    """A resize of the connection table that is under way."""

    before: int
    """For how many connections the table was made."""
    after: int
    moved: int
    """Connections that were moved to the new table so far."""
    refused: int
    """Connections that found no room in it when they were last tried; they will be tried again."""


@dataclass(frozen=True, slots=True)
class Altered:
    """A part of what was published that was looked at."""

    what: str
    count: int
    """Entries of it that somebody else had changed, and that are as published again."""


class Traffic(Protocol):
    """What went through services and real servers, as of the last sweep that was whole, and who is bound to whom."""

    def servers(self) -> dict[tuple[str, str], Measured]:
        """(service label, real server) -> its traffic; also of those that are out of the plan and have connections."""

    def services(self) -> dict[str, Measured]:
        """Service label -> its traffic, that of real servers it does not have any more included."""

    def zero(self, service: str | None = None) -> None:
        """Count the traffic of a service and its real servers from here on, or that of all services."""

    def templates(self) -> list[TemplateReport]:
        """All persistence templates that have not expired."""

    def openings(self, window_s: float, patience_s: float) -> dict[tuple[str, str], tuple[int, int]]:
        """(service label, real server) -> TCP connections it was given, and how many of them got no answer.

        Of the last `window_s` before `patience_s` ago, as far as they live.
        """


class Inspection(Protocol):
    """What a look at the data plane shows, packet by packet. Every method may raise DataPlaneError."""

    def explain(self, leg: str, frame: bytes, *, tagged: bool) -> Finding:
        """What would become of a frame that came in on a leg. Nothing changes.

        The leg's VLAN tags are put in, unless it is `tagged` already.
        """

    def asymmetry(self) -> AsymmetryReport:
        """The responses that came from another real server than their requests went to."""

    def capture(self, legs: Collection[str]) -> None:
        """Capture the frames of these legs from now on, and of no others; those of before are forgotten if none was."""

    def captured(self, limit: int) -> list[CapturedFrame]:
        """The next captured frames, at most `limit`."""

    def lost(self) -> int:
        """Frames that found no room since the data plane was made."""

    @property
    def descriptor(self) -> int:
        """Readable when there are captured frames."""


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """A path probe that came back."""

    nonce: bytes
    leg: str
    mac: str
    """The MAC address it came from."""


class Probing(Protocol):
    """Path probes of a director, which its data plane takes in."""

    def know(self, port: int) -> None:
        """Know probes by this UDP port from now on: send back those that come from real servers, take in answers."""

    def answers(self) -> list[ProbeAnswer]:
        """Those that came back since this was asked last."""

    @property
    def descriptor(self) -> int:
        """Readable when there are answers."""


class Observed(Protocol):
    """What can be seen of a data plane beside the table."""

    @property
    def traffic(self) -> Traffic:
        """Statistics, rates and persistence templates."""

    @property
    def inspection(self) -> Inspection:
        """Explanations, captured frames, asymmetric responses."""

    @property
    def probing(self) -> Probing:
        """Path probes."""


class DataPlane(Observed, Protocol):
    """Programs, maps and attachments of one director. Every method may raise DataPlaneError."""

    @property
    def adopted(self) -> bool:
        """True if the data plane was in the kernel before this object was made."""

    def publish(self, plan: Plan) -> None:
        """Make the data plane hold `plan`: attach and detach legs, switch rules and services by one write.

        A packet sees the old set or the new one. Nothing changes if it raises.
        """

    def read_back(self) -> Iterator[Altered]:
        """Compare what was published with what is there, and put right what somebody else changed; a part a step.

        Raises DataPlaneError where a program can't be attached again.
        """

    def attachments(self) -> Sequence[Attachment]:
        """The legs that are attached."""

    def sweep(self) -> TableSize:
        """Expire connections and templates that are due, count what is left, mend live counters that drift."""

    def sweep_step(self) -> TableSize | None:
        """A millisecond's piece of the same; the size of the table when that ended a sweep.

        Live counters are mended if two sweeps, a second apart or more, found them off by the same.
        """

    def resize(self, connections: int) -> None:
        """Begin to resize the connection table to hold `connections`; `resize_step` does it.

        The caller sees to it that the live ones fit. Nothing happens if it has that size. Raises DataPlaneError if a
        resize is under way.
        """

    def resize_step(self) -> Resizing | None:
        """Do a few milliseconds of the resize under way, after a plan was published. None: there is none (any more).

        Forwarding goes on and no connection is lost. If it raises, the resize was called off (`resizing` is None
        then), or the step may be tried again. A later data plane of the same name goes on with it.
        """

    @property
    def resizing(self) -> Resizing | None:
        """The resize under way, None if there is none."""

    def load(self, of: Collection[tuple[str, str]] | None = None) -> dict[tuple[str, str], Load]:
        """(service label, real server) -> live connections; of all, or of those named that are known."""

    def connections(self, query: ConnectionQuery) -> ConnectionPage:
        """The live connections that `query` asks for; none, if it names what is not known.

        Packets go on meanwhile: what a report says belongs to one connection, its counters may be of different moments.
        """

    def hops(self) -> list[HopReport]:
        """All hops, by id."""

    def counters(self) -> list[CounterReport]:
        """All counted reasons, in the order of the enum."""

    def detach(self, *, closed: bool = False) -> None:
        """Take programs, links and maps out of the kernel. All connections are forgotten.

        `closed`: a program stays on the legs that lets nothing be forwarded.
        """

    def close(self) -> None:
        """Let go of the data plane; it goes on forwarding."""

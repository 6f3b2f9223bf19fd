"""What the API asks of a director.

Owns the protocol `Operations`, which the director implements. No HTTP here: that is
`lasthop.api.server`; `lasthop.api.fake` answers from given reports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from lasthop.model.capture import CapturedPortion
    from lasthop.model.change import ChangeReport
    from lasthop.model.connection_query import ConnectionPage, ConnectionQuery
    from lasthop.model.counter import CounterReport
    from lasthop.model.described import Question
    from lasthop.model.drain import DrainReport
    from lasthop.model.edit import Edit, EditReport
    from lasthop.model.event import Event, EventQuery
    from lasthop.model.explanation import ExplanationReport
    from lasthop.model.health import HealthReport
    from lasthop.model.hop import HopReport
    from lasthop.model.leg import LegReport
    from lasthop.model.real_server import ServerReport
    from lasthop.model.service import ServiceReport
    from lasthop.model.status import StatusReport
    from lasthop.model.template import TemplateReport
    from lasthop.model.timeouts import TimeoutsReport


class Capture(Protocol):
    """Frames of a leg, as long as somebody reads them."""

    def portions(self) -> AsyncIterator[CapturedPortion]:
        """What is captured, as it comes: the first portion at once, then one every few seconds at least."""

    def close(self) -> None:
        """End it. May be called again."""


class Follower(Protocol):
    """Events as they come, as long as somebody reads them."""

    def portions(self) -> AsyncIterator[list[Event]]:
        """Events, the oldest first: the first portion at once, then one every few seconds at least, maybe empty."""

    def close(self) -> None:
        """End it. May be called again."""


class PacketOperations(Protocol):
    """A director, asked about packets. Called as `Operations` is."""

    def explain(self, question: Question) -> ExplanationReport:
        """What would become of a packet or a frame, and why. Nothing changes.

        Raises DirectorError if it names what is not there, or is no frame.
        """

    def capture(self, leg: str, directions: Collection[str]) -> Capture:
        """Capture the frames of a leg in these directions (``in``, ``out``), until it is closed.

        Raises DirectorError if there is no such leg.
        """


class CourseOperations(Protocol):
    """A director, asked what goes on with its real servers. Called as `Operations` is."""

    def health(self) -> list[HealthReport]:
        """The health checks, of each real server that has one, in file order."""

    def drains(self) -> list[DrainReport]:
        """The real servers that are drained, of each service."""

    def events(self, query: EventQuery) -> list[Event]:
        """What happened lately, the oldest first; after one that is not kept any more, first how many are missing."""

    def follow_events(self, query: EventQuery) -> Follower:
        """The same, then each as it happens, until it is closed or the director ends."""


class Operations(PacketOperations, CourseOperations, Protocol):
    """A director as its front ends see it.

    All methods are called in the director's asyncio loop, one at a time, and may raise
    LasthopError. None takes long, `connections` neither: it is the reading of its page that does.
    """

    def status(self) -> StatusReport:
        """The director at a glance."""

    def legs(self) -> list[LegReport]:
        """Every configured leg, in file order."""

    def services(self) -> list[ServiceReport]:
        """Every virtual service, in file order."""

    def servers(self) -> list[ServerReport]:
        """Every real server of every service, in file order."""

    def connections(self, query: ConnectionQuery) -> ConnectionPage:
        """The live connections that `query` asks for; none, if it names what is not known.

        The page may be read later, in portions, with other calls in between.
        """

    def hops(self) -> list[HopReport]:
        """All hops, by id."""

    def counters(self) -> list[CounterReport]:
        """All counted reasons, zero or not."""

    def templates(self) -> list[TemplateReport]:
        """All persistence templates, in any order."""

    def timeouts(self) -> TimeoutsReport:
        """The time-outs in force."""

    def zero(self, service: str | None = None) -> None:
        """Set the statistics of a service and its real servers to zero, or those of all.

        Raises DirectorError if there is no service of that label.
        """

    def apply(self, text: str, file: str, *, dry_run: bool = False) -> ChangeReport:
        """Let `text`, which is in the file at `file`, be the configuration; with `dry_run` only say what it changes.

        Raises ConfigurationError with every mistake in it, DirectorError or NetworkError where it does not fit this
        director or machine, DataPlaneError where the kernel refuses it. Nothing has changed then.
        """

    def edit(self, edits: Sequence[Edit]) -> EditReport:
        """Make all `edits` of the running configuration, in their order, or none of them.

        Raises EditError for the first that cannot be made, and what `apply` raises where the result does not fit.
        """

    def dump(self) -> str:
        """The running configuration, edits included, as the text of a configuration file."""

    def detach(self, *, closed: bool | None = None) -> bool:
        """Take the data plane out of the kernel; all connections are forgotten.

        `closed`: nothing is forwarded through its legs any more; None: as configured. Returns whether it is so.
        """

"""A director that answers from given reports, for tests of front ends.

Owns `FakeOperations` and a thread that serves it on a real socket. No kernel, no configuration.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from lasthop.api.serving import serve
from lasthop.errors import DirectorError
from lasthop.model.capture import CapturedPortion
from lasthop.model.change import ChangeReport
from lasthop.model.edit import EditReport
from lasthop.model.event import EventQuery
from lasthop.model.timeouts import TimeoutsReport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from lasthop.api.operations import Operations
    from lasthop.errors import LasthopError
    from lasthop.model.access import Access
    from lasthop.model.connection import ConnectionReport
    from lasthop.model.connection_query import ConnectionPage, ConnectionQuery
    from lasthop.model.counter import CounterReport
    from lasthop.model.described import Question
    from lasthop.model.drain import DrainReport
    from lasthop.model.edit import Edit
    from lasthop.model.event import Event
    from lasthop.model.explanation import ExplanationReport
    from lasthop.model.health import HealthReport
    from lasthop.model.hop import HopReport
    from lasthop.model.leg import LegReport
    from lasthop.model.real_server import ServerReport
    from lasthop.model.service import ServiceReport
    from lasthop.model.status import StatusReport
    from lasthop.model.template import TemplateReport

Given = TypeVar("Given")

#: The time-outs of the profile ``lvs`` that ipvsadm prints.
LVS_SECONDS = {"tcp_established": 900.0, "tcp_fin_wait": 120.0, "udp": 300.0}

#: Seconds to wait for the thread: far more than it needs.
PATIENCE_S = 10.0
#: Between two portions without frames.
PAUSE_S = 0.05


class FakeCapture:
    """See operations.Capture."""

    def __init__(self, leg: str, directions: frozenset[str], portions: list[CapturedPortion]) -> None:
        self.leg = leg
        self.directions = directions
        self._portions = portions
        self.closed = threading.Event()

    async def portions(self) -> AsyncIterator[CapturedPortion]:
        """Those given, then one without frames now and then."""
        for portion in [CapturedPortion([], 0), *self._portions]:
            yield portion
        while not self.closed.is_set():
            await asyncio.sleep(PAUSE_S)
            yield CapturedPortion([], 0)

    def close(self) -> None:
        """Noted in `closed`."""
        self.closed.set()


class FakeFollower:
    """See operations.Follower."""

    def __init__(self, operations: FakeCourseOperations, query: EventQuery) -> None:
        self._operations = operations
        self.query = query
        self.closed = threading.Event()

    async def portions(self) -> AsyncIterator[list[Event]]:
        """Those given, then those that are added, until it is closed."""
        sent = len(self._operations.event_list) if self.query == EventQuery(kinds=self.query.kinds) else 0
        while not self.closed.is_set():
            found = [each for each in self._operations.event_list[sent:] if asked_for(each, self.query)]
            sent = len(self._operations.event_list)
            yield found
            await asyncio.sleep(PAUSE_S)

    def close(self) -> None:
        """Noted in `closed`."""
        self.closed.set()


@dataclass(kw_only=True)
class FakePacketOperations:
    """Those about packets."""

    explanation: ExplanationReport | None = None
    asked: list[Question] = field(default_factory=list)
    """What each `explain` was asked."""
    captured: list[CapturedPortion] = field(default_factory=list)
    """What each `capture` gives, one after the other; then it waits until it is closed."""
    captures: list[FakeCapture] = field(default_factory=list)
    failure: LasthopError | Exception | None = None
    """Raised by every method, if set."""

    def explain(self, question: Question) -> ExplanationReport:
        """As given; remember the question in `asked`."""
        report = self._given(self.explanation)
        self.asked.append(question)
        if report is None:
            raise DirectorError("can't explain that: no explanation was given", "set explanation")
        return report

    def capture(self, leg: str, directions: Collection[str]) -> FakeCapture:
        """As given; remember it in `captures`."""
        capture = FakeCapture(leg, frozenset(directions), self._given(self.captured))
        self.captures.append(capture)
        return capture

    def _given(self, reports: Given) -> Given:
        if self.failure is not None:
            raise self.failure
        return reports


@dataclass(kw_only=True)
class FakeCourseOperations(FakePacketOperations):
    """And about what goes on with its real servers."""

    drain_reports: list[DrainReport] = field(default_factory=list)
    health_reports: list[HealthReport] = field(default_factory=list)
    event_list: list[Event] = field(default_factory=list)
    """A test may add some while they are followed."""
    followers: list[FakeFollower] = field(default_factory=list)

    def events(self, query: EventQuery) -> list[Event]:
        """Those given that are asked for; how old they are does not matter."""
        return [event for event in self._given(self.event_list) if asked_for(event, query)]

    def follow_events(self, query: EventQuery) -> FakeFollower:
        """The same, and those that come; remember it in `followers`."""
        self._given(None)
        self.followers.append(FakeFollower(self, query))
        return self.followers[-1]

    def health(self) -> list[HealthReport]:
        """As given."""
        return self._given(self.health_reports)

    def drains(self) -> list[DrainReport]:
        """As given."""
        return self._given(self.drain_reports)


@dataclass(kw_only=True)
class FakeOperations(FakeCourseOperations):
    """Operations that return what they were given."""

    status_report: StatusReport
    leg_reports: list[LegReport] = field(default_factory=list)
    service_reports: list[ServiceReport] = field(default_factory=list)
    server_reports: list[ServerReport] = field(default_factory=list)
    connection_reports: list[ConnectionReport] = field(default_factory=list)
    hop_reports: list[HopReport] = field(default_factory=list)
    counter_reports: list[CounterReport] = field(default_factory=list)
    template_reports: list[TemplateReport] = field(default_factory=list)
    timeouts_report: TimeoutsReport = field(default_factory=lambda: TimeoutsReport("lvs", dict(LVS_SECONDS)))
    zeroed: list[str | None] = field(default_factory=list)
    """What each `zero` was asked for."""
    change_report: ChangeReport = field(default_factory=lambda: ChangeReport("lb1", "lb1.toml", applied=True))
    applied: list[tuple[str, str, bool]] = field(default_factory=list)
    """(text, file, dry run) of each `apply`."""
    edited: list[Edit] = field(default_factory=list)
    """Every edit that was asked for."""
    edit_warnings: list[str] = field(default_factory=list)
    dumped: str = ""
    detached: bool = False

    def status(self) -> StatusReport:
        """As given."""
        return self._given(self.status_report)

    def legs(self) -> list[LegReport]:
        """As given."""
        return self._given(self.leg_reports)

    def services(self) -> list[ServiceReport]:
        """As given."""
        return self._given(self.service_reports)

    def servers(self) -> list[ServerReport]:
        """As given."""
        return self._given(self.server_reports)

    def connections(self, query: ConnectionQuery) -> ConnectionPage:
        """Those of the given ones that `query` asks for."""
        return query.answer(self._given(self.connection_reports))

    def hops(self) -> list[HopReport]:
        """As given."""
        return self._given(self.hop_reports)

    def counters(self) -> list[CounterReport]:
        """As given."""
        return self._given(self.counter_reports)

    def templates(self) -> list[TemplateReport]:
        """As given."""
        return self._given(self.template_reports)

    def timeouts(self) -> TimeoutsReport:
        """As given."""
        return self._given(self.timeouts_report)

    def zero(self, service: str | None = None) -> None:
        """Remember it in `zeroed`."""
        self._given(None)
        self.zeroed.append(service)

    def apply(self, text: str, file: str, *, dry_run: bool = False) -> ChangeReport:
        """Remember it in `applied`."""
        report = self._given(self.change_report)
        self.applied.append((text, file, dry_run))
        return report

    def edit(self, edits: Sequence[Edit]) -> EditReport:
        """Noted."""
        self._given(None)
        self.edited.extend(edits)
        return EditReport("lb1", self.edit_warnings)

    def dump(self) -> str:
        """As given."""
        return self._given(self.dumped)

    def detach(self, *, closed: bool | None = None) -> bool:
        """Remember it in `detached`."""
        self._given(None)
        self.detached = True
        return bool(closed)


def asked_for(event: Event, query: EventQuery) -> bool:
    """Whether `query` asks for `event`, but for its age."""
    return event.seq > (query.after or 0) and (not query.kinds or event.kind in query.kinds)


class ServedDirector:
    """`operations` served on `socket_path` by a loop in a thread of its own, for as long as ``with`` lasts."""

    def __init__(self, operations: Operations, socket_path: Path, access: Access | None = None) -> None:
        self._access = access
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=socket_path.stem, daemon=True)
        self._server = serve(operations, socket_path)

    def __enter__(self) -> Self:
        """Start it; raises DirectorError as `ApiServer.start` does."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(PATIENCE_S)
            if self._access is not None:
                self.adapt(self._access)
        except BaseException:
            self._end_loop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(PATIENCE_S)
        finally:
            self._end_loop()

    def adapt(self, access: Access) -> list[str]:
        """Be open as `access` says; what of it did not work."""
        found = asyncio.run_coroutine_threadsafe(self._server.adapt(access), self._loop).result(PATIENCE_S)
        return [str(problem) for problem in found.values() if problem]

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

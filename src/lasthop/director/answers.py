"""What a director answers: configuration, plan, data plane and table as reports.

Owns what is known at a moment, and the questions about it. Nothing here changes what is desired or published;
`lasthop.director.director` does. Reports are worded in `lasthop.director.reports`.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from typing import TYPE_CHECKING

from lasthop import __version__
from lasthop.config.build import timeout_key
from lasthop.config.dump import dump
from lasthop.director import reports
from lasthop.director.captures import Captures
from lasthop.director.drains import Drains
from lasthop.director.explaining import Explaining
from lasthop.errors import DirectorError, LasthopError
from lasthop.model.connection_query import ConnectionQuery, Top
from lasthop.model.director import State
from lasthop.model.status import StatusReport
from lasthop.model.timeouts import TimeoutsReport

if TYPE_CHECKING:
    from collections.abc import Collection

    from lasthop.dataplane.interface import DataPlane, TableSize
    from lasthop.director.captures import Capture
    from lasthop.model.configuration import Configuration
    from lasthop.model.connection_query import ConnectionPage
    from lasthop.model.counter import CounterReport
    from lasthop.model.described import Question
    from lasthop.model.drain import DrainReport
    from lasthop.model.explanation import ExplanationReport
    from lasthop.model.hop import HopReport
    from lasthop.model.leg import LegReport
    from lasthop.model.real_server import ServerReport
    from lasthop.model.service import ServiceReport
    from lasthop.model.template import TemplateReport
    from lasthop.policy.plan import Plan

#: Sweeps for those who ask may take this share of the director's time.
_SWEEP_SHARE = 0.05

_log = logging.getLogger(__name__)


class Answers:
    """A director as far as it can be asked."""

    def __init__(self, configuration: Configuration, file: str, dataplane: DataPlane) -> None:
        self._configuration = configuration
        self._file = file
        self._dataplane = dataplane
        self._plan: Plan | None = None
        self._size: TableSize | None = None
        self._noted: dict[str, str] = {}
        """Problem by what it is about."""
        self._missing: frozenset[str] = frozenset()
        self._started = time.monotonic()
        self._drains = Drains()
        self._captures = Captures(dataplane.inspection)
        self._swept_at = 0.0
        """When somebody's question was last answered by a sweep, and how long that took."""
        self._sweep_took_s = 0.0
        self.detached = False
        """True once `detach` took the data plane out: the process has nothing left to do."""

    def dump(self) -> str:
        """See Operations.dump."""
        return dump(self._configuration)

    def status(self) -> StatusReport:
        """See Operations.status."""
        plan, _ = self._ready()
        size = self._freshened()
        counters = self._live.counters()
        return StatusReport(
            director=self._configuration.director.name,
            version=__version__,
            pid=os.getpid(),
            uptime_s=round(time.monotonic() - self._started, 1),
            kernel=platform.release(),
            configuration=self._file,
            legs=len(plan.legs),
            legs_up=sum(leg.up for leg in plan.legs),
            services=len(plan.services),
            real_servers=len({server.name for service in plan.services for server in service.servers}),
            unresolved=reports.unresolved(plan),
            connections=size.connections,
            connections_max=size.maximum,
            assured=size.assured,
            hops=len(self._live.hops()),
            unexpected={counter.name: counter.value for counter in counters if counter.value and not counter.expected},
            problems=[*self._noted.values(), *reports.problems(plan)],
            asymmetric=self._live.inspection.asymmetry(),
            notes=[
                *reports.notes(self._live.resizing),
                *reports.drain_notes(self.drains()),
                *reports.leg_notes(plan),
            ],
        )

    def legs(self) -> list[LegReport]:
        """See Operations.legs."""
        plan, _ = self._ready()
        return reports.leg_reports(plan, self._live.attachments(), self._live.hops(), self._missing)

    def services(self) -> list[ServiceReport]:
        """See Operations.services."""
        plan, _ = self._ready()
        self._freshened()
        return reports.service_reports(plan, self._live.load(), self._live.traffic.services())

    def servers(self) -> list[ServerReport]:
        """See Operations.servers."""
        plan, _ = self._ready()
        self._freshened()
        return reports.server_reports(plan, self._live.load(), self._live.traffic.servers())

    def templates(self) -> list[TemplateReport]:
        """See Operations.templates."""
        self._ready()
        return self._live.traffic.templates()

    def drains(self) -> list[DrainReport]:
        """See Operations.drains."""
        self._ready()
        return self._drains.reports(self._live.load(self._drains.keys()), time.monotonic(), self._oldest_s)

    def timeouts(self) -> TimeoutsReport:
        """See Operations.timeouts."""
        timeouts = self._configuration.director.timeouts
        return TimeoutsReport(
            timeouts.profile,
            {timeout_key(state): timeouts.seconds[state] for state in State if state in timeouts.seconds},
        )

    def zero(self, service: str | None = None) -> None:
        """See Operations.zero."""
        if service is not None and not any(each.label == service for each in self._configuration.services):
            raise DirectorError(f"there is no service {service}", "see lasthop services")
        self._ready()
        self._swept_at = 0.0
        self._freshened()
        self._live.traffic.zero(service)

    def connections(self, query: ConnectionQuery) -> ConnectionPage:
        """See Operations.connections."""
        return self._live.connections(query)

    def hops(self) -> list[HopReport]:
        """See Operations.hops."""
        return self._live.hops()

    def counters(self) -> list[CounterReport]:
        """See Operations.counters."""
        return self._live.counters()

    def explain(self, question: Question) -> ExplanationReport:
        """See Operations.explain."""
        plan, _ = self._ready()
        return Explaining(self._configuration, plan, self._live).explain(question)

    def capture(self, leg: str, directions: Collection[str]) -> Capture:
        """See Operations.capture."""
        self._ready()
        legs = [attachment.leg for attachment in self._live.attachments()]
        if leg not in legs:
            raise DirectorError(f"can't capture on leg {leg!r}: there is none of that name", f"legs: {', '.join(legs)}")
        return self._captures.begin([leg], directions)

    def end_captures(self) -> None:
        """Close all captures: the director is about to stop."""
        self._captures.end()

    def _oldest_s(self, key: tuple[str, str]) -> float | None:
        page = self._live.connections(ConnectionQuery(service=key[0], server=key[1], top=Top.AGE, limit=1))
        return next((connection.age_s for connection in page.connections), None)

    def _freshened(self) -> TableSize:
        """Sweep, unless a sweep has just been: who asks often shall not take the director's time."""
        _, size = self._ready()
        began = time.monotonic()
        if began - self._swept_at >= self._sweep_took_s / _SWEEP_SHARE:
            self._size = size = self._live.sweep()
            self._swept_at = time.monotonic()
            self._sweep_took_s = self._swept_at - began
        return size

    def _note(self, about: str, problem: str) -> None:
        before = self._noted.pop(about, "")
        if problem:
            self._noted[about] = problem
        if problem and problem != before:
            _log.error("%s", problem)
        if before and not problem:
            _log.info("mended: %s", before)

    @property
    def _live(self) -> DataPlane:
        """The data plane. Raises DirectorError after `detach`: its descriptors are closed, and may be others' now."""
        if self.detached:
            name = self._configuration.director.name
            raise DirectorError(
                f"director '{name}' has detached and is ending", "start it again with: lasthop run FILE"
            )
        return self._dataplane

    def _ready(self) -> tuple[Plan, TableSize]:
        if self._plan is None or self._size is None:
            raise LasthopError("the director has not started", "wait until it has published its configuration")
        return self._plan, self._size

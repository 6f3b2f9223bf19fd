"""What a director answers: configuration, plan, data plane and table as reports.

Owns what is known at a moment, and the questions about it. Nothing here changes what is desired or published;
`lasthop.director.director` does. Reports are worded in `lasthop.director.reports`.
"""

from __future__ import annotations

import os
import platform
import time
from typing import TYPE_CHECKING

from lasthop import __version__
from lasthop.config.build import timeout_key
from lasthop.config.dump import dump
from lasthop.director import reports
from lasthop.director.packet_answers import PacketAnswers
from lasthop.errors import DirectorError
from lasthop.model.connection_query import ConnectionQuery, Top
from lasthop.model.director import State
from lasthop.model.status import StatusReport
from lasthop.model.timeouts import TimeoutsReport

if TYPE_CHECKING:
    from lasthop.director.events import Follower
    from lasthop.model.connection_query import ConnectionPage
    from lasthop.model.counter import CounterReport
    from lasthop.model.drain import DrainReport
    from lasthop.model.event import Event, EventQuery
    from lasthop.model.health import HealthReport
    from lasthop.model.hop import HopReport
    from lasthop.model.leg import LegReport
    from lasthop.model.real_server import ServerReport
    from lasthop.model.service import ServiceReport
    from lasthop.model.template import TemplateReport


class Answers(PacketAnswers):
    """A director as far as it can be asked."""

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
            problems=[*self._noted.values(), *reports.problems(plan), *reports.ill(self.health_reports(), plan)],
            asymmetric=self._live.inspection.asymmetry(),
            sweep=self._sweeps,
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

    def health(self) -> list[HealthReport]:
        """See Operations.health."""
        self._ready()
        return self.health_reports()

    def events(self, query: EventQuery) -> list[Event]:
        """See Operations.events."""
        return self.happened.recent(query)

    def follow_events(self, query: EventQuery) -> Follower:
        """See Operations.follow_events."""
        return self.happened.follow(query)

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

    def _oldest_s(self, key: tuple[str, str]) -> float | None:
        page = self._live.connections(ConnectionQuery(service=key[0], server=key[1], top=Top.AGE, limit=1))
        return next((connection.age_s for connection in page.connections), None)

"""The API's client: what the command line and other front ends use.

Owns the questions and orders that a director takes, by name. Neither the server nor a model is imported: a command
must not wait for them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from lasthop.api.channel import Channel, Filters, Report
from lasthop.api.far import Credentials
from lasthop.api.location import SOCKET_DIRECTORY, running

if TYPE_CHECKING:
    from collections.abc import Generator

    from lasthop.api.channel import Filter

__all__ = ["SOCKET_DIRECTORY", "Client", "Credentials", "Filters", "Part", "Report", "running"]


class Part(NamedTuple):
    """Some reports of many."""

    total: int
    reports: list[Report]


class Numbers(Channel):
    """What monitoring asks. Raises as `Channel` says."""

    def metrics(self, accept: str = "") -> str:
        """What Prometheus would scrape: its text format, or what `accept` asks for."""
        with self.answer("GET", "/metrics", headers={"Accept": accept or "text/plain"}) as answer:
            return answer.read().decode()


class CourseQuestions(Numbers):
    """What goes on with real servers, and what happens. Raises as `Channel` says."""

    def health(self) -> list[Report]:
        """What the health checks found."""
        return self.reports("health")

    def drains(self) -> list[Report]:
        """Fields of DrainReport each."""
        return self.reports("drains")

    def events(self, **filters: Filter) -> list[Report]:
        """What happened lately, the oldest first: fields of Event each, those that it has.

        Filters: after (seq), since (seconds), kind (one or several).
        """
        return self.reports("events", filters)

    def follow_events(self, **filters: Filter) -> Generator[Report | None, None, None]:
        """The same, then each as it happens, for as long as the iterator lives; it ends when the director does.

        Without `after` and `since`: from now on. None means that nothing happened for a while.
        """
        with self.answer("GET", "events", {"follow": "true", **filters}) as answer:
            while line := answer.read_line():
                event: Report | None = self.parsed(line) if line.strip() else None
                yield event


class Questions(CourseQuestions):
    """What can be asked, and changes nothing. Raises as `Channel` says."""

    def status(self) -> Report:
        """Fields of StatusReport."""
        report: Report = self.document("status")
        return report

    def legs(self) -> list[Report]:
        """Fields of LegReport each."""
        return self.reports("legs")

    def services(self) -> list[Report]:
        """Fields of ServiceReport each."""
        return self.reports("services")

    def servers(self) -> list[Report]:
        """Fields of ServerReport each."""
        return self.reports("servers")

    def connections(self, **filters: Filter) -> list[Report]:
        """Fields of ConnectionReport each.

        Filters: service, server, state, client, older_than (seconds), top (packets, bytes, age), limit; None is none.
        """
        return self.some_connections(**filters).reports

    def some_connections(self, **filters: Filter) -> Part:
        """`connections`, and how many there would be without a limit."""
        with self.answer("GET", "connections", filters) as answer:
            reports: list[Report] = self.parsed(answer.read())
            return Part(len(reports) if answer.total is None else answer.total, reports)

    def count_connections(self, **filters: Filter) -> int:
        """How many connections there are. Filters: service, server, state, client, older_than."""
        return int(self.document("connections/count", filters)["connections"])

    def hops(self) -> list[Report]:
        """Fields of HopReport each."""
        return self.reports("hops")

    def counters(self) -> list[Report]:
        """Fields of CounterReport each."""
        return self.reports("counters")

    def templates(self) -> list[Report]:
        """Fields of TemplateReport each."""
        return self.reports("templates")

    def timeouts(self) -> Report:
        """Fields of TimeoutsReport."""
        report: Report = self.document("timeouts")
        return report

    def explain(self, question: Report) -> Report:
        """What would become of a packet, and why: fields of ExplanationReport. `question` has those of Question."""
        with self.answer("POST", "explain", body=json.dumps(question).encode()) as answer:
            report: Report = self.parsed(answer.read())
        return report

    def capture(self, leg: str, direction: str = "both") -> Generator[Report, None, None]:
        """The frames of a leg as they come, for as long as the iterator lives: fields of CapturedPortion each.

        `direction` is ``in``, ``out`` or ``both``. The first portion comes when capturing has begun; it ends when the
        director does.
        """
        with self.answer("GET", "capture", {"leg": leg, "direction": direction}) as answer:
            while line := answer.read_line():
                portion: Report = self.parsed(line)
                yield portion


class Client(Questions):
    """Speaks to one director; see `Channel`."""

    def zero(self, service: str | None = None) -> None:
        """Set the statistics of a service and its real servers to zero, or all.

        Raises DirectorError for an unknown service.
        """
        with self.answer("POST", "zero", {"service": service}):
            pass

    def apply(self, file: str, text: str, *, dry_run: bool = False) -> Report:
        """Let `text`, which is in `file`, be the configuration, or say what it would change. Fields of ChangeReport.

        Raises ConfigurationError with every mistake in it; nothing has changed then, nor after DirectorError.
        """
        body = json.dumps({"file": file, "text": text, "dry_run": dry_run}).encode()
        with self.answer("POST", "apply", body=body) as answer:
            report: Report = json.loads(answer.read())
        return report

    def edit(self, edits: list[Report]) -> Report:
        """Make edits of the running configuration, all or none; each has the fields of one of `lasthop.model.edit`'s.

        Returns the fields of EditReport. Raises EditError, which knows the place of the edit that was refused.
        """
        with self.answer("POST", "edit", body=json.dumps(edits).encode()) as answer:
            report: Report = json.loads(answer.read())
        return report

    def dump(self) -> str:
        """The running configuration as the text of a configuration file."""
        with self.answer("GET", "dump") as answer:
            return answer.read().decode()

    def detach(self, *, closed: bool | None = None) -> bool:
        """Take the data plane out of the kernel; all connections are forgotten. Returns whether the legs are closed."""
        asked: Filters = {} if closed is None else {"closed": str(closed).lower()}
        with self.answer("POST", "detach", asked) as answer:
            return bool(json.loads(answer.read())["closed"])

"""A director in memory that ipvsadm is tried on: edits are made and refused as the real one does. No tests here."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lasthop.api.edits import EDITS
from lasthop.api.fake import FakeOperations
from lasthop.api.sample import sample
from lasthop.cli.ipvsadm.program import called
from lasthop.cli.ipvsadm.save import TIMEOUTS
from lasthop.director.advice import warnings_of
from lasthop.director.edits import edited
from lasthop.errors import DirectorError
from lasthop.model.configuration import Configuration
from lasthop.model.director import Director, State
from lasthop.model.edit import EditReport
from lasthop.model.leg import Leg
from lasthop.model.real_server import ServerReport
from lasthop.model.service import ServiceReport
from lasthop.model.timeouts import TimeoutsReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lasthop.api.client import Client
    from lasthop.model.edit import Edit
    from lasthop.model.service import Service

EMPTY = Configuration(Director("lb1", connections=4096), (Leg("inside", "eth1", "edge"),), ())
STATES = (State.ESTABLISHED, State.FIN_WAIT, State.UDP)


def service_report(service: Service) -> ServiceReport:
    persistence = service.persistence
    return ServiceReport(
        service.label, service.scheduler, None if persistence is None else persistence.timeout, "drop", 0, 0, 0, 0, 0,
        scheduler_flags=service.scheduler_flags,
        persistence_prefix=32 if persistence is None else persistence.prefix,
        persistence_prefix6=128 if persistence is None else persistence.prefix6,
        one_packet=service.one_packet,
    )  # fmt: skip


def server_reports(service: Service) -> list[ServerReport]:
    return [
        ServerReport(
            each.name, service.label, str(each.address), each.weight, each.weight, "up", 0, 0, 0, "inside", "",
            upper_threshold=each.upper_threshold,
            lower_threshold=each.lower_threshold,
        )
        for each in service.real_servers
    ]  # fmt: skip


@dataclass
class EditedOperations(FakeOperations):
    """Operations whose services are those of a configuration that is edited."""

    configuration: Configuration = field(default_factory=lambda: EMPTY)

    def services(self) -> list[ServiceReport]:
        return [service_report(each) for each in self.configuration.services]

    def servers(self) -> list[ServerReport]:
        return [report for each in self.configuration.services for report in server_reports(each)]

    def timeouts(self) -> TimeoutsReport:
        timeouts = self.configuration.director.timeouts
        seconds = {key: timeouts.seconds[state] for key, state in zip(TIMEOUTS, STATES, strict=True)}
        return TimeoutsReport(timeouts.profile, seconds)

    def edit(self, edits: Sequence[Edit]) -> EditReport:
        self.configuration = edited(self.configuration, edits)
        return EditReport("lb1", warnings_of(self.configuration, edits))

    def zero(self, service: str | None = None) -> None:
        if service is not None and service not in {each.label for each in self.configuration.services}:
            raise DirectorError(f"can't set the statistics of '{service}' to zero: there is no such service", "")
        super().zero(service)


def operations() -> EditedOperations:
    """Operations of a director without services, whose table holds 4096 connections."""
    given = vars(sample()) | {"hop_reports": [], "connection_reports": []}
    status = given["status_report"]
    given["status_report"] = type(status)(**asdict(status) | {"connections_max": 4096})
    return EditedOperations(**given)


class DirectClient:
    """What `lasthop.api.client.Client` is to ipvsadm, without a socket between."""

    def __init__(self, answering: FakeOperations) -> None:
        self.operations = answering

    def __getattr__(self, noun: str) -> Any:
        return lambda: _plain(getattr(self.operations, noun)())

    def edit(self, edits: list[dict[str, Any]]) -> dict[str, Any]:
        return asdict(self.operations.edit(EDITS.validate_python(edits)))

    def zero(self, service: str | None = None) -> None:
        self.operations.zero(service)


def _plain(reports: Any) -> Any:
    return [asdict(report) for report in reports] if isinstance(reports, list) else asdict(reports)


class Said(NamedTuple):
    """What a run of ipvsadm did."""

    status: int
    out: str
    err: str


def ipvsadm(answering: FakeOperations, *words: str, given: str = "", name: str = "ipvsadm") -> Said:
    """Run ipvsadm, or the program of another name, on a director; `given` is its standard input."""
    out, err = io.StringIO(), io.StringIO()
    client = cast("Client", DirectClient(answering))
    before, sys.stdin = sys.stdin, io.StringIO(given)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = called(name, words, client)
    finally:
        sys.stdin = before
    return Said(status, out.getvalue(), err.getvalue())

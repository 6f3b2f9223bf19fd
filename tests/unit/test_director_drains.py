"""Drains: how far they are, and what the director does when their time is over."""

from __future__ import annotations

import dataclasses
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from lasthop.config import parse
from lasthop.config.dump import dump
from lasthop.director.advice import warnings_of
from lasthop.director.edits import edited
from lasthop.errors import DataPlaneError, EditError
from lasthop.model.change import Stranded
from lasthop.model.director import State
from lasthop.model.edit import Administer, DeleteServer, ServerEdit, Weigh
from lasthop.model.real_server import Admin
from tests.unit.director_worlds import CLIENT, CONFIGURATION, FW1, ROUTER_MAC, WWW, server, started

if TYPE_CHECKING:
    from lasthop.dataplane.fake import FakeDataPlane
    from lasthop.director.director import Director

FW1_OF = ("FWM 1", "fw1")


class Clock:
    """Both clocks of the director, moved by hand."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.wall = time.time()
        patch.setattr("lasthop.director.director.time.monotonic", lambda: self.now)
        patch.setattr("lasthop.director.director.time.time", lambda: self.wall)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def with_connections(count: int = 2) -> tuple[Director, FakeDataPlane]:
    director, dataplane = started()
    for port in range(count):
        dataplane.open(FW1_OF, ("outside", ROUTER_MAC), (CLIENT[0], 1000 + port), WWW, State.ESTABLISHED)
    return director, dataplane


def test_a_drained_real_server_keeps_its_weight_and_gets_no_new_connections(clock: Clock) -> None:
    director, dataplane = with_connections()
    director.edit([Administer("drain", "fw1")])
    report = server(director, "fw1")
    assert (report.admin, report.weight, report.effective_weight, report.health) == ("drained", 1, 0, "up")
    assert (report.active, director.services()[0].usable) == (2, 1)
    (drain,) = director.drains()
    assert (drain.service, drain.real_server, drain.remaining, drain.deadline_s) == (*FW1_OF, 2, None)
    assert (drain.oldest_s, drain.on_death, drain.eta_s) == (0, "rebalance", None)
    clock.now += 10
    director.drain_step()
    dataplane.expire()
    assert [(each.remaining, each.oldest_s, each.eta_s) for each in director.drains()] == [(0, None, 0)]
    director.edit([Administer("enable", "fw1")])
    assert (director.drains(), server(director, "fw1").effective_weight) == ([], 1)


def test_the_estimate_is_made_of_what_was_seen_since(clock: Clock) -> None:
    director, dataplane = with_connections(100)
    director.edit([Administer("drain", "fw1")])
    director.drain_step()
    clock.now += 60
    del dataplane.pinned.connections[:50]
    (drain,) = director.drains()
    assert drain.remaining == 50
    assert drain.eta_s == pytest.approx(60 / 0.6931 * 4.499, rel=0.01), "the 50th harmonic number, half-life a minute"


def test_at_the_deadline_it_becomes_disabled_which_the_log_tells(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    director, _ = with_connections()
    director.edit([Administer("drain", "fw1", until_s=clock.wall + 600)])
    (drain,) = director.drains()
    assert drain.deadline_s == pytest.approx(600, abs=0.1)
    clock.now += 599
    director.drain_step()
    assert server(director, "fw1").admin == "drained"
    clock.now += 2
    with caplog.at_level(logging.INFO):
        director.drain_step()
    assert (server(director, "fw1").admin, server(director, "fw1").effective_weight) == ("disabled", 0)
    assert director.drains() == []
    assert "real server fw1 of FWM 1 is disabled: its drain is over, 2 connections left" in caplog.text
    assert "edit: kind=disable server=fw1 service=FWM 1" in caplog.text
    assert director.status().notes == []


def test_a_clock_that_is_set_moves_no_deadline(clock: Clock) -> None:
    director, _ = with_connections()
    director.edit([Administer("drain", "fw1", until_s=clock.wall + 600)])
    clock.wall += 86_400
    director.drain_step()
    director.edit([Administer("drain", "fw2")])
    director.drain_step()
    assert server(director, "fw1").admin == "drained"
    assert [drain.deadline_s for drain in director.drains()] == [600, None]


def test_a_deadline_that_passed_while_the_director_was_down_holds_when_it_starts(clock: Clock) -> None:
    until = datetime.fromtimestamp(clock.wall - 5, UTC)
    firewalls = (
        dataclasses.replace(CONFIGURATION.services[0].real_servers[0], admin=Admin.DRAINED, drain_until=until),
        CONFIGURATION.services[0].real_servers[1],
    )
    service = dataclasses.replace(CONFIGURATION.services[0], real_servers=firewalls)
    director, _ = started(
        configuration=dataclasses.replace(CONFIGURATION, services=(service, CONFIGURATION.services[1]))
    )
    director.drain_step()
    assert server(director, "fw1").admin == "disabled"


def test_a_deadline_that_cannot_be_kept_is_told_and_tried_again(clock: Clock) -> None:
    director, dataplane = with_connections()
    director.edit([Administer("drain", "fw1", until_s=clock.wall + 1)])
    clock.now += 2
    dataplane.refusal = DataPlaneError("can't publish: no", "do something")
    director.drain_step()
    assert server(director, "fw1").admin == "drained"
    assert "can't publish: no; do something" in director.status().problems
    dataplane.refusal = None
    director.drain_step()
    assert server(director, "fw1").admin == "disabled"
    assert director.status().problems == []


def test_the_status_says_how_far_each_drain_is(clock: Clock) -> None:
    director, _ = with_connections(1)
    director.edit([Administer("drain", "fw1", until_s=clock.wall + 600)])
    assert director.status().notes == [
        (
            "real server fw1 of FWM 1 is drained: 1 connection left, the oldest 0 s old; "
            "in 600 s it is disabled (on_death = rebalance)"
        )
    ]


def test_a_drained_real_server_that_is_removed_is_watched_no_more(clock: Clock) -> None:
    director, _ = with_connections()
    director.edit([Administer("drain", "fw1", until_s=clock.wall + 1)])
    director.edit([DeleteServer("delete_server", "FWM 1", str(FW1))])
    clock.now += 2
    director.drain_step()
    assert director.drains() == []


def test_drains_are_edits_of_one_service_or_all_and_a_file_says_them_too() -> None:
    until = datetime(2030, 1, 31, 12, tzinfo=UTC)
    after = edited(
        CONFIGURATION, [Administer("drain", "fw1", "FWM 1", until.timestamp()), Administer("disable", "fw2")]
    )
    fw1, fw2 = after.services[0].real_servers
    assert (fw1.admin, fw1.drain_until, fw2.admin) == (Admin.DRAINED, until, Admin.DISABLED)
    assert "drain_until = 2030-01-31" in dump(after)
    assert parse(dump(after), "x.toml", 5000) == after
    again = edited(after, [Administer("disable", "fw1")]).services[0].real_servers[0]
    assert (again.admin, again.drain_until) == (Admin.DISABLED, None)


def test_a_file_that_disables_a_real_server_tells_whose_connections_are_on_it() -> None:
    director, _ = with_connections()
    after = edited(CONFIGURATION, [Administer("disable", "fw1")])
    report = director.apply(dump(after), "/etc/lasthop/lb1.toml", dry_run=True)
    (change,) = report.changes
    assert (change.subject, change.details) == ("real server fw1 of FWM 1", ("admin enabled -> disabled",))
    assert report.stranded == [Stranded("FWM 1", "fw1", "disabled", 2)]
    assert server(director, "fw1").admin == "enabled"


def test_a_weight_for_one_that_is_drained_warns_that_it_changes_nothing() -> None:
    drained = edited(CONFIGURATION, [Administer("drain", "fw1")])
    for edit in (Weigh("weigh", "fw1", 5), ServerEdit("edit_server", "FWM 1", str(FW1), weight=5)):
        (told,) = warnings_of(edited(drained, [edit]), [edit])
        assert told.startswith("real server fw1 is drained and gets no new connections")
    assert warnings_of(drained, [Weigh("weigh", "fw1", 0), Weigh("weigh", "fw2", 5)]) == []


def test_a_service_whose_real_servers_are_all_drained_is_a_problem(clock: Clock) -> None:
    director, _ = started()
    director.edit([Administer("drain", "fw1"), Weigh("weigh", "fw2", 0)])
    (problem,) = director.status().problems
    assert problem.startswith("service FWM 1 has nobody for new connections")
    director.edit([Administer("enable", "fw1")])
    assert director.status().problems == []


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (Administer("drain", "fw9"), "no_such_server"),
        (Administer("drain", "fw1", "FWM 2"), "no_such_server"),
        (Administer("drain", "fw1", "FWM 9"), "no_such_service"),
    ],
)
def test_what_is_not_there_cannot_be_drained(edit: Administer, code: str) -> None:
    with pytest.raises(EditError) as caught:
        edited(CONFIGURATION, [edit])
    assert caught.value.code == code

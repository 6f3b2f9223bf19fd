"""What a director reports: status, legs, services and servers, in numbers and sentences."""

from __future__ import annotations

import dataclasses
import os
import platform
from functools import partial
from typing import TYPE_CHECKING

import pytest

from lasthop import __version__
from lasthop.dataplane.fake import FakeDataPlane
from lasthop.dataplane.interface import Altered
from lasthop.director.director import Director
from lasthop.errors import DataPlaneError, DirectorError
from lasthop.model.connection_query import ConnectionQuery
from lasthop.model.director import State
from lasthop.model.edit import SetTimeouts
from lasthop.model.leg import LegReport
from lasthop.model.real_server import ServerReport
from lasthop.model.service import ServiceReport
from lasthop.model.statistics import Statistics
from tests.unit.director_worlds import (
    CLIENT,
    CONFIGURATION,
    ETH0,
    ETH1,
    FW1_MAC,
    OTHER_MAC,
    ROUTER_MAC,
    SERVICES,
    WHOLE,
    WWW,
    observation,
    started,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_the_status_of_a_healthy_director_has_no_problem() -> None:
    director, _ = started()
    status = dataclasses.asdict(director.status())
    assert 0 <= status.pop("uptime_s") < 60
    assert status.pop("sweep")["sweeps"] == 1
    assert status == {
        "director": "lb1",
        "version": __version__,
        "pid": os.getpid(),
        "kernel": platform.release(),
        "configuration": "/etc/lasthop/lb1.toml",
        "legs": 2,
        "legs_up": 2,
        "services": 2,
        "real_servers": 3,
        "unresolved": [],
        "connections": 0,
        "connections_max": 5000,
        "assured": 0,
        "hops": 3,
        "unexpected": {},
        "problems": [],
        "asymmetric": {"count": 0, "samples": []},
        "notes": [],
    }


def test_the_status_counts_the_connections_there_are_now() -> None:
    director, dataplane = started()
    dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), CLIENT, WWW)
    dataplane.open(("FWM 1", "fw1"), ("outside", OTHER_MAC), (CLIENT[0], 2), WWW, State.SYN_RECV)
    status = director.status()
    assert (status.connections, status.assured, status.hops) == (2, 1, 4)


def test_the_status_shows_counters_that_should_be_zero_and_are_not() -> None:
    director, dataplane = started()
    dataplane.pinned.counts["drop_loop"] += 3
    dataplane.pinned.counts["forwarded_request"] += 5
    assert director.status().unexpected == {"drop_loop": 3}


def test_legs_are_reported_in_the_order_of_the_file() -> None:
    director, dataplane = started()
    dataplane.open(("FWM 1", "fw1"), ("outside", OTHER_MAC), CLIENT, WWW)
    assert director.legs() == [
        LegReport("outside", "eth0", None, "edge", "tc", ETH0.mac, 1500, "up", xdp_transmit=False, hops=2),
        LegReport("firewalls", "eth1", None, "edge", "tc", ETH1.mac, 9000, "up", xdp_transmit=False, hops=2),
    ]


def test_servers_are_reported_with_their_live_connections() -> None:
    director, dataplane = started(observation(fw2=None))
    dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), CLIENT, WWW)
    dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), (CLIENT[0], 2), WWW, State.FIN_WAIT)
    assert [dataclasses.replace(each, statistics=Statistics()) for each in director.servers()] == [
        ServerReport("fw1", "FWM 1", "10.0.1.11", 1, 1, "up", 1, 1, 0, "firewalls", FW1_MAC),
        ServerReport("fw2", "FWM 1", "10.0.1.12", 3, 0, "unresolved", 0, 0, 0, "firewalls", ""),
        ServerReport("router", "FWM 2", "192.0.2.1", 1, 1, "up", 0, 0, 0, "outside", ROUTER_MAC),
    ]


def test_services_are_reported_with_the_sums_of_their_real_servers() -> None:
    director, dataplane = started(observation(fw2=None))
    dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), CLIENT, WWW)
    dataplane.open(("FWM 2", "router"), ("firewalls", FW1_MAC), WWW, CLIENT, State.UDP)
    assert [dataclasses.replace(each, statistics=Statistics()) for each in director.services()] == [
        ServiceReport("FWM 1", "wlc", None, "drop", 2, 1, 1, 0, 0),
        ServiceReport("FWM 2", "rr", None, "drop", 1, 1, 0, 1, 0),
    ]


def test_traffic_is_reported_of_services_and_real_servers_from_the_last_zero_on() -> None:
    director, dataplane = started()
    dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), CLIENT, WWW)
    dataplane.open(("FWM 1", "fw2"), ("outside", ROUTER_MAC), (CLIENT[0], 2), WWW)
    dataplane.open(("FWM 2", "router"), ("firewalls", FW1_MAC), WWW, CLIENT)
    assert [each.statistics.connections for each in director.services()] == [2, 1]
    assert [each.statistics.connections for each in director.servers()] == [1, 1, 1]
    director.zero("FWM 1")
    dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), (CLIENT[0], 3), WWW)
    assert [each.statistics.connections for each in director.services()] == [1, 1]
    assert [each.statistics.connections for each in director.servers()] == [1, 0, 1]
    director.zero()
    assert [each.statistics.connections for each in director.services()] == [0, 0]
    with pytest.raises(DirectorError, match="there is no service FWM 9"):
        director.zero("FWM 9")


def test_timeouts_are_reported_by_their_keys() -> None:
    director, _ = started()
    told = director.timeouts()
    assert (told.profile, told.seconds["tcp_established"], told.seconds["udp"]) == ("firewall-safe", 432_000, 300)
    director.edit([SetTimeouts("set_timeouts", tcp=900)])
    assert director.timeouts().seconds["tcp_established"] == 900


def test_a_service_counts_the_connections_of_real_servers_that_were_removed() -> None:
    director, dataplane = started()
    dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), CLIENT, WWW)
    director.close()
    smaller = dataclasses.replace(SERVICES[0], real_servers=SERVICES[0].real_servers[1:])
    configuration = dataclasses.replace(CONFIGURATION, services=(smaller, SERVICES[1]))
    successor = Director(configuration, "", FakeDataPlane(pinned=dataplane.pinned))
    successor.start(WHOLE)
    assert [server.name for server in successor.servers()] == ["fw2", "router"]
    assert (successor.services()[0].real_servers, successor.services()[0].active) == (1, 1)


def test_detach_takes_the_data_plane_out_and_tells_the_process() -> None:
    director, dataplane = started()
    told: list[bool] = []
    director.on_detached = lambda: told.append(director.detached)
    director.detach()
    assert told == [True]
    assert dataplane.pinned.plan is None
    director.close()


def test_a_director_that_detached_touches_the_data_plane_no_more() -> None:
    """Its descriptors are closed, and the next files this process opens get their numbers."""
    director, dataplane = started()
    director.detach()
    director.observed(observation(fw1=OTHER_MAC))
    director.sweep()
    assert dataplane.pinned.plan is None, "nothing was published anew"
    connections = partial(director.connections, ConnectionQuery())
    for question in (director.status, director.legs, director.servers, connections, director.hops):
        with pytest.raises(DirectorError, match="has detached"):
            question()


def test_close_leaves_the_data_plane_forwarding() -> None:
    director, dataplane = started()
    director.close()
    assert dataplane.closed
    assert dataplane.pinned.plan is not None


def test_what_somebody_else_changed_is_told(caplog: pytest.LogCaptureFixture) -> None:
    director, dataplane = started()
    dataplane.altered = [Altered("map rules", 0), Altered("map servers", 2), Altered("the programs on leg x (eth0)", 1)]
    assert len(list(director.read_back())) == 3
    assert [(record.getMessage(), record.levelname) for record in caplog.records] == [
        ("map servers: somebody else had changed 2 entries, put right", "WARNING"),
        ("the programs on leg x (eth0): somebody else had taken them off, attached again", "WARNING"),
    ]
    assert director.status().problems == []


def test_what_can_not_be_put_right_is_a_problem_until_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    director, dataplane = started()
    refusal = DataPlaneError("can't attach to leg 'x' (eth0): another director is attached to it", "stop it")

    def refused() -> Iterator[Altered]:
        raise refusal
        yield

    with monkeypatch.context() as patched:
        patched.setattr(dataplane, "read_back", refused)
        assert list(director.read_back()) == []
    assert director.status().problems == [str(refusal)]
    assert list(director.read_back()) == []
    assert director.status().problems == []


def test_reading_back_ends_with_the_data_plane() -> None:
    director, dataplane = started()
    dataplane.altered = [Altered("map rules", 0), Altered("map servers", 2)]
    looking = director.read_back()
    next(looking)
    director.detach()
    assert list(looking) == []
    assert dataplane.altered == [Altered("map servers", 2)]

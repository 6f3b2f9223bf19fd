"""What a director makes of what it observes: real servers, legs and addresses come, move and go."""

from __future__ import annotations

import logging
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network
from typing import TYPE_CHECKING

import pytest

from lasthop.dataplane.fake import FakeDataPlane
from lasthop.director.director import Director
from lasthop.errors import DataPlaneError, LasthopError, NetworkError
from lasthop.model.connection_query import ConnectionQuery
from lasthop.model.edit import Administer
from lasthop.model.health import Health, Known
from lasthop.model.leg import Mode
from tests.unit.director_worlds import (
    CLIENT,
    CONFIGURATION,
    ETH0,
    ETH1,
    FW1,
    FW1_MAC,
    FW2,
    FW2_MAC,
    LEGS,
    OTHER_MAC,
    ROUTER,
    ROUTER_MAC,
    WHOLE,
    WWW,
    leg,
    observation,
    server,
    started,
)

if TYPE_CHECKING:
    from lasthop.network.interface import Observation

DOWN = replace(ETH1, up=False)
NO_ETH0_ADDRESS = replace(ETH0, addresses=())
NO_ADDRESS = replace(ETH1, addresses=())
NO_XDP = DataPlaneError("can't attach to leg 'outside' (eth0): driver has no native XDP", 'set mode = "tc"')


def test_the_mac_addresses_of_all_real_servers_are_wanted() -> None:
    director, _ = started(observation(fw1=None, fw2=None, router=None))
    assert director.wanted == {(2, ROUTER), (3, FW1), (3, FW2)}


def test_nothing_is_wanted_before_the_start() -> None:
    assert Director(CONFIGURATION, "", FakeDataPlane()).wanted == frozenset()


def test_an_unresolved_real_server_is_no_reason_to_stop_and_joins_later() -> None:
    director, dataplane = started(observation(fw1=None))
    assert (server(director, "fw1").health, server(director, "fw1").mac) == ("unresolved", "")
    assert director.status().unresolved == ["fw1"]
    assert server(director, "fw1").effective_weight == 0
    director.observed(WHOLE)
    assert (server(director, "fw1").health, server(director, "fw1").mac) == ("up", FW1_MAC)
    assert director.status().unresolved == []
    assert FW1_MAC in {hop.mac for hop in dataplane.hops()}


def test_a_mac_address_that_moves_takes_the_connections_along() -> None:
    director, dataplane = started()
    dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), CLIENT, WWW)
    director.observed(observation(fw1=OTHER_MAC))
    (connection,) = director.connections(ConnectionQuery()).connections
    assert connection.forward_hop.mac == OTHER_MAC
    assert [hop.moved for hop in director.hops() if hop.name == "fw1"] == [1]


def test_a_real_server_that_the_kernel_forgets_gets_nothing_new() -> None:
    director, dataplane = started()
    director.observed(observation(fw1=None))
    assert server(director, "fw1").health == "unresolved"
    plan = dataplane.pinned.plan
    assert plan is not None
    assert set(plan.services[0].fallback) == {1}


def test_a_leg_that_goes_down_is_shown_and_its_real_servers_get_nothing() -> None:
    director, _ = started()
    director.observed(observation(ETH0, DOWN))
    assert leg(director, "firewalls").state == "down"
    assert {server(director, name).health for name in ("fw1", "fw2")} == {"down"}
    assert director.status().legs_up == 1
    assert director.status().problems == [
        "leg firewalls (eth1) is down",
        "service FWM 1 has no usable real server; when_empty = drop",
    ]
    director.observed(WHOLE)
    assert leg(director, "firewalls").state == "up"
    assert director.status().problems == []


def test_an_interface_that_is_gone_is_missing_and_the_rest_goes_on() -> None:
    director, dataplane = started()
    director.observed(observation(ETH0, fw1=None, fw2=None))
    assert leg(director, "firewalls").state == "missing"
    assert leg(director, "outside").state == "up"
    assert server(director, "fw1").effective_weight == 0
    assert server(director, "router").effective_weight == 1
    assert director.status().problems[0] == (
        "can't use interface 'eth1' as leg 'firewalls': there is no such interface; use one of eth0, or create it first"
    )
    plan = dataplane.pinned.plan
    assert plan is not None
    assert [server.usable for server in plan.services[0].servers] == [False, False]


def test_real_servers_behind_a_missing_interface_are_chosen_in_no_way() -> None:
    """Neither by turn nor by rendezvous: both tables hold usable real servers only."""
    director, dataplane = started()
    director.observed(observation(ETH1, router=None))
    plan = dataplane.pinned.plan
    assert plan is not None
    (router,) = plan.services[1].servers
    assert (router.usable, plan.services[1].turns, plan.services[1].fallback) == (False, (), ())


def test_an_interface_that_is_made_again_is_a_leg_again() -> None:
    director, dataplane = started()
    director.observed(observation(ETH0))
    again = replace(ETH1, ifindex=9, mac="02:00:00:00:00:09")
    director.observed(replace(WHOLE, links={"eth0": ETH0, "eth1": again}, neighbours={(9, FW1): FW1_MAC}))
    assert (leg(director, "firewalls").state, leg(director, "firewalls").mac) == ("up", again.mac)
    assert (9, FW1) in director.wanted
    assert server(director, "fw1").health == "up"
    plan = dataplane.pinned.plan
    assert plan is not None
    assert [each.ifindex for each in plan.legs] == [2, 9]


def test_a_renamed_interface_is_missing_under_its_old_name() -> None:
    director, _ = started()
    director.observed(observation(ETH0, replace(ETH1, name="eth7")))
    assert leg(director, "firewalls").state == "missing"
    assert "use one of eth0, eth7" in director.status().problems[0]


def test_while_an_interface_is_missing_real_servers_elsewhere_still_move() -> None:
    director, _ = started()
    director.observed(observation(ETH0, router=OTHER_MAC, fw1=None, fw2=None))
    assert server(director, "router").mac == OTHER_MAC


@pytest.mark.parametrize("seen", [observation(ETH1, router=None), observation(NO_ETH0_ADDRESS, ETH1)])
def test_while_one_leg_lacks_something_a_firewall_that_dies_on_another_gets_nothing_new(seen: Observation) -> None:
    director, _ = started()
    director.observed(seen)
    lacking = director.status().problems[0]
    director.health_of = lambda: {("FWM 1", "fw1"): Known(Health.DOWN, 0.0)}
    director.health_changed()
    assert [server(director, name).effective_weight for name in ("fw1", "fw2")] == [0, 3]
    assert director.status().problems[0] == lacking
    director.observed(seen)
    assert [server(director, name).effective_weight for name in ("fw1", "fw2")] == [0, 3]
    director.observed(WHOLE)
    assert lacking not in director.status().problems


def test_while_one_leg_is_missing_commands_are_taken_and_it_stays_missing() -> None:
    director, _ = started()
    director.observed(observation(ETH1, router=None))
    lacking = director.status().problems[0]
    director.edit([Administer("disable", "fw1")])
    assert [server(director, name).effective_weight for name in ("fw1", "fw2")] == [0, 3]
    assert (leg(director, "outside").state, director.status().problems[0]) == ("missing", lacking)


def test_while_a_leg_has_no_address_real_servers_still_move() -> None:
    director, _ = started()
    director.observed(observation(ETH0, NO_ADDRESS, router=OTHER_MAC, fw2=OTHER_MAC))
    assert "real server 'fw1' 10.0.1.11 of service FWM 1 is on no leg" in director.status().problems[0]
    assert (server(director, "fw1").mac, server(director, "fw2").mac) == (FW1_MAC, OTHER_MAC)
    assert server(director, "router").mac == OTHER_MAC


def test_while_a_leg_has_no_address_another_that_goes_down_is_shown() -> None:
    director, _ = started()
    director.observed(observation(replace(ETH0, up=False), NO_ADDRESS))
    assert leg(director, "outside").state == "down"
    assert server(director, "router").effective_weight == 0


def test_an_address_that_is_gone_for_a_while_leaves_the_plan_and_its_connections() -> None:
    director, dataplane = started()
    dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), CLIENT, WWW)
    director.observed(observation(ETH0, NO_ADDRESS))
    assert server(director, "fw1").health == "up"
    assert director.connections(ConnectionQuery()).total == 1
    director.observed(WHOLE)
    assert director.status().problems == []


def test_an_address_that_is_added_is_published() -> None:
    director, dataplane = started()
    more = replace(ETH1, addresses=(*ETH1.addresses, IPv4Interface("10.0.1.2/24")))
    local = WHOLE.local | {IPv4Network("10.0.1.2/32")}
    director.observed(replace(observation(ETH0, more), local=local))
    plan = dataplane.pinned.plan
    assert plan is not None
    assert plan.local == local


def test_an_address_that_turns_out_to_be_our_own_is_a_problem_and_the_plan_stays() -> None:
    director, _ = started()
    more = replace(ETH1, addresses=(*ETH1.addresses, IPv4Interface("10.0.1.11/24")))
    director.observed(observation(ETH0, more))
    assert "is an address of this machine" in director.status().problems[0]
    assert server(director, "fw1").health == "up"


def test_a_macvlan_on_a_leg_gives_it_another_mac_address_of_its_own() -> None:
    director, dataplane = started()
    macvlan = replace(ETH1, ifindex=7, name="vrrp1", mac="00:00:5e:00:01:0a", kind="macvlan", parent=3, addresses=())
    director.observed(observation(ETH0, ETH1, macvlan))
    plan = dataplane.pinned.plan
    assert plan is not None
    assert plan.legs[1].own_macs == {ETH1.mac, macvlan.mac}


def test_a_plan_the_data_plane_refuses_leaves_the_one_before_and_is_tried_again() -> None:
    director, dataplane = started()
    dataplane.refusal = NO_XDP
    director.observed(observation(fw1=OTHER_MAC))
    assert server(director, "fw1").mac == FW1_MAC
    assert director.status().problems == [str(NO_XDP)]
    dataplane.refusal = None
    director.observed(observation(fw1=OTHER_MAC))
    assert server(director, "fw1").mac == OTHER_MAC
    assert director.status().problems == []


def test_a_network_that_cannot_be_read_is_a_problem_until_it_can() -> None:
    director, _ = started()
    director.noted("network", NetworkError("can't read links: they changed", "try again"))
    assert director.status().problems == ["can't read links: they changed; try again"]
    assert server(director, "fw1").mac == FW1_MAC
    director.observed(WHOLE)
    assert director.status().problems == []


def test_a_problem_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    director, _ = started()
    for _ in range(3):
        director.observed(observation(ETH0, NO_ADDRESS))
    director.observed(WHOLE)
    said = [record.getMessage() for record in caplog.records]
    assert [each.startswith("mended: ") for each in said] == [False, True]
    assert "is on no leg" in said[0]


def test_what_an_operator_cares_about_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    director, _ = started(observation(fw2=None))
    director.observed(observation(ETH0, DOWN, fw1=OTHER_MAC))
    assert [record.getMessage() for record in caplog.records] == [
        "leg firewalls (eth1) is down",
        f"real server fw1 of FWM 1: MAC address {OTHER_MAC}, was {FW1_MAC}",
        f"real server fw2 of FWM 1: MAC address {FW2_MAC}, was unresolved",
    ]


class TestTheStart:
    """It publishes, or leaves everything as it was."""

    def test_a_first_start_that_is_refused_detaches_what_it_made(self) -> None:
        dataplane = FakeDataPlane()
        dataplane.refusal = NO_XDP
        with pytest.raises(DataPlaneError, match="no native XDP"):
            Director(CONFIGURATION, "", dataplane).start(WHOLE)
        assert dataplane.closed
        assert dataplane.pinned.plan is None

    def test_a_second_start_that_is_refused_leaves_what_it_found(self) -> None:
        director, dataplane = started()
        dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), CLIENT, WWW)
        director.close()
        adopting = FakeDataPlane(pinned=dataplane.pinned)
        adopting.without_xdp = {"eth0"}
        stubborn = replace(CONFIGURATION, legs=(replace(LEGS[0], mode=Mode.XDP), LEGS[1]))
        with pytest.raises(DataPlaneError, match="no native XDP"):
            Director(stubborn, "", adopting).start(WHOLE)
        assert adopting.connections(ConnectionQuery()).total == 1
        assert adopting.pinned.plan == dataplane.pinned.plan

    def test_what_does_not_fit_the_machine_is_refused(self) -> None:
        dataplane = FakeDataPlane()
        with pytest.raises(NetworkError, match="there is no such interface"):
            Director(CONFIGURATION, "", dataplane).start(observation(ETH0))
        assert dataplane.pinned.plan is None

    def test_a_director_that_has_not_started_says_so(self) -> None:
        with pytest.raises(LasthopError, match="has not started"):
            Director(CONFIGURATION, "", FakeDataPlane()).status()

"""What is different between two configurations, in an operator's words."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from lasthop.model.change import Change
from lasthop.model.director import PROFILES, Director, State, Timeouts
from lasthop.model.leg import Leg, Mode
from lasthop.model.real_server import RealServer
from lasthop.model.rule import Match, PassRule
from lasthop.model.service import Persistence, Related, Service, WhenEmpty
from lasthop.policy.difference import difference
from tests.unit.director_worlds import CONFIGURATION, FW1, LEGS, SERVICES


def with_service(service: Service) -> list[Change]:
    """What changes if the first service is `service`."""
    return difference(CONFIGURATION, replace(CONFIGURATION, services=(service, SERVICES[1])))


def test_a_configuration_does_not_differ_from_itself() -> None:
    assert difference(CONFIGURATION, CONFIGURATION) == []


def test_legs_are_added_removed_and_changed() -> None:
    legs = (Leg("outside", "eth9", "core", Mode.XDP, ("02:00:00:00:00:99",)), Leg("dmz", "eth2", "edge"))
    assert difference(CONFIGURATION, replace(CONFIGURATION, legs=legs)) == [
        Change("leg firewalls", "removed"),
        Change("leg dmz", "added"),
        Change(
            "leg outside",
            "changed",
            (
                "interface eth0 -> eth9",
                "zone edge -> core",
                "mode auto -> xdp",
                "virtual_macs none -> 02:00:00:00:00:99",
            ),
        ),
    ]


def test_another_order_of_legs_is_a_change() -> None:
    found = difference(CONFIGURATION, replace(CONFIGURATION, legs=LEGS[::-1]))
    assert found == [Change("legs", "changed", ("their order",))]


def test_services_are_added_and_removed_by_their_marks() -> None:
    third = replace(SERVICES[0], mark=3)
    assert difference(CONFIGURATION, replace(CONFIGURATION, services=(SERVICES[1], third))) == [
        Change("service FWM 1", "removed"),
        Change("service FWM 3", "added"),
    ]


def test_a_service_changes_in_how_it_chooses_and_what_it_gets() -> None:
    changed = replace(
        SERVICES[0],
        matches=(Match(),),
        scheduler="rr",
        persistence=Persistence(60, 24),
        related=Related.ADDRESS_PAIR,
        when_empty=WhenEmpty.KERNEL,
    )
    told = (
        "match",
        "scheduler wlc -> rr",
        "persistence none -> 60 s for each /24",
        "related none -> address-pair",
        "when_empty drop -> kernel",
    )
    assert with_service(changed) == [Change("service FWM 1", "changed", told)]


def test_real_servers_are_those_of_their_service() -> None:
    others = (IPv6Address("2001:db8:1::11"),)
    servers = (
        RealServer("fw1", FW1, 0, "firewalls", other_addresses=others),
        RealServer("fw3", IPv4Address("10.0.1.13")),
    )
    assert with_service(replace(SERVICES[0], real_servers=servers)) == [
        Change("real server fw2 of FWM 1", "removed"),
        Change("real server fw3 of FWM 1", "added"),
        Change(
            "real server fw1 of FWM 1",
            "changed",
            ("other_addresses none -> 2001:db8:1::11", "weight 1 -> 0", "leg none -> firewalls"),
        ),
    ]


def test_another_order_of_real_servers_is_a_change() -> None:
    turned = replace(SERVICES[0], real_servers=SERVICES[0].real_servers[::-1])
    assert with_service(turned) == [Change("real servers of FWM 1", "changed", ("their order",))]


def test_the_rest_of_the_file_is_compared_too() -> None:
    timeouts = Timeouts("lvs", PROFILES["firewall-safe"] | {State.UDP: 30.0})
    after = replace(CONFIGURATION, director=Director("lb1", 9000, timeouts), pass_rules=(PassRule((Match(),)),))
    assert difference(CONFIGURATION, after) == [
        Change("pass rules", "changed", ("number 0 -> 1",)),
        Change("time-outs", "changed", ("UDP 300 s -> 30 s",)),
        Change("table", "changed", ("connections 5000 -> 9000",)),
    ]

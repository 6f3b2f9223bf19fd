"""Every example is a configuration that works, and says what its comments say."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, ip_address, ip_interface
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lasthop.config import load
from lasthop.model.director import LVS_TIMEOUTS, State
from lasthop.model.leg import ReplyTo
from lasthop.model.real_server import Admin
from lasthop.model.rule import PortRange
from lasthop.model.service import OnDeath, Persistence, Related
from lasthop.policy.compile import addresses_to_resolve, compile_plan
from lasthop.policy.surroundings import SeenLink, Surroundings

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.toml"))

#: The comment beside each interface: ``interface = "eth0"   # 192.0.2.2/24``.
#: A tagged leg's address is on the kernel's VLAN interface: ``interface = "eth1"   # eth1.10 has 192.0.2.2/24``.
ADDRESSED_INTERFACE = re.compile(r'^interface = "(\w+)"\s+# (?:([\w.]+) has )?([0-9a-f./: ]+)$', re.MULTILINE)


def planned(file: Path) -> Plan:
    """The plan on a machine with the interfaces and addresses of the file's comments, all neighbours resolved."""
    configuration = load(file)
    links: dict[str, SeenLink] = {}
    said = ADDRESSED_INTERFACE.findall(file.read_text())
    for leg, (name, device, addresses) in zip(configuration.legs, said, strict=True):
        number = len(links) + 1
        link = SeenLink(number, f"02:00:00:00:00:{number:02x}", 1500, up=True)
        if device:
            assert leg.vlan is not None
            below = links.setdefault(name, link)
            link = replace(link, ifindex=len(links) + 1, parent=below.ifindex, tag=leg.vlan.tags[0])
        links[device or name] = replace(link, addresses=tuple(map(ip_interface, addresses.split())))
    wanted = sorted(addresses_to_resolve(compile_plan(configuration, Surroundings(links=links))), key=str)
    neighbours = {pair: f"02:00:00:00:01:{number:02x}" for number, pair in enumerate(wanted)}
    return compile_plan(configuration, Surroundings(links=links, neighbours=neighbours))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_example_has_an_address_beside_every_interface_and_compiles_to_usable_servers(file: Path) -> None:
    plan = planned(file)
    assert len(plan.legs) == len(ADDRESSED_INTERFACE.findall(file.read_text()))
    assert all(server.usable != server.standby for service in plan.services for server in service.servers)
    assert all(len(service.fallback) == 1021 for service in plan.services)


def test_examples_are_those_the_documentation_names() -> None:
    assert [file.stem for file in FILES] == [
        "api", "backup", "by-address", "health", "hsrp", "ipv6", "lb1", "lb2", "mark-rules", "on-death", "one-arm",
        "one-box",
        "pass-rules", "persistence", "related", "timeouts", "vlan",
    ]  # fmt: skip


def test_api_example_opens_both_families_with_tls_and_lets_a_group_look() -> None:
    access = load(EXAMPLES / "api.toml").access
    assert [str(each) for each in access.listen] == ["192.0.2.10:8443", "[2001:db8::10]:8443"]
    assert (access.readers, access.writers, access.tokens) == ("adm", "netops", "/etc/lasthop/tokens")
    assert access.certificate
    assert access.key


def test_two_boxes_fill_the_same_fallback_table_for_the_firewalls() -> None:
    outer, inner = planned(EXAMPLES / "lb1.toml"), planned(EXAMPLES / "lb2.toml")
    by_name = [
        [service.servers[slot].name for slot in service.fallback]
        for service in (*outer.services, *inner.services)
        if len(service.servers) > 1
    ]
    assert len(by_name) == 2
    assert by_name[0] == by_name[1]


def test_one_box_keeps_each_direction_of_each_zone_on_its_own_legs() -> None:
    plan = planned(EXAMPLES / "one-box.toml")
    legs = {leg.name: leg.zone for leg in plan.legs}
    ways = [(rule.leg, service.servers[0].leg) for rule, service in zip(plan.rules, plan.services, strict=True)]
    assert ways == [
        ("outside", "firewalls-out"),
        ("firewalls-out", "outside"),
        ("inside", "firewalls-in"),
        ("firewalls-in", "inside"),
    ]
    assert [{legs[leg] for leg in way if leg} for way in ways] == [{"edge"}, {"edge"}, {"core"}, {"core"}]


def test_one_box_leads_either_address_of_a_firewall_to_the_firewall_in_each_zone() -> None:
    plan = planned(EXAMPLES / "one-box.toml")
    outer, inner = IPv4Address("10.0.1.13"), IPv4Address("10.0.2.13")
    found = {(zone, address): (label, name) for zone, address, label, name in plan.server_addresses}
    assert found["edge", outer] == found["edge", inner] == ("FWM 1", "fw3")
    assert found["core", outer] == found["core", inner] == ("FWM 3", "fw3")


def test_one_arm_tells_directions_apart_by_the_real_server_a_frame_came_from() -> None:
    plan = planned(EXAMPLES / "one-arm.toml")
    assert [(rule.service, rule.leg, rule.source_real_server) for rule in plan.rules] == [
        ("FWM 1", None, "router-out"),
        ("FWM 2", None, "fw1"),
        ("FWM 2", None, "fw2"),
    ]
    assert {server.leg for service in plan.services for server in service.servers} == {"lan"}


def test_vlan_example_tells_its_legs_apart_by_tag_and_resolves_on_the_kernels_vlan_interfaces() -> None:
    plan = planned(EXAMPLES / "vlan.toml")
    assert [(leg.interface, str(leg.vlan), leg.ifindex != leg.device) for leg in plan.legs] == [
        ("eth1", "10", True),
        ("eth1", "20", True),
    ]
    assert {server.leg for server in plan.services[0].servers} == {"firewalls"}
    assert addresses_to_resolve(plan) == {
        (plan.legs[0].device, IPv4Address("192.0.2.1")),
        (plan.legs[1].device, IPv4Address("10.0.1.11")),
        (plan.legs[1].device, IPv4Address("10.0.1.12")),
    }


def test_hsrp_example_answers_at_the_gateway_outside_and_learns_no_strangers_inside() -> None:
    outside, inside = planned(EXAMPLES / "hsrp.toml").legs
    assert (outside.reply_to, outside.gateways) == (ReplyTo.NEIGHBOUR, (IPv4Address("192.0.2.1"),))
    assert (outside.strict, inside.strict) == (False, True)


def test_persistence_example_groups_clients_by_24_bits_for_ten_minutes() -> None:
    (service,) = load(EXAMPLES / "persistence.toml").services
    assert service.persistence == Persistence(timeout=600, prefix=24)
    (planned_service,) = planned(EXAMPLES / "persistence.toml").services
    assert (planned_service.persistence_s, planned_service.persistence_prefix) == (600, 24)
    assert planned_service.turns == (0,)
    assert set(planned_service.fallback) == {0}


def test_ipv6_example_is_one_firewall_for_both_families_and_combines_prefixes_of_one() -> None:
    plan = planned(EXAMPLES / "ipv6.toml")
    firewalls = plan.services[0].servers
    assert [(each.name, each.address.version, each.leg) for each in firewalls] == [
        ("fw1", 6, "firewalls"), ("fw2", 4, "firewalls"),
    ]  # fmt: skip
    led = {address: name for zone, address, label, name in plan.server_addresses}
    assert led == dict(
        zip(map(ip_address, ("2001:db8:1::11", "10.0.1.11", "10.0.1.12")), ("fw1", "fw1", "fw2"), strict=True)
    )
    tunnels = [(rule.protocol, rule.family) for rule in plan.rules if rule.service == "FWM 2"]
    assert tunnels == [(protocol, family) for protocol in (47, 4, 50, 51) for family in (4, 6)]
    assert plan.services[2].label == "TCP [2001:db8:2::80]:80"
    assert [(rule.protocol, rule.family) for rule in plan.rules[:2]] == [(89, None), (50, 6)]


def test_related_example_keeps_a_pair_of_addresses_on_one_firewall() -> None:
    assert [service.related for service in planned(EXAMPLES / "related.toml").services] == [
        Related.ADDRESS_PAIR, Related.NONE,
    ]  # fmt: skip


def test_on_death_example_drains_a_firewall_until_a_moment() -> None:
    fw2 = load(EXAMPLES / "on-death.toml").services[0].real_servers[1]
    assert (fw2.admin, fw2.drain_until) == (Admin.DRAINED, datetime(2030, 1, 31, 12, tzinfo=UTC))
    service = planned(EXAMPLES / "on-death.toml").services[0]
    assert (service.on_death, [server.effective_weight for server in service.servers]) == (OnDeath.RESET, [1, 0])


def test_pass_rules_come_before_the_services_in_file_order() -> None:
    plan = planned(EXAMPLES / "pass-rules.toml")
    services = [rule.service for rule in plan.rules]
    assert services == [None] * 4 + ["FWM 10"] + ["FWM 20"] * 6
    assert plan.rules[4].dscp == 46
    assert plan.rules[4].destination_ports == PortRange(16384, 32767)
    assert plan.rules[10].protocol == 1


def test_timeouts_example_is_the_lvs_profile_with_two_values_of_its_own() -> None:
    configuration = load(EXAMPLES / "timeouts.toml")
    assert configuration.director.connections == 250_000
    timeouts = configuration.director.timeouts
    assert timeouts.profile == "lvs"
    assert timeouts.seconds == LVS_TIMEOUTS | {State.ESTABLISHED: 7440, State.UDP: 180}
    assert planned(EXAMPLES / "timeouts.toml").legs[0].own_macs == {"02:00:00:00:00:01", "00:00:5e:00:01:0a"}

"""ICMP errors about packets of the director itself, of a real server, and of services by address."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any

import pytest

from tests.oracles import pair_hash
from tests.packet.frames import CLIENT, WWW, echo, error, tcp, udp
from tests.packet.frames6 import CLIENT6, WWW6, echo6, error6, ip6, tcp6, udp6
from tests.packet.plans import FW, ROUTER, rule, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.packet.rig import Rig

OWN, OWN6 = "192.0.2.2", "2001:db8:1::2"
FW1, FW1_6 = "10.0.1.200", "2001:db8:a:1::12"


def drawn(**changes: Any) -> Plan:
    local: frozenset[IPv4Network | IPv6Network] = frozenset({IPv4Network(f"{OWN}/32"), IPv6Network(f"{OWN6}/128")})
    named = tuple(("edge", address, "FWM 1", "fw1") for address in (IPv4Address(FW1), IPv6Address(FW1_6)))
    return replace(two_box(**changes), local=local, server_addresses=named)


PROBES = {
    "tcp": (tcp(source=OWN), error),
    "echo": (echo(source=OWN), error),
    "ipv6 tcp": (tcp6(source=OWN6), error6),
    "ipv6 echo": (echo6(source=OWN6), error6),
}


@pytest.mark.parametrize(("probe", "about"), PROBES.values(), ids=PROBES)
@pytest.mark.parametrize("leg_name", ["outside", "firewalls"])
def test_an_error_about_a_packet_that_the_director_sent_is_the_kernels(
    rig: Rig, probe: Any, about: Any, leg_name: str
) -> None:
    """Its health checks and its own path MTU live on them."""
    rig.publish(drawn())
    sender = "198.51.100.254" if about is error else "2001:db8:c::fe"
    assert rig.send(leg_name, about(probe, sender), ROUTER) == rig.kernel("LOCAL")


OF_A_SERVER = {
    "ipv4": (error(udp(source=FW1), "198.51.100.254")),
    "ipv6": (error6(ip6(FW1_6) / udp6().payload, "2001:db8:c::fe")),
}


@pytest.mark.parametrize("about", OF_A_SERVER.values(), ids=OF_A_SERVER)
def test_an_error_about_a_real_servers_own_packet_goes_to_it(rig: Rig, about: Any) -> None:
    """As a router wants to fragment what the firewall itself has sent past the director's rules."""
    rig.publish(drawn())
    assert rig.send("outside", about, ROUTER) == forwarded("STRAY", ("firewalls", FW[1]))
    assert not rig.connections()


@pytest.mark.parametrize("about", OF_A_SERVER.values(), ids=OF_A_SERVER)
def test_a_pass_rule_has_errors_first_too(rig: Rig, about: Any) -> None:
    rig.publish(drawn(rules=(rule(None, protocol=17), rule(1))))
    assert rig.send("outside", about, ROUTER) == rig.kernel("PASS_RULE")


@pytest.mark.parametrize("six", [False, True])
def test_an_error_about_an_unknown_response_goes_where_the_response_came_through(rig: Rig, six: bool) -> None:
    """To the rendezvous choice of the pair, as the mid-stream response would: the other way round is the same pair."""
    rig.publish(drawn())
    response = tcp6(source=WWW6, sport=80) if six else tcp(source=WWW, sport=80, destination=CLIENT, dport=40000)
    ends = (CLIENT6, WWW6) if six else (CLIENT, WWW)
    if six:
        response.dst = CLIENT6
    about = error6(response, "2001:db8:c::fe") if six else error(response, "198.51.100.254")
    chosen = FW[int(pair_hash.chosen([(f"fw{i}", 1, True) for i in range(4)], *ends)[2:])]
    assert rig.send("outside", about, ROUTER) == forwarded("STRAY", ("firewalls", chosen))

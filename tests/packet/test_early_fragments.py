"""Later fragments before their first one: which real server they are given, and when the first one follows them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6ExtHdrDestOpt

from lasthop.model.director import Settings
from lasthop.model.rule import PortRange
from lasthop.model.service import Related, VirtualAddress
from tests.packet.frames import CLIENT, OTHER_CLIENT, WWW, error, in_fragments, udp
from tests.packet.frames6 import WWW6
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, rule, server, service, two_box
from tests.packet.rig import forwarded
from tests.packet.test_fragments import BODY, UDP_HEADER, big4, big6, by_rendezvous, each

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.packet.rig import Rig

FW0, BACK = ("firewalls", FW[0]), ("outside", ROUTER)
EARLY = {"FORWARDED_STRAY": 1, "EVENT_FRAGMENT_EARLY": 1}
ELSEWHERE = "203.0.113.81"


def syn4() -> list[Any]:
    return big4(TCP(sport=40000, dport=80, flags="S"))


def by_address(port: int) -> Plan:
    taken = VirtualAddress("udp", IPv4Address(WWW), port)
    made = service(0, firewalls(2), "fo", label=str(taken), virtual_address=taken, zone="edge")
    return two_box(rules=(rule(2, leg="firewalls"),), services=(made, service(2, (server("r", "outside", ROUTER),))))


def test_a_service_by_address_takes_early_fragments_only_if_it_takes_every_port(rig: Rig) -> None:
    rig.publish(by_address(0))
    assert rig.send("outside", big4(UDP_HEADER)[1], ROUTER) == forwarded(
        "STRAY", by_rendezvous(count=2), EVENT_FRAGMENT_EARLY=1
    )
    assert rig.send("outside", big4(UDP_HEADER)[0], ROUTER) == forwarded("OPENING", by_rendezvous(count=2))
    rig.publish(by_address(80))
    assert rig.send("outside", big4(UDP_HEADER, 8)[1], ROUTER) == rig.kernel("NO_RULE")


def test_an_early_fragment_that_goes_to_the_kernel_leaves_no_note(rig: Rig) -> None:
    rig.publish(two_box(rules=(rule(1, protocol=6),)))
    assert rig.send("outside", big4(UDP_HEADER)[1], ROUTER) == rig.kernel("NO_RULE")
    assert not rig.maps["fragments"].entries()


def test_the_first_fragment_is_scheduled_if_the_real_server_of_the_early_ones_takes_nothing_new(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "fo"))
    datagram, chosen = big4(UDP_HEADER), FW.index(by_rendezvous()[1])
    assert rig.send("outside", datagram[1], ROUTER).hop == by_rendezvous()
    servers = tuple(replace(each, usable=i != chosen) for i, each in enumerate(firewalls()))
    rig.publish(two_box(servers, "fo"))
    first = rig.send("outside", datagram[0], ROUTER)
    assert first == forwarded("OPENING", FW0)
    assert rig.send("outside", datagram[1], ROUTER) == forwarded("FRAGMENT", FW0), "it follows the first one now"


def test_an_early_fragment_behind_a_further_extension_header_matches_rules_of_any_protocol(rig: Rig) -> None:
    """What it is of stands in the first fragment alone; a pass rule of a protocol is not for it, as with ports."""
    datagram = big6(IPv6ExtHdrDestOpt() / UDP_HEADER)
    rig.publish(two_box(rules=(rule(None, protocol=17, destination_ports=PortRange(9, 9)), rule(1, protocol=17))))
    early = rig.send("outside", datagram[1], ROUTER)
    assert early.counted == EARLY
    assert rig.send("outside", datagram[0], ROUTER) == forwarded("OPENING", early.hop or BACK)
    assert rig.send("outside", datagram[2], ROUTER) == forwarded("FRAGMENT", early.hop or BACK)


def test_the_client_of_an_early_fragment_is_bound_to_the_real_server_it_was_given(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "fo", persistence_s=60.0))
    datagram = big4(UDP_HEADER)
    early = rig.send("outside", datagram[1], ROUTER).hop or BACK
    assert not rig.templates()
    assert rig.send("outside", datagram[0], ROUTER) == forwarded("OPENING", early)
    assert rig.send("outside", udp(sport=2), ROUTER) == forwarded("OPENING", early)
    assert len(rig.templates()) == 1


def test_a_client_that_was_bound_elsewhere_meanwhile_stays_so_after_its_early_fragment(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "fo", persistence_s=60.0))
    datagram = big4(UDP_HEADER)
    early = rig.send("outside", datagram[1], ROUTER).hop or BACK
    assert rig.send("outside", udp(sport=2), ROUTER) == forwarded("OPENING", FW0)
    assert early != FW0
    assert rig.send("outside", datagram[0], ROUTER) == forwarded("OPENING", early)
    assert rig.send("outside", udp(sport=3), ROUTER) == forwarded("OPENING", FW0)


def test_the_first_fragment_follows_only_early_ones_of_the_service_that_takes_it(rig: Rig) -> None:
    """Early ones match the first rule whatever its ports; the first one has a port of the second."""
    web = rule(1, leg="outside", destination_ports=PortRange(443, 443))
    other = service(3, firewalls(), "fo")
    plan = two_box(firewalls(), "fo")
    rig.publish(replace(plan, rules=(web, rule(3, leg="outside")), services=(*plan.services, other)))
    datagram = big4(UDP_HEADER)
    assert rig.send("outside", datagram[1], ROUTER) == forwarded("STRAY", by_rendezvous(), EVENT_FRAGMENT_EARLY=1)
    assert rig.send("outside", datagram[0], ROUTER) == forwarded("OPENING", FW0)
    assert rig.only_connection().service == "FWM 3"
    assert rig.send("outside", datagram[2], ROUTER) == forwarded("FRAGMENT", FW0)


def test_early_fragments_come_before_related_connections_and_both_before_the_scheduler(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "fo", related=Related.ADDRESS_PAIR))
    rig.send("outside", udp(sport=1), ROUTER)
    datagram = big4(UDP_HEADER)
    assert rig.send("outside", datagram[1], ROUTER) == forwarded("STRAY", by_rendezvous(), EVENT_FRAGMENT_EARLY=1)
    assert rig.send("outside", datagram[0], ROUTER) == forwarded("OPENING", by_rendezvous())
    whole = rig.send("outside", udp(sport=3), ROUTER)
    assert whole == forwarded("OPENING", FW0, EVENT_RELATED=1)


def test_a_first_fragment_from_the_middle_of_a_connection_goes_where_the_early_ones_went(rig: Rig) -> None:
    """Both go by rendezvous, so they meet without a note."""
    rig.publish(two_box(firewalls(), "fo"))
    middle = big4(TCP(sport=40000, dport=80, flags="A"))
    *early, first = each(rig, list(reversed(middle)))
    assert early[0] == forwarded("STRAY", by_rendezvous(), EVENT_FRAGMENT_EARLY=1)
    assert first == forwarded("MIDSTREAM", by_rendezvous())


def test_early_fragments_of_two_clients_are_no_ones_but_their_own(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "rr"))
    one = big4(UDP_HEADER)
    other = in_fragments(IP(src=OTHER_CLIENT, dst=WWW, id=7) / UDP_HEADER / BODY)
    hops = [outcome.hop for outcome in each(rig, [one[1], other[1], other[0], one[0]])]
    assert hops == [by_rendezvous(), by_rendezvous((OTHER_CLIENT, WWW)), by_rendezvous((OTHER_CLIENT, WWW)), hops[0]]


def test_early_fragments_from_a_strange_hop_teach_nothing_and_their_first_one_does(rig: Rig) -> None:
    rig.publish(two_box())
    assert rig.send("outside", big6(UDP_HEADER)[1], STRANGER).counted == EARLY
    assert rig.hop_id(("outside", STRANGER)) == 0
    assert rig.send("outside", big6(UDP_HEADER)[0], STRANGER).counted == {
        "FORWARDED_OPENING": 1,
        "EVENT_HOP_LEARNED": 1,
    }
    assert rig.only_connection().last_hop == ("outside", STRANGER)


def test_an_early_fragment_is_no_part_of_a_connection_and_counts_for_its_real_server(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "fo"))
    rig.send("outside", udp(), ROUTER)
    before = rig.only_connection()
    rig.send("outside", big4(UDP_HEADER)[1], ROUTER)
    assert rig.only_connection() == before


def test_strict_tcp_lets_early_fragments_pass_and_drops_a_first_one_from_the_middle(rig: Rig) -> None:
    """Nothing tells of a later fragment whether its datagram opens a connection."""
    rig.publish(two_box(settings=Settings(sloppy_tcp=False)))
    assert rig.send("outside", syn4()[1], ROUTER).counted == EARLY
    assert rig.send("outside", syn4()[0], ROUTER).counted == {"FORWARDED_OPENING": 1}
    middle = big4(TCP(sport=9, dport=80, flags="A"), 8)
    assert rig.send("outside", middle[0], ROUTER).counted == {"DROP_MIDSTREAM": 1}


def test_an_error_about_an_early_fragment_opens_and_remembers_nothing(rig: Rig) -> None:
    rig.publish(two_box())
    early = big4(UDP_HEADER)[1]
    rig.send("outside", early, ROUTER)
    notes = rig.maps["fragments"].entries()
    assert rig.send("firewalls", error(early, WWW), FW[0]) == forwarded("STRAY", BACK)
    assert (rig.connections(), rig.maps["fragments"].entries()) == ([], notes)


def test_an_early_fragment_to_a_real_servers_own_address_goes_to_it(rig: Rig) -> None:
    address = firewalls()[2].address
    rig.publish(two_box(server_addresses=(("edge", address, "FWM 1", "fw2"),)))
    datagram = in_fragments(IP(src=CLIENT, dst=str(address), id=7) / UDP_HEADER / BODY)
    hops = [outcome.hop for outcome in each(rig, list(reversed(datagram)))]
    assert set(hops) == {("firewalls", FW[2])}


def test_fragments_to_the_directors_own_address_are_the_kernels_in_any_order(rig: Rig) -> None:
    local = frozenset({IPv4Network(f"{WWW}/32"), IPv6Network(f"{WWW6}/128")})
    rig.publish(two_box(local=local))
    for datagram in (big4(UDP_HEADER), big6(UDP_HEADER)):
        assert each(rig, list(reversed(datagram))) == [rig.kernel("LOCAL")] * len(datagram)
        assert each(rig, datagram) == [rig.kernel("LOCAL")] * len(datagram)
    assert not rig.maps["fragments"].entries()


def test_fragments_of_a_one_packet_service_follow_the_first_one_although_nothing_remembers_it(rig: Rig) -> None:
    rig.publish(two_box(firewalls(), "rr", one_packet=True))
    for number in range(2):
        outcomes = each(rig, big4(UDP_HEADER, number))
        assert outcomes[0] == forwarded("OPENING", ("firewalls", FW[number]))
        assert outcomes[1:] == [forwarded("FRAGMENT", ("firewalls", FW[number]))] * (len(outcomes) - 1)
    assert not rig.connections()

"""A dead real server: what becomes of its connections, by the service's on_death, at each one's own next packet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import IP, TCP, IPOption
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.packet import Raw

from lasthop.model.director import Settings
from lasthop.model.real_server import Admin
from lasthop.model.service import OnDeath, WhenEmpty
from tests.oracles import pair_hash
from tests.packet.frames import CLIENT, OPTIONS, WWW, error, reply, sctp, tcp, udp
from tests.packet.plans import FW, ROUTER, STRANGER, firewalls, mac_of, two_box
from tests.packet.rig import Outcome, dropped, forwarded

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.packet.rig import Rig

FW0 = ("firewalls", FW[0])
BACK = ("outside", ROUTER)
ALIVE = {("firewalls", mac) for mac in FW[1:3]}
"""Where `drawn` has others than fw0."""


def drawn(on_death: OnDeath, dead: tuple[int, ...] = (), **changes: Any) -> Plan:
    """Three firewalls, rr; those at `dead` are disabled."""
    servers = tuple(
        replace(each, admin=Admin.DISABLED, usable=False) if i in dead else each for i, each in enumerate(firewalls(3))
    )
    return two_box(servers, "rr", on_death=on_death, **changes)


def opened(rig: Rig, on_death: OnDeath, **changes: Any) -> None:
    """A connection on fw0 that is established, then fw0 is disabled."""
    rig.publish(drawn(on_death, **changes))
    assert rig.send("outside", tcp(), ROUTER) == forwarded("OPENING", FW0)
    rig.send("firewalls", reply(tcp()), FW[0])
    rig.send("outside", tcp("A"), ROUTER)
    rig.publish(drawn(on_death, (0,), **changes))


def by_rendezvous(*alive: int) -> tuple[str, str]:
    return "firewalls", FW[int(pair_hash.chosen([(f"fw{i}", 1, i in alive) for i in range(3)], CLIENT, WWW)[2:])]


def answered(rig: Rig, leg: str, packet: Any, source: str) -> IP:
    """The RST that is sent back where `packet` came from."""
    made = rig.answer(leg, packet, source, "RESET")
    assert (made.dst, made.src, len(made)) == (source, mac_of(leg), 54)
    answer: IP = made[IP]
    return answer


def numbered(flags: str, seq: int, ack: int = 0) -> Any:
    """A request with these numbers."""
    packet = tcp(flags)
    packet[TCP].seq, packet[TCP].ack = seq, ack
    return packet


def require_whole(packet: IP) -> None:
    """Both checksums are as scapy would have them."""
    again = IP(bytes(packet))
    del again.chksum, again[TCP].chksum
    assert bytes(IP(bytes(again))) == bytes(packet)


def test_kept_connections_go_on_to_the_dead_real_server(rig: Rig) -> None:
    opened(rig, OnDeath.KEEP)
    assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", FW0)
    assert rig.send("firewalls", reply(tcp(), "A"), FW[0]) == forwarded("RESPONSE", BACK)


def test_a_rebalanced_connection_goes_by_rendezvous_from_its_next_request_on_and_stays(rig: Rig) -> None:
    opened(rig, OnDeath.REBALANCE)
    chosen = by_rendezvous(1, 2)
    assert rig.send_over("outside", tcp("A"), ROUTER) == forwarded("MIDSTREAM", chosen, EVENT_MOVED=1)
    assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", chosen)
    assert rig.send("firewalls", reply(tcp(), "A"), chosen[1]) == forwarded("RESPONSE", BACK)
    assert rig.only_connection().server == f"fw{FW.index(chosen[1])}"
    assert [rig.load_of(f"fw{i}")[:2] for i in range(3) if FW[i] == chosen[1]] == [(1, 0)]
    assert rig.load_of("fw0") == (0, 0, 0)
    rig.publish(drawn(OnDeath.REBALANCE))
    assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", chosen), "who returns gets nothing back"


def test_until_its_next_request_responses_of_a_rebalanced_connection_still_arrive(rig: Rig) -> None:
    opened(rig, OnDeath.REBALANCE)
    assert rig.send("firewalls", reply(tcp(), "A"), FW[0]) == forwarded("RESPONSE", BACK)
    assert rig.only_connection().server == "fw0"


def test_rebalancing_needs_no_sloppy_tcp(rig: Rig) -> None:
    opened(rig, OnDeath.REBALANCE, settings=Settings(sloppy_tcp=False))
    assert rig.send_over("outside", tcp("A"), ROUTER) == forwarded("MIDSTREAM", by_rendezvous(1, 2), EVENT_MOVED=1)
    assert rig.send_on("outside", tcp("A", sport=9), ROUTER)[0] == dropped("MIDSTREAM")


def test_an_icmp_error_about_a_connection_of_a_dead_real_server_moves_nothing(rig: Rig) -> None:
    opened(rig, OnDeath.REBALANCE)
    about = error(reply(tcp(), "A"), "198.51.100.254")
    assert rig.send_on("outside", about, ROUTER)[0] == forwarded("STRAY", by_rendezvous(1, 2))
    assert rig.only_connection().server == "fw0"


def test_with_nobody_left_rebalanced_packets_go_the_way_of_when_empty(rig: Rig) -> None:
    rig.publish(drawn(OnDeath.REBALANCE))
    rig.send("outside", udp(), ROUTER)
    rig.publish(drawn(OnDeath.REBALANCE, (0, 1, 2)))
    assert rig.send_over("outside", udp(), ROUTER) == dropped("EMPTY", EVENT_MOVED=1)


def test_dropped_connections_lose_both_directions_and_others_none(rig: Rig) -> None:
    opened(rig, OnDeath.DROP)
    assert rig.send("outside", tcp("A"), ROUTER) == dropped("DEAD")
    assert rig.send("firewalls", reply(tcp(), "A"), FW[0]) == dropped("DEAD")
    assert rig.send("outside", tcp(sport=2), ROUTER).verdict == "forwarded"
    rig.publish(drawn(OnDeath.DROP))
    assert rig.send("outside", tcp("A"), ROUTER) == forwarded("REQUEST", FW0), "it lives again"


def test_requests_of_bypassed_connections_are_the_kernels_for_good_and_responses_go_back(rig: Rig) -> None:
    """A firewall that returns has missed a part of them."""
    opened(rig, OnDeath.BYPASS)
    assert rig.send("firewalls", reply(tcp(), "A"), FW[0]) == forwarded("RESPONSE", BACK)
    assert rig.send("outside", tcp("A"), ROUTER) == rig.kernel("BYPASS"), "XDP leaves it to tc to say so"
    rig.entry = "tc"
    assert rig.send("outside", tcp("A"), ROUTER) == rig.kernel("BYPASS")
    rig.publish(drawn(OnDeath.BYPASS))
    before = rig.only_connection().packets
    assert rig.send("outside", tcp("A"), ROUTER) == rig.kernel("BYPASS")
    assert rig.send("outside", tcp("A"), ROUTER) == rig.kernel("BYPASS")
    assert rig.only_connection().packets[0] == before[0] + 2, "it lives"
    assert rig.send("firewalls", reply(tcp(), "A"), STRANGER).hop == BACK
    assert rig.send("outside", tcp("FA"), ROUTER) == rig.kernel("BYPASS")
    assert rig.only_connection().state == "CLOSE_WAIT"


def test_who_finds_nobody_is_bypassed_for_good_and_opened_anew_through_a_firewall(rig: Rig) -> None:
    empty = drawn(OnDeath.REBALANCE, (0, 1, 2), when_empty=WhenEmpty.BYPASS)
    rig.publish(empty)
    assert rig.send("outside", tcp(), ROUTER) == rig.kernel("BYPASS")
    rig.entry = "tc"
    assert rig.send("outside", tcp("A", sport=2), ROUTER) == rig.kernel("BYPASS"), "from its middle on too"
    assert rig.send("outside", tcp(), ROUTER) == rig.kernel("BYPASS")
    rig.publish(drawn(OnDeath.REBALANCE, when_empty=WhenEmpty.BYPASS))
    assert rig.send("firewalls", reply(tcp()), STRANGER).hop == BACK
    assert rig.send("outside", tcp("A"), ROUTER) == rig.kernel("BYPASS")
    assert rig.send("outside", tcp(sport=3), ROUTER).hop in {("firewalls", mac) for mac in FW}
    assert rig.send("outside", tcp("R"), ROUTER) == rig.kernel("BYPASS")
    assert rig.send("outside", tcp(), ROUTER).hop in {("firewalls", mac) for mac in FW}, "its ports are used again"


def test_a_reset_connection_is_answered_by_the_rst_its_sender_takes(rig: Rig) -> None:
    opened(rig, OnDeath.RESET)
    data = numbered("PA", 5000, 7000) / Raw(b"x" * 100)
    made = answered(rig, "outside", data, ROUTER)
    assert (made.src, made.dst, made[TCP].sport, made[TCP].dport) == (WWW, CLIENT, data[TCP].dport, data[TCP].sport)
    assert (made[TCP].flags, made[TCP].seq, made[TCP].ack, made.ttl) == ("R", 7000, 0, 64)
    require_whole(made)
    assert rig.only_connection().state == "CLOSE", "and is soon forgotten"
    assert rig.load_of("fw0")[:2] == (0, 1)


def test_a_response_of_a_dead_real_server_goes_on_as_a_rst_to_who_may_only_be_listening(rig: Rig) -> None:
    """The answer to its sender is sent as a clone, which only a live interface shows: tests/lab/test_drain.py."""
    opened(rig, OnDeath.RESET)
    response = reply(tcp(), "A")
    response[TCP].seq, response[TCP].ack = 900, 1001
    made = rig.answer("firewalls", response / Raw(b"data"), FW[0], "RESET")
    assert (made.dst, made.src, len(made)) == (ROUTER, mac_of("outside"), 54)
    assert (made[IP].src, made[IP].dst, made[TCP].dport) == (WWW, CLIENT, 40000)
    assert (made[TCP].flags, made[TCP].seq, made[TCP].ack) == ("RA", 900, 1001)
    require_whole(made[IP])
    assert rig.only_connection().state == "CLOSE"


def test_a_packet_with_ip_options_is_reset_like_any(rig: Rig) -> None:
    opened(rig, OnDeath.RESET)
    data = tcp("A", options=[IPOption(OPTIONS)])
    data[TCP].ack = 7000
    made = answered(rig, "outside", data, ROUTER)
    assert (made[TCP].flags, made[TCP].seq) == ("R", 7000)
    require_whole(made)


def test_a_segment_without_an_acknowledgement_is_reset_by_acknowledging_it(rig: Rig) -> None:
    opened(rig, OnDeath.RESET)
    made = answered(rig, "outside", numbered("F", 5000) / Raw(b"x" * 10), ROUTER)
    assert (made[TCP].flags, made[TCP].seq, made[TCP].ack) == ("RA", 0, 5011)
    require_whole(made)


@pytest.mark.parametrize("on_death", [each for each in OnDeath if each is not OnDeath.KEEP])
def test_what_nobody_has_answered_is_opened_through_another_real_server(rig: Rig, on_death: OnDeath) -> None:
    """The client sends its SYN again: no firewall has to know more than that."""
    rig.publish(drawn(on_death))
    assert rig.send("outside", tcp(), ROUTER) == forwarded("OPENING", FW0)
    rig.publish(drawn(on_death, (0,)))
    outcome = rig.send_over("outside", tcp(), ROUTER)
    assert outcome.hop in ALIVE
    assert outcome == forwarded("OPENING", outcome.hop, EVENT_MOVED=1)
    assert rig.send("firewalls", reply(tcp()), outcome.hop[1]) == forwarded("RESPONSE", BACK)


def test_an_association_that_nobody_has_answered_is_opened_through_another_one(rig: Rig) -> None:
    rig.publish(drawn(OnDeath.DROP))
    assert rig.send("outside", sctp("INIT"), ROUTER) == forwarded("OPENING", FW0)
    rig.publish(drawn(OnDeath.DROP, (0,)))
    assert rig.send_over("outside", sctp("INIT"), ROUTER).hop in ALIVE


def test_a_syn_ends_only_what_is_over_for_all(rig: Rig) -> None:
    """With reset nobody goes on with the old connection; otherwise it may live again, and a SYN be forged."""
    opened(rig, OnDeath.RESET)
    assert rig.send_over("outside", tcp(), ROUTER).hop in ALIVE
    rig.reset()
    opened(rig, OnDeath.DROP)
    assert rig.send("outside", tcp(), ROUTER) == dropped("DEAD")
    rig.reset()
    opened(rig, OnDeath.KEEP)
    assert rig.send("outside", tcp(), ROUTER) == forwarded("REQUEST", FW0)


def test_what_begins_and_ends_at_once_is_refused_as_by_a_closed_port(rig: Rig) -> None:
    opened(rig, OnDeath.RESET)
    made = answered(rig, "outside", numbered("SF", 41), ROUTER)
    assert (made[TCP].flags, made[TCP].ack) == ("RA", 43)
    require_whole(made)


def test_a_rst_for_a_dead_real_server_closes_its_connection_without_an_answer(rig: Rig) -> None:
    opened(rig, OnDeath.RESET)
    assert rig.send("outside", tcp("R"), ROUTER) == dropped("DEAD")
    assert (rig.only_connection().state, rig.load_of("fw0")[:2]) == ("CLOSE", (0, 1))


def test_no_rst_is_answered_and_no_icmp_error(rig: Rig) -> None:
    opened(rig, OnDeath.RESET)
    about = error(reply(tcp(), "A"), "198.51.100.254")
    assert rig.send_on("outside", tcp("R"), ROUTER)[0] == dropped("DEAD")
    assert rig.send_on("outside", about, ROUTER)[0] == dropped("DEAD")


def test_a_dead_real_server_gets_no_new_connections_nor_bound_clients(rig: Rig) -> None:
    rig.publish(drawn(OnDeath.REBALANCE, persistence_s=60.0))
    assert rig.send("outside", udp(), ROUTER) == forwarded("OPENING", FW0)
    rig.publish(drawn(OnDeath.REBALANCE, (0,), persistence_s=60.0))
    hops = {rig.send("outside", udp(sport=1000 + i), ROUTER).hop for i in range(6)}
    assert len(hops) == 1, "the client is bound anew"
    assert FW0 not in hops


def test_a_real_server_removed_while_it_is_dead_stays_dead_to_its_connections(rig: Rig) -> None:
    opened(rig, OnDeath.DROP)
    left = drawn(OnDeath.DROP)
    service = replace(left.services[0], servers=left.services[0].servers[1:], turns=(0, 1), fallback=(0,) * 1021)
    rig.publish(replace(left, services=(service, left.services[1])))
    assert rig.send("outside", tcp("A"), ROUTER) == dropped("DEAD")


def test_requests_from_a_stranger_are_moved_like_any(rig: Rig) -> None:
    opened(rig, OnDeath.REBALANCE)
    outcome: Outcome = rig.send_over("outside", tcp("A"), STRANGER)
    assert outcome.hop == by_rendezvous(1, 2)


def test_an_ipv6_connection_is_reset_by_an_ipv6_rst(rig: Rig) -> None:
    """With an extension header before TCP, which the RST has not."""
    source, destination = "2001:db8:c::10", "2001:db8:f::80"
    options = IPv6(src=source, dst=destination) / IPv6ExtHdrDestOpt()
    data = options / TCP(sport=40000, dport=80, flags="A", seq=5000, ack=7000) / Raw(b"x" * 10)
    rig.publish(drawn(OnDeath.RESET))
    assert rig.send("outside", data, ROUTER).counted == {"FORWARDED_MIDSTREAM": 1}
    rig.publish(drawn(OnDeath.RESET, (0, 1, 2)))
    made = rig.answer("outside", data, ROUTER, "RESET")
    assert (made.dst, made[IPv6].src, made[IPv6].dst, len(made)) == (ROUTER, destination, source, 74)
    assert (made[TCP].flags, made[TCP].seq, made[TCP].dport) == ("R", 7000, 40000)
    again = made[IPv6].copy()
    del again[TCP].chksum
    assert bytes(again) == bytes(made[IPv6])

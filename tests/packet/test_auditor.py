"""The symmetry auditor: a response from another real server than its request went to is counted and kept."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any

from lasthop.dataplane import abi
from tests.packet.frames import CLIENT, WWW, error, reply, tcp, udp
from tests.packet.frames6 import CLIENT6, WWW6, back, error6, fragments6, udp6
from tests.packet.plans import FW, ROUTER, STRANGER, two_box
from tests.packet.rig import forwarded

if TYPE_CHECKING:
    from tests.packet.rig import Rig

BACK = ("outside", ROUTER)


def samples(rig: Rig) -> list[Any]:
    """The newest last; as many as fit."""
    kept = rig.maps["samples"].view(abi.types().struct("sample"))
    taken = int(rig.table["samples"][0])
    return [kept[i % len(kept)] for i in range(max(0, taken - len(kept)), taken)]


def test_a_response_through_another_firewall_is_forwarded_counted_and_kept(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    assert rig.send("firewalls", reply(tcp()), FW[2]) == forwarded("RESPONSE", BACK, EVENT_ASYMMETRIC=1)
    (sample,) = samples(rig)
    boxes = rig.publisher.boxes
    assert (boxes.name_of(int(sample["expected"])), boxes.name_of(int(sample["came_from"]))) == ("fw0", "fw2")
    low, high = (str(IPv6Address(sample["key"][end].tobytes()).ipv4_mapped) for end in ("low", "high"))
    assert (low, high) == (CLIENT, WWW)
    assert (int(sample["key"]["ip_proto"]), int(sample["from_low"])) == (6, 0), "the sender was the higher one"
    assert int(sample["when_ns"]) > 0


def test_a_response_from_nobodys_mac_is_counted_only(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    assert rig.send("firewalls", reply(tcp()), STRANGER) == forwarded("RESPONSE", BACK, EVENT_RESPONSE_ELSEWHERE=1)
    assert not samples(rig)


def test_what_goes_right_and_what_proves_nothing_leaves_no_sample(rig: Rig) -> None:
    """Requests, errors from wherever they come, and responses of the firewall itself."""
    rig.publish(two_box())
    rig.send("outside", udp(), ROUTER)
    rig.send("firewalls", reply(udp()), FW[0])
    rig.send("firewalls", error(udp(), WWW), FW[3])
    rig.send("outside", udp(), STRANGER)
    assert not samples(rig)


def test_the_oldest_samples_give_way(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    for _ in range(abi.limit("SAMPLES") + 3):
        rig.send("firewalls", reply(tcp(), "A"), FW[2])
    assert int(rig.table["samples"][0]) == abi.limit("SAMPLES") + 3
    assert len(samples(rig)) == abi.limit("SAMPLES")


def test_a_sample_tells_zone_protocol_and_ends_of_an_ipv6_response(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", udp6(), ROUTER)
    assert rig.send("firewalls", back(udp6()), FW[1]) == forwarded("RESPONSE", BACK, EVENT_ASYMMETRIC=1)
    (sample,) = samples(rig)
    key = sample["key"]
    assert rig.publisher.zones.name_of(int(key["zone"])) == "edge"
    assert {str(IPv6Address(key[end].tobytes())) for end in ("low", "high")} == {CLIENT6, WWW6}
    ports = int(key["low_port"].byteswap()), int(key["high_port"].byteswap())
    assert (ports, int(key["ip_proto"]), int(sample["from_low"])) == ((40000, 80), 17, 0)


def test_later_fragments_and_errors_prove_nothing_whichever_firewall_they_come_from(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", udp6(), ROUTER)
    first, later, *_ = fragments6(back(udp6()) / bytes(2000), 1000, 7)
    rig.send("firewalls", first, FW[0])
    assert rig.send("firewalls", later, FW[1]) == forwarded("FRAGMENT", BACK)
    assert rig.send("firewalls", error6(udp6(), WWW6), FW[1]) == forwarded("RELATED", BACK)
    assert not samples(rig)


def test_a_request_through_a_firewall_is_denied_as_a_last_hop_and_is_no_sample(rig: Rig) -> None:
    rig.publish(two_box())
    rig.send("outside", tcp(), ROUTER)
    assert "EVENT_HOP_MOVE_DENIED" in rig.send("firewalls", tcp("A"), FW[2]).counted
    assert not samples(rig)


def test_two_services_of_one_box_are_the_same_way_back(rig: Rig) -> None:
    """A real server is a box, by whichever service it was chosen."""
    drawn = two_box()
    twice = replace(drawn.services[0], label="FWM 3", mark=3)
    rig.publish(replace(drawn, services=(*drawn.services, twice)))
    rig.send("outside", tcp(), ROUTER)
    assert rig.send("firewalls", reply(tcp()), FW[0]) == forwarded("RESPONSE", BACK)

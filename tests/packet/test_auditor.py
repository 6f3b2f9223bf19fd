"""The symmetry auditor: a response from another real server than its request went to is counted and kept."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any

from lasthop.dataplane import abi
from tests.packet.frames import CLIENT, WWW, error, reply, tcp, udp
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

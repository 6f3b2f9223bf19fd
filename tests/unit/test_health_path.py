"""Path probes as the process sees them: what is sent, which answer counts, and why there is no way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from lasthop.director.ways import Ways
from lasthop.health.path import MAGIC, Paths, Way, _frame
from lasthop.health.probe import Asked
from lasthop.model.configuration import Configuration
from lasthop.model.director import Director
from lasthop.model.health import Check, HealthCheck
from lasthop.model.leg import Leg
from lasthop.model.real_server import RealServer
from lasthop.model.service import Service
from lasthop.model.vlan import Vlan
from lasthop.policy.compile import compile_plan
from lasthop.policy.surroundings import SeenLink, Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable

    from lasthop.model.real_server import Address

OWN, FW1, FAR, FAR6 = (ip_address(each) for each in ("10.0.1.1", "10.0.1.11", "10.0.2.1", "2001:db8:2::1"))
OWN_MAC, FW1_MAC, OTHER_MAC = "02:00:00:00:00:03", "02:00:00:00:01:11", "02:00:00:00:01:12"
WAY = Way("firewalls", "eth1", FW1_MAC, OWN_MAC, OWN)
PORT = 49784
ASKED = Asked("FWM 1", "fw1", FW1, FAR, 0, HealthCheck(Check.PATH, FAR))
LEG = Leg("firewalls", "eth1", "edge")
LINK = SeenLink(3, OWN_MAC, 1500, up=True, addresses=(ip_interface("10.9.0.1/24"), ip_interface("10.0.1.1/24")))


def probed(answer: Callable[[Paths, str, bytes], None], asked: Asked = ASKED, way: Way | str = WAY) -> str:
    """What the check finds where `answer` is what becomes of the frame."""

    async def once() -> str:
        paths = Paths()
        paths.port, paths.way = PORT, lambda _: way

        def sent(device: str, frame: bytes) -> None:
            answer(paths, device, frame)

        paths._sender.send = sent  # type: ignore[method-assign]
        async with asyncio.timeout(20):
            return await paths.probe(asked)

    return asyncio.run(once())


def test_a_probe_is_a_datagram_to_the_far_director_by_the_firewalls_mac_address() -> None:
    seen: list[Any] = []

    def come_back(paths: Paths, device: str, frame: bytes) -> None:
        seen.append((device, Ether(frame)))
        paths.answered(frame[-16:], "firewalls", FW1_MAC)

    assert probed(come_back) == ""
    assert probed(come_back, replace(ASKED, address=FAR6), replace(WAY, own_address=ip_address("2001:db8:1::1"))) == ""
    for (device, frame), kind, ends in zip(
        seen, (IP, IPv6), ((str(OWN), str(FAR)), ("2001:db8:1::1", str(FAR6))), strict=True
    ):
        assert (device, frame.src, frame.dst) == ("eth1", OWN_MAC, FW1_MAC)
        packet = frame[kind]
        assert (packet.src, packet.dst, packet[UDP].dport) == (*ends, PORT)
        assert bytes(packet[UDP].payload).startswith(MAGIC)
        again = kind(bytes(packet))
        del again[UDP].chksum
        assert kind(bytes(again))[UDP].chksum == packet[UDP].chksum, "as scapy sums it up"
    assert seen[0][1][UDP].sport != seen[1][1][UDP].sport, "a new conversation for each"


@given(st.binary(min_size=16, max_size=16), st.sampled_from([(OWN, FAR), (ip_address("2001:db8:1::1"), FAR6)]))
def test_every_probe_has_the_checksum_of_its_numbers(nonce: bytes, ends: tuple[Address, Address]) -> None:
    frame = _frame(replace(WAY, own_address=ends[0]), ends[1], PORT, nonce)
    packet = (IP if ends[1].version == 4 else IPv6)(frame[14:])
    again = packet.copy()
    del again[UDP].chksum
    assert type(packet)(bytes(again))[UDP].chksum == packet[UDP].chksum
    assert frame.endswith(MAGIC + nonce)


@pytest.mark.parametrize(("leg", "mac"), [("firewalls", OTHER_MAC), ("outside", FW1_MAC)])
def test_an_answer_from_elsewhere_proves_nothing_and_says_where_from(leg: str, mac: str) -> None:
    told = probed(lambda paths, _, frame: paths.answered(frame[-16:], leg, mac))
    assert told == f"the answer came from {mac} on leg {leg}, not from {FW1_MAC} on leg firewalls"


def test_an_answer_with_another_nonce_is_nobodys_and_a_second_one_changes_nothing() -> None:
    def answer(paths: Paths, _: str, frame: bytes) -> None:
        paths.answered(bytes(16), "outside", OTHER_MAC)
        paths.answered(frame[-16:], "firewalls", FW1_MAC)
        paths.answered(frame[-16:], "outside", OTHER_MAC)

    assert probed(answer) == ""


def test_what_the_kernel_refuses_to_send_is_told_in_its_words() -> None:
    def refuse(*_: Any) -> None:
        raise OSError(100, "Network is down")

    assert probed(refuse) == "Network is down"
    assert probed(refuse, way="nobody knows") == "nobody knows"


def way(leg: Leg = LEG, asked: Asked = ASKED, *, mac: str | None = FW1_MAC) -> Way | str:
    services = (Service(1, (), (RealServer("fw1", FW1, leg="firewalls"),)),)
    neighbours = {(3, FW1): mac} if mac else {}
    surroundings = Surroundings({"eth1": LINK}, neighbours=neighbours)
    plan = compile_plan(Configuration(Director("lb"), (leg,), services), surroundings)
    return Ways(plan, surroundings).way(asked)


def test_the_way_begins_at_the_address_that_the_firewall_has_a_subnet_with() -> None:
    assert way() == WAY


def test_where_there_is_no_way_the_reason_is_told() -> None:
    assert way(mac=None) == "nobody knows its MAC address on leg firewalls"
    assert "VLAN without an interface" in str(way(Leg("firewalls", "eth1", "edge", vlan=Vlan(100))))
    assert way(asked=replace(ASKED, address=FAR6)) == "eth1 has no IPv6 address to ask from"
    assert way(asked=replace(ASKED, server_address=FAR6)) == "it is in no service any more"

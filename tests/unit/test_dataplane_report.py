"""Connections in words: what the kernel's numbers become in a report."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lasthop.dataplane import abi
from lasthop.dataplane.connection_report import reports
from lasthop.model.connection import ConnectionReport, EachWay, HopName
from lasthop.model.director import PROFILES, State

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORWARD = HopName("firewalls", "02:00:00:00:f0:01", None, "fw1")
LAST = HopName("outside", "02:00:00:00:aa:01", None, "router")
NOW = 1_000_000_000_000
TIMEOUTS = np.array([PROFILES["lvs"][state] * 10**9 for state in State], "i8")


class Words:
    """Names for the numbers used here."""

    def zone(self, zone_id: int) -> str:
        return ["edge", "core"][zone_id]

    def service(self, service_id: int) -> str:
        return {4: "FWM 1"}.get(service_id, "")

    def server(self, server_id: int) -> str:
        return {9: "fw1"}[server_id]

    def hop(self, hop_id: int) -> HopName:
        return {71: FORWARD, 72: LAST}[hop_id]


def entry(flags: int, state: State = State.ESTABLISHED) -> NDArray[Any]:
    """A connection between 10.0.0.1:1000 and 10.0.0.2:80."""
    entry = np.zeros(1, abi.types().struct("connection"))
    key = entry["key"]
    key["low"] = np.frombuffer(abi.pack_address(IPv4Address("10.0.0.1")), "u1")
    key["high"] = np.frombuffer(abi.pack_address(IPv4Address("10.0.0.2")), "u1")
    key["low_port"], key["high_port"] = np.array([1000, 80], "u2").byteswap()
    key["zone"], key["ip_proto"] = 1, 6
    entry["word"] = 0xABCD << 32 | flags << 8 | state
    entry["forward_hop"], entry["last_hop"], entry["service"], entry["server"] = 71, 72, 4, 9
    entry["created_ns"], entry["last_seen_ns"] = NOW - 60 * 10**9, NOW - 25 * 10**8
    entry["packets"], entry["bytes"] = [3, 2], [300, 200]
    return entry


def report(entry: NDArray[Any], now_ns: int = NOW) -> ConnectionReport:
    """The one entry in words."""
    (shown,) = reports(entry, now_ns, TIMEOUTS, Words())
    return shown


def test_report_says_everything_as_its_originator_sent_it() -> None:
    bits = abi.enum("connection_flag")
    assert report(entry(bits["CONNECTION_FROM_LOW"] | bits["CONNECTION_ASSURED"])) == ConnectionReport(
        zone="core",
        protocol="tcp",
        source="10.0.0.1",
        source_port=1000,
        destination="10.0.0.2",
        destination_port=80,
        state="ESTABLISHED",
        assured=True,
        service="FWM 1",
        real_server="fw1",
        forward_hop=FORWARD,
        last_hop=LAST,
        packets=EachWay(3, 2),
        bytes=EachWay(300, 200),
        age_s=60.0,
        idle_s=2.5,
        expires_s=897.5,
    )


def test_originator_with_the_higher_address_is_the_source() -> None:
    shown = report(entry(0))
    assert (shown.source, shown.source_port, shown.destination, shown.destination_port) == (
        "10.0.0.2", 80, "10.0.0.1", 1000
    )  # fmt: skip
    assert not shown.assured


@pytest.mark.parametrize("flag", ["CONNECTION_FROM_LOW", "CONNECTION_LIVE"])
def test_a_gre_key_is_whole_whoever_opened_the_connection_and_is_no_port(flag: str) -> None:
    tunnel = entry(abi.enum("connection_flag")[flag], State.OTHER)
    tunnel["key"]["ip_proto"] = 47
    tunnel["key"]["low_port"], tunnel["key"]["high_port"] = np.array([0x1234, 0x5678], "u2").byteswap()
    shown = report(tunnel)
    assert (shown.protocol, shown.state, shown.key) == ("gre", "OTHER", 0x12345678)
    assert (shown.source_port, shown.destination_port) == (0, 0)
    tunnel["key"]["low_port"] = tunnel["key"]["high_port"] = 0
    assert report(tunnel).key is None


@pytest.mark.parametrize(("number", "name"), [(58, "icmpv6"), (50, "esp"), (89, "89"), (0, "0")])
def test_ipv6_addresses_and_any_protocol_are_shown(number: int, name: str) -> None:
    other = entry(abi.enum("connection_flag")["CONNECTION_FROM_LOW"], State.OTHER)
    other["key"]["low"] = np.frombuffer(IPv6Address("2001:db8::1").packed, "u1")
    other["key"]["high"] = np.frombuffer(IPv6Address("2001:db8::2").packed, "u1")
    other["key"]["ip_proto"] = number
    shown = report(other)
    assert (shown.protocol, shown.source, shown.destination, shown.key) == (name, "2001:db8::1", "2001:db8::2", None)


@pytest.mark.parametrize("now", [NOW - 10**10, NOW - 25 * 10**8])
def test_clock_read_before_the_last_packet_makes_no_negative_times(now: int) -> None:
    shown = report(entry(0), now)
    assert (shown.idle_s, shown.expires_s) == (0, 900)


def test_time_left_ends_at_zero() -> None:
    assert report(entry(0), NOW + 10**13).expires_s == 0


def test_reports_keep_the_order_and_the_limits_of_their_entries() -> None:
    entries = np.concatenate([entry(0, state) for state in State])
    entries["bytes"] = 2**64 - 1
    entries["key"]["low_port"], entries["service"] = 0xFFFF, 0xFFFF
    shown = list(reports(entries, NOW, TIMEOUTS, Words()))
    assert [each.state for each in shown] == [state.name for state in State]
    assert {(each.bytes, each.destination_port, each.service) for each in shown} == {
        (EachWay(2**64 - 1, 2**64 - 1), 0xFFFF, "")
    }

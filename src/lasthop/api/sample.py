"""The reports of a small sandwich's outer director, for tests of front ends.

Owns data only: four firewalls, one of them unresolved, and connections in several states.
"""

from __future__ import annotations

from typing import Any

from lasthop.api.fake import FakeOperations
from lasthop.model.connection import ConnectionReport, EachWay, HopName
from lasthop.model.counter import CounterReport
from lasthop.model.drain import DrainReport
from lasthop.model.event import Event, Kind
from lasthop.model.health import HealthReport
from lasthop.model.hop import HopReport
from lasthop.model.leg import LegReport
from lasthop.model.real_server import ServerReport
from lasthop.model.service import ServiceReport
from lasthop.model.statistics import RateEachWay, Rates, Statistics
from lasthop.model.status import StatusReport
from lasthop.model.template import TemplateReport

FIREWALLS = 4
TOTALS = Statistics(17, EachWay(1200, 900), EachWay(98_000, 1_250_000))
SPEED = Rates(0.25, RateEachWay(12.4, 10.0), RateEachWay(830.6, 12000.0))
DRAINED = 2
EVENTS_FROM = 1_700_000_000_000_000
ROUTER = HopName("outside", "02:00:00:00:00:01", None, "router")
STRANGER = HopName("outside", "02:00:00:00:00:02", None, "")


def sample(director: str = "lb1") -> FakeOperations:
    """Operations of a director named `director`; each call makes its own."""
    return FakeOperations(
        status_report=_status(director),
        leg_reports=[
            LegReport(
                "outside", "eth0", None, "edge", "tc", "02:00:00:00:01:01", 1500, "up", xdp_transmit=False, hops=2
            ),
            LegReport(
                "firewalls", "eth1", "100", "edge", "xdp+tc", "02:00:00:00:01:02", 1500, "up", xdp_transmit=True, hops=3
            ),
        ],
        service_reports=[
            ServiceReport(
                "FWM 1", "wlc", 360.0, "drop", FIREWALLS, FIREWALLS - 1, 3, 1, 2, statistics=TOTALS, rates=SPEED
            ),
            ServiceReport("FWM 2", "rr", None, "kernel", 1, 1, 0, 0, 0),
        ],
        server_reports=[*(_firewall(number) for number in range(1, FIREWALLS + 1)), _router()],
        connection_reports=_connections(),
        template_reports=[
            TemplateReport("FWM 1", "198.51.100.9", 32, "fw1", 2, assured=True, expires_s=351.5),
            TemplateReport("FWM 1", "198.51.101.0", 24, "fw2", 0, assured=False, expires_s=12.0),
        ],
        health_reports=[
            HealthReport("FWM 1", "fw1", "http", "10.0.2.80:80", "up", 86_400.0, 0, "", 0.0012, 43_200, 0),
            HealthReport("FWM 1", "fw2", "http", "10.0.2.80:80", "down", 4.2, 1, "", 0.0009, 43_190, 10),
        ],
        drain_reports=[DrainReport("FWM 1", "fw2", 1, 1, 72.5, 30.0, 570.0, "rebalance", 41.3)],
        event_list=_events(),
        hop_reports=[
            HopReport(1, "outside", ROUTER.mac, None, "192.0.2.1", "router", 3, 0),
            HopReport(2, "firewalls", _mac(1), "100", "10.0.1.11", "fw1", 1, 2),
            HopReport(3, "outside", STRANGER.mac, None, "", "", 1, 0),
        ],
        counter_reports=[
            CounterReport("forwarded", "Sent to a real server or a last hop.", expected=True, value=1234567),
            CounterReport("no_rule", "No mark rule matched: given to the kernel.", expected=True, value=0),
            CounterReport("loop", "Would have gone back to the MAC it came from: dropped.", expected=False, value=3),
            CounterReport("no_server", "No real server was usable: dropped.", expected=False, value=0),
        ],
    )


def _events() -> list[Event]:
    down = "real server fw2 of FWM 1 is down: no answer"
    about = {"service": "FWM 1", "real_server": "fw2", "check": "http", "problem": "no answer"}
    return [
        _event(1, Kind.STARTED, "info", "director lb1 is running", configuration="/etc/lasthop/lb1.toml"),
        _event(2, Kind.SERVER_DOWN, "warning", down, **about),
        _event(3, Kind.EDITED, "info", "edit: kind=drain server=fw2", by="uid 0 (pid 4711)", changes=1),
    ]


def _event(seq: int, kind: Kind, level: str, message: str, **beside: str | int) -> Event:
    given: dict[str, Any] = dict(beside)
    return Event(EVENTS_FROM + seq, f"2026-11-26T23:48:5{seq}.250Z", kind, level, message, **given)


def _status(director: str) -> StatusReport:
    return StatusReport(
        director=director,
        version="0.1.0",
        pid=4242,
        uptime_s=11534.25,
        kernel="6.1.0",
        configuration=f"/etc/lasthop/{director}.toml",
        legs=2,
        legs_up=2,
        services=2,
        real_servers=5,
        unresolved=["fw4"],
        connections=4,
        connections_max=1_000_000,
        assured=2,
        hops=3,
        unexpected={"loop": 3},
        problems=["real server 'fw4' (10.0.1.14) does not answer on leg 'firewalls'"],
        notes=[],
    )


def _mac(firewall: int) -> str:
    return f"02:00:00:00:00:1{firewall}"


def _firewall(number: int) -> ServerReport:
    up = number < FIREWALLS
    return ServerReport(
        name=f"fw{number}",
        service="FWM 1",
        address=f"10.0.1.{10 + number}",
        weight=1,
        effective_weight=int(up),
        health="up" if up else "unresolved",
        active=int(up),
        inactive=int(number == 1),
        persistent=number % 3,
        leg="firewalls",
        mac=_mac(number) if up else "",
        admin="drained" if number == DRAINED else "enabled",
        statistics=TOTALS,
        rates=SPEED,
    )


def _router() -> ServerReport:
    return ServerReport("router", "FWM 2", "192.0.2.1", 1, 1, "up", 0, 0, 0, "outside", ROUTER.mac)


def _connections() -> list[ConnectionReport]:
    """The unsorted order is that of the kernel's table: any."""
    return [
        _connection("198.51.100.20", "SYN_RECV", 3, STRANGER),
        _connection("198.51.100.9", "ESTABLISHED", 1, ROUTER),
        _connection("198.51.100.10", "ESTABLISHED", 2, ROUTER),
        _connection("192.0.2.200", "TIME_WAIT", 1, ROUTER),
    ]


def _connection(source: str, state: str, firewall: int, last_hop: HopName) -> ConnectionReport:
    return ConnectionReport(
        zone="edge",
        protocol="tcp",
        source=source,
        source_port=40000,
        destination="203.0.113.80",
        destination_port=80,
        state=state,
        assured=state == "ESTABLISHED",
        service="FWM 1",
        real_server=f"fw{firewall}",
        forward_hop=HopName("firewalls", _mac(firewall), None, f"fw{firewall}"),
        last_hop=last_hop,
        packets=EachWay(12, 10),
        bytes=EachWay(3456, 45678),
        age_s=72.5,
        idle_s=2.25,
        expires_s=897.75,
    )

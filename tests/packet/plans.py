"""Plans made by hand: the drawings of the tests, without configuration or observation.

Must not be here: packets, and what the data plane makes of a plan.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

from lasthop.model.director import PROFILES, State, Timeouts
from lasthop.model.leg import Mode
from lasthop.model.rule import PortRange
from lasthop.model.service import WhenEmpty
from lasthop.policy.plan import Plan, PlannedLeg, PlannedRule, PlannedServer, PlannedService
from lasthop.policy.schedulers import SCHEDULERS, rendezvous

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Interfaces of the tests' network namespace by the leg that is put on them. `spare` carries no leg.
INTERFACES = {"outside": 101, "firewalls": 102, "inside": 103, "servers": 104, "spare": 105}
ZONES = {"outside": "edge", "firewalls": "edge", "inside": "core", "servers": "core"}
ROUTER, INNER_ROUTER, STRANGER = "02:00:00:00:aa:01", "02:00:00:00:aa:02", "02:00:00:00:aa:03"
#: MAC addresses of the firewalls in zone edge and in zone core.
FW = tuple(f"02:00:00:00:f0:{i:02x}" for i in range(8))
CORE_FW = tuple(f"02:00:00:00:f1:{i:02x}" for i in range(8))
ANY_PORT = PortRange(0, 65535)


def mac_of(leg_name: str) -> str:
    """The MAC address of a leg's own interface."""
    return f"02:00:00:00:00:{INTERFACES[leg_name]:02x}"


def leg(name: str, **changes: Any) -> PlannedLeg:
    mac = mac_of(name)
    plain = PlannedLeg(name, ZONES[name], Mode.XDP, f"lh-{name}", INTERFACES[name], mac, 1500, True, frozenset({mac}))
    return replace(plain, **changes)


def server(name: str, leg_name: str, mac: str | None, weight: int = 1, *, usable: bool = True) -> PlannedServer:
    address = IPv4Address("10.0.1.0" if ZONES[leg_name] == "edge" else "10.0.2.0") + sum(name.encode()) % 250 + 1
    return PlannedServer(name, address, leg_name, mac, weight, usable and mac is not None)


def firewalls(count: int = 4, weights: Sequence[int] = (), **changes: Any) -> tuple[PlannedServer, ...]:
    weights = weights or [1] * count
    return tuple(replace(server(f"fw{i}", "firewalls", FW[i], w), **changes) for i, w in enumerate(weights))


def core_firewalls(count: int = 4) -> tuple[PlannedServer, ...]:
    return tuple(server(f"fw{i}", "inside", CORE_FW[i]) for i in range(count))


def service(mark: int, servers: Sequence[PlannedServer], scheduler: str = "wlc", **changes: Any) -> PlannedService:
    made = PlannedService(
        label=f"FWM {mark}",
        mark=mark,
        choice=SCHEDULERS[scheduler].choice,
        scheduler=scheduler,
        servers=tuple(servers),
        turns=SCHEDULERS[scheduler].turns(servers),
        fallback=rendezvous.table(servers),
        persistence_s=None,
        persistence_prefix=32,
        when_empty=WhenEmpty.DROP,
    )
    return replace(made, **changes)


def rule(of: int | None, **conditions: Any) -> PlannedRule:
    """A rule that leads to the service with mark `of`; None: a pass rule."""
    anything: dict[str, Any] = dict.fromkeys(("leg", "source_real_server", "protocol", "source", "destination", "dscp"))
    ports = {"source_ports": ANY_PORT, "destination_ports": ANY_PORT}
    return PlannedRule(service=None if of is None else f"FWM {of}", **(anything | ports | conditions))


def plan(legs: Sequence[PlannedLeg], rules: Sequence[PlannedRule], services: Sequence[PlannedService]) -> Plan:
    return Plan(tuple(legs), tuple(rules), tuple(services), frozenset(), (), Timeouts())


def two_box(
    servers: Sequence[PlannedServer] | None = None, scheduler: str = "wlc", *, mtu: int = 1500, **changes: Any
) -> Plan:
    """One director between a router and firewalls: FWM 1 to the firewalls, FWM 2 back to the router.

    `changes` of the names of PlannedService are of FWM 1, others of the plan.
    """
    ours = {name: changes.pop(name) for name in tuple(changes) if name in PlannedService.__dataclass_fields__}
    drawn = plan(
        (leg("outside"), leg("firewalls", mtu=mtu)),
        (rule(1, leg="outside"), rule(2, leg="firewalls")),
        (
            service(1, firewalls() if servers is None else servers, scheduler, **ours),
            service(2, (server("router", "outside", ROUTER),)),
        ),
    )
    return replace(drawn, **changes)


def one_box(**changes: Any) -> Plan:
    """Both sides of the firewalls on one director, in two zones."""
    drawn = plan(
        [leg(name) for name in ZONES],
        [rule(1, leg="outside"), rule(2, leg="firewalls"), rule(3, leg="servers"), rule(4, leg="inside")],
        (
            service(1, firewalls()),
            service(2, (server("router", "outside", ROUTER),)),
            service(3, core_firewalls()),
            service(4, (server("inner-router", "servers", INNER_ROUTER),)),
        ),
    )
    return replace(drawn, **changes)


def one_arm() -> Plan:
    """Router and firewalls on one LAN, told apart by the real server a frame comes from."""
    firewall_servers = tuple(replace(each, leg="outside") for each in firewalls())
    return plan(
        (leg("outside"),),
        (rule(2, source_real_server="*"), rule(1)),
        (service(1, firewall_servers), service(2, (server("router", "outside", ROUTER),))),
    )


def timeouts(changed: dict[str, float], profile: str = "firewall-safe") -> Timeouts:
    """A profile, with single states changed."""
    return Timeouts(profile, PROFILES[profile] | {State[name]: value for name, value in changed.items()})


def network(text: str) -> IPv4Network:
    return IPv4Network(text)

"""The worlds that random packets live in: a plan for each circumstance, where frames come from, what may change.

Must not be here: packets, and what becomes of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any

from lasthop.model.director import State
from lasthop.model.leg import ReplyTo
from lasthop.model.real_server import Admin
from lasthop.model.rule import PortRange
from lasthop.model.service import OnDeath, Related, VirtualAddress, WhenEmpty
from lasthop.model.vlan import Vlan, VlanProtocol
from tests.packet.plans import (
    CORE_FW,
    FW,
    INNER_ROUTER,
    ROUTER,
    STRANGER,
    firewalls,
    leg,
    mac_of,
    one_arm,
    one_box,
    rule,
    server,
    service,
    timeouts,
    two_box,
)
from tests.packet.wire import DOT1AD, DOT1Q

if TYPE_CHECKING:
    from collections.abc import Callable

    from lasthop.policy.plan import Plan, PlannedServer

#: Longer than a world takes: what a world expires it expires by ageing, and virtual time stands still meanwhile.
TIMEOUT_S, AGE_S, PATIENCE_S = 20.0, 12.0, 3.0
SECONDS = {state.name: TIMEOUT_S for state in State}
CLIENTS = {
    4: ("198.51.100.10", "198.51.100.20", "198.51.101.10"),
    6: ("2001:db8:c::10", "2001:db8:c::20", "2001:db8:d::1"),
}
SERVERS = {4: ("203.0.113.80", "203.0.113.81"), 6: ("2001:db8:f::80", "2001:db8:1::81")}
ON_LINK = {4: "192.0.2.50", 6: "2001:db8:2::50"}
SECOND, ON_LINK_MAC, VIRTUAL = "02:00:00:00:aa:77", "02:00:00:00:aa:50", "00:00:5e:00:01:07"
GATEWAY, SECOND_GATEWAY = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
SUBNETS = (IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8:2::/64"))


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where a frame comes from: an interface, tags, a source MAC address, and the side of the firewalls that is on."""

    interface: str
    source: str
    clients_side: bool
    tags: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class Circumstances:
    """What of a world changes while it lasts."""

    dead: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    """Boxes that are at their other MAC address."""

    def admin(self, servers: tuple[PlannedServer, ...]) -> tuple[PlannedServer, ...]:
        """The real servers as they are now."""
        return tuple(
            replace(each, admin=Admin.DISABLED, usable=False) if each.name in self.dead else each for each in servers
        )

    def mac(self, box: str, usual: str) -> str:
        return usual[:-2] + "e7" if box in self.moved else usual


@dataclass(frozen=True, slots=True)
class World:
    """Circumstances -> plan; `changes` are the names of boxes that die ("-fw0") or move ("~router")."""

    name: str
    draw: Callable[[Circumstances], Plan]
    arrivals: tuple[Arrival, ...]
    changes: tuple[str, ...] = ()
    sizes: tuple[int, ...] = (0,)
    """Bytes that packets carry behind their headers."""


OUTSIDE = tuple([Arrival("outside", ROUTER, True)] * 4 + [Arrival("outside", STRANGER, True)])
INSIDE = tuple([Arrival("firewalls", mac, False) for mac in FW[:3]] * 2 + [Arrival("firewalls", STRANGER, False)])


def _router(now: Circumstances, **changes: Any) -> Any:
    return service(2, (server("router", "outside", now.mac("router", ROUTER)),), **changes)


def plain(scheduler: str, weights: tuple[int, ...], persistence_s: float = 0) -> World:
    def draw(_now: Circumstances) -> Plan:
        ours: dict[str, Any] = {"persistence_s": persistence_s or None, "persistence_prefix6": 64}
        return two_box(firewalls(weights=weights), scheduler, timeouts=timeouts(SECONDS), **ours)

    return World(f"{scheduler} {weights} {persistence_s:.0f}", draw, OUTSIDE + INSIDE)


def mortal(on_death: OnDeath, persistence_s: float = 0) -> World:
    """wlc: a rule that goes by turns would begin anew with each death."""

    def draw(now: Circumstances) -> Plan:
        ours: dict[str, Any] = {"persistence_s": persistence_s or None, "on_death": on_death}
        return two_box(now.admin(firewalls(weights=(1, 2, 1))), timeouts=timeouts(SECONDS), **ours)

    changes = ("-fw0", "-fw1", "-fw2")
    return World(f"mortal {on_death.value} {persistence_s:.0f}", draw, OUTSIDE + INSIDE, changes)


def lonely(on_death: OnDeath) -> World:
    """Two firewalls, which may both be gone: then connections bypass them."""

    def draw(now: Circumstances) -> Plan:
        ours: dict[str, Any] = {"on_death": on_death, "when_empty": WhenEmpty.BYPASS}
        return two_box(now.admin(firewalls(2)), timeouts=timeouts(SECONDS), **ours)

    return World(f"lonely {on_death.value}", draw, OUTSIDE + INSIDE, ("-fw0", "-fw1"))


def ruled() -> World:
    """Pass rules, services by address, the director's own addresses, real servers' addresses, families and DSCP."""

    def draw(now: Circumstances) -> Plan:
        by_tcp = VirtualAddress("tcp", ip_address(SERVERS[4][0]), 80)
        every = VirtualAddress("udp", ip_address(SERVERS[6][0]), 0)
        boxes = firewalls(3)
        made = (
            service(1, boxes),
            _router(now),
            service(3, boxes, "rr"),
            service(0, boxes[1:], "rr", label=str(by_tcp), virtual_address=by_tcp, zone="edge"),
            service(0, boxes[:2], label=str(every), virtual_address=every, zone="edge", persistence_s=56.0),
        )
        rules = (
            rule(None, protocol=17, destination_ports=PortRange(80, 80), source=IPv4Network("198.51.100.20/32")),
            rule(None, protocol=50),
            rule(2, source_real_server="*", leg="firewalls"),
            rule(3, leg="outside", family=6, source=IPv6Network("2001:db8:c::/48")),
            rule(1, leg="outside", family=4, source_ports=PortRange(0, 40000)),
            rule(3, leg="outside", dscp=46),
        )
        addressed = (("edge", IPv4Address(SERVERS[4][1]), "FWM 1", "fw2"),)
        own = frozenset({IPv6Network(SERVERS[6][1])})
        return two_box(rules=rules, services=made, local=own, server_addresses=addressed, timeouts=timeouts(SECONDS))

    return World("ruled", draw, OUTSIDE + INSIDE)


def one_boxed() -> World:
    """Both sides of the firewalls, in two zones."""
    inside = tuple(Arrival("inside", mac, True) for mac in CORE_FW[:3])
    servers = (Arrival("servers", INNER_ROUTER, False),) * 3
    return World("one box", lambda _now: one_box(timeouts=timeouts(SECONDS)), OUTSIDE + INSIDE[:3] + inside + servers)


def tagged() -> World:
    """Router, firewalls and a third side in VLANs of one interface; firewalls with two tags, the third with none."""
    trunk = mac_of("outside")

    def vlan(name: str, which: Vlan | None, zone: str = "edge", **changes: Any) -> Any:
        at = {"interface": "lh-outside", "ifindex": 101, "mac": trunk, "own_macs": frozenset({trunk})}
        return leg(name, zone=zone, vlan=which, device=0 if which else 101, **at, **changes)

    legs = (
        vlan("outside", Vlan(100)),
        vlan("firewalls", Vlan(200, 7, VlanProtocol.DOT1AD)),
        vlan("inside", None),
        leg("servers", zone="edge"),
    )

    def draw(now: Circumstances) -> Plan:
        rules = (rule(2, leg="firewalls"), rule(3, leg="servers"), rule(1))
        third = service(3, (server("third", "inside", SECOND),))
        return two_box(
            legs=legs, rules=rules, services=(service(1, firewalls(3), "rr"), _router(now), third),
            timeouts=timeouts(SECONDS),
        )  # fmt: skip

    outside = [Arrival("outside", ROUTER, True, ((tpid, tci),)) for tpid in (DOT1Q, DOT1AD) for tci in (100, 0xA064)]
    outside += [Arrival("outside", STRANGER, True, ((DOT1Q, 0), (DOT1Q, 100)))]
    inside = [
        Arrival("outside", mac, False, ((DOT1AD, priority | 200), (DOT1Q, 7)))
        for mac in FW[:3]
        for priority in (0, 0x6000)
    ]
    others = [Arrival("outside", SECOND, True), Arrival("outside", SECOND, True, ((DOT1Q, 0xE000),))]
    others += [Arrival("servers", STRANGER, False)]
    nobody = [Arrival("outside", ROUTER, True, tags) for tags in (((DOT1Q, 101),), ((DOT1Q, 200), (DOT1Q, 8)))]
    nobody += [Arrival("outside", ROUTER, True, ((DOT1Q, 200), (DOT1Q, 7), (DOT1Q, 1)))]
    return World("tagged", draw, tuple(outside + inside + others + nobody))


def neighbourly(*, strict: bool) -> World:
    """Routers with a virtual address; hosts on the link; maybe nobody else becomes a last hop."""
    kinds = {"reply_to": ReplyTo.NEIGHBOUR, "gateways": (GATEWAY, SECOND_GATEWAY), "subnets": SUBNETS}

    def draw(now: Circumstances) -> Plan:
        known = (
            ("outside", now.mac("gateway", VIRTUAL), GATEWAY),
            ("outside", ON_LINK_MAC, ip_address(ON_LINK[4])),
            ("outside", ON_LINK_MAC, ip_address(ON_LINK[6])),
        )
        legs = (leg("outside", strict=strict, device=101, **kinds), leg("firewalls", strict=strict, device=102))
        return two_box(firewalls(3), "rr", legs=legs, neighbours=known, timeouts=timeouts(SECONDS))

    outside = [Arrival("outside", mac, True) for mac in (ROUTER, SECOND, STRANGER, VIRTUAL, ON_LINK_MAC)]
    return World("neighbourly strict" if strict else "neighbourly", draw, (*outside, *outside, *INSIDE), ("~gateway",))


def strict_only() -> World:
    def draw(_now: Circumstances) -> Plan:
        legs = (leg("outside", strict=True, device=101), leg("firewalls", device=102))
        known = (("outside", SECOND, IPv4Address("192.0.2.9")),)
        return two_box(firewalls(3), "rr", legs=legs, neighbours=known, timeouts=timeouts(SECONDS))

    return World("strict", draw, (*OUTSIDE, Arrival("outside", SECOND, True), *INSIDE))


def related() -> World:
    """A new connection goes where an older one of its two addresses goes, whoever opened it."""

    def draw(now: Circumstances) -> Plan:
        ours: dict[str, Any] = {"related": Related.ADDRESS_PAIR, "on_death": OnDeath.KEEP}
        boxes = now.admin(firewalls(3))
        to_firewalls = service(1, boxes, **ours)
        return two_box(
            rules=(rule(1, leg="outside"), rule(3, leg="inside"), rule(2, leg="firewalls")),
            legs=(leg("outside"), leg("firewalls"), leg("inside", zone="edge")),
            services=(to_firewalls, _router(now), service(3, boxes[::-1], **ours)),
            timeouts=timeouts(SECONDS),
        )

    inside = (Arrival("inside", INNER_ROUTER, False),) * 3
    return World("related", draw, OUTSIDE + INSIDE + inside, ("-fw1",))


def related_and_persistent() -> World:
    """What is related, else a client's template."""

    def draw(now: Circumstances) -> Plan:
        boxes = now.admin(firewalls(3))
        ours: dict[str, Any] = {"related": Related.ADDRESS_PAIR, "persistence_s": 20.0, "persistence_prefix": 24}
        return two_box(
            rules=(rule(1, leg="outside"), rule(2, leg="firewalls")),
            services=(service(1, boxes, **ours), _router(now)),
            timeouts=timeouts(SECONDS),
        )

    return World("related and persistent", draw, OUTSIDE + INSIDE, ("-fw1",))


def one_armed() -> World:
    """Router and firewalls on one leg, told apart by the real server a frame comes from."""

    def draw(_now: Circumstances) -> Plan:
        return replace(one_arm(), timeouts=timeouts(SECONDS))

    inside = tuple(Arrival("outside", mac, False) for mac in FW[:4])
    return World("one arm", draw, OUTSIDE + inside)


def strict_ruled() -> World:
    """The rules of "ruled" on legs where nobody unknown becomes a last hop."""
    plain_rules = ruled()

    def draw(now: Circumstances) -> Plan:
        drawn = plain_rules.draw(now)
        known = (("outside", SECOND, IPv4Address("192.0.2.9")),)
        return replace(drawn, legs=tuple(replace(each, strict=True) for each in drawn.legs), neighbours=known)

    return World("strict ruled", draw, (*OUTSIDE, Arrival("outside", SECOND, True), *INSIDE))


def moving() -> World:
    """Firewalls and the router move to other MAC addresses and back."""

    def draw(now: Circumstances) -> Plan:
        boxes = tuple(replace(each, mac=now.mac(each.name, each.mac or "")) for each in firewalls(3))
        return two_box(
            rules=(rule(1, leg="outside"), rule(2, leg="firewalls")),
            services=(service(1, boxes), _router(now)),
            timeouts=timeouts(SECONDS),
        )

    others = Arrival("outside", ROUTER[:-2] + "e7", True), Arrival("firewalls", FW[0][:-2] + "e7", False)
    return World("moving", draw, OUTSIDE + INSIDE + others * 2, ("~router", "~fw0"))


def narrow() -> World:
    """What is larger than the MTU of the firewalls' leg goes nowhere."""

    def draw(_now: Circumstances) -> Plan:
        return two_box(firewalls(3), "rr", mtu=1280, persistence_s=20.0, timeouts=timeouts(SECONDS))

    return World("narrow", draw, OUTSIDE + INSIDE, sizes=(0, 0, 0, 1200, 1241, 1300))


WORLDS = (
    plain("wlc", (1, 2, 0)),
    plain("rr", (1, 0, 1)),
    plain("wlc", (1, 1, 1), 20),
    plain("rr", (1, 1, 1), 20),
    plain("rendezvous", (1, 1, 1)),
    mortal(OnDeath.REBALANCE),
    mortal(OnDeath.REBALANCE, 20),
    mortal(OnDeath.DROP),
    mortal(OnDeath.BYPASS, 20),
    mortal(OnDeath.KEEP),
    lonely(OnDeath.REBALANCE),
    lonely(OnDeath.BYPASS),
    ruled(),
    one_boxed(),
    tagged(),
    neighbourly(strict=False),
    neighbourly(strict=True),
    strict_only(),
    related(),
    related_and_persistent(),
    one_armed(),
    strict_ruled(),
    moving(),
    narrow(),
)

"""Which real server: rules and services for a packet of no known connection, and what each service gives.

Must not be here: known connections.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

from tests.oracles import pair_hash, rr, wlc
from tests.packet.model import fragment
from tests.packet.model.ip import WALKED
from tests.packet.model.nouns import EVERY_PORT, Exit, Template, lies_in

if TYPE_CHECKING:
    from tests.packet.model.memory import DatagramKey, Memory
    from tests.packet.model.nouns import Address, Leg, Packet, Place, Rule, Server, Service


_WHEN_EMPTY = {"DROP": "DROP_EMPTY", "KERNEL": "KERNEL_EMPTY", "BYPASS": "KERNEL_BYPASS"}


def classify(memory: Memory, leg: Leg, came: Place, packet: Packet) -> Service | Server:
    """The service that takes a packet, or the real server it is addressed to; else it is the kernel's."""
    box = memory.box_of(came)
    for rule in memory.rules:
        if rule.service is None and _matches(rule, leg, box, packet):
            raise Exit("KERNEL_PASS_RULE")
    addressed = _by_address(memory, packet)
    if addressed is not None and box not in addressed.servers:
        return addressed
    if any(lies_in(packet.destination, each) for each in memory.local):
        raise Exit("KERNEL_LOCAL")
    if (leg.zone, packet.destination) in memory.server_addresses:
        return memory.server_addresses[leg.zone, packet.destination]
    for rule in memory.rules:
        if rule.service is not None and _matches(rule, leg, box, packet):
            service = memory.services[rule.service]
            if box not in service.servers:
                return service
    raise Exit("KERNEL_NO_RULE")


def _by_address(memory: Memory, packet: Packet) -> Service | None:
    """The service by address: of its port before of every port. Whose ports are unknown fit those of every port."""
    ports = (0,) if _portless(packet) else (packet.ports[1], 0)
    for port in ports:
        for service in memory.services.values():
            if service.by_address == (packet.protocol, packet.destination, port):
                return service
    return None


def _portless(packet: Packet) -> bool:
    """Whether its ports are unknown, being in another fragment."""
    return packet.later


def _protocol_unknown(packet: Packet) -> bool:
    """Whether its protocol is unknown, because its part of the datagram begins with a further extension header."""
    return packet.later and packet.family == 6 and packet.protocol in WALKED


def _matches(rule: Rule, leg: Leg, box: str, packet: Packet) -> bool:
    return (
        rule.leg in {None, leg.name}
        and (rule.source_real_server is None or (box != "" and rule.source_real_server in {"*", box}))
        and rule.family in {None, packet.family}
        and (rule.protocol in {None, packet.protocol} or (rule.service is not None and _protocol_unknown(packet)))
        and (rule.source is None or lies_in(packet.source, rule.source))
        and (rule.destination is None or lies_in(packet.destination, rule.destination))
        and rule.dscp in {None, packet.dscp}
        and _ports_match(rule, packet)
    )


def _ports_match(rule: Rule, packet: Packet) -> bool:
    wanted = rule.source_ports, rule.destination_ports
    if _portless(packet):
        return rule.service is not None or wanted == (EVERY_PORT, EVERY_PORT)
    return all(first <= port <= last for (first, last), port in zip(wanted, packet.ports, strict=True))


def by_rendezvous(service: Service, packet: Packet) -> str:
    """The choice that needs no memory; the packet is the kernel's or nobody's where nobody is usable."""
    known = tuple((each.name, each.weight, each.usable) for each in service.servers.values())
    if not any(usable for _, _, usable in known):
        raise Exit(_WHEN_EMPTY[service.when_empty])
    return _chosen(known, packet.source, packet.destination)


@lru_cache(maxsize=4096)
def _chosen(known: tuple[tuple[str, int, bool], ...], source: Address, destination: Address) -> str:
    return pair_hash.chosen(list(known), str(ip_address(source)), str(ip_address(destination)))


def for_early(memory: Memory, service: Service, packet: Packet) -> str:
    """The real server of a later fragment before its first one: its client's, or by rendezvous."""
    return _bound(memory, service, packet) or by_rendezvous(service, packet)


class Choice:
    """The real server an opening packet is given; `settle` remembers it, once it is sure that the packet goes there."""

    def __init__(self, memory: Memory, service: Service, zone: str, packet: Packet, key: DatagramKey | None) -> None:
        by_rendezvous(service, packet)
        self._memory, self._service, self._packet = memory, service, packet
        self.turn: int | None = None
        self.event = ""
        early = fragment.early_choice(memory, key, service.label)
        name = early if early and service.servers[early].usable else ""
        bound = _bound(memory, service, packet)
        self.persistent = service.persistence_s > 0 and (not name or bound in {"", name})
        if not name and service.related:
            name = _related(memory, service, zone, packet)
            self.event = "EVENT_RELATED" if name else ""
            self.persistent = self.persistent and not name
        self.name = name or bound or self._scheduled()

    def settle(self) -> None:
        if self.event:
            self._memory.events[self.event] += 1
        if self.turn is not None:
            self._service.last_turn = self.turn
        if self.persistent:
            key = self._memory.client_key(self._service.label, self._packet.source)
            expires = self._memory.now + self._service.persistence_s
            self._memory.templates[key] = Template(self.name, expires)

    def _scheduled(self) -> str:
        service = self._service
        if service.scheduler == "rendezvous":
            return by_rendezvous(service, self._packet)
        weights = [each.weight if each.usable else 0 for each in service.servers.values()]
        if service.scheduler == "rr":
            chosen = self.turn = rr.choose(weights, service.last_turn)
        else:
            loads = self._memory.loads(service.label).values()
            chosen = wlc.choose([(weight, *load) for weight, load in zip(weights, loads, strict=True)])
        if chosen is None:
            raise Exit(_WHEN_EMPTY[service.when_empty])
        return list(service.servers)[chosen]


def _bound(memory: Memory, service: Service, packet: Packet) -> str:
    """The usable real server that the packet's client is bound to, empty if to none."""
    if not service.persistence_s:
        return ""
    key = memory.client_key(service.label, packet.source)
    template = memory.templates.get(key)
    if template is None or memory.stale(key, template) or not service.servers[template.server].usable:
        return ""
    return template.server


def _related(memory: Memory, service: Service, zone: str, packet: Packet) -> str:
    """The real server that the oldest live connection which is noted of the two addresses goes to or comes from."""
    noted = memory.pairs.get((zone, frozenset({packet.source, packet.destination})), [])
    live = [each for key in noted if (each := memory.live(key)) is not None]
    if not live:
        return ""
    oldest = min(live, key=lambda each: each.turn)
    for name in (oldest.server, oldest.last.box):
        if name in service.servers and service.servers[name].usable:
            return name
    return ""

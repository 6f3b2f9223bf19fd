"""The model of a plan, and what becomes of the model when another plan is published.

Must not be here: packets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.model.director import State
from lasthop.model.leg import ReplyTo
from lasthop.model.service import Related
from tests.packet.model import Leg, Model, Rule, Server, Service, last_hop
from tests.packet.wire import mac

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    from lasthop.policy.plan import Plan, PlannedLeg, PlannedRule, PlannedService
    from tests.packet.model.nouns import Network

_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}


def model_of(plan: Plan) -> Model:
    """A director that nothing has happened to yet."""
    legs = {each.name: _leg(each) for each in plan.legs}
    seconds = {state.name: plan.timeouts.seconds[state] for state in State}
    made = Model(legs, {}, [_rule(each) for each in plan.rules], seconds)
    for name, wanted in (("tcp", plan.settings.sloppy_tcp), ("sctp", plan.settings.sloppy_sctp)):
        made.sloppy = made.sloppy if wanted else made.sloppy - {name}
    made.local = tuple(_network(each) for each in plan.local)
    publish(made, plan)
    return made


def publish(model: Model, plan: Plan) -> None:
    """What changes with another plan of the same drawing: who is where, who is usable."""
    _move(model, plan)
    for planned in plan.services:
        before = model.services.get(planned.label)
        made = model.services[planned.label] = _service(model, planned)
        made.last_turn = before.last_turn if before else None
    for zone, address, label, name in plan.server_addresses:
        model.server_addresses[zone, address.packed] = model.services[label].servers[name]
    asking = {each.name for each in plan.legs if each.knows_neighbours}
    gateways = {(each.name, address) for each in plan.legs for address in each.gateways}
    model.neighbours = {(leg, address.packed): mac(at) for leg, at, address in plan.neighbours}
    for leg, at, address in plan.neighbours:
        if leg in asking or (leg, address) in gateways:
            model.hop_at((leg, mac(at)))


def _move(model: Model, plan: Plan) -> None:
    """Hops of who was somewhere else before follow, once each."""
    moves = set()
    for planned in plan.services:
        if planned.label not in model.services:
            continue
        for each in planned.servers:
            hop = model.services[planned.label].servers[each.name].hop
            if hop is not None and each.mac is not None and hop.mac != mac(each.mac):
                moves.add((hop.place, mac(each.mac)))
    for leg, at, address in plan.neighbours:
        was = model.neighbours.get((leg, address.packed))
        if was is not None and was != mac(at):
            moves.add(((leg, was), mac(at)))
    for place, to in moves:
        last_hop.move(model, place, to)


def _leg(planned: PlannedLeg) -> Leg:
    return Leg(
        planned.name,
        planned.zone,
        planned.interface.removeprefix("lh-"),
        mac(planned.mac),
        frozenset(mac(each) for each in planned.own_macs),
        tuple((protocol.ethertype, vlan) for protocol, vlan in planned.vlan.tags) if planned.vlan else (),
        planned.mtu,
        planned.up,
        planned.reply_to is ReplyTo.NEIGHBOUR,
        tuple(each.packed for each in planned.gateways),
        tuple(_network(each) for each in planned.subnets),
        planned.strict,
    )


def _service(model: Model, planned: PlannedService) -> Service:
    servers = {}
    for each in planned.servers:
        hop = None if each.mac is None else model.hop_at((each.leg, mac(each.mac)), each.name)
        servers[each.name] = Server(each.name, hop, each.weight, each.usable, each.dead)
    taken = planned.virtual_address
    return Service(
        planned.label,
        servers,
        planned.scheduler,
        planned.persistence_s or 0,
        (planned.persistence_prefix, planned.persistence_prefix6),
        planned.on_death.value,
        planned.when_empty.name,
        planned.related is Related.ADDRESS_PAIR,
        None if taken is None else (_NUMBERS[taken.protocol], taken.address.packed, taken.port),
        next((model.legs[each.leg].zone for each in planned.servers), ""),
    )


def _rule(planned: PlannedRule) -> Rule:
    return Rule(
        planned.service,
        planned.leg,
        planned.source_real_server,
        planned.family,
        planned.protocol,
        None if planned.source is None else _network(planned.source),
        None if planned.destination is None else _network(planned.destination),
        (planned.source_ports.first, planned.source_ports.last),
        (planned.destination_ports.first, planned.destination_ports.last),
        planned.dscp,
    )


def _network(network: IPv4Network | IPv6Network) -> Network:
    return network.network_address.packed, network.prefixlen

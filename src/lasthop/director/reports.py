"""What a director says of itself: plan, data plane and table as reports.

Owns their wording. Nothing here changes anything.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lasthop.model.health import Health
from lasthop.model.leg import LegReport, Mode, ReplyTo
from lasthop.model.real_server import ServerReport
from lasthop.model.service import ServiceReport
from lasthop.model.statistics import Rates, Statistics
from lasthop.policy.placement import strip_nothing
from lasthop.policy.plan import Choice
from lasthop.policy.vlan_devices import commands

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from lasthop.dataplane.interface import Attachment, Load, Measured, Resizing
    from lasthop.model.drain import DrainReport
    from lasthop.model.health import HealthReport
    from lasthop.model.hop import HopReport
    from lasthop.policy.plan import Plan, PlannedServer, PlannedService

_RISING = "it answers again, not often enough yet"


def leg_reports(
    plan: Plan, attachments: Iterable[Attachment], hops: Iterable[HopReport], missing: Collection[str]
) -> list[LegReport]:
    """The legs of `plan`; `missing` are interfaces that are gone."""
    attached = {attachment.leg: attachment for attachment in attachments}
    on_leg = Counter(hop.leg for hop in hops)
    return [
        LegReport(
            name=leg.name,
            interface=leg.interface,
            vlan=str(leg.vlan) if leg.vlan else None,
            zone=leg.zone,
            mode=attached[leg.name].how if leg.name in attached else "",
            mac=leg.mac,
            mtu=leg.mtu,
            state="missing" if leg.interface in missing else "up" if leg.up else "down",
            xdp_transmit=leg.name in attached and attached[leg.name].xdp_transmit,
            hops=on_leg[leg.name],
            reply_to=leg.reply_to.value,
            strict=leg.strict,
        )
        for leg in plan.legs
    ]


def service_reports(
    plan: Plan, load: Mapping[tuple[str, str], Load], traffic: Mapping[str, Measured]
) -> list[ServiceReport]:
    """The services of `plan`, with the connections of real servers that are no longer in it."""
    by_service: dict[str, list[Load]] = {}
    for (label, _), one in load.items():
        by_service.setdefault(label, []).append(one)
    reports = []
    for service in plan.services:
        loads = by_service.get(service.label, [])
        measured = traffic.get(service.label)
        reports.append(
            ServiceReport(
                service=service.label,
                scheduler=service.scheduler,
                persistence_s=service.persistence_s,
                when_empty=service.when_empty.value,
                real_servers=len(service.servers),
                usable=sum(server.effective_weight > 0 for server in service.servers),
                active=sum(one.active for one in loads),
                inactive=sum(one.inactive for one in loads),
                persistent=sum(one.persistent for one in loads),
                scheduler_flags=service.scheduler_flags,
                on_death=service.on_death.value,
                persistence_prefix=service.persistence_prefix,
                persistence_prefix6=service.persistence_prefix6,
                one_packet=service.one_packet,
                related=service.related.value,
                below_quorum=service.below_quorum,
                statistics=measured.statistics if measured else Statistics(),
                rates=measured.rates if measured else Rates(),
            )
        )
    return reports


def server_reports(
    plan: Plan, load: Mapping[tuple[str, str], Load], traffic: Mapping[tuple[str, str], Measured]
) -> list[ServerReport]:
    """The real servers of `plan`."""
    legs_up = {leg.name for leg in plan.legs if leg.up}
    return [
        _server_report(
            service,
            server,
            _health(server, legs_up),
            load.get((service.label, server.name)),
            traffic.get((service.label, server.name)),
        )
        for service in plan.services
        for server in service.servers
    ]


def unresolved(plan: Plan) -> list[str]:
    """Names of the real servers without a MAC address, sorted."""
    return sorted({server.name for service in plan.services for server in service.servers if server.mac is None})


def problems(plan: Plan) -> list[str]:
    """What of `plan` needs an operator."""
    return [
        *(f"leg {leg.name} ({leg.interface}) is down" for leg in plan.legs if not leg.up),
        *(told for service in plan.services if (told := _emptiness(service))),
        *_lost_gateways(plan),
        *_shared_macs(plan),
    ]


def _lost_gateways(plan: Plan) -> list[str]:
    """Legs that reply to the neighbour, none of whose gateways is known."""
    known = {(leg, address) for leg, _, address in plan.neighbours}
    return [
        f"leg {leg.name}: no gateway answers ({', '.join(map(str, leg.gateways))}); meanwhile responses go to the MAC "
        "address each request came from"
        for leg in plan.legs
        if leg.reply_to is ReplyTo.NEIGHBOUR and not any((leg.name, gateway) in known for gateway in leg.gateways)
    ]


def _emptiness(service: PlannedService) -> str:
    """Why a service has nobody for new connections; empty if it has."""
    if not any(server.usable for server in service.servers):
        return f"service {service.label} has no usable real server; when_empty = {service.when_empty.value}"
    # Rendezvous takes one of weight 0 before none.
    if service.choice is Choice.BY_RENDEZVOUS or any(server.effective_weight for server in service.servers):
        return ""
    return (
        f"service {service.label} has nobody for new connections: its real servers are drained, disabled or of "
        f"weight 0; when_empty = {service.when_empty.value}"
    )


def notes(resizing: Resizing | None) -> list[str]:
    """What goes on and needs nobody."""
    if resizing is None:
        return []
    told = (
        f"resizing the table from {resizing.before} to {resizing.after} connections: "
        f"{resizing.moved} {'is' if resizing.moved == 1 else 'are'} moved"
    )
    return [f"{told}, {resizing.refused} found no room yet" if resizing.refused else told]


def leg_notes(plan: Plan) -> list[str]:
    """What legs would need to be faster, or to resolve their neighbours."""
    first = {leg.interface: leg for leg in reversed(plan.legs)}
    return [
        *(
            f"leg {leg.name}: tc alone, for {leg.interface} takes VLAN tags out of frames where XDP does not see them; "
            f"for XDP: {strip_nothing(leg.interface)}"
            for leg in first.values()
            if leg.strips_tags and leg.mode is Mode.AUTO and not leg.virtual
        ),
        *(
            f"leg {leg.name}: the kernel has no VLAN interface for {leg.interface} VLAN {leg.vlan}, so it resolves "
            f"nobody there but permanent neighbours of {leg.interface}; to make it: {commands(leg.interface, leg.vlan)}"
            for leg in plan.legs
            if leg.vlan and not leg.device
        ),
    ]


def drain_notes(drains: Iterable[DrainReport]) -> list[str]:
    """How far each real server is that is being drained."""
    return [_drain_note(drain) for drain in drains]


def _drain_note(drain: DrainReport) -> str:
    left = f"{drain.remaining} connection{'s' * (drain.remaining != 1)}"
    told = f"real server {drain.real_server} of {drain.service} is drained: {left} left"
    if drain.oldest_s is not None:
        told += f", the oldest {drain.oldest_s:.0f} s old"
    if drain.deadline_s is not None:
        told += f"; in {drain.deadline_s:.0f} s it is disabled (on_death = {drain.on_death})"
    return told


def ill(health: Iterable[HealthReport], plan: Plan) -> list[str]:
    """Real servers that a health check finds down, and services that have too few others."""
    told = [
        f"real server {each.real_server} is down for {each.for_s:.0f} s: {each.last or _RISING} "
        f"({each.check} {each.target}, {each.service})"
        for each in health
        if each.health == Health.DOWN
    ]
    return told + [
        f"service {service.label} is below its quorum: none of its real servers is used"
        for service in plan.services
        if service.below_quorum
    ]


def _health(server: PlannedServer, legs_up: Collection[str]) -> str:
    if server.mac is None:
        return "unresolved"
    if server.leg not in legs_up or server.down:
        return "down"
    return "standby" if server.standby else "up"


def _shown_weight(weight: int, scale: int) -> float:
    """As if nobody were in a slow start; whole numbers stay such."""
    return weight / scale if weight % scale else weight // scale


def _server_report(
    service: PlannedService, server: PlannedServer, health: str, load: Load | None, measured: Measured | None
) -> ServerReport:
    return ServerReport(
        name=server.name,
        service=service.label,
        stand_in=server.stand_in,
        address=str(server.address),
        other_addresses=tuple(map(str, server.other_addresses)),
        weight=server.configured_weight,
        effective_weight=_shown_weight(server.effective_weight, service.weight_scale),
        health=health,
        active=load.active if load else 0,
        inactive=load.inactive if load else 0,
        persistent=load.persistent if load else 0,
        leg=server.leg,
        mac=server.mac or "",
        upper_threshold=server.upper_threshold,
        lower_threshold=server.lower_threshold,
        admin=server.admin.value,
        overloaded=load.overloaded if load else False,
        statistics=measured.statistics if measured else Statistics(),
        rates=measured.rates if measured else Rates(),
    )


def _shared_macs(plan: Plan) -> list[str]:
    """Real servers that cannot be told apart: somebody answers ARP or ND for several of them."""
    names: dict[tuple[str, str], set[str]] = {}
    for service in plan.services:
        for server in service.servers:
            if server.mac is not None:
                names.setdefault((server.leg, server.mac), set()).add(server.name)
    return [
        f"real servers {', '.join(sorted(same))} have one MAC address, {mac} on leg {leg}: is it proxy ARP or ND?"
        for (leg, mac), same in names.items()
        if len(same) > 1
    ]

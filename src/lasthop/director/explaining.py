"""Explaining one packet: the frame it is, what the data plane says of it, and the numbers behind the choice.

Owns who sends where nobody said, and the making of the report. Nothing here changes anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lasthop.config.dump import match_text
from lasthop.dataplane.frames import build, vlans_of
from lasthop.dataplane.reasons import REASONS, verdict_of
from lasthop.errors import DirectorError
from lasthop.model import explanation as model
from lasthop.model.protocol import protocol_name
from lasthop.policy.comparison import FORMULAS, cost, looked_up, rendezvous
from lasthop.policy.plan import Choice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lasthop.dataplane.finding import Finding, Read
    from lasthop.dataplane.interface import DataPlane, Load
    from lasthop.model.configuration import Configuration
    from lasthop.model.described import Question
    from lasthop.policy.plan import Plan, PlannedLeg, PlannedServer, PlannedService

#: Who sends on a leg where nobody is known.
NOBODY_MAC = "02:00:00:00:00:fe"
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_HOP = re.compile(r"hop (\d+)")
_PLACE = re.compile(r"(pass|service)\[(\d+)\]\.match\[(\d+)\]|mark rule (\d+)")
_IPV4_BITS, _IPV6_BITS = 32, 128
_SHORTEST_FRAME = 14


@dataclass(frozen=True, slots=True)
class _Sender:
    mac: str
    note: str = ""
    """What was assumed."""


class Explaining:
    """Explains packets by one plan."""

    def __init__(self, configuration: Configuration, plan: Plan, dataplane: DataPlane) -> None:
        self._configuration = configuration
        self._plan = plan
        self._dataplane = dataplane

    def explain(self, question: Question) -> model.ExplanationReport:
        """See Operations.explain."""
        if (question.packet is None) == (question.frame is None):
            raise DirectorError("can't explain that: it is neither a packet nor a frame", "give one of the two")
        if question.frame is not None:
            frame = _bytes_of(question.frame)
            leg = self._leg(question.leg) if question.leg else self._leg_of(frame)
            return self._report(leg, frame, self._dataplane.inspection.explain(leg.name, frame, tagged=True), [])
        leg = self._leg(question.leg or "")
        return self._explain_words(leg, question)

    def _explain_words(self, leg: PlannedLeg, question: Question) -> model.ExplanationReport:
        packet = question.packet
        assert packet is not None  # noqa: S101 -- the caller looked
        tagged = packet.vlan is not None
        sender = self._sender(leg, packet.sender)
        frame = build(packet, sender.mac, leg.mac)
        finding = self._dataplane.inspection.explain(leg.name, frame, tagged=tagged)
        known = None if packet.sender else _usual_sender(leg, finding)
        if known is not None:
            sender = known
            frame = build(packet, sender.mac, leg.mac)
            finding = self._dataplane.inspection.explain(leg.name, frame, tagged=tagged)
        return self._report(leg, frame, finding, [sender.note] if sender.note else [])

    def _leg(self, name: str) -> PlannedLeg:
        for leg in self._plan.legs:
            if leg.name == name:
                return leg
        listed = ", ".join(leg.name for leg in self._plan.legs)
        raise DirectorError(f"can't explain a packet in leg {name!r}: there is none of that name", f"legs: {listed}")

    def _leg_of(self, frame: bytes) -> PlannedLeg:
        """The leg whose MAC address a frame is for."""
        mac, vlans = frame[:6].hex(":"), vlans_of(frame)
        found = [leg for leg in self._plan.legs if mac in leg.own_macs and vlans == (leg.vlan.ids if leg.vlan else ())]
        if len(found) == 1:
            return found[0]
        told = f"{len(found)} legs have" if found else "no leg has"
        listed = ", ".join(f"{leg.name} ({leg.mac})" for leg in self._plan.legs)
        raise DirectorError(
            f"can't tell in which leg the frame came: {told} the MAC address {mac} and the VLAN that it is for",
            f"name it with --leg; legs: {listed}",
        )

    def _sender(self, leg: PlannedLeg, said: str | None) -> _Sender:
        if said is None:
            return self._assumed_sender(leg)
        if _MAC.fullmatch(said.lower()):
            return _Sender(said.lower())
        if hop := _HOP.fullmatch(said):
            return _Sender(self._mac_of_hop(leg, int(hop[1])))
        macs = {server.name: server.mac for server in self._servers_on(leg) if server.mac}
        if said in macs:
            return _Sender(macs[said] or "")
        raise DirectorError(
            f"can't let {said!r} send on leg {leg.name!r}: it is no MAC address and no real server with one there",
            f"real servers there: {', '.join(macs) or 'none'}; or say a MAC address, or hop N (see lasthop hops)",
        )

    def _mac_of_hop(self, leg: PlannedLeg, id_: int) -> str:
        for hop in self._dataplane.hops():
            if hop.id == id_ and hop.leg == leg.name:
                return hop.mac
        raise DirectorError(f"can't let hop {id_} send on leg {leg.name!r}: it is none of that leg", "see lasthop hops")

    def _assumed_sender(self, leg: PlannedLeg) -> _Sender:
        """The first real server that is on the leg, else the first hop; documented in docs/explain.md."""
        for server in self._servers_on(leg):
            if server.mac:
                return _Sender(server.mac, f"Nobody said who sends: {server.name} is assumed; else say from NAME.")
        for hop in self._dataplane.hops():
            if hop.leg == leg.name:
                return _Sender(hop.mac, f"Nobody said who sends: hop {hop.id} is assumed; say from MAC or from hop N.")
        return _Sender(NOBODY_MAC, f"Nobody said who sends, and nobody is known there: {NOBODY_MAC} is assumed.")

    def _servers_on(self, leg: PlannedLeg) -> list[PlannedServer]:
        return [server for service in self._plan.services for server in service.servers if server.leg == leg.name]

    def _report(self, leg: PlannedLeg, frame: bytes, finding: Finding, notes: list[str]) -> model.ExplanationReport:
        service = next((each for each in self._plan.services if each.label == finding.service), None)
        read = finding.read
        return model.ExplanationReport(
            leg=leg.name,
            zone=leg.zone,
            frame=frame.hex(),
            came_from=finding.came_from,
            packet=_packet(read) if read else None,
            verdict=verdict_of(finding.reason),
            reason=finding.reason,
            sentence=REASONS[finding.reason.upper()].sentence,
            connection=finding.connection,
            ended=finding.ended,
            rule=self._rule(finding),
            service=finding.service,
            real_server=finding.real_server,
            persistence=_persistence(service, finding) if service and read else None,
            choice=self._choice(service, finding),
            last_hop=model.LastHopReport(finding.last_hop, finding.last_hop_known) if finding.last_hop else None,
            out=_out(finding),
            notes=[*notes, *_chances(service, finding)],
        )

    def _rule(self, finding: Finding) -> model.RuleReport | None:
        if finding.rule is None or finding.rule >= len(self._plan.rules):
            return None
        rule = self._plan.rules[finding.rule]
        return model.RuleReport(finding.rule + 1, rule.place, self._text_at(rule.place), rule.service or "")

    def _text_at(self, place: str) -> str:
        """The match at a place in the configuration, as a file has it."""
        found = _PLACE.fullmatch(place)
        if not found:
            return ""
        if found[4]:
            return match_text(self._configuration.mark_rules[int(found[4]) - 1].match)
        rules = self._configuration.pass_rules if found[1] == "pass" else self._configuration.services
        return match_text(rules[int(found[2])].matches[int(found[3])])

    def _choice(self, service: PlannedService | None, finding: Finding) -> model.ChoiceReport:
        scheduler, read = service.scheduler if service else "", finding.read
        asked = finding.chosen_by in {"scheduler", "rendezvous"}
        if service is None or read is None or not asked:
            return model.ChoiceReport(finding.chosen_by, scheduler, "", None, None)
        source, destination = (read.source, read.source_port), (read.destination, read.destination_port)
        looked = (
            rendezvous(source, destination)
            if finding.chosen_by == "rendezvous"
            else looked_up(service, read.protocol, source, destination, finding.turn)
        )
        load = self._dataplane.load([(service.label, server.name) for server in service.servers])
        candidates = [_candidate(service, server, load, finding, compared=not looked) for server in service.servers]
        if looked:
            return model.ChoiceReport(finding.chosen_by, scheduler, looked.up, looked.slot, looked.slots, candidates)
        return model.ChoiceReport(
            finding.chosen_by, scheduler, FORMULAS.get(service.choice, ""), None, None, candidates
        )


def _bytes_of(text: str) -> bytes:
    try:
        frame = bytes.fromhex(text)
    except ValueError:
        frame = b""
    if len(frame) < _SHORTEST_FRAME:
        raise DirectorError(
            "can't explain the frame: it is not hexadecimal, or shorter than an Ethernet header",
            "give the whole frame, from the destination MAC address on",
        )
    return frame


def _usual_sender(leg: PlannedLeg, finding: Finding) -> _Sender | None:
    """Who sends the packets of a known connection in this direction."""
    known, read = finding.connection, finding.read
    if known is None or read is None or read.error:
        return None
    request = (known.source, known.source_port) == (str(read.source), read.source_port)
    hop = known.last_hop if request else known.forward_hop
    if hop.leg != leg.name or not hop.mac:
        return None
    told = "its last hop" if request else "its real server"
    name = f" ({hop.name})" if hop.name else ""
    return _Sender(hop.mac, f"Nobody said who sends: the connection is known, so {told} {hop.mac}{name} does.")


def _out(finding: Finding) -> model.FrameOutReport | None:
    out = finding.out
    return model.FrameOutReport(out.hop, out.source_mac, out.hop.mac, out.hop.vlan) if out else None


def _packet(read: Read) -> model.PacketReport:
    return model.PacketReport(
        protocol=protocol_name(read.protocol),
        source=str(read.source),
        source_port=read.source_port,
        destination=str(read.destination),
        destination_port=read.destination_port,
        length=read.length,
        opening=read.opening,
        error=read.error,
        fragment=read.fragment,
    )


def _persistence(service: PlannedService, finding: Finding) -> model.PersistenceReport | None:
    read = finding.read
    if service.persistence_s is None or read is None:
        return None
    if finding.template is not None:
        return model.PersistenceReport(finding.template.client, finding.template.prefix, finding.template)
    return model.PersistenceReport(str(read.source), _IPV4_BITS if read.source.version == 4 else _IPV6_BITS, None)  # noqa: PLR2004 -- IP version


def _candidate(
    service: PlannedService,
    server: PlannedServer,
    load: Mapping[tuple[str, str], Load],
    finding: Finding,
    *,
    compared: bool,
) -> model.CandidateReport:
    found = load.get((service.label, server.name))
    active, inactive = (found.active, found.inactive) if found else (0, 0)
    chosen, over = server.name == finding.real_server, finding.connection
    if finding.left_out and over and (over.service, over.real_server) == (service.label, server.name):
        active -= finding.left_out == "active"
        inactive -= finding.left_out == "inactive"
    # Without the connection that is over, it may be below its threshold again.
    overloaded = bool(found and found.overloaded) and not (chosen and finding.left_out)
    state = _state(server, overloaded=overloaded)
    return model.CandidateReport(
        name=server.name,
        weight=server.weight,
        active=active,
        inactive=inactive,
        state=state,
        cost=cost(service.choice, server.weight, active, inactive) if compared and state == "usable" else None,
        chosen=chosen,
    )


def _state(server: PlannedServer, *, overloaded: bool) -> str:
    if server.dead:
        return "dead"
    if server.mac is None:
        return "unresolved"
    if server.standby:
        return "standby"
    if not server.usable:
        return "leg down"
    if not server.weight:
        return "weight 0"
    return "overloaded" if overloaded else "usable"


def _chances(service: PlannedService | None, finding: Finding) -> list[str]:
    """What may come out otherwise, and why."""
    notes: list[str] = []
    if service is not None and service.weight_scale > 1:
        notes.append(
            f"a real server is in its slow start: meanwhile all weights are {service.weight_scale} times larger"
        )
    if service is None or finding.read is None:
        return notes
    if finding.chosen_by == "scheduler" and service.choice is Choice.BY_LOAD_TWOS:
        notes.append("The scheduler twos draws two real servers by chance: the packet itself may get another one.")
    if finding.chosen_by == "scheduler" and finding.left_out and service.choice in FORMULAS:
        notes.append("The connection that is over is left out of these numbers.")
    if finding.chosen_by == "rendezvous" and not finding.read.opening and not finding.read.error:
        notes.append("The packet opens no connection, so the scheduler is not asked.")
    if finding.chosen_by == "scheduler" and finding.local:
        notes.append(f"{finding.read.destination} has {', '.join(finding.local)} by the scheduler {service.scheduler}.")
    return notes

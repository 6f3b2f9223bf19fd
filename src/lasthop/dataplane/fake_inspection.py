"""A look at the data plane in memory: it knows its connections and the first rule of a leg, and what a test puts in.

For `lasthop.dataplane.fake`, which forwards nothing.
"""

from __future__ import annotations

import os
from collections import deque
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from lasthop.dataplane.finding import Finding, Read, WayOut
from lasthop.errors import DataPlaneError
from lasthop.model.asymmetry import AsymmetricResponse, AsymmetryReport
from lasthop.model.connection import HopName

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from lasthop.model.capture import CapturedFrame
    from lasthop.model.connection import ConnectionReport
    from lasthop.policy.plan import Plan, PlannedLeg, PlannedRule

_IPV4 = b"\x08\x00"


class FakeInspection:
    """See `interface.Inspection`; `report` and `arrive` are what happens in the world."""

    def __init__(self, plan: Callable[[], Plan | None], connections: Callable[[], Iterable[ConnectionReport]]) -> None:
        self._plan = plan
        self._connections = connections
        self._queue: deque[CapturedFrame] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.responses: list[AsymmetricResponse] = []
        """Asymmetric ones, the newest first."""
        self.legs: frozenset[str] = frozenset()
        """Those that are captured."""
        self.lost_frames = 0

    def explain(self, leg: str, frame: bytes, *, tagged: bool) -> Finding:  # noqa: ARG002 - there are no VLANs here
        """See Inspection.explain. It reads IPv4 with ports; a new connection goes to the first usable real server."""
        plan = self._plan()
        planned = next((each for each in plan.legs if each.name == leg), None) if plan else None
        if plan is None or planned is None:
            raise DataPlaneError(f"can't explain a frame on leg {leg!r}: it is not attached", "see `lasthop legs`")
        came_from = HopName(leg, frame[6:12].hex(":"), None, _name(plan, leg, frame[6:12].hex(":")))
        if frame[12:14] != _IPV4:
            return Finding("kernel_not_ip", came_from)
        read = _read(frame[14:])
        for known in self._connections():
            if known.zone == planned.zone and (way := _same(known, read)):
                hop = known.forward_hop if way == "request" else known.last_hop
                return Finding(
                    f"forwarded_{way}", came_from, read, service=known.service, real_server=known.real_server,
                    chosen_by="connection", connection=known, last_hop=known.last_hop, last_hop_known=True,
                    out=_way_out(plan, hop),
                )  # fmt: skip
        place = next((i for i, rule in enumerate(plan.rules) if _matches(rule, leg, read)), None)
        if place is None:
            return Finding("kernel_no_rule", came_from, read)
        return _scheduled(plan, place, came_from, read)

    def asymmetry(self) -> AsymmetryReport:
        """See Inspection.asymmetry."""
        return AsymmetryReport(len(self.responses), list(self.responses))

    def capture(self, legs: Collection[str]) -> None:
        """See Inspection.capture."""
        if not self.legs:
            self._queue.clear()
        self.legs = frozenset(legs)

    def captured(self, limit: int) -> list[CapturedFrame]:
        """See Inspection.captured."""
        frames = [self._queue.popleft() for _ in range(min(limit, len(self._queue)))]
        if not self._queue and frames:
            os.eventfd_read(self._bell)
        return frames

    def lost(self) -> int:
        """See Inspection.lost."""
        return self.lost_frames

    @property
    def descriptor(self) -> int:
        """See Inspection.descriptor."""
        return self._bell

    def arrive(self, frame: CapturedFrame) -> None:
        """A frame is seen; it is captured if its leg is."""
        if frame.leg in self.legs:
            self._queue.append(frame)
            os.eventfd_write(self._bell, 1)


def _read(packet: bytes) -> Read:
    header = (packet[0] & 15) * 4
    ports = [int.from_bytes(packet[at : at + 2], "big") for at in (header, header + 2)]
    source, destination = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
    length = int.from_bytes(packet[2:4], "big")
    return Read(packet[9], source, ports[0], destination, ports[1], length, opening=True)


def _same(known: ConnectionReport, read: Read) -> str:
    """``request`` or ``response`` if a packet is of a connection."""
    ends = [(known.source, known.source_port), (known.destination, known.destination_port)]
    seen = [(str(read.source), read.source_port), (str(read.destination), read.destination_port)]
    return "request" if seen == ends else "response" if seen == ends[::-1] else ""


def _matches(rule: PlannedRule, leg: str, read: Read) -> bool:
    return rule.leg in (None, leg) and rule.protocol in (None, read.protocol)


def _scheduled(plan: Plan, place: int, came_from: HopName, read: Read) -> Finding:
    label = plan.rules[place].service
    if label is None:
        return Finding("kernel_pass_rule", came_from, read, rule=place)
    service = next(each for each in plan.services if each.label == label)
    server = next((each for each in service.servers if each.effective_weight), None)
    if server is None:
        return Finding("drop_empty", came_from, read, rule=place, service=label, chosen_by="scheduler")
    hop = HopName(server.leg, server.mac or "", None, server.name)
    return Finding(
        "forwarded_opening", came_from, read, rule=place, service=label, real_server=server.name,
        chosen_by="scheduler", last_hop=came_from, out=_way_out(plan, hop),
    )  # fmt: skip


def _way_out(plan: Plan, hop: HopName) -> WayOut:
    leg: PlannedLeg = next(each for each in plan.legs if each.name == hop.leg)
    return WayOut(hop, leg.mac)


def _name(plan: Plan, leg: str, mac: str) -> str:
    servers = (server for service in plan.services for server in service.servers)
    return next((each.name for each in servers if (each.leg, each.mac) == (leg, mac)), "")

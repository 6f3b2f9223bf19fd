"""The demonstration: real traffic through a topology, and everything that can be said about it afterwards.

Owns what is sent and what is proved. How it is shown is `lasthop.lab.presentation`'s.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from lasthop.lab import symmetry, transparency
from lasthop.lab.layout import WWW_ADDRESS
from lasthop.lab.ping import echo_icmp
from lasthop.lab.traffic import Attempt, curl, echo_udp, open_http

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address

    from lasthop.lab.symmetry import Symmetry
    from lasthop.lab.topology import Topology
    from lasthop.lab.transparency import Transparency

#: Where failure is expected, in seconds: longer than the first retransmission.
_IMPATIENT = 1.5
_PATIENT = 5.0

Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Load:
    """How many connections of each kind are tried."""

    curl: int
    http: int
    udp: int
    icmp: int
    http_from_inside: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.curl + self.http + self.udp + self.icmp + self.http_from_inside


def load(connections: int, *, from_inside: bool) -> Load:
    """Divide a number of connections among the kinds."""
    curls = min(48, -(-connections // 8))
    inside = connections // 4 if from_inside else 0
    udp, icmp = connections // 10, connections // 20
    return Load(curls, connections - curls - inside - udp - icmp, udp, icmp, inside)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out."""

    load: Load
    attempts: tuple[Attempt, ...]
    symmetry: Symmetry
    transparency: tuple[Transparency, ...]
    examples: tuple[tuple[Attempt, tuple[Report, ...]], ...]
    """Some of the connections, each with what every zone on its way has of it."""
    unexpected: dict[str, dict[str, int]]
    """Director -> counters that should be zero and are not."""

    @property
    def completed(self) -> int:
        """Connections that got the right answer."""
        return sum(attempt.completed for attempt in self.attempts)

    @property
    def transparent(self) -> bool:
        """Whether every packet left every director as it had entered it."""
        return bool(self.transparency) and all(proof.holds for proof in self.transparency)

    @property
    def holds(self) -> bool:
        """Whether everything is as it must be."""
        return self.completed == len(self.attempts) > 0 and self.symmetry.holds and self.transparent

    @property
    def shows_the_problem(self) -> bool:
        """Whether connections failed because firewalls dropped responses to requests they had not seen."""
        dropped = sum(view.packets.invalid for view in self.symmetry.per_firewall.values())
        return self.completed < len(self.attempts) and dropped > 0 and not self.symmetry.holds

    def as_json(self) -> Report:
        """The fields of ``lasthop demo --json``."""
        views = self.symmetry.per_firewall
        return {
            "connections": len(self.attempts),
            "completed": self.completed,
            "symmetric": self.symmetry.holds,
            "transparent": self.transparent,
            "per_firewall": {
                name: {
                    "requests": view.requests,
                    "responses": view.responses,
                    "dropped": view.packets.invalid + view.packets.refused,
                }
                for name, view in views.items()
            },
            "packets_compared": sum(proof.entered for proof in self.transparency),
        }


def demonstrate(lab: Topology, wanted: Load) -> Outcome:
    """Send the traffic and judge it. Raises LabError if the judgement is impossible."""
    with transparency.capture(lab) as taken:
        attempts = send(lab, wanted)
    judged = symmetry.judge(lab, attempts)
    reports = [report for director in lab.directors.values() for report in director.client.connections()]
    unexpected = {box: dict(director.client.status()["unexpected"]) for box, director in lab.directors.items()}
    return Outcome(
        wanted,
        tuple(attempts),
        judged,
        tuple(transparency.compare(lab.layout, taken.frames)),
        _with_reports(_examples(attempts, judged), reports),
        unexpected,
    )


def send(lab: Topology, wanted: Load) -> list[Attempt]:
    """Try all connections of a load, all kinds at once."""
    client, www = lab.namespace("client"), lab.namespace("www")
    outwards, inwards = lab.layout.outwards, lab.layout.inwards
    patience = _IMPATIENT if lab.blueprint.no_last_hop else _PATIENT
    http = partial(open_http, timeout=patience, parallel=256 if lab.blueprint.no_last_hop else 32)
    kinds = (
        partial(_curls, client, outwards, wanted.curl, patience),
        partial(http, client, outwards, wanted.http),
        partial(echo_udp, client, outwards, wanted.udp, timeout=patience),
        partial(echo_icmp, client, outwards, wanted.icmp, timeout=patience),
        partial(http, www, inwards, wanted.http_from_inside),
    )
    with ThreadPoolExecutor(max_workers=len(kinds)) as workers:
        jobs = [workers.submit(kind) for kind in kinds]
        return [attempt for job in jobs for attempt in job.result()]


def _curls(
    namespace: str, pairs: Sequence[tuple[IPv4Address, IPv4Address]], count: int, timeout: float
) -> list[Attempt]:
    shares = [count // len(pairs) + (number < count % len(pairs)) for number in range(len(pairs))]
    with ThreadPoolExecutor(max_workers=len(pairs)) as workers:
        jobs = [
            workers.submit(curl, namespace, pair, share, timeout=timeout)
            for pair, share in zip(pairs, shares, strict=True)
        ]
        return [attempt for job in jobs for attempt in job.result()]


def _examples(attempts: Sequence[Attempt], judged: Symmetry) -> list[Attempt]:
    """One connection of each kind and direction, on as many firewalls as there are among them."""
    chosen: list[Attempt] = []
    seen: set[tuple[str, bool]] = set()
    for attempt in attempts:
        firewall = judged.firewall_of.get(attempt.key)
        mark = (f"{attempt.protocol} {firewall}", attempt.source == str(WWW_ADDRESS))
        if firewall and mark not in seen:
            seen.add(mark)
            chosen.append(attempt)
    tcp = [attempt for attempt in chosen if attempt.protocol == "tcp" and attempt.source != str(WWW_ADDRESS)]
    others = [attempt for attempt in chosen if attempt.protocol != "tcp"]
    inside = [attempt for attempt in chosen if attempt.protocol == "tcp" and attempt.source == str(WWW_ADDRESS)]
    return [*tcp[:4], *others[:1], *inside[:2]]


def _with_reports(
    attempts: Sequence[Attempt], reports: Sequence[Report]
) -> tuple[tuple[Attempt, tuple[Report, ...]], ...]:
    names = ("protocol", "source", "source_port", "destination", "destination_port")
    by_key: dict[object, list[Report]] = {}
    for report in reports:
        by_key.setdefault(tuple(report[name] for name in names), []).append(report)
    return tuple((attempt, tuple(_on_the_way(attempt, by_key.get(attempt.key, [])))) for attempt in attempts)


def _on_the_way(attempt: Attempt, reports: list[Report]) -> list[Report]:
    """In the order the requests come by: from edge to core, or from core to edge."""
    return sorted(reports, key=itemgetter("zone"), reverse=attempt.source != str(WWW_ADDRESS))

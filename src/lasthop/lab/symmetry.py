"""Symmetry: every response crosses the firewall that saw its request.

Owns the judgement, made from the firewalls' own connection tracking tables and drop counters, which
know nothing of directors.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lasthop.lab import firewall

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lasthop.lab.firewall import ConnectionKey, FirewallCounters
    from lasthop.lab.topology import Topology
    from lasthop.lab.traffic import Attempt


@dataclass(frozen=True, slots=True)
class FirewallView:
    """What one firewall saw of the connections in question."""

    requests: int
    """Connections whose requests it saw."""
    responses: int
    """Connections whose responses it saw and let pass."""
    packets: FirewallCounters
    """Packets, of everything that ever crossed it."""


@dataclass(frozen=True, slots=True)
class Symmetry:
    """The judgement about a number of connections."""

    per_firewall: dict[str, FirewallView]
    firewall_of: dict[ConnectionKey, str]
    """The one firewall that saw a symmetric connection."""
    asymmetric: tuple[str, ...]
    """A sentence about each connection that was not."""

    @property
    def holds(self) -> bool:
        """Whether there were connections, all of them symmetric, and no firewall dropped a packet."""
        dropped = any(view.packets.invalid or view.packets.refused for view in self.per_firewall.values())
        return bool(self.firewall_of) and not self.asymmetric and not dropped


def judge(lab: Topology, attempts: Iterable[Attempt]) -> Symmetry:
    """Judge connections soon after they were tried: the tables forget closed ones after some seconds."""
    tables = {name: firewall.tracked(lab.namespace(name)) for name in lab.layout.firewalls}
    requests: dict[ConnectionKey, set[str]] = defaultdict(set)
    responses: dict[ConnectionKey, set[str]] = defaultdict(set)
    for name, table in tables.items():
        for entry in table:
            # An entry of the reversed tuple means that a response was taken for an opening.
            requests[entry.key].add(name)
            responses[_reversed(entry.key)].add(name)
            if entry.responses:
                responses[entry.key].add(name)
    return _judgement(lab, list(attempts), requests, responses)


def _judgement(
    lab: Topology,
    attempts: list[Attempt],
    requests: Mapping[ConnectionKey, set[str]],
    responses: Mapping[ConnectionKey, set[str]],
) -> Symmetry:
    nobody: set[str] = set()
    firewall_of = {}
    asymmetric = []
    for attempt in attempts:
        asked, answered = requests.get(attempt.key, nobody), responses.get(attempt.key, nobody)
        if attempt.completed and len(asked) == 1 and asked == answered:
            firewall_of[attempt.key] = next(iter(asked))
        else:
            asymmetric.append(
                f"{attempt}: requests crossed {_names(asked)}, responses {_names(answered)}"
                f" ({attempt.problem or 'completed'})"
            )
    keys = [attempt.key for attempt in attempts]
    views = {
        name: FirewallView(
            sum(name in requests.get(key, nobody) for key in keys),
            sum(name in responses.get(key, nobody) for key in keys),
            firewall.counters(lab.namespace(name)),
        )
        for name in lab.layout.firewalls
    }
    return Symmetry(views, firewall_of, tuple(asymmetric))


def _reversed(key: ConnectionKey) -> ConnectionKey:
    protocol, source, source_port, destination, destination_port = key
    return protocol, destination, destination_port, source, source_port


def _names(firewalls: set[str]) -> str:
    return "+".join(sorted(firewalls)) or "no firewall"

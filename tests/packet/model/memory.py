"""What a director knows: its configuration, what it remembers, and the clock.

Must not be here: what a packet does to it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from tests.packet.model.nouns import Hop, masked

if TYPE_CHECKING:
    from tests.packet.model.nouns import (
        Address,
        Connection,
        Key,
        Leg,
        Mac,
        Network,
        Place,
        Rule,
        Server,
        Service,
        Template,
    )

ACTIVE = {"ESTABLISHED", "SYN_SENT", "SYN_RECV", "SYNACK", "SCTP_ESTABLISHED"}
NOTE_S = 30.0
#: (zone, source, destination, identification, protocol where the family's header has it).
DatagramKey = tuple[str, "Address", "Address", int, int]


#: Connections of a pair of addresses that are noted at once.
PAIR_CONNECTIONS = 8


class NoteKind(Enum):
    """Which fragment a note is of: EARLY, a later one before any; ERROR, an ICMP error's; PASSED by a pass rule."""

    FIRST = 0
    EARLY = 1
    ERROR = 2
    PASSED = 3


@dataclass(slots=True)
class Note:
    """What is remembered of a datagram whose fragments come: its connection's key, and where they went."""

    made: float
    hop: Hop | None
    key: Key | None
    service: str
    server: str
    kind: NoteKind = NoteKind.FIRST


@dataclass(slots=True)
class Memory:
    """`now` is in seconds and moves only when told to. `events` are those of the packet at hand."""

    legs: dict[str, Leg]
    services: dict[str, Service]
    rules: list[Rule]
    timeouts: dict[str, float]
    local: tuple[Network, ...] = ()
    server_addresses: dict[tuple[str, Address], Server] = field(default_factory=dict)
    neighbours: dict[tuple[str, Address], Mac] = field(default_factory=dict)
    sloppy: frozenset[str] = frozenset({"tcp", "sctp"})
    now: float = 0.0
    hops: dict[Place, Hop] = field(default_factory=dict)
    table: dict[Key, Connection] = field(default_factory=dict)
    templates: dict[tuple[str, Address], Template] = field(default_factory=dict)
    pairs: dict[tuple[str, frozenset[Address]], list[Key]] = field(default_factory=dict)
    """(zone, two addresses) -> connections of theirs, in any order."""
    notes: dict[DatagramKey, Note] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    everyone: list[Hop] = field(default_factory=list)
    """All hops that were ever used: those, too, whose place another one has taken."""
    opened: int = 0

    def expired(self, connection: Connection) -> bool:
        return self.now - connection.seen > self.timeouts[connection.state]

    def live(self, key: Key) -> Connection | None:
        """The connection of a key, unless its time is over."""
        found = self.table.get(key)
        return None if found is None or self.expired(found) else found

    def note_pair(self, key: Key) -> None:
        """Note a connection for its two addresses: where it was before, or where none is that lives, else nowhere."""
        noted = self.pairs.setdefault((key[0], frozenset({key[2][0], key[3][0]})), [])
        over = [each for each in noted if each != key and self.live(each) is None]
        if key in noted:
            return
        if over and noted.index(over[0]) < PAIR_CONNECTIONS:
            noted[noted.index(over[0])] = key
        elif len(noted) < PAIR_CONNECTIONS:
            noted.append(key)

    def sweep(self) -> None:
        """Forget what is due."""
        self.table = {key: each for key, each in self.table.items() if not self.expired(each)}
        self.templates = {key: each for key, each in self.templates.items() if not self.stale(key, each)}

    def load(self, label: str, name: str) -> tuple[int, int, int]:
        """(active, inactive, persistent) of a real server of a service."""
        states = [each.state in ACTIVE for each in self.table.values() if (each.service, each.server) == (label, name)]
        bound = [key for key, each in self.templates.items() if (key[0], each.server) == (label, name)]
        return sum(states), len(states) - sum(states), len(bound)

    def loads(self, label: str) -> dict[str, tuple[int, int]]:
        """(active, inactive) of every real server of a service."""
        found = {name: [0, 0] for name in self.services[label].servers}
        for each in self.table.values():
            if each.service == label and each.server in found:
                found[each.server][each.state not in ACTIVE] += 1
        return {name: (active, inactive) for name, (active, inactive) in found.items()}

    def stale(self, key: tuple[str, Address], template: Template) -> bool:
        """Whether a template's time is over and no connection of it is left."""
        return self.now > template.expires and not any(
            "PERSISTENT" in each.flags and self.client_key(each.service, each.source[0]) == key
            for each in self.table.values()
        )

    def children(self) -> Counter[tuple[str, Address]]:
        """How many live connections every template has bound."""
        bound = (each for each in self.table.values() if "PERSISTENT" in each.flags)
        return Counter(self.client_key(each.service, each.source[0]) for each in bound)

    def client_key(self, label: str, client: Address) -> tuple[str, Address]:
        """What tells the clients of a persistent service apart."""
        return label, masked(client, self.services[label].prefixes[len(client) == 16])

    def hop_at(self, place: Place, box: str = "") -> Hop:
        """The hop at a place, made if there is none; a real server's if it is said to be one's."""
        found = self.hops.get(place)
        if found is None:
            found = self.hops[place] = Hop(*place)
            self.everyone.append(found)
        found.box = box or found.box
        return found

    def box_of(self, place: Place) -> str:
        """The real server that a hop is of, empty if of none."""
        found = self.hops.get(place)
        return found.box if found else ""

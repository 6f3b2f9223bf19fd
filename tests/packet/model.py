"""A director in plain Python: what a packet does to the connection table, written from the design and LVS's semantics.

Owns one zone with two services, as plans.two_box draws it. Must not be here: frames, maps, how anything is encoded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.oracles import pair_hash, rr, sctp_state, tcp_state, wlc

Hop = tuple[str, str]
Endpoint = tuple[str, int]
ACTIVE = {"ESTABLISHED", "SYN_SENT", "SYN_RECV", "SYNACK", "SCTP_ESTABLISHED"}
_FLAGS = {"S": "syn", "F": "fin", "A": "ack", "R": "rst"}
#: Where one direction alone is seen: this many packets over this long make a connection assured.
ASSURED_PACKETS, ASSURED_S = 4, 4.0


@dataclass(frozen=True, slots=True)
class Packet:
    """`flags` are TCP's, of SCTP the name of its chunk.

    Of echo "S" is the request, "SA" the reply, and both ports are its identifier.
    """

    came: Hop
    protocol: str
    source: Endpoint
    destination: Endpoint
    flags: str

    @property
    def opening(self) -> bool:
        if self.protocol == "tcp":
            return "S" in self.flags and not set("AFR") & set(self.flags)
        return self.protocol == "udp" or self.flags in {"S", "INIT"}

    @property
    def reset(self) -> bool:
        """It ends a connection, opens none, and anyone may have forged it."""
        return self.flags in {"ABORT", "SHUTDOWN_COMPLETE"} if self.protocol == "sctp" else "R" in self.flags


@dataclass(slots=True)
class Entry:
    """A connection."""

    source: Endpoint
    service: str
    server: str
    forward: Hop
    last: Hop
    created: float
    seen: float
    state: str = "NONE"
    flags: set[str] = field(default_factory=set)
    packets: list[int] = field(default_factory=lambda: [0, 0])


@dataclass(slots=True)
class Template:
    """What binds a client to a real server."""

    server: str
    expires: float


@dataclass(slots=True)
class Service:
    """A virtual service that takes what comes in through one leg."""

    label: str
    leg: str
    servers: dict[str, tuple[Hop, int]]
    """Name -> hop and weight, in file order."""
    scheduler: str
    persistence_s: float
    on_death: str = "keep"
    dead: set[str] = field(default_factory=set)
    last_turn: int | None = None


class Model:
    """`now` is in seconds and moves only when told to; `ended`: the last packet found a connection that was over."""

    def __init__(self, services: list[Service], timeouts: dict[str, float]) -> None:
        self.now = 0.0
        self.services = services
        self.timeouts = timeouts
        self.table: dict[tuple[str, frozenset[Endpoint]], Entry] = {}
        self.templates: dict[tuple[str, str], Template] = {}
        self.ended = False

    def receive(self, packet: Packet) -> tuple[str, Hop | None]:
        """The reason counted, and the hop the packet is sent to."""
        key = (packet.protocol, frozenset([packet.source, packet.destination]))
        entry = self.table.get(key)
        self.ended = False
        if entry and (self._expired(entry) or self._over(entry, packet)):
            del self.table[key]
            entry, self.ended = None, True
        moved = False
        if entry and (fate := self._fate(entry, packet)):
            if fate != "MOVED":
                return fate, None
            del self.table[key]
            entry, self.ended, moved = None, True, True
        if entry:
            return self._known(entry, packet)
        service = self._service_for(packet)
        if service is None:
            return "KERNEL_NO_RULE", None
        name, persistent = self._choose(service, packet)
        if name is None:
            return "DROP_EMPTY", None
        if packet.reset:
            return "FORWARDED_STRAY", service.servers[name][0]
        entry = Entry(packet.source, service.label, name, service.servers[name][0], packet.came, self.now, self.now)
        entry.state = "SCTP_NONE" if packet.protocol == "sctp" else "NONE"
        entry.flags |= {"PERSISTENT"} if persistent else set()
        entry.flags |= {"MOVED"} if moved else set()
        entry.state = self._next_state(entry, packet, "input_only")
        entry.packets[0] = 1
        self.table[key] = entry
        return "FORWARDED_OPENING" if packet.opening else "FORWARDED_MIDSTREAM", entry.forward

    def sweep(self) -> None:
        self.table = {key: entry for key, entry in self.table.items() if not self._expired(entry)}
        self.templates = {key: each for key, each in self.templates.items() if not self._stale(key, each)}

    def load(self, label: str, name: str) -> tuple[int, int, int]:
        """(active, inactive, persistent) of a real server of a service."""
        states = [each.state in ACTIVE for each in self.table.values() if (each.service, each.server) == (label, name)]
        bound = [key for key, each in self.templates.items() if (key[0], each.server) == (label, name)]
        return sum(states), len(states) - sum(states), len(bound)

    def _fate(self, entry: Entry, packet: Packet) -> str:
        """What becomes of a packet whose connection's real server is dead; empty: nothing else than usual."""
        service = next(each for each in self.services if each.label == entry.service)
        if entry.server not in service.dead:
            return ""
        if service.on_death == "rebalance":
            return "MOVED" if packet.source == entry.source else ""
        return {"keep": "", "drop": "DROP_DEAD", "bypass": "KERNEL_BYPASS"}[service.on_death]

    def _known(self, entry: Entry, packet: Packet) -> tuple[str, Hop | None]:
        request = packet.source == entry.source
        hop = entry.forward if request else entry.last
        if hop == packet.came:
            return "DROP_LOOP", None
        if not request:
            entry.flags.add("REPLIED")
        elif packet.came != entry.last and not packet.reset and self._box_of(entry, packet) is None:
            entry.last = packet.came
        direction = "output" if not request else "input" if "REPLIED" in entry.flags else "input_only"
        entry.state = self._next_state(entry, packet, direction)
        long_enough = entry.packets[0] >= ASSURED_PACKETS and self.now > entry.created + ASSURED_S
        settled = packet.protocol in {"udp", "icmp"} or entry.state.endswith("ESTABLISHED")
        if settled and ("REPLIED" in entry.flags or long_enough):
            entry.flags.add("ASSURED")
        entry.packets[not request] += 1
        entry.seen = self.now
        return "FORWARDED_REQUEST" if request else "FORWARDED_RESPONSE", hop

    def _next_state(self, entry: Entry, packet: Packet, direction: str) -> str:
        if packet.protocol == "sctp":
            return sctp_state.next_state(direction, packet.flags, entry.state)
        if packet.protocol != "tcp":
            return packet.protocol.upper()
        return tcp_state.next_state(direction, {_FLAGS[flag] for flag in packet.flags if flag in _FLAGS}, entry.state)

    def _expired(self, entry: Entry) -> bool:
        return self.now - entry.seen > self.timeouts[entry.state]

    def _over(self, entry: Entry, packet: Packet) -> bool:
        halfway = entry.state == "FIN_WAIT" and "REPLIED" not in entry.flags
        closed = entry.state in {"TIME_WAIT", "CLOSE", "SCTP_CLOSED"} or halfway
        return packet.protocol in {"tcp", "sctp"} and packet.opening and closed

    def _box_of(self, entry: Entry, packet: Packet) -> str | None:
        """The real server of the entry's own service that a packet came from."""
        service = next(each for each in self.services if each.label == entry.service)
        return next((name for name, (hop, _) in service.servers.items() if hop == packet.came), None)

    def _service_for(self, packet: Packet) -> Service | None:
        for service in self.services:
            own = packet.came in [hop for hop, _ in service.servers.values()]
            if service.leg == packet.came[0] and not own:
                return service
        return None

    def _stale(self, key: tuple[str, str], template: Template) -> bool:
        children = [
            each for each in self.table.values() if "PERSISTENT" in each.flags and (each.service, each.source[0]) == key
        ]
        return not children and self.now > template.expires

    def _choose(self, service: Service, packet: Packet) -> tuple[str | None, bool]:
        """The real server, None if nobody is there, and whether a template counts the connection."""
        if len(service.dead) == len(service.servers):
            return None, False
        if not packet.opening:
            known = [(name, weight, name not in service.dead) for name, (_, weight) in service.servers.items()]
            return pair_hash.chosen(known, packet.source[0], packet.destination[0]), False
        if not service.persistence_s:
            return self._schedule(service), False
        key = (service.label, packet.source[0])
        template = self.templates.get(key)
        keeps = template is not None and not self._stale(key, template) and template.server not in service.dead
        name = template.server if template and keeps else self._schedule(service)
        if name is None:
            return None, False
        self.templates[key] = Template(name, self.now + service.persistence_s)
        return name, True

    def _schedule(self, service: Service) -> str | None:
        weights = [weight if name not in service.dead else 0 for name, (_, weight) in service.servers.items()]
        if service.scheduler == "rr":
            chosen = service.last_turn = rr.choose(weights, service.last_turn)
        else:
            loads = [self.load(service.label, name)[:2] for name in service.servers]
            chosen = wlc.choose([(weight, *load) for weight, load in zip(weights, loads, strict=True)])
        return None if chosen is None else list(service.servers)[chosen]

"""What the model's rooms talk about. Must not be here: rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

Address = bytes
"""4 bytes, or 16."""
Mac = bytes
Endpoint = tuple[Address, int]
Place = tuple[str, Mac]
"""(leg, MAC)."""
Key = tuple[str, int, Endpoint, Endpoint]
"""(zone, protocol, endpoints in order)."""
Network = tuple[Address, int]
"""(address, leading bits)."""

ICMP, TCP, UDP, GRE, ICMPV6, SCTP = 1, 6, 17, 47, 58, 132
EVERY_PORT = (0, 65535)


class Exit(Exception):  # noqa: N818 -- it is no error: most packets of a network leave so
    """A packet leaves without being forwarded, for a reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Link:
    """A frame's header. `tags` are (tag protocol, priority and VLAN); what is IP begins at `ip`."""

    destination: Mac
    source: Mac
    tags: list[tuple[int, int]]
    ethertype: int
    ip: int


@dataclass(slots=True)
class Fragment:
    """What a packet says of the datagram it is a fragment of; a whole one's is None."""

    identification: int
    later: bool


@dataclass(slots=True)
class Packet:
    """A packet, as the key of its connection sees it: an ICMP error as one from its quoted packet's other end."""

    family: int
    source: Address
    destination: Address
    protocol: int
    ports: tuple[int, int] = (0, 0)
    """(source, destination); (0, 0) where there are none."""
    dscp: int = 0
    size: int = 0
    """Bytes from the IP header on, without padding."""
    may_be_fragmented: bool = False
    fragment: Fragment | None = None
    event: str = ""
    """What its protocol's states are changed by: TCP's flags, the name of SCTP's chunk."""
    opening: bool = False
    reset: bool = False
    """It ends a connection, opens none, and anyone may have forged it."""
    error: bool = False
    quoted: Fragment | None = None
    """Of an error, what its packet says of its own datagram."""
    outer: tuple[Address, Address, int] = (b"", b"", 0)
    """Source, destination and protocol of the packet itself, error or not: what its own fragments have in common."""

    @property
    def later(self) -> bool:
        return self.fragment is not None and self.fragment.later

    @property
    def sender(self) -> Endpoint:
        return self.source, self.ports[0]

    @property
    def receiver(self) -> Endpoint:
        return self.destination, self.ports[1]

    def key(self, zone: str) -> Key:
        low, high = sorted([self.sender, self.receiver])
        return zone, self.protocol, low, high


@dataclass(slots=True)
class Leg:
    """An interface, or one VLAN of it; `tags` are those of its frames on the way out, (tag protocol, VLAN)."""

    name: str
    zone: str
    interface: str
    mac: Mac
    own: frozenset[Mac]
    tags: tuple[tuple[int, int], ...] = ()
    mtu: int = 1500
    up: bool = True
    reply_to_neighbour: bool = False
    gateways: tuple[Address, ...] = ()
    subnets: tuple[Network, ...] = ()
    strict: bool = False

    @property
    def vlans(self) -> tuple[int, ...]:
        return tuple(vlan for _, vlan in self.tags)


@dataclass(slots=True, eq=False)
class Hop:
    """Where frames are sent; it may move, and whoever uses it follows. `box` is a real server's name, or empty."""

    leg: str
    mac: Mac
    box: str = ""

    @property
    def place(self) -> Place:
        return self.leg, self.mac


@dataclass(slots=True)
class Server:
    """A real server of one service."""

    name: str
    hop: Hop | None
    weight: int = 1
    usable: bool = True
    dead: bool = False


@dataclass(slots=True)
class Service:
    """A virtual service; by address: it takes what is of `protocol` to `address` and `port`, 0 being every port."""

    label: str
    servers: dict[str, Server]
    scheduler: str = "wlc"
    persistence_s: float = 0
    prefixes: tuple[int, int] = (32, 128)
    """Leading bits of an IPv4 and of an IPv6 client's address that tell clients apart."""
    on_death: str = "keep"
    when_empty: str = "DROP"
    related: bool = False
    by_address: tuple[int, Address, int] | None = None
    zone: str = ""
    """Of its real servers."""
    last_turn: int | None = None


@dataclass(slots=True)
class Rule:
    """A mark rule, or without a service a pass rule; None is any."""

    service: str | None
    leg: str | None = None
    source_real_server: str | None = None
    family: int | None = None
    protocol: int | None = None
    source: Network | None = None
    destination: Network | None = None
    source_ports: tuple[int, int] = EVERY_PORT
    destination_ports: tuple[int, int] = EVERY_PORT
    dscp: int | None = None


@dataclass(slots=True)
class Connection:
    """An entry of the connection table."""

    key: Key
    source: Endpoint
    service: str
    server: str
    forward: Hop | None
    """None where the service had nobody, and the kernel's routes have it."""
    last: Hop
    created: float
    seen: float
    state: str = "NONE"
    flags: set[str] = field(default_factory=set)
    packets: list[int] = field(default_factory=lambda: [0, 0])
    bytes: list[int] = field(default_factory=lambda: [0, 0])
    turn: int = 0
    """Counts connections: which of two is older."""


@dataclass(slots=True)
class Template:
    """What binds a client to a real server."""

    server: str
    expires: float


@dataclass(slots=True)
class Outcome:
    """What became of a frame. `frame` is the one sent, None where none is, or another than was received."""

    reason: str
    place: Place | None = None
    frame: bytes | None = None
    events: dict[str, int] = field(default_factory=dict)
    key: Key | None = None
    """Of the connection it was about, known or not."""
    over: bool = False
    """The connection it was about was over: XDP leaves that to tc."""


def masked(address: Address, bits: int) -> Address:
    """The leading bits of an address, zero behind."""
    width = len(address) * 8
    return (int.from_bytes(address, "big") >> width - bits << width - bits).to_bytes(len(address), "big")


@lru_cache(maxsize=4096)
def lies_in(address: Address, network: Network) -> bool:
    """Whether an address is of a network, and of its family."""
    return len(address) == len(network[0]) and masked(address, network[1]) == network[0]

"""Random steps of a world: frames of every kind the data plane knows, and some it does not.

`pick` chooses one of a sequence: a random number generator's, or hypothesis's, which shrinks towards the first.
Must not be here: what becomes of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from tests.packet import wire
from tests.packet.plans import mac_of
from tests.packet.worlds import CLIENTS, ON_LINK, SERVERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.packet.worlds import Arrival, World

    Pick = Callable[[Sequence[Any]], Any]

FLAGS = ("S", "A", "S", "SA", "A", "A", "PA", "FA", "F", "R", "RA", "SF", "")
CHUNKS = (
    "INIT", "INIT_ACK", "DATA", "COOKIE_ECHO", "COOKIE_ACK", "SHUTDOWN", "SHUTDOWN_ACK", "SHUTDOWN_COMPLETE", "ABORT",
    "ERROR", "HEARTBEAT",
)  # fmt: skip
KINDS = (
    *["tcp"] * 8, *["udp"] * 4, *["sctp"] * 4, *["echo"] * 2, "query", "gre", "gre key", "esp", "ah", "tunnel", "other",
)  # fmt: skip
SHAPES = (*["plain"] * 13, "first", "later", "later", "error", "error", "error about fragment", "dressed", "odd")
#: Who speaks most, and with whom: so that random packets meet.
FIRST_MOSTLY = (0, 0, 0, 0, 0, 1, 2)
SIDES = (False, False, False, False, False, True)
OPTIONS = (b"\x01" * 4, b"\x01" * 40)
EXTENSIONS = (
    ("destination",),
    ("atomic",),
    ("hop-by-hop", "routing", "destination"),
    ("mobility", "hip", "shim6"),
    ("long destination",),
    ("long destination", "long destination"),
    ("destination",) * 8,
    ("destination",) * 9,
)
#: Where a later fragment is in its datagram, in units of 8 bytes.
PLACES = (5, 1, 185, 8191)
QUOTED = (8, 20, 12, 400)
ROUTERS = {4: "10.9.9.9", 6: "2001:db8:9::9"}
MARTIANS = {4: ("127.0.0.1", "169.254.0.1", "240.0.0.1", "224.0.0.5"), 6: ("::1", "fe80::1", "ff02::1", "::")}
#: BPF_PROG_TEST_RUN takes no shorter packet.
LEAST = {4: 20, 6: 40}
OTHER_NUMBERS = (89, 254, 1, 58, 59, 0, 136)


@dataclass(frozen=True, slots=True)
class Frame:
    """A step: a frame that comes in through an interface."""

    interface: str
    raw: bytes


Step = Frame | str
"""A frame; "age", "sweep", "-NAME": NAME dies or lives again, "~NAME": it moves or moves back."""


def step(pick: Pick, world: World) -> Step:
    """Any step."""
    if pick(range(100)) < 98:
        return frame(pick, world)
    return str(pick(("age", "sweep", *world.changes)))


def frame(pick: Pick, world: World) -> Frame:
    """A frame of any shape."""
    arrival = pick(world.arrivals)
    shape = pick(SHAPES)
    family = pick((4, 6, 4))
    towards_servers = arrival.clients_side != pick(SIDES)
    if shape.startswith("error"):
        packet = error(pick, world, family, towards_servers, about_fragment=shape == "error about fragment")
    else:
        packet = whole(pick, world, family, towards_servers, shape)
    return framed(pick, arrival, packet, odd=shape == "odd")


def framed(pick: Pick, arrival: Arrival, packet: bytes, *, odd: bool) -> Frame:
    """The packet as a frame, or if `odd` as one that something is wrong with."""
    to, source = mac_of(arrival.interface), arrival.source
    if odd:
        wrong = pick(("mac", "cut", "length", "source", "type", "tag"))
        if wrong == "mac":
            to = pick(("ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:12", "02:00:00:00:77:77"))
        elif wrong == "source":
            source = pick((to, "03:00:00:00:00:01"))
        elif wrong == "cut":
            least = LEAST[packet[0] >> 4]
            packet = packet[: pick(range(least, max(len(packet), least + 1)))]
        elif wrong == "length":
            at = 2 if packet[0] >> 4 == 4 else 4
            packet = packet[:at] + pick(range(120)).to_bytes(2, "big") + packet[at + 2 :]
        elif wrong == "type":
            return Frame(arrival.interface, wire.ethernet(to, source, arrival.tags, packet, 0x0806))
        else:
            tags = (*arrival.tags, pick(((wire.DOT1Q, 0), (wire.DOT1Q, 5), (wire.DOT1AD, 4095))))
            return Frame(arrival.interface, wire.ethernet(to, source, tags, packet))
    padding = bytes(pick((0, 0, 0, 6)))
    return Frame(arrival.interface, wire.ethernet(to, source, arrival.tags, packet + padding))


def ends(pick: Pick, family: int, *, towards_servers: bool, odd: bool = False) -> tuple[str, str]:
    """Source and destination."""
    client = pick((*[CLIENTS[family][which] for which in FIRST_MOSTLY], ON_LINK[family]))
    two = (client, pick((*[SERVERS[family][0]] * 5, SERVERS[family][1])))
    if odd and pick((False, True)):
        two = (two[0], pick(MARTIANS[family])) if pick((True, False)) else (pick(MARTIANS[family]), two[1])
    return two if towards_servers else two[::-1]


def body(pick: Pick, family: int, *, towards_servers: bool, payload: bytes) -> tuple[int, bytes]:
    """(protocol, what follows the IP header)."""
    kind = pick(KINDS)
    port = pick((40000, 40000, 40001))
    sport, dport = (port, 80) if towards_servers else (80, port)
    if kind == "tcp":
        return 6, wire.tcp(sport, dport, pick(FLAGS), payload)
    if kind == "udp":
        return 17, wire.udp(sport, dport, payload or b"datagram")
    if kind == "sctp":
        return 132, wire.sctp(sport, dport, pick(CHUNKS), payload or b"data")
    if kind in {"echo", "query"}:
        return _query(pick, family, kind, port, payload)
    if kind.startswith("gre"):
        key = None if kind == "gre" else pick((0x10002, 0x20001, 0))
        version = pick((0, 0, 1))
        return 47, wire.gre(key, checksum=pick((False, True)), version=version) + payload
    number = {"esp": 50, "ah": 51, "tunnel": 4 if family == 4 else 41}.get(kind) or pick(OTHER_NUMBERS)
    return number, bytes(8) + payload


def _query(pick: Pick, family: int, kind: str, identifier: int, payload: bytes) -> tuple[int, bytes]:
    kinds: tuple[int, ...] = {
        (4, "echo"): (8, 0),
        (4, "query"): (13, 14, 15, 16, 17, 18, 5),
        (6, "echo"): (128, 129),
        (6, "query"): (128, 129, 135, 151, 200),
    }[family, kind]
    return 58 if family == 6 else 1, wire.icmp(pick(kinds), identifier, payload)


def whole(pick: Pick, world: World, family: int, towards_servers: bool, shape: str) -> bytes:
    """A packet of a shape, "plain", "first", "later", "dressed" or "odd"."""
    source, destination = ends(pick, family, towards_servers=towards_servers, odd=shape == "odd")
    payload = bytes(pick(world.sizes))
    protocol, inside = body(pick, family, towards_servers=towards_servers, payload=payload)
    tos = pick((0, 0, 46 << 2))
    place, number = _place(pick, shape), pick((1, 2))
    if shape == "later":
        inside = inside[16:] + bytes(24)
    dressed = shape == "dressed" or (shape in {"first", "later"} and pick((False, False, True)))
    if family == 4:
        options = pick(OPTIONS) if dressed else b""
        flags = place | (0x4000 if shape == "plain" and pick((False, True)) else 0)
        return wire.ip4(source, destination, protocol, inside, place=flags, number=number, options=options, tos=tos)
    extensions = pick(EXTENSIONS) if dressed else ()
    fragmented = None if shape not in {"first", "later"} else (place & 0x1FFF) << 3 | bool(place & 0x2000)
    return wire.ip6(
        source, destination, protocol, inside, extensions=extensions, tos=tos, place=fragmented, number=number
    )


def _place(pick: Pick, shape: str) -> int:
    """Flags and offset, as IPv4 has them."""
    if shape == "first":
        return 0x2000
    return pick(PLACES) | pick((0, 0x2000)) if shape == "later" else 0


def error(pick: Pick, world: World, family: int, towards_servers: bool, *, about_fragment: bool) -> bytes:
    """An ICMP error, on its way to the sender of the packet it quotes."""
    shape = pick(("first", "later")) if about_fragment else pick(("plain", "plain", "dressed"))
    quoted = whole(pick, world, family, not towards_servers, shape)
    header = (quoted[0] & 15) * 4 if family == 4 else 40
    extra = 0 if shape == "plain" else 400
    quote = quoted[: header + extra + pick(QUOTED)]
    at = (12, 16, 20) if family == 4 else (8, 24, 40)
    about_source, about_destination = quoted[at[0] : at[1]], quoted[at[1] : at[2]]
    sender = pick((about_destination, wire.packed(ROUTERS[family])))
    to = about_source if pick(range(20)) else wire.packed(ROUTERS[family][:-1] + "8")
    if family == 4:
        kind = pick((3, 11, 12, 4))
        place = pick((0, 0, 0, 0x2000))
        return wire.ip4(_text(sender), _text(to), 1, wire.icmp(kind, 0, quote), place=place, number=pick((1, 2, 3)))
    return wire.ip6(_text(sender), _text(to), 58, wire.icmp(pick((1, 2, 3, 4, 100)), 0, quote))


def _text(address: bytes) -> str:
    return str(ip_address(address))

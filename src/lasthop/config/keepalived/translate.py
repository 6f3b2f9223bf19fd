"""From keepalived.conf's virtual servers to services, and what could not be taken over.

Owns the meaning of a ``virtual_server`` and its ``real_server`` blocks; their checkers are
`lasthop.config.keepalived.checkers`'. Keywords are those of keepalived.conf(5), 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from lasthop.config.keepalived.checkers import checked
from lasthop.config.keepalived.notes import Notes
from lasthop.config.keepalived.syntax import Entry, parse
from lasthop.model.configuration import Configuration
from lasthop.model.director import Director
from lasthop.model.leg import Leg
from lasthop.model.real_server import RealServer
from lasthop.model.service import OnDeath, Persistence, Service, VirtualAddress
from lasthop.policy.schedulers import SCHEDULERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from lasthop.model.health import HealthCheck
    from lasthop.model.real_server import Address

#: Stand-ins: keepalived knows no legs.
LEGS = (Leg("outside", "eth0", "edge"), Leg("firewalls", "eth1", "edge"))
_FLAGS = ("sh-port", "sh-fallback", "mh-port", "mh-fallback")
_DEFAULT_PERSISTENCE = 360.0
_PROTOCOLS = ("tcp", "udp", "sctp")
#: Keyword of a real server -> its field.
_NUMBERS = {"weight": "weight", "uthreshold": "upper_threshold", "lthreshold": "lower_threshold"}
_MOST = 65535


@dataclass(frozen=True, slots=True)
class Translation:
    """What a keepalived.conf became."""

    configuration: Configuration
    left_out: tuple[str, ...]
    """What could not be taken over, each with its line, and why."""


@dataclass(slots=True)
class _Server:
    """A ``virtual_server`` while it is read."""

    algorithm: str = "wlc"
    flags: list[str] = field(default_factory=list)
    persistence: Persistence | None = None
    prefix: int = 32
    protocol: str = "tcp"
    one_packet: bool = False
    quorum: int = 0
    hysteresis: int = 0
    interval: float = 60.0
    real_servers: list[RealServer] = field(default_factory=list)
    health: HealthCheck | None = None


def translate(text: str, file: str, name: str) -> Translation:
    """Return what `text`, which is in `file`, says of virtual servers, for a director `name`.

    Raises ConfigurationError where its braces do not match.
    """
    notes = Notes(file)
    services: dict[str, Service] = {}
    entries = parse(text, file)
    groups = {entry.rest[0]: entry for entry in entries if entry.keyword == "virtual_server_group" and entry.rest}
    for entry in entries:
        if entry.keyword == "virtual_server" and entry.inner is not None:
            for service in _services(entry, groups, notes):
                if services.setdefault(service.label, service) is not service:
                    notes.leave(entry, f"{service.label} is there already")
        elif entry.keyword not in {"virtual_server_group", "global_defs"}:
            notes.leave(entry, _why_not(entry))
    configuration = Configuration(Director(name), LEGS, tuple(services.values()))
    return Translation(configuration, tuple(notes.left_out))


def _why_not(entry: Entry) -> str:
    if entry.keyword.startswith("vrrp"):
        return "lasthop moves no addresses: let keepalived go on with VRRP, and give the leg its virtual_macs"
    return "it is about no virtual server"


def _services(entry: Entry, groups: dict[str, Entry], notes: Notes) -> list[Service]:
    read = _read(entry, notes)
    kinds = [entry] if entry.rest[:1] != ["group"] else _members(entry, groups, notes)
    made = [_service(each, each.rest if each is entry else each.words, read, notes) for each in kinds]
    return [service for service in made if service is not None]


def _members(entry: Entry, groups: dict[str, Entry], notes: Notes) -> list[Entry]:
    group = groups.get(entry.rest[1] if len(entry.rest) > 1 else "")
    if group is None or group.inner is None:
        notes.leave(entry, "there is no such virtual_server_group")
        return []
    return group.inner


def _service(entry: Entry, words: list[str], read: _Server, notes: Notes) -> Service | None:
    """The service of one ``fwmark N``, or ``ADDRESS PORT``."""
    mark, virtual = 0, None
    if words[:1] == ["fwmark"] and len(words) > 1 and words[1].isdecimal():
        mark = int(words[1])
        notes.say(entry, f"mark {mark}: say which packets get it, by match or by [[mark]]")
    else:
        address = _address(words[0]) if words else None
        if address is None:
            notes.leave(entry, "is neither fwmark N nor one address with a port")
            return None
        port = int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
        virtual = VirtualAddress(read.protocol, address, port)
        if port == 0 and read.persistence is None:
            notes.leave(entry, "takes every port, which lasthop has with persistence_timeout only")
            return None
    return Service(
        mark=mark,
        matches=(),
        real_servers=tuple(read.real_servers),
        scheduler=read.algorithm,
        scheduler_flags=tuple(read.flags),
        persistence=replace(read.persistence, prefix=read.prefix) if read.persistence else None,
        virtual_address=virtual,
        one_packet=read.one_packet,
        on_death=OnDeath.REBALANCE,
        health=read.health,
        quorum=read.quorum,
        hysteresis=read.hysteresis,
    )


def _read(entry: Entry, notes: Notes) -> _Server:
    read = _Server()
    # What real servers' checkers say rests on the service's own interval, wherever that stands.
    for each in sorted(entry.inner or (), key=lambda each: each.keyword == "real_server"):
        value = each.rest[0] if each.rest else ""
        if each.keyword in _FLAGS:
            read.flags.append(each.keyword)
        elif each.keyword in _KEYWORDS:
            _KEYWORDS[each.keyword](each, value, read, notes)
        else:
            notes.leave(each, "lasthop has nothing like it")
    read.flags = [flag for flag in read.flags if flag in SCHEDULERS[read.algorithm].flags]
    read.hysteresis = read.hysteresis if read.quorum else 0
    return read


def _kind(entry: Entry, value: str, _read: _Server, notes: Notes) -> None:
    if value.upper() != "DR":
        notes.leave(entry, "lasthop changes MAC addresses alone (DR)")


def _persistence(_entry: Entry, value: str, read: _Server, _notes: Notes) -> None:
    read.persistence = Persistence(float(value) if value.isdecimal() else _DEFAULT_PERSISTENCE)


def _protocol(entry: Entry, value: str, read: _Server, notes: Notes) -> None:
    if value.lower() not in _PROTOCOLS:
        notes.leave(entry, f"is none of {', '.join(_PROTOCOLS)}")
        return
    read.protocol = value.lower()


def _one_packet(_entry: Entry, _value: str, read: _Server, _notes: Notes) -> None:
    read.one_packet = True


def _number(entry: Entry, value: str, read: _Server, notes: Notes) -> None:
    """``quorum``, ``hysteresis``, ``delay_loop``; a quorum of 1 is what every service needs."""
    try:
        number = float(value)
    except ValueError:
        notes.leave(entry, "is no number")
        return
    if entry.keyword == "delay_loop":
        read.interval = number
    elif entry.keyword == "quorum":
        read.quorum = int(number) if number > 1 else 0
    else:
        read.hysteresis = int(number)


def _algorithm(entry: Entry, value: str, read: _Server, notes: Notes) -> None:
    if value in SCHEDULERS:
        read.algorithm = value
    else:
        notes.leave(entry, f"lasthop has no such scheduler; {read.algorithm} is in its place")


def _granularity(entry: Entry, value: str, read: _Server, notes: Notes) -> None:
    try:
        mask = int(ip_address(value))
    except ValueError:
        notes.leave(entry, "is no netmask")
        return
    read.prefix = mask.bit_count()


def _real_server(entry: Entry, _value: str, read: _Server, notes: Notes) -> None:
    address = _address(entry.rest[0]) if entry.rest else None
    if address is None:
        notes.leave(entry, "has no address")
        return
    if any(each.address == address for each in read.real_servers):
        notes.leave(entry, "is there already: what is balanced keeps its port")
        return
    server = RealServer(str(address), address)
    for each in entry.inner or ():
        value = each.rest[0] if each.rest else ""
        if each.keyword in _NUMBERS and value.isdecimal():
            change: dict[str, Any] = {_NUMBERS[each.keyword]: min(int(value), _MOST)}
            server = replace(server, **change)
        else:
            read.health, target = checked(each, read.health, read.interval, entry, notes)
            server = replace(server, health_target=target or server.health_target)
    if server.lower_threshold > server.upper_threshold:
        server = replace(server, lower_threshold=0)
    read.real_servers.append(server)


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


_KEYWORDS: dict[str, Callable[[Entry, str, _Server, Notes], None]] = {
    "lb_algo": _algorithm,
    "lvs_sched": _algorithm,
    "lb_kind": _kind,
    "lvs_method": _kind,
    "persistence_timeout": _persistence,
    "persistence_granularity": _granularity,
    "protocol": _protocol,
    "ops": _one_packet,
    "quorum": _number,
    "hysteresis": _number,
    "delay_loop": _number,
    "real_server": _real_server,
}

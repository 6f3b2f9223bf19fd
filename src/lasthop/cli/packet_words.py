"""A packet in words, as `lasthop explain` takes it.

Owns the grammar, and what is said of a word that is none. What a packet that was understood becomes is the director's::

    PROTOCOL SOURCE[:PORT] > DESTINATION[:PORT] in LEG [OPTION ...]
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import click

from lasthop.model.described import DescribedPacket, Question, Quoted
from lasthop.model.protocol import MAX_PROTOCOL, PROTOCOL_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable

_WITH_PORTS = frozenset({6, 17, 132})
_ICMP = {4: 1, 6: 58}
_GRE, _TCP = 47, 6
_BYTE, _PORT, _DSCP, _VLAN, _LONG = 255, 65535, 63, 4094, (1 << 32) - 1
#: Between 0 and _VLAN, both of which are no VLAN's.
_MOST_TAGS = 2
_FLAGS = "FSRPAUEC"
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
_EXAMPLE = "tcp 10.9.0.2:4242 > 203.0.113.80:80 in outside"

Address = IPv4Address | IPv6Address


@dataclass(slots=True)
class _Endpoint:
    address: Address
    port: int | None
    word: str


@dataclass(slots=True)
class _Words:
    """The words that are left."""

    left: list[str]

    def take(self, what: str, after: str) -> str:
        """The next word. Raises UsageError if there is none."""
        if not self.left:
            raise _mistake(
                f"{what} is missing after '{after}'" if after else f"{what} is missing", f"write: {_EXAMPLE}"
            )
        return self.left.pop(0)

    def number(self, option: str, most: int, least: int = 0) -> int:
        """The next word as a number; 0x is understood."""
        word = self.take("a number", option)
        try:
            value = int(word, 0)
        except ValueError:
            value = -1
        if not least <= value <= most:
            raise _mistake(f"'{word}' after '{option}' is no number from {least} to {most}", "correct it")
        return value


@dataclass(slots=True)
class _Said:
    """The options so far."""

    values: dict[str, object] = field(default_factory=dict)
    leg: str | None = None


def question_of(text: str) -> Question:
    """The question that a packet in words is. Raises click.UsageError, which names the word and the remedy."""
    words = _Words(text.split())
    protocol, source, destination = _conversation(words)
    said = _Said()
    seen: set[str] = set()
    while words.left:
        word = words.left.pop(0)
        if word not in _OPTIONS:
            raise _mistake(f"'{word}' is no word of a packet", f"words are: {', '.join(_OPTIONS)}")
        if word in seen:
            raise _mistake(f"'{word}' is said twice", "say it once")
        seen.add(word)
        _OPTIONS[word](words, said)
    if said.leg is None:
        raise _mistake("nothing says by which leg the packet comes in", "add: in LEG (see lasthop legs)")
    _check(protocol, source, destination, said.values)
    packet = DescribedPacket(
        protocol=protocol,
        source=str(source.address),
        destination=str(destination.address),
        source_port=source.port or 0,
        destination_port=destination.port or 0,
        **said.values,  # type: ignore[arg-type]  # _OPTIONS puts in what belongs there
    )
    return Question(leg=said.leg, packet=packet)


def _mistake(problem: str, remedy: str) -> click.UsageError:
    return click.UsageError(f"can't understand the packet: {problem}; {remedy}")


def _conversation(words: _Words) -> tuple[int, _Endpoint, _Endpoint]:
    """Protocol, source and destination."""
    protocol = _protocol(words.take("the protocol", ""))
    source = _endpoint(words.take("the source", "the protocol"))
    arrow = words.take("'>'", source.word)
    if arrow != ">":
        raise _mistake(f"'{arrow}' stands where '>' should", f"put the packet in quotes: lasthop explain '{_EXAMPLE}'")
    destination = _endpoint(words.take("the destination", ">"))
    if source.address.version != destination.address.version:
        raise _mistake(
            f"'{source.word}' and '{destination.word}' are of two families", "use IPv4 or IPv6 addresses for both"
        )
    return protocol, source, destination


def _protocol(word: str) -> int:
    if word in PROTOCOL_NUMBERS:
        return PROTOCOL_NUMBERS[word]
    if word.isascii() and word.isdecimal() and int(word) <= MAX_PROTOCOL:
        return int(word)
    raise _mistake(f"'{word}' is no protocol", f"use {', '.join(PROTOCOL_NUMBERS)}, or a number up to {MAX_PROTOCOL}")


def _endpoint(word: str) -> _Endpoint:
    address, port = word, None
    if word.startswith("["):
        address, _, rest = word[1:].partition("]")
        port = rest.removeprefix(":") if rest.startswith(":") else rest or None
    elif word.count(":") == 1:
        address, _, port = word.partition(":")
    try:
        found = ip_address(address)
    except (ValueError, AddressValueError):
        raise _mistake(
            f"'{word}' is no address, nor address and port", "write 192.0.2.1:80, or [2001:db8::1]:80"
        ) from None
    if port is None:
        return _Endpoint(found, None, word)
    if not (port.isascii() and port.isdecimal() and int(port) <= _PORT):
        raise _mistake(f"'{port}' in '{word}' is no port", f"use a number up to {_PORT}")
    return _Endpoint(found, int(port), word)


def _check(protocol: int, source: _Endpoint, destination: _Endpoint, values: dict[str, object]) -> None:
    """Raise UsageError for words that do not go together."""
    later = values.get("fragment") == "later"
    for end in (source, destination):
        if protocol in _WITH_PORTS and end.port is None and not later:
            raise _mistake(f"'{end.word}' has no port", f"write {end.word}:PORT, an IPv6 address in brackets")
        if protocol not in _WITH_PORTS and end.port is not None:
            raise _mistake(
                f"'{end.word}' has a port, and the protocol has none", "leave it out; ICMP queries have an id"
            )
    icmp = protocol == _ICMP[source.address.version]
    allowed = {
        "flags": protocol == _TCP,
        "icmp_type": icmp,
        "icmp_code": icmp,
        "about": icmp,
        "gre_key": protocol == _GRE,
    }
    for name, word in (
        ("flags", "flags"), ("icmp_type", "type"), ("icmp_code", "code"), ("about", "about"), ("gre_key", "key")
    ):  # fmt: skip
        if name in values and not allowed[name]:
            raise _mistake(f"'{word}' does not go with this protocol", "leave it out, or correct the protocol")
    about = values.get("about")
    if isinstance(about, Quoted) and about.source != str(destination.address):
        raise _mistake(
            f"the error is for '{destination.word}' and about a packet of {about.source}",
            "routers send errors to the source of the packet they are about",
        )


def _leg(words: _Words, said: _Said) -> None:
    said.leg = words.take("a leg", "in")


def _sender(words: _Words, said: _Said) -> None:
    word = words.take("a MAC address, a real server, or hop N", "from")
    if word == "hop":
        word = f"hop {words.number('hop', 65535)}"
    elif _MAC.fullmatch(word):
        word = word.lower()
    said.values["sender"] = word


def _flags(words: _Words, said: _Said) -> None:
    word = words.take("TCP flags", "flags").upper()
    if wrong := set(word) - set(_FLAGS):
        raise _mistake(f"'{''.join(sorted(wrong))}' in '{word}' are no TCP flags", f"use letters of {_FLAGS}")
    said.values["flags"] = word


def _fragment(words: _Words, said: _Said) -> None:
    word = words.take("first or later", "fragment")
    if word not in {"first", "later"}:
        raise _mistake(f"'{word}' after 'fragment' is neither first nor later", "say one of them")
    said.values["fragment"] = word


def _vlan(words: _Words, said: _Said) -> None:
    word = words.take("a VLAN", "vlan")
    if word == "none":
        said.values["vlan"] = ()
        return
    parts = word.split(".")
    if len(parts) > _MOST_TAGS or not all(part.isascii() and part.isdecimal() and int(part) <= _VLAN for part in parts):
        raise _mistake(f"'{word}' after 'vlan' is no VLAN", "say 100, 200.100 with the outer one first, or none")
    said.values["vlan"] = tuple(map(int, parts))


def _about(words: _Words, said: _Said) -> None:
    protocol, source, destination = _conversation(words)
    said.values["about"] = Quoted(
        protocol, str(source.address), source.port or 0, str(destination.address), destination.port or 0
    )


def _numbered(option: str, name: str, most: int, least: int = 0) -> Callable[[_Words, _Said], None]:
    def take(words: _Words, said: _Said) -> None:
        said.values[name] = words.number(option, most, least)

    return take


_OPTIONS: dict[str, Callable[[_Words, _Said], None]] = {
    "in": _leg,
    "from": _sender,
    "flags": _flags,
    "type": _numbered("type", "icmp_type", _BYTE),
    "code": _numbered("code", "icmp_code", _BYTE),
    "about": _about,
    "id": _numbered("id", "identification", _LONG),
    "key": _numbered("key", "gre_key", _LONG),
    "dscp": _numbered("dscp", "dscp", _DSCP),
    "length": _numbered("length", "length", _PORT, 20),
    "vlan": _vlan,
    "fragment": _fragment,
}

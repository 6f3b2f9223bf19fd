"""A packet in words: what `lasthop explain` is asked about, before there is a frame."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quoted:
    """The packet that an ICMP error is about."""

    protocol: int
    source: str
    source_port: int
    destination: str
    destination_port: int


@dataclass(frozen=True, slots=True)
class DescribedPacket:
    """Addresses are of one family; what is not said is what an opening packet of the protocol has."""

    protocol: int
    source: str
    destination: str
    source_port: int = 0
    destination_port: int = 0
    sender: str | None = None
    """Who sends the frame: a MAC address, a real server, ``hop N``; None: who would, as far as is known."""
    flags: str = "S"
    """Letters of TCP's flags, in any order."""
    icmp_type: int | None = None
    """None: an echo request."""
    icmp_code: int = 0
    identification: int = 1
    """Of an ICMP query, or of the datagram whose fragment it is."""
    dscp: int = 0
    length: int | None = None
    """From the IP header on; None: as short as it can be."""
    vlan: tuple[int, ...] | None = None
    """VLANs of the frame, the outer first; None: the leg's."""
    fragment: str | None = None
    """``first`` or ``later``."""
    gre_key: int | None = None
    about: Quoted | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What to explain: a packet in words, or a frame as it was captured."""

    leg: str | None = None
    """None, for a frame: the leg whose MAC address it is for."""
    packet: DescribedPacket | None = None
    frame: str | None = None
    """In hexadecimal, from the destination MAC address on."""

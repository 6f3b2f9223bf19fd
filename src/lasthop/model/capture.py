"""Captured frames, as `lasthop capture` gets them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """A frame as it came in on a leg, or as it goes out through one."""

    time_ns: int
    """Since 1970."""
    leg: str
    direction: str
    """``in`` or ``out``."""
    entry: str
    """The program that saw it: ``tc`` or ``xdp``."""
    verdict: str
    """``forwarded``, ``kernel`` or ``dropped``."""
    reason: str
    hop: str
    """The real server it came from or goes to; without one, empty."""
    length: int
    data: str
    """Its first bytes, in hexadecimal, VLAN tags included."""


@dataclass(frozen=True, slots=True)
class CapturedPortion:
    """Some captured frames, in the order in which they were seen."""

    frames: list[CapturedFrame]
    lost: int
    """Frames so far that found no room, on all legs that are captured."""

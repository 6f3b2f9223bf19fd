"""Events: what happened in a director, one thing each, with a sentence and named fields.

Owns the kinds and the names of their fields, which docs/events.md promises. An event is a log record that has a kind:
whoever logs one gives it ``extra=told(...)``; `lasthop.director.events` keeps them.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Unpack


class Kind(StrEnum):
    """What an event is about; the sentence for each is in docs/events.md."""

    SERVER_DOWN = "server_down"
    SERVER_UP = "server_up"
    SERVER_WEIGHED = "server_weighed"
    QUORUM_LOST = "quorum_lost"
    QUORUM_REGAINED = "quorum_regained"
    BACKUP_BEGUN = "backup_begun"
    BACKUP_ENDED = "backup_ended"
    MAC_RESOLVED = "mac_resolved"
    MAC_CHANGED = "mac_changed"
    MAC_UNRESOLVED = "mac_unresolved"
    GATEWAY_MOVED = "gateway_moved"
    HOP_MOVED = "hop_moved"
    HOPS_LEARNED = "hops_learned"
    LAST_HOPS_MOVED = "last_hops_moved"
    LEG_UP = "leg_up"
    LEG_DOWN = "leg_down"
    LEG_VANISHED = "leg_vanished"
    LEG_BACK = "leg_back"
    ASYMMETRIC = "asymmetric"
    DRAIN_BEGUN = "drain_begun"
    DRAIN_EMPTY = "drain_empty"
    DRAIN_ENDED = "drain_ended"
    EDITED = "edited"
    EDITS_RESTORED = "edits_restored"
    EDITS_DISCARDED = "edits_discarded"
    APPLIED = "applied"
    APPLY_REFUSED = "apply_refused"
    ALTERED = "altered"
    PROBLEM = "problem"
    MENDED = "mended"
    RESIZE_BEGUN = "resize_begun"
    RESIZE_ENDED = "resize_ended"
    CONNECTIONS_FORGOTTEN = "connections_forgotten"
    STARTED = "started"
    STOPPING = "stopping"
    MISSED = "missed"


class Details(TypedDict, total=False):
    """What an event may say beside its sentence. A kind has always the same of them."""

    service: str
    real_server: str
    backup: str
    leg: str
    interface: str
    address: str
    mac: str
    was: str
    expected: str
    came_from: str
    check: str
    weight: int | None
    about: str
    problem: str
    reason: str
    configuration: str
    changes: int
    connections: int
    count: int


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, as `lasthop events` shows it. What a kind does not have is left out of the JSON."""

    seq: int
    """Above that of every event before it, also of a process before this one."""
    time: str
    """UTC, as in 2026-11-26T23:48:52.123Z."""
    kind: Kind
    level: str
    """``info``, ``warning`` or ``error``."""
    message: str
    """The sentence that the log has."""
    by: str | None = None
    """Who asked for it, where somebody did."""
    service: str | None = None
    real_server: str | None = None
    backup: str | None = None
    leg: str | None = None
    interface: str | None = None
    address: str | None = None
    mac: str | None = None
    was: str | None = None
    """The MAC address before; empty if there was none."""
    expected: str | None = None
    """The real server that the newest asymmetric response should have come from."""
    came_from: str | None = None
    check: str | None = None
    weight: int | None = None
    """None: as configured."""
    about: str | None = None
    """What a problem is about: a new one about the same replaces it."""
    problem: str | None = None
    reason: str | None = None
    configuration: str | None = None
    """Path of the file."""
    changes: int | None = None
    connections: int | None = None
    count: int | None = None
    """How many of them: events of what is frequent are summed up."""

    def document(self) -> dict[str, Any]:
        """What its JSON has."""
        given = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: value for name, value in given if value is not None}


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events are asked for."""

    after: int | None = None
    """Those with a larger `seq`. None: all that are kept; to follow, if `since_s` is None too: from now on."""
    since_s: float | None = None
    """Of so many last seconds; None: however old."""
    kinds: frozenset[Kind] = frozenset()
    """Empty: all."""


_by: ContextVar[str] = ContextVar("by", default="")


@contextmanager
def on_behalf_of(somebody: str) -> Iterator[None]:
    """Whatever happens in this context was asked for by `somebody`."""
    before = _by.set(somebody)
    try:
        yield
    finally:
        _by.reset(before)


def asked_by() -> str:
    """On whose behalf things happen now; empty: on nobody's."""
    return _by.get()


def told(kind: Kind, **details: Unpack[Details]) -> dict[str, dict[str, Any]]:
    """Make a log record an event: ``_log.info("leg %s is up", name, extra=told(Kind.LEG_UP, leg=name))``."""
    by = asked_by()
    return {"lasthop": {"kind": kind, **({"by": by} if by else {}), **details}}

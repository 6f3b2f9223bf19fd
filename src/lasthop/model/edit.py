"""Edits: what a command changes of the running configuration, one thing each.

Owns the kinds of edits and the words they are refused with. They are sent over the API, kept in the director's state
file and made again from it, so that a change here is a change of a stored format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Why an edit is refused: the code of an EditError. The names are the errors of LVS (libipvs.c) where it has them.
REFUSALS = frozenset(
    {
        "service_exists",
        "no_such_service",
        "server_exists",
        "no_such_server",
        "no_such_scheduler",
        "rule_exists",
        "no_such_rule",
        "invalid",
    }
)


@dataclass(frozen=True, slots=True)
class ServiceEdit:
    """Add a service, or give one that exists these properties; real servers and matches stay.

    As LVS has it, properties that are not given take their defaults.
    """

    kind: Literal["add_service", "edit_service"]
    service: str
    """Label: ``FWM 1``, ``FWM 1 IPv6``, ``TCP 203.0.113.80:80``, ``UDP [2001:db8::80]:53``, ``SCTP ...``."""
    scheduler: str = "wlc"
    scheduler_flags: tuple[str, ...] = ()
    persistence_s: float | None = None
    """None: no persistence."""
    persistence_prefix: int = 32
    persistence_prefix6: int | None = None
    """None: as it was, or 128."""
    one_packet: bool = False


@dataclass(frozen=True, slots=True)
class DeleteService:
    """Remove a service with its real servers; connections go on where they are, its matches stay as mark rules."""

    kind: Literal["delete_service"]
    service: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Remove all services. Mark rules stay, and what the services matched."""

    kind: Literal["clear"]


@dataclass(frozen=True, slots=True)
class ServerEdit:
    """Add a real server to a service, or give one that exists these properties, found by its address.

    As LVS has it, properties that are not given take their defaults. A real server that is added is called `name`,
    unless its address has a name in the zone already.
    """

    kind: Literal["add_server", "edit_server"]
    service: str
    address: str
    name: str = ""
    """Empty: the address is the name."""
    weight: int = 1
    upper_threshold: int = 0
    lower_threshold: int = 0


@dataclass(frozen=True, slots=True)
class DeleteServer:
    """Remove the real server of an address from a service; its connections go on."""

    kind: Literal["delete_server"]
    service: str
    address: str


@dataclass(frozen=True, slots=True)
class Weigh:
    """Give a real server another weight."""

    kind: Literal["weigh"]
    server: str
    """Name."""
    weight: int
    service: str | None = None
    """None: in all its services."""


@dataclass(frozen=True, slots=True)
class Administer:
    """Let a real server take new connections, take none, or be as if it were dead."""

    kind: Literal["enable", "drain", "disable"]
    server: str
    """Name."""
    service: str | None = None
    """None: in all its services."""
    until_s: float | None = None
    """Drain: when it becomes disabled, in seconds since 1970; None: never by itself."""


@dataclass(frozen=True, slots=True)
class SetTimeouts:
    """Other time-outs in seconds; 0 keeps one (LVS: ``ipvsadm --set tcp tcpfin udp``)."""

    kind: Literal["set_timeouts"]
    tcp: float = 0
    tcp_fin: float = 0
    udp: float = 0


@dataclass(frozen=True, slots=True)
class MarkEdit:
    """Add a mark rule after all others, or delete one. Empty means "any"."""

    kind: Literal["add_mark", "delete_mark"]
    mark: int
    leg: str = ""
    source_real_server: str = ""
    family: str = ""
    """``ipv4`` or ``ipv6``."""
    protocol: str = ""
    source: str = ""
    """Prefix."""
    destination: str = ""
    source_port: str = ""
    """``80`` or ``8000-8080``."""
    destination_port: str = ""
    dscp: int | None = None


Edit = ServiceEdit | DeleteService | Clear | ServerEdit | DeleteServer | Weigh | Administer | SetTimeouts | MarkEdit


@dataclass(frozen=True, slots=True)
class EditReport:
    """What came of edits that were made."""

    director: str
    warnings: list[str]
    """Sentences: a service that no mark rule leads to, and how to add one."""

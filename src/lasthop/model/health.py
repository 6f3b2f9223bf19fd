"""Health checks: what is asked of a real server, how often, and what follows from the answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lasthop.model.real_server import Address


class Check(StrEnum):
    """How a real server is asked."""

    PING = "ping"
    """ICMP echo."""
    TCP = "tcp"
    """A connection is opened and closed."""
    HTTP = "http"
    HTTPS = "https"
    UDP = "udp"
    """A datagram, and an answer to it or at least no ICMP error."""
    DNS = "dns"
    SCRIPT = "script"
    """A program of the operator's; its exit status counts."""
    PATH = "path"
    """A datagram through it to the director behind it, which sends it back the same way."""


#: The port a check asks if none is given.
DEFAULT_PORTS = {Check.HTTP: 80, Check.HTTPS: 443, Check.DNS: 53}


@dataclass(frozen=True, slots=True)
class Passive:
    """What of its traffic speaks against a real server, beside its check."""

    unanswered: float = 0.9
    """Share of its new TCP connections that get no answer."""
    connections: int = 20
    """So many new ones in the window at least, else nothing is said."""
    asymmetric: int = 0
    """Responses of its connections that come from another real server, in the window; 0: they do not count."""
    window: float = 10.0
    """Seconds that are looked back."""
    retry: float = 30.0
    """Seconds after which it is tried again; longer each time that it fails at once, up to tenfold."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """The health check of a service; times are in seconds."""

    check: Check
    target: Address | None = None
    """Whom to ask; None: the real server itself."""
    port: int = 0
    interval: float = 2.0
    timeout: float = 1.0
    rise: int = 2
    """Answers in a row after which a real server that was down is up."""
    fall: int = 3
    """Failures in a row after which one that was up is down."""
    warmup: float = 0.0
    """Time after the start, or after the check was configured, in which failures do not count."""
    path: str = "/"
    """HTTP: what is asked for."""
    host: str = ""
    """HTTP: the ``Host`` header, and TLS's server name; empty: the target's address."""
    status: tuple[tuple[int, int], ...] = ((200, 299),)
    """HTTP: ranges of status codes that are taken for an answer."""
    body: str = ""
    """HTTP: a regular expression that the body must contain a match of."""
    verify: bool = False
    """HTTPS: whether the certificate must be valid for `host`."""
    name: str = "."
    """DNS: the name asked for."""
    record: str = "NS"
    """DNS: the type of record asked for."""
    send: str = ""
    """UDP: the text of the datagram."""
    expect: str = ""
    """UDP: a regular expression that the answer must contain a match of; empty: no answer is needed."""
    command: tuple[str, ...] = ()
    """SCRIPT: the program and its arguments."""
    passive: Passive | None = None
    weight_by_status: bool = False
    """SCRIPT: exit status 2 to 255 says the weight, by 2 too large (keepalived: misc_dynamic)."""


class Health(StrEnum):
    """What the checks of a real server say."""

    UNKNOWN = "unknown"
    """None has come to an end yet; it counts as up."""
    UP = "up"
    DOWN = "down"


class Known(NamedTuple):
    """What the check of one real server found; times are of the monotonic clock."""

    health: Health
    since: float
    """When it became so."""
    risen: float | None = None
    """When it came up after it was down, as long as it is up since."""
    weight: int | None = None
    """What the check says its weight is; None: nothing."""


#: (service label, real server)
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The health of one real server in one service, as `lasthop health` shows it."""

    service: str
    real_server: str
    check: str
    target: str
    health: str
    for_s: float
    """How long it has been so."""
    streak: int
    """Results in a row that speak against `health`: failures while up, answers while down."""
    last: str
    """What the last check found: empty for an answer, else the problem."""
    last_s: float | None = None
    """How long the last check took; None before the first."""
    answers: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Effective:
    """What health makes of a configuration. A real server's name is the box's: what one check says holds everywhere."""

    down: frozenset[str] = frozenset()
    """Names of real servers that get no new connections."""
    dead: frozenset[tuple[str, str]] = frozenset()
    """(service label, name) of those whose connections go the way of the service's `on_death`: the grace is over."""
    empty: frozenset[str] = frozenset()
    """Labels of services that are below their quorum."""
    weights: Mapping[Key, int] = field(default_factory=dict)
    """Weights that checks say, of whose is not as configured."""
    tenths: Mapping[Key, int] = field(default_factory=dict)
    """How many tenths of its weight a real server has that is in its slow start."""
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    """Name of a real server -> name of its backup, which is in its place."""

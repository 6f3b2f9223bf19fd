"""Who may use a director's API, and where it listens beside its unix socket."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from lasthop.model.real_server import Address  # noqa: TC001 - pydantic looks at the type when it reads a file

#: Who may read over the unix socket if the configuration does not say, and there is such a group.
DEFAULT_READERS = "lasthop"
#: Of each leg, so many hops of nobody's have series of their own.
DEFAULT_METRICS_HOPS = 64
IPV6 = 6


class Role(IntEnum):
    """What a caller may do; who may more, may less too."""

    READER = 1
    """Ask, and change nothing."""
    WRITER = 2
    """Change, and see what packets carry."""

    @property
    def word(self) -> str:
        """As files and messages have it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and a TCP port."""

    address: Address
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == IPV6 else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Access:
    """Table ``[api]``."""

    listen: tuple[Endpoint, ...] = ()
    """Where it listens for TCP; empty: nowhere."""
    certificate: str = ""
    """Path of a PEM file with the certificate and those between it and its CA; empty: no TLS."""
    key: str = ""
    client_ca: str = ""
    """Path of a PEM file: callers need a certificate of one of its CAs too."""
    tokens: str = ""
    """Path of the file of tokens."""
    readers: str | None = None
    """Group that may read over the unix socket; None: `DEFAULT_READERS` if there is one."""
    writers: str | None = None
    """Group that may write too."""
    metrics_open: bool = False
    """Over TCP, /metrics needs no token."""
    metrics_hops: int = DEFAULT_METRICS_HOPS
    """Of each leg, how many hops that are neither a real server's nor a gateway's have series of their own."""

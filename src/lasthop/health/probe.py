"""What a check is given, and what it says: the one interface of all kinds.

Owns the types only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lasthop.model.health import HealthCheck
    from lasthop.model.real_server import Address


@dataclass(frozen=True, slots=True)
class Asked:
    """One real server to be asked."""

    service: str
    real_server: str
    server_address: Address
    address: Address
    """Whom the check talks to."""
    port: int
    how: HealthCheck

    @property
    def key(self) -> tuple[str, str]:
        """(service label, real server)."""
        return self.service, self.real_server


#: Ask once. Returns the problem in words, empty for an answer; a number is an answer that says the weight. Cancelled
#: when its time is over.
Probe = Callable[[Asked], Awaitable[str | int]]

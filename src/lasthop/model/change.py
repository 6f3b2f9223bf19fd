"""What a configuration changes: the answer to `lasthop apply`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is another than before."""

    subject: str
    """``leg outside``, ``service FWM 1``, ``real server fw1 of FWM 1``, ``time-outs`` ..."""
    kind: str
    """``added``, ``removed`` or ``changed``."""
    details: tuple[str, ...] = ()
    """What of it changed: ``weight 1 -> 3``."""


@dataclass(frozen=True, slots=True)
class Stranded:
    """Live connections of a real server that gets no new ones any more."""

    service: str
    real_server: str
    why: str
    """``removed``, ``disabled``, ``unresolved`` or ``down``."""
    connections: int


@dataclass(frozen=True, slots=True)
class ChangeReport:
    """What applying a file changed, or would change."""

    director: str
    configuration: str
    """Path of the file."""
    applied: bool
    """False: nothing was changed, it was only asked what would be."""
    changes: list[Change] = field(default_factory=list)
    stranded: list[Stranded] = field(default_factory=list)

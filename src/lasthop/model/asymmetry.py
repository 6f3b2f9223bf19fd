"""Responses that came from another real server than their requests went to."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AsymmetricResponse:
    """One that was seen; addresses are the response's own."""

    zone: str
    protocol: str
    source: str
    source_port: int
    destination: str
    destination_port: int
    expected: str
    """The real server that its requests go to."""
    came_from: str
    """The real server it came from."""
    ago_s: float


@dataclass(frozen=True, slots=True)
class AsymmetryReport:
    """All of them since the data plane was made, and the newest."""

    count: int = 0
    samples: list[AsymmetricResponse] = field(default_factory=list)
    """The newest first."""

"""Counters: why packets left the data plane the way they did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CounterReport:
    """One counted reason as `lasthop counters` shows it."""

    name: str
    sentence: str
    expected: bool
    """False: should stay zero on a healthy network."""
    value: int

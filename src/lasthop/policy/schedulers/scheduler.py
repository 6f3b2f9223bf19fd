"""What a scheduler is to the rest of lasthop: a name, a way to choose, and the table for it.

Owns the type only; each scheduler is a file of its own, and the registry is the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lasthop.policy.plan import Choice, PlannedServer


def no_turns(_servers: Sequence[PlannedServer]) -> tuple[int, ...]:
    """Return no turns: the data plane compares loads, or has a table already."""
    return ()


@dataclass(frozen=True, slots=True)
class Scheduler:
    """How a real server is chosen for a new connection."""

    name: str
    """Value of ``scheduler`` in the configuration; LVS's name where LVS has it."""
    choice: Choice
    turns: Callable[[Sequence[PlannedServer]], tuple[int, ...]] = no_turns
    """Makes `PlannedService.turns`: indices into the servers given; empty where the choice uses none."""
    flags: tuple[str, ...] = ()
    """What ``scheduler_flags`` may hold."""

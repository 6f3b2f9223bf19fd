"""Passive signals: what packets tell of a real server, without asking it.

Owns that judgement. A firewall that lets nothing through leaves connections without an answer; one whose responses come
back through others shows as asymmetric. Both can have causes elsewhere, a server that is down or a flood, so nobody is
judged where no other real server of the service does better (DPVS: dest-check).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from lasthop.model.health import Health, HealthReport, Known

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lasthop.model.health import Key, Passive
    from lasthop.model.service import Service

#: A real server that is out for the second time running is out for longer, up to so many times.
_LONGEST = 10
#: What a service's label has behind it where passive signals are meant: they are kept beside its check.
SUFFIX = ", passive"


class Seen(NamedTuple):
    """What was seen of one real server in a window of time."""

    opened: int = 0
    """TCP connections that were given to it and are old enough to have an answer."""
    unanswered: int = 0
    """Of those, without any packet back."""
    asymmetric: int = 0
    """Responses of its connections that came from another real server."""


@dataclass(slots=True)
class _Box:
    since: float
    down_until: float | None = None
    risen: float | None = None
    times: int = 0
    """Running: how often it was taken out."""
    problem: str = ""
    failures: int = 0


@dataclass(slots=True)
class PassiveJudge:
    """The judgement of a director's real servers by what was seen of them. Times are of the monotonic clock."""

    _boxes: dict[Key, _Box] = field(default_factory=dict)
    _settings: dict[Key, Passive] = field(default_factory=dict)

    def judge(self, service: Service, seen: Mapping[Key, Seen], now: float) -> None:
        """Look at the real servers of a service that has such signals configured."""
        passive = service.health.passive if service.health else None
        if passive is None:
            return
        found = {server.name: seen.get((service.label, server.name), Seen()) for server in service.real_servers}
        for name, mine in found.items():
            key = service.label, name
            self._settings[key] = passive
            box = self._boxes.setdefault(key, _Box(now))
            if box.down_until is not None:
                self._hold(box, now)
                continue
            problem = _problem(mine, passive)
            if problem and any(_does_well(other, passive) for each, other in found.items() if each != name):
                box.times = min(box.times + 1, _LONGEST)
                box.since, box.down_until, box.risen = now, now + passive.retry * box.times, None
                box.problem, box.failures = problem, box.failures + 1
            elif _does_well(mine, passive):
                box.times = 0

    @staticmethod
    def _hold(box: _Box, now: float) -> None:
        if box.down_until is not None and now >= box.down_until:
            box.since, box.risen, box.down_until = now, now, None

    def keep(self, keys: set[Key]) -> None:
        """Forget all others."""
        for key in self._boxes.keys() - keys:
            del self._boxes[key], self._settings[key]

    def known(self) -> dict[Key, Known]:
        """What is found of each, beside what its check finds."""
        return {
            (label + SUFFIX, name): Known(Health.UP if box.down_until is None else Health.DOWN, box.since, box.risen)
            for (label, name), box in self._boxes.items()
        }

    def reports(self, now: float) -> list[HealthReport]:
        """Each as `lasthop health` shows it."""
        return [
            HealthReport(
                service=label,
                real_server=name,
                check="passive",
                target="traffic",
                health=(Health.UP if box.down_until is None else Health.DOWN).value,
                for_s=round(now - box.since, 1),
                streak=0,
                last="" if box.down_until is None else f"{box.problem}; tried again in {box.down_until - now:.0f} s",
                failures=box.failures,
            )
            for (label, name), box in self._boxes.items()
        ]


def _problem(seen: Seen, passive: Passive) -> str:
    if seen.opened >= passive.connections and seen.unanswered >= passive.unanswered * seen.opened:
        return f"{seen.unanswered} of {seen.opened} new connections got no answer within {passive.window:g} s"
    if passive.asymmetric and seen.asymmetric >= passive.asymmetric:
        return f"{seen.asymmetric} responses came from others within {passive.window:g} s"
    return ""


def _does_well(seen: Seen, passive: Passive) -> bool:
    """Whether it is a witness: enough was seen of it, and nothing of it speaks against it."""
    return seen.opened >= passive.connections and 2 * seen.unanswered < passive.unanswered * seen.opened

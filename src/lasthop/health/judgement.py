"""From single results to a real server's health: rise and fall.

Owns the counting. Must not be here: how a check is done, or when.
"""

from __future__ import annotations

from dataclasses import dataclass

from lasthop.model.health import Health


@dataclass(slots=True)
class Judgement:
    """Counts the results of one check. Times are of the monotonic clock."""

    rise: int
    fall: int
    since: float
    """When its health became what it is."""
    health: Health = Health.UNKNOWN
    risen: float | None = None
    """When it came up after it was down, as long as it is up since."""
    streak: int = 0
    """Results in a row that speak against `health`."""
    answers: int = 0
    failures: int = 0

    def note(self, problem: str, now: float) -> bool:
        """Count one result, empty for an answer. True: health is another one now.

        As long as nothing is known the first answer is enough, while failures count as for one that is up: who starts
        beside a network that is slow to start takes nobody out.
        """
        answered = not problem
        self.answers += answered
        self.failures += not answered
        if answered is (self.health is not Health.DOWN):
            self.streak = 0
            if self.health is not Health.UNKNOWN:
                return False
            self._become(Health.UP, now)
            return True
        self.streak += 1
        if self.streak < (self.rise if answered else self.fall):
            return False
        self._become(Health.UP if answered else Health.DOWN, now)
        return True

    def _become(self, health: Health, now: float) -> None:
        self.risen = now if self.health is Health.DOWN else None
        self.health, self.streak, self.since = health, 0, now

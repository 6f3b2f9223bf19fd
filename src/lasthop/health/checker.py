"""Asking all real servers, again and again, each in its own time.

Owns when a check is done, and what is kept of its results. What a kind of check does is in the module of its name; what
counts is `lasthop.health.judgement`'s.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lasthop.health.judgement import Judgement
from lasthop.health.sockets import bracketed
from lasthop.model.health import Health, HealthReport, Known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lasthop.health.probe import Asked, Probe
    from lasthop.model.health import Check, Key

_log = logging.getLogger(__name__)

#: Parts of a turn of the circle that lie apart however many there are: the golden ratio.
_GOLDEN = 0.618033988749895


@dataclass(slots=True)
class _Watched:
    asked: Asked
    judgement: Judgement
    began: float
    task: asyncio.Task[None] | None = None
    last: str = ""
    last_s: float | None = None
    weight: int | None = None

    @property
    def known(self) -> Known:
        judged = self.judgement
        return Known(judged.health, judged.since, judged.risen, self.weight)


class Checker:
    """The health checks of one director. Used in one running loop."""

    def __init__(
        self,
        probes: Mapping[Check, Probe],
        changed: Callable[[Asked, Health, str], None],
        weighed: Callable[[Asked, int | None], None] = lambda _, __: None,
    ) -> None:
        """`changed` is called when a real server's health is another one, with what the last check found.

        `weighed` is called when a check says another weight; None: none.
        """
        self._probes = probes
        self._changed = changed
        self._weighed = weighed
        self._watched: dict[Key, _Watched] = {}
        self._turn = 0.0

    def follow(self, wanted: Iterable[Asked], known: Mapping[Key, Known] | None = None) -> None:
        """Check these and no others; who was checked before keeps its health, however it is checked now.

        `known` is what another process found of others.
        """
        asked = {each.key: each for each in wanted}
        before = dict(known or {})
        for key in [key for key, watched in self._watched.items() if asked.get(key) != watched.asked]:
            stopped = self._watched.pop(key)
            before[key] = stopped.known
            if stopped.task is not None:
                stopped.task.cancel()
        for key, each in asked.items():
            if key not in self._watched:
                self._start(each, before.get(key))

    def health(self) -> dict[Key, Known]:
        """What is known of each."""
        return {key: each.known for key, each in self._watched.items()}

    def reports(self) -> list[HealthReport]:
        """All checks, in the order of the configuration."""
        now = time.monotonic()
        return [
            HealthReport(
                service=each.asked.service,
                real_server=each.asked.real_server,
                check=each.asked.how.check.value,
                target=_target(each.asked),
                health=each.judgement.health.value,
                for_s=round(now - each.judgement.since, 1),
                streak=each.judgement.streak,
                last=each.last,
                last_s=None if each.last_s is None else round(each.last_s, 6),
                answers=each.judgement.answers,
                failures=each.judgement.failures,
            )
            for each in self._watched.values()
        ]

    async def close(self) -> None:
        """End all checks."""
        tasks = [each.task for each in self._watched.values() if each.task is not None]
        self._watched.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, asked: Asked, before: Known | None) -> None:
        now = time.monotonic()
        known = before or Known(Health.UNKNOWN, now)
        judgement = Judgement(asked.how.rise, asked.how.fall, known.since, known.health, known.risen)
        watched = _Watched(asked, judgement, now, weight=known.weight if asked.how.weight_by_status else None)
        self._turn = (self._turn + _GOLDEN) % 1
        watched.task = asyncio.create_task(self._watch(watched, asked.how.interval * self._turn))
        self._watched[asked.key] = watched

    async def _watch(self, watched: _Watched, wait: float) -> None:
        """Check every interval, counted from beginning to beginning; never twice at once."""
        due = time.monotonic() + wait
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            began = time.monotonic()
            said = await self._ask(watched.asked)
            problem = said if isinstance(said, str) else ""
            now = time.monotonic()
            watched.last, watched.last_s = problem, now - began
            early = problem and now < watched.began + watched.asked.how.warmup
            if not early and watched.judgement.note(problem, now):
                self._changed(watched.asked, watched.judgement.health, problem)
            weight = said if isinstance(said, int) else None
            if not problem and weight != watched.weight:
                watched.weight = weight
                self._weighed(watched.asked, weight)
            due = max(due + watched.asked.how.interval, now)

    async def _ask(self, asked: Asked) -> str | int:
        limit = asked.how.timeout
        try:
            async with asyncio.timeout(limit):
                return await self._probes[asked.how.check](asked)
        except TimeoutError:
            return f"no answer within {limit:g} s"
        except Exception as error:  # noqa: BLE001 -- a fault of the check's must not end it
            _log.exception("check %s of real server %s failed by itself", asked.how.check, asked.real_server)
            return f"{type(error).__name__}: {error}"


def _target(asked: Asked) -> str:
    if asked.how.command:
        return asked.how.command[0]
    return f"{bracketed(asked.address)}:{asked.port}" if asked.port else str(asked.address)

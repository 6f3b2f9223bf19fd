"""When real servers are asked, what is kept of the answers, and who hears of a change; probes are the test's own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from lasthop.health.checker import Checker
from lasthop.health.probe import Asked
from lasthop.model.health import Check, Health, HealthCheck, Known

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

PATIENCE_S = 20
ADDRESS = ip_address("10.0.1.11")
HOW = HealthCheck(Check.TCP, interval=0.02, timeout=5.0, rise=2, fall=2)


def asked(name: str = "fw1", **how: Any) -> Asked:
    return Asked("FWM 1", name, ADDRESS, ADDRESS, 80, replace(HOW, **how))


class Probe:
    """Answers each real server as it is told, and counts how often and how many at once."""

    def __init__(self) -> None:
        self.problems: dict[str, str | Exception] = {}
        self.times: dict[str, int] = {}
        self.at_once = self.most_at_once = 0
        self.hanging = False

    async def __call__(self, what: Asked) -> str:
        self.times[what.real_server] = self.times.get(what.real_server, 0) + 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.hanging:
                await asyncio.Event().wait()
            turn = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(turn.set_result, None)
            await turn
        finally:
            self.at_once -= 1
        problem = self.problems.get(what.real_server, "")
        if isinstance(problem, Exception):
            raise problem
        return problem


class Heard:
    """What the checker told, with a way to wait for more."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Health, str]] = []
        self._more = asyncio.Event()

    def __call__(self, what: Asked, health: Health, problem: str) -> None:
        self.told.append((what.real_server, health, problem))
        self._more.set()

    async def until(self, count: int) -> list[tuple[str, Health, str]]:
        while len(self.told) < count:
            await self._more.wait()
            self._more.clear()
        return self.told


def run(work: Callable[[Checker, Probe, Heard], Coroutine[Any, Any, None]]) -> None:
    async def inside() -> None:
        probe, heard = Probe(), Heard()
        checker = Checker({Check.TCP: probe}, heard)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await work(checker, probe, heard)
        finally:
            await checker.close()

    asyncio.run(inside())


def test_a_change_is_told_once_with_what_was_found() -> None:
    async def work(checker: Checker, probe: Probe, heard: Heard) -> None:
        checker.follow([asked()])
        await heard.until(1)
        probe.problems["fw1"] = "refused"
        await heard.until(2)
        probe.problems.clear()
        assert await heard.until(3) == [
            ("fw1", Health.UP, ""),
            ("fw1", Health.DOWN, "refused"),
            ("fw1", Health.UP, ""),
        ]
        (report,) = checker.reports()
        assert (report.health, report.last, report.target) == ("up", "", "10.0.1.11:80")
        assert report.failures >= 2
        assert report.answers >= 3

    run(work)


def test_what_takes_too_long_or_breaks_is_a_failure_and_goes_on_being_asked() -> None:
    async def work(checker: Checker, probe: Probe, heard: Heard) -> None:
        probe.hanging = True
        checker.follow([asked(timeout=0.1)])
        assert (await heard.until(1))[0] == ("fw1", Health.DOWN, "no answer within 0.1 s")
        probe.hanging = False
        await heard.until(2)
        probe.problems["fw1"] = ValueError("a fault of the check's own")
        assert (await heard.until(3))[2] == ("fw1", Health.DOWN, "ValueError: a fault of the check's own")
        probe.problems.clear()
        await heard.until(4)

    run(work)


def test_what_was_down_before_stays_down_until_it_has_risen() -> None:
    async def work(checker: Checker, _: Probe, heard: Heard) -> None:
        checker.follow([asked(rise=3)], {("FWM 1", "fw1"): Known(Health.DOWN, 17.0)})
        assert checker.health()["FWM 1", "fw1"][0] is Health.DOWN
        await heard.until(1)
        assert heard.told == [("fw1", Health.UP, "")]
        assert checker.reports()[0].answers == 3

    run(work)


def test_who_is_asked_otherwise_keeps_its_health_and_who_is_not_asked_is_forgotten() -> None:
    async def work(checker: Checker, probe: Probe, heard: Heard) -> None:
        probe.problems = {"fw1": "refused", "fw2": "refused"}
        checker.follow([asked(), asked("fw2")])
        await heard.until(2)
        checker.follow([asked(interval=0.03)])
        assert {key: known.health for key, known in checker.health().items()} == {("FWM 1", "fw1"): Health.DOWN}
        before = dict(probe.times)
        probe.problems.clear()
        await heard.until(3)
        assert probe.times["fw2"] == before["fw2"]
        assert probe.times["fw1"] > before["fw1"]

    run(work)


def test_failures_in_the_warmup_do_not_count_and_answers_do() -> None:
    async def work(checker: Checker, probe: Probe, heard: Heard) -> None:
        probe.problems["fw1"] = "refused"
        checker.follow([asked(warmup=0.2), asked("fw2", warmup=3600.0)])
        await heard.until(2)
        assert heard.told[0] == ("fw2", Health.UP, "")
        assert heard.told[1] == ("fw1", Health.DOWN, "refused")
        assert probe.times["fw1"] > 2

    run(work)


def test_the_checks_of_many_do_not_begin_together() -> None:
    async def work(checker: Checker, probe: Probe, heard: Heard) -> None:
        checker.follow([asked(f"fw{number}", interval=0.5) for number in range(200)])
        await heard.until(200)
        assert probe.most_at_once < 50

    run(work)

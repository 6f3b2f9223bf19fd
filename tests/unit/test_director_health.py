"""A director that hears of its real servers' health: what it publishes, shows and remembers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lasthop.dataplane.fake import FakeDataPlane
from lasthop.director.director import Director
from lasthop.director.health import HealthWatch, asked_by, known_at_start
from lasthop.director.health_file import HealthFile
from lasthop.health.path import Paths
from lasthop.lab.waiting import wait_until
from lasthop.model.health import Check, Health, HealthCheck, HealthReport
from tests.unit.director_worlds import CONFIGURATION, FW1, FW2, OTHER_MAC, SERVICES, WHOLE, observation, server, started

if TYPE_CHECKING:
    from pathlib import Path

    from lasthop.health.probe import Asked
    from lasthop.model.configuration import Configuration

PATIENCE_S = 20
HOW = HealthCheck(Check.TCP, port=22, interval=0.02, timeout=5.0, rise=1, fall=1)


def checked(how: HealthCheck | None = HOW, **changes: Any) -> Configuration:
    return replace(CONFIGURATION, services=(replace(SERVICES[0], health=how, **changes), SERVICES[1]))


def planned(dataplane: FakeDataPlane) -> dict[str, tuple[bool, bool]]:
    """(usable, dead) of each real server."""
    assert dataplane.pinned.plan is not None
    return {
        each.name: (each.usable, each.dead) for service in dataplane.pinned.plan.services for each in service.servers
    }


def test_who_is_down_gets_nothing_and_is_dead_after_the_grace_alone() -> None:
    director, dataplane = started(configuration=checked(grace=3600.0))
    director.health_of = lambda: {("FWM 1", "fw1"): (Health.DOWN, 0.0)}
    director.health_changed()
    assert planned(dataplane)["fw1"] == (False, True), "it is down since long ago"
    director.health_of = lambda: {("FWM 1", "fw1"): (Health.DOWN, 1e12)}
    director.health_changed()
    assert planned(dataplane) == {"fw1": (False, False), "fw2": (True, False), "router": (True, False)}
    assert server(director, "fw1").health == "down"
    director.health_of = dict
    director.health_changed()
    assert planned(dataplane)["fw1"] == (True, False)


def test_what_is_down_stays_so_through_edits_files_and_observations() -> None:
    director, dataplane = started(configuration=checked(replace(HOW, interval=2.0, timeout=1.0)))
    director.health_of = lambda: {("FWM 1", "fw1"): (Health.DOWN, 0.0)}
    director.health_changed()
    director.observed(observation(fw2=OTHER_MAC))
    assert planned(dataplane)["fw1"] == (False, True)
    director.apply(director.dump(), "lb1.toml")
    assert planned(dataplane)["fw1"] == (False, True)


def test_a_service_below_its_quorum_uses_none_of_its_real_servers_and_says_so() -> None:
    director, dataplane = started(configuration=checked(quorum=2))
    director.health_of = lambda: {("FWM 1", "fw2"): (Health.DOWN, 0.0)}
    director.health_changed()
    assert not planned(dataplane)["fw1"][0]
    assert "service FWM 1 is below its quorum: none of its real servers is used" in director.status().problems


def test_the_status_tells_who_is_down_since_when_and_why() -> None:
    director, _ = started(configuration=checked())
    director.health_reports = lambda: [
        HealthReport("FWM 1", "fw1", "tcp", "10.0.1.11:22", "down", 12.3, 0, "Connection refused", 0.001, 5, 3)
    ]
    (problem,) = director.status().problems
    assert problem == "real server fw1 is down for 12 s: Connection refused (tcp 10.0.1.11:22, FWM 1)"
    director.health_reports = lambda: [
        HealthReport("FWM 1", "fw1", "ping", "10.0.1.11", "down", 3.0, 1, "", 0.001, 5, 3)
    ]
    (problem,) = director.status().problems
    assert problem == "real server fw1 is down for 3 s: it answers again, not often enough yet (ping 10.0.1.11, FWM 1)"


def test_each_real_server_of_a_service_with_a_check_is_asked_at_its_own_target_first() -> None:
    other = FW2
    with_target = replace(SERVICES[0].real_servers[0], health_target=other)
    made = replace(
        CONFIGURATION,
        services=(
            replace(SERVICES[0], health=HOW, real_servers=(with_target, SERVICES[0].real_servers[1])),
            SERVICES[1],
        ),
    )
    assert [(each.real_server, each.address, each.port) for each in asked_by(made)] == [
        ("fw1", other, 22),
        ("fw2", FW2, 22),
    ]
    everyone = replace(HOW, target=FW1)
    assert {each.address for each in asked_by(checked(everyone))} == {FW1}


def test_the_watch_publishes_what_it_finds_and_keeps_it_for_the_next_process(tmp_path: Path) -> None:
    director, dataplane = started(configuration=checked())
    problems = {"fw1": "refused", "fw2": ""}

    async def probe(asked: Asked) -> str:
        return problems[asked.real_server]

    kept = HealthFile(tmp_path / "lb1.health")

    async def until(reached: Any) -> None:
        assert await asyncio.to_thread(wait_until, reached, timeout=PATIENCE_S)

    async def work() -> None:
        following = asyncio.create_task(HealthWatch({Check.TCP: probe}, Paths(), kept).follow(director))
        await until(lambda: planned(dataplane)["fw1"] == (False, True))
        await until(lambda: list(kept.read()) == [("FWM 1", "fw1")])
        assert {each.real_server: each.health for each in director.health()} == {"fw1": "down", "fw2": "up"}
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        director.close()
        problems["fw1"] = ""
        configuration = checked(replace(HOW, interval=3600.0))
        pinned = FakeDataPlane(configuration.director.connections)
        again = Director(configuration, "/etc/lasthop/lb1.toml", pinned)
        known = known_at_start(kept, configuration)
        again.health_of = lambda: known
        again.start(WHOLE)
        assert planned(pinned)["fw1"] == (False, True), "before anybody is asked"
        following = asyncio.create_task(HealthWatch({Check.TCP: probe}, Paths(), kept).follow(again))
        await until(lambda: bool(again.health()))
        assert planned(pinned)["fw1"] == (False, True)
        assert again.health_of()["FWM 1", "fw1"] == (Health.DOWN, known["FWM 1", "fw1"][1])
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        again.close()

    asyncio.run(work())


def test_what_another_process_left_and_cannot_be_read_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lb1.health"
    kept = HealthFile(path)
    for text in ("", "no JSON", "[]", '{"down": [1]}', '{"down": [["FWM 1", "fw1", "long"]]}'):
        path.write_text(text)
        assert not known_at_start(kept, checked())
        director, dataplane = started(configuration=checked(replace(HOW, interval=3600.0)))

        async def work(watch: HealthWatch, director: Director) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await watch.follow(director)

        asyncio.run(work(HealthWatch({}, Paths(), kept), director))
        director.close()
        assert planned(dataplane)["fw1"] == (True, False)


def test_what_was_found_of_a_check_that_is_no_more_is_forgotten(tmp_path: Path) -> None:
    kept = HealthFile(tmp_path / "lb1.health")
    kept.write({("FWM 1", "fw1"): (Health.DOWN, 5.0), ("FWM 1", "fw9"): (Health.DOWN, 5.0)})
    assert known_at_start(kept, checked()) == {("FWM 1", "fw1"): (Health.DOWN, 5.0)}
    assert not known_at_start(kept, CONFIGURATION)

"""A director that hears of its real servers' health: what it publishes, shows and remembers."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.dataplane.fake import FakeDataPlane
from lasthop.director.director import Director
from lasthop.director.health import HealthWatch, asked_by, known_at_start
from lasthop.director.health_file import HealthFile
from lasthop.health.path import Paths
from lasthop.lab.waiting import wait_until
from lasthop.model.edit import Administer, Weigh
from lasthop.model.health import Check, Health, HealthCheck, HealthReport, Known, Passive
from lasthop.model.real_server import RealServer
from tests.unit.director_worlds import (
    CONFIGURATION,
    FW1,
    FW1_MAC,
    FW2,
    FW2_MAC,
    OTHER_MAC,
    SERVICES,
    WHOLE,
    observation,
    server,
    started,
)

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
    director.health_of = lambda: {("FWM 1", "fw1"): Known(Health.DOWN, 0.0)}
    director.health_changed()
    assert planned(dataplane)["fw1"] == (False, True), "it is down since long ago"
    director.health_of = lambda: {("FWM 1", "fw1"): Known(Health.DOWN, 1e12)}
    director.health_changed()
    assert planned(dataplane) == {"fw1": (False, False), "fw2": (True, False), "router": (True, False)}
    assert server(director, "fw1").health == "down"
    director.health_of = dict
    director.health_changed()
    assert planned(dataplane)["fw1"] == (True, False)


def test_what_is_down_stays_so_through_edits_files_and_observations() -> None:
    director, dataplane = started(configuration=checked(replace(HOW, interval=2.0, timeout=1.0)))
    director.health_of = lambda: {("FWM 1", "fw1"): Known(Health.DOWN, 0.0)}
    director.health_changed()
    director.observed(observation(fw2=OTHER_MAC))
    assert planned(dataplane)["fw1"] == (False, True)
    director.apply(director.dump(), "lb1.toml")
    assert planned(dataplane)["fw1"] == (False, True)


def test_a_service_below_its_quorum_uses_none_of_its_real_servers_and_says_so() -> None:
    director, dataplane = started(configuration=checked(quorum=2))
    director.health_of = lambda: {("FWM 1", "fw2"): Known(Health.DOWN, 0.0)}
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
        await until(lambda: list(kept.read()[0]) == [("FWM 1", "fw1")])
        assert {each.real_server: each.health for each in director.health()} == {"fw1": "down", "fw2": "up"}
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        director.close()
        problems["fw1"] = ""
        configuration = checked(replace(HOW, interval=3600.0))
        pinned = FakeDataPlane(configuration.director.connections)
        again = Director(configuration, "/etc/lasthop/lb1.toml", pinned)
        known, stand_ins = known_at_start(kept, configuration)
        again.remember(known, stand_ins)
        again.start(WHOLE)
        assert planned(pinned)["fw1"] == (False, True), "before anybody is asked"
        following = asyncio.create_task(HealthWatch({Check.TCP: probe}, Paths(), kept).follow(again))
        await until(lambda: bool(again.health()))
        assert planned(pinned)["fw1"] == (False, True)
        assert again.health_of()["FWM 1", "fw1"] == Known(Health.DOWN, known["FWM 1", "fw1"].since)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        again.close()

    asyncio.run(work())


def test_what_another_process_left_and_cannot_be_read_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lb1.health"
    kept = HealthFile(path)
    no_health = '{"known": [["FWM 1", "fw1", ["dead", 1.0]]], "stand_ins": {}}'
    for text in ("", "no JSON", "[]", '{"known": [1], "stand_ins": {}}', no_health):
        path.write_text(text)
        assert known_at_start(kept, checked()) == ({}, {})
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
    down, risen, weighed = Known(Health.DOWN, 5.0), Known(Health.UP, 7.0, 7.0), Known(Health.UP, 1.0, None, 20)
    kept.write(
        {
            ("FWM 1", "fw1"): down,
            ("FWM 1", "fw2"): risen,
            ("FWM 1", "fw9"): down,
            ("FWM 2", "router"): weighed,
            ("FWM 2", "fw1"): Known(Health.UP, 3.0),
        },
        {"fw1": "fw1b"},
    )
    assert kept.read()[0].keys() == {("FWM 1", "fw1"), ("FWM 1", "fw2"), ("FWM 1", "fw9"), ("FWM 2", "router")}
    found, stand_ins = known_at_start(kept, checked())
    assert found == {("FWM 1", "fw1"): down, ("FWM 1", "fw2"): risen}
    assert stand_ins == {"fw1": "fw1b"}
    assert known_at_start(kept, CONFIGURATION)[0] == {}


def test_one_that_comes_back_is_brought_to_its_weight_by_steps_and_the_report_tells() -> None:
    configuration = checked(replace(HOW, interval=2.0, timeout=1.0), slow_start=3600.0)
    director, dataplane = started(configuration=configuration)
    director.health_of = lambda: {("FWM 1", "fw2"): Known(Health.UP, 0.0, time.monotonic())}
    director.health_changed()
    assert dataplane.pinned.plan is not None
    assert [(each.name, each.weight) for each in dataplane.pinned.plan.services[0].servers] == [("fw1", 10), ("fw2", 3)]
    assert (server(director, "fw1").effective_weight, server(director, "fw2").effective_weight) == (1, 0.3)
    assert server(director, "fw2").weight == 3
    director.edit([Administer("disable", "fw1", "FWM 1"), Administer("enable", "fw1", "FWM 1")])
    assert server(director, "fw1").effective_weight == 1, "as a whole it was enabled all the time"
    director.edit([Administer("disable", "fw1", "FWM 1")])
    director.edit([Administer("enable", "fw1", "FWM 1")])
    assert server(director, "fw1").effective_weight == 0.1
    until = director.next_change()
    assert until is not None
    assert until - time.monotonic() == pytest.approx(720.0, abs=5.0)


def test_a_weight_that_a_check_says_is_used_and_the_configured_one_is_shown_beside_it() -> None:
    director, _ = started(configuration=checked())
    director.health_of = lambda: {("FWM 1", "fw2"): Known(Health.UP, 0.0, None, 20)}
    director.health_changed()
    assert (server(director, "fw2").weight, server(director, "fw2").effective_weight) == (3, 20)


BACKUP = RealServer("fw1b", FW2, backup_of="fw1")
PAIR = replace(
    CONFIGURATION,
    services=(replace(SERVICES[0], real_servers=(SERVICES[0].real_servers[0], BACKUP), health=HOW), SERVICES[1]),
)


def test_a_backup_takes_the_place_of_its_real_server_and_keeps_it() -> None:
    director, dataplane = started(configuration=PAIR)
    health: dict[tuple[str, str], Known] = {}
    director.health_of = lambda: health

    def row(name: str) -> tuple[object, ...]:
        found = server(director, name)
        return found.address, found.mac, found.health, found.effective_weight, found.stand_in

    def turn(**now: Health) -> None:
        health.update({("FWM 1", name): Known(said, 0.0) for name, said in now.items()})
        director.health_changed()

    own, backups = (str(FW1), FW1_MAC), (str(FW2), FW2_MAC)
    assert (row("fw1"), row("fw1b")) == ((*own, "up", 1, ""), (*backups, "standby", 0, ""))
    turn(fw1=Health.DOWN)
    assert (row("fw1"), row("fw1b")) == ((*backups, "up", 1, "fw1b"), (*own, "down", 0, ""))
    assert planned(dataplane)["fw1"] == (True, False), "its connections go on"
    assert dataplane.pinned.plan is not None
    assert ("edge", FW2, "FWM 1", "fw1") in dataplane.pinned.plan.server_addresses
    (asked, other) = asked_by(PAIR)
    ways = [director.way(each) for each in (asked, other)]
    assert [way.mac for way in ways if not isinstance(way, str)] == [FW1_MAC, FW2_MAC], "the box itself is asked"
    turn(fw1=Health.UP)
    assert row("fw1") == (*backups, "up", 1, "fw1b"), "who returns takes nothing back"
    turn(fw1b=Health.DOWN)
    assert (row("fw1"), row("fw1b")) == ((*own, "up", 1, ""), (*backups, "down", 0, ""))
    turn(fw1=Health.DOWN)
    assert planned(dataplane)["fw1"] == (False, True), "nobody is left"


def test_who_is_disabled_is_replaced_at_once_and_no_connection_is_taken_for_a_dead_ones() -> None:
    director, dataplane = started(configuration=PAIR)
    director.edit([Administer("disable", "fw1", "FWM 1")])
    assert planned(dataplane)["fw1"] == (True, False)
    assert server(director, "fw1").stand_in == "fw1b"
    assert director.stand_ins == {"fw1": "fw1b"}
    report = director.edit([Weigh("weigh", "fw1b", 5)])
    assert report.warnings == [
        "real server fw1b is the backup of fw1, and has that one's weight while it is in its place"
    ]


def test_who_gives_no_answers_is_down_by_its_traffic_alone(tmp_path: Path) -> None:
    configuration = checked(replace(HOW, interval=3600.0, passive=Passive()))
    director, dataplane = started(configuration=configuration)
    dataplane.traffic.opened = {("FWM 1", "fw1"): (100, 100), ("FWM 1", "fw2"): (100, 3)}

    async def until(reached: Any) -> None:
        assert await asyncio.to_thread(wait_until, reached, timeout=PATIENCE_S)

    async def work() -> None:
        watch = HealthWatch({}, Paths(), HealthFile(tmp_path / "lb1.health"))
        following = asyncio.create_task(watch.follow(director))
        await until(lambda: planned(dataplane)["fw1"] == (False, True))
        assert planned(dataplane)["fw2"] == (True, False)
        told = [each.last for each in director.health() if each.check == "passive" and each.health == "down"]
        assert told == ["100 of 100 new connections got no answer within 10 s; tried again in 30 s"]
        assert any("100 of 100" in problem for problem in director.status().problems)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    asyncio.run(work())
    director.close()

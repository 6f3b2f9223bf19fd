"""Events: kept in a ring, told once by the log and the API alike, and never at the cost of who tells them."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lasthop.director import events as events_module
from lasthop.director.events import AT_ONCE, Events
from lasthop.director.health import HealthWatch
from lasthop.errors import DataPlaneError, LasthopError, NetworkError
from lasthop.health.probe import Asked
from lasthop.model.edit import Administer, Weigh
from lasthop.model.event import EventQuery, Kind, on_behalf_of, told
from lasthop.model.health import Check, Effective, Health, HealthCheck
from lasthop.model.leg import ReplyTo
from tests.unit.director_worlds import (
    CONFIGURATION,
    ETH0,
    ETH1,
    FW1,
    FW1_MAC,
    LEGS,
    OTHER_MAC,
    ROUTER,
    ROUTER_MAC,
    observation,
    started,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.director.director import Director
    from lasthop.model.event import Event

ALL = EventQuery()
LOG = logging.getLogger("lasthop.tests")


@pytest.fixture
def events() -> Iterator[Events]:
    with Events(kept=10).listening() as listening:
        yield listening


def happen(number: int, kind: Kind = Kind.LEG_UP) -> None:
    for each in range(number):
        LOG.info("leg %d is up", each, extra=told(kind, leg=str(each)))


def kinds(events: Events) -> list[str]:
    return [event.kind for event in events.recent(ALL)]


def numbers(found: list[Event]) -> list[str | None]:
    return [event.leg for event in found]


def test_a_record_with_a_kind_is_an_event_with_its_sentence_and_fields(events: Events) -> None:
    LOG.warning("leg %s (%s) is down", "outside", "eth0", extra=told(Kind.LEG_DOWN, leg="outside", interface="eth0"))
    LOG.warning("nothing that has a kind")
    (event,) = events.recent(ALL)
    assert event.document() == {
        "seq": event.seq,
        "time": event.time,
        "kind": "leg_down",
        "level": "warning",
        "message": "leg outside (eth0) is down",
        "leg": "outside",
        "interface": "eth0",
    }
    assert event.time.endswith("Z")


def test_the_log_shows_what_the_event_says_and_has_its_fields(events: Events, caplog: pytest.LogCaptureFixture) -> None:
    happen(1)
    (record,) = caplog.records
    assert record.getMessage() == events.recent(ALL)[0].message
    assert record.lasthop == {"kind": "leg_up", "leg": "0"}  # type: ignore[attr-defined]  # as the formatters see it


def test_who_asked_for_it_is_in_the_event(events: Events) -> None:
    with on_behalf_of("uid 0 (pid 42)"):
        happen(1)
    happen(1)
    assert [event.by for event in events.recent(ALL)] == ["uid 0 (pid 42)", None]


def test_fields_that_an_event_does_not_have_are_the_logs_alone(events: Events) -> None:
    LOG.info("leg outside is up", extra={"lasthop": {"kind": Kind.LEG_UP, "director": "lb1"}})
    assert kinds(events) == ["leg_up"]


def test_the_newest_are_kept_and_numbered_without_gaps(events: Events) -> None:
    happen(25)
    found = events.recent(ALL)
    assert numbers(found) == [str(each) for each in range(15, 25)]
    assert [event.seq - found[0].seq for event in found] == list(range(10))


def test_a_later_process_counts_on_from_above() -> None:
    with Events().listening() as first:
        happen(500)
        last = first.recent(ALL)[-1].seq
    with Events().listening() as second:
        happen(1)
        assert second.recent(EventQuery(after=last))[0].seq > last


def test_one_asks_for_what_came_after_an_event_or_is_of_a_kind(events: Events) -> None:
    happen(3)
    happen(1, Kind.LEG_DOWN)
    found = events.recent(ALL)
    assert events.recent(EventQuery(after=found[1].seq)) == found[2:]
    assert events.recent(EventQuery(kinds=frozenset({Kind.LEG_DOWN}))) == found[3:]
    assert events.recent(EventQuery(after=found[3].seq)) == []


def test_one_asks_for_what_is_not_older_than_some_seconds(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("lasthop.director.events.time.monotonic", lambda: now)
    happen(2)
    now += 60
    happen(1)
    assert len(events.recent(EventQuery(since_s=61))) == 3
    assert len(events.recent(EventQuery(since_s=59))) == 1


def test_who_comes_too_late_is_told_how_many_he_missed(events: Events) -> None:
    happen(1)
    seen = events.recent(ALL)[0].seq
    happen(25)
    missed, *rest = events.recent(EventQuery(after=seen))
    assert (missed.kind, missed.count, len(rest)) == (Kind.MISSED, 15, 10)
    assert missed.seq == rest[0].seq - 1
    assert events.recent(EventQuery(after=missed.seq)) == rest


def test_nobody_misses_what_was_before_the_first(events: Events) -> None:
    happen(2)
    first = events.recent(ALL)[0].seq
    assert Kind.MISSED not in [event.kind for event in events.recent(EventQuery(after=1))]
    assert Kind.MISSED not in [event.kind for event in events.recent(EventQuery(after=first - 1))]


class TestFollowers:
    """They see each event once, or hear that they did not."""

    def test_a_follower_sees_what_happens_from_now_on(self, events: Events) -> None:
        async def scene() -> None:
            happen(2)
            portions = events.follow(ALL).portions()
            assert await anext(portions) == []
            happen(2, Kind.LEG_DOWN)
            assert numbers(await anext(portions)) == ["0", "1"]

        asyncio.run(scene())

    def test_a_follower_goes_on_after_an_event_that_he_names(self, events: Events) -> None:
        async def scene() -> None:
            happen(3)
            seen = events.recent(ALL)[0].seq
            portions = events.follow(EventQuery(after=seen)).portions()
            assert numbers(await anext(portions)) == ["1", "2"]
            happen(1)
            assert numbers(await anext(portions)) == ["0"]

        asyncio.run(scene())

    def test_a_follower_of_some_kinds_hears_of_no_others(self, events: Events) -> None:
        async def scene() -> None:
            portions = events.follow(EventQuery(kinds=frozenset({Kind.LEG_DOWN}))).portions()
            assert await anext(portions) == []
            happen(3)
            assert await anext(portions) == []
            happen(1, Kind.LEG_DOWN)
            assert [event.kind for event in await anext(portions)] == [Kind.LEG_DOWN]

        asyncio.run(scene())

    def test_a_slow_follower_is_told_what_he_missed_and_costs_no_memory(self, events: Events) -> None:
        async def scene() -> None:
            portions = events.follow(ALL).portions()
            await anext(portions)
            happen(10_000)
            missed, *rest = await anext(portions)
            assert (missed.kind, missed.count) == (Kind.MISSED, 9990)
            assert numbers(rest) == [str(each) for each in range(9990, 10_000)]

        asyncio.run(scene())

    def test_many_events_come_in_portions_and_none_twice(self) -> None:
        async def scene() -> None:
            with Events().listening() as events:
                happen(3 * AT_ONCE + 1)
                portions = events.follow(EventQuery(after=0)).portions()
                found = [await anext(portions) for _ in range(4)]
                assert [len(portion) for portion in found] == [AT_ONCE, AT_ONCE, AT_ONCE, 1]
                assert len({event.seq for portion in found for event in portion}) == 3 * AT_ONCE + 1

        asyncio.run(scene())

    def test_a_quiet_director_is_heard_of_now_and_then(self, events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(events_module, "HEARTBEAT_S", 0.01)

        async def scene() -> None:
            portions = events.follow(ALL).portions()
            assert [await anext(portions) for _ in range(3)] == [[], [], []]

        asyncio.run(scene())

    def test_the_end_comes_after_the_last_event(self, events: Events) -> None:
        async def scene() -> None:
            portions = events.follow(ALL).portions()
            await anext(portions)
            happen(1, Kind.STOPPING)
            events.end()
            assert [event.kind for event in await anext(portions)] == [Kind.STOPPING]
            with pytest.raises(StopAsyncIteration):
                await anext(portions)

        asyncio.run(scene())

    def test_events_of_other_threads_wake_a_follower(self, events: Events) -> None:
        async def scene() -> None:
            portions = events.follow(ALL).portions()
            await anext(portions)
            waiting = asyncio.ensure_future(anext(portions))
            threading.Thread(target=happen, args=(1,)).start()
            assert numbers(await asyncio.wait_for(waiting, 10)) == ["0"]

        asyncio.run(scene())


class TestADirector:
    """It tells what an operator cares about."""

    def test_a_mac_address_changes_and_goes(self, events: Events) -> None:
        director, _ = started()
        director.observed(observation(fw1=OTHER_MAC))
        director.observed(observation(fw1=None))
        director.observed(observation())
        changed, gone, back = events.recent(ALL)
        assert (changed.kind, changed.real_server, changed.service) == (Kind.MAC_CHANGED, "fw1", "FWM 1")
        assert (changed.mac, changed.was, changed.leg) == (OTHER_MAC, FW1_MAC, "firewalls")
        assert (gone.kind, gone.mac, gone.was) == (Kind.MAC_UNRESOLVED, "", OTHER_MAC)
        assert (back.kind, back.mac, back.was) == (Kind.MAC_RESOLVED, FW1_MAC, "")

    def test_a_gateway_moves_and_goes(self, events: Events) -> None:
        outside = replace(LEGS[0], reply_to=ReplyTo.NEIGHBOUR, gateways=(ROUTER,))
        director, _ = started(configuration=replace(CONFIGURATION, legs=(outside, LEGS[1])))
        director.observed(observation(router=OTHER_MAC))
        director.observed(observation(router=None))
        moved, gone = (event for event in events.recent(ALL) if event.kind is Kind.GATEWAY_MOVED)
        assert (moved.leg, moved.address, moved.was, moved.mac) == ("outside", str(ROUTER), ROUTER_MAC, OTHER_MAC)
        assert (gone.was, gone.mac) == (OTHER_MAC, "")

    def test_a_leg_goes_down_and_its_interface_vanishes(self, events: Events) -> None:
        director, _ = started()
        director.observed(observation(ETH0, replace(ETH1, up=False)))
        director.observed(observation(ETH0, ETH1))
        director.observed(observation(ETH0))
        director.observed(observation(ETH0, ETH1))
        found = [event for event in events.recent(ALL) if event.leg == "firewalls" and event.real_server is None]
        assert [event.kind for event in found] == [
            "leg_down", "leg_up", "leg_vanished", "leg_down", "leg_back", "leg_up",
        ]  # fmt: skip
        assert {event.interface for event in found} == {"eth1"}

    def test_a_problem_is_told_when_it_comes_and_when_it_is_mended(self, events: Events) -> None:
        director, _ = started()
        director.noted("network", NetworkError("can't read links: they changed", "try again"))
        director.noted("network", None)
        came, mended = events.recent(ALL)
        assert (came.kind, came.level, mended.kind, mended.level) == ("problem", "error", "mended", "info")
        assert came.about == mended.about == "network"
        assert came.problem == mended.problem == "can't read links: they changed; try again"

    def test_an_edit_says_who_made_it(self, events: Events) -> None:
        director, _ = started()
        with on_behalf_of("uid 0 (pid 42)"):
            director.edit([Weigh("weigh", "fw1", 7)])
        (event,) = events.recent(ALL)
        assert (event.kind, event.by, event.changes) == (Kind.EDITED, "uid 0 (pid 42)", 1)
        assert "server=fw1" in event.message

    def test_many_edits_at_once_are_one_event(self, events: Events) -> None:
        director, _ = started()
        director.edit([Weigh("weigh", "fw1", each) for each in range(1, 31)])
        assert [(event.kind, event.changes) for event in events.recent(ALL)] == [(Kind.EDITED, 30)]

    def test_a_drain_begins_and_ends(self, events: Events) -> None:
        director, _ = started()
        director.edit([Administer("drain", "fw1")])
        director.drain_step()
        director.drain_step()
        director.edit([Administer("enable", "fw1")])
        found = [event for event in events.recent(ALL) if event.kind is not Kind.EDITED]
        assert [event.kind for event in found] == ["drain_begun", "drain_empty", "drain_ended"]
        assert (found[2].reason, found[2].connections, found[2].real_server) == ("enabled", 0, "fw1")

    def test_a_file_that_is_applied_is_told_and_so_is_one_that_is_refused(self, events: Events) -> None:
        director, _ = started()
        text = director.dump().replace("weight = 3", "weight = 4")
        director.apply(text, "lb1.toml", dry_run=True)
        with on_behalf_of("SIGHUP"):
            director.apply(text, "lb1.toml")
        with pytest.raises(LasthopError):
            director.apply("nonsense", "lb1.toml")
        applied, refused = events.recent(ALL)
        assert (applied.kind, applied.configuration, applied.changes) == (Kind.APPLIED, "lb1.toml", 1)
        assert (applied.by, applied.message) == ("SIGHUP", "SIGHUP: applied lb1.toml: 1 change")
        assert (refused.kind, refused.level, refused.configuration) == (Kind.APPLY_REFUSED, "error", "lb1.toml")

    def test_a_lost_quorum_and_a_backup_are_told(self, events: Events) -> None:
        director, _ = started()
        director._take(Effective(empty=frozenset({"FWM 1"}), stand_ins={"fw1": "fw2"}))
        director._take(Effective())
        assert kinds(events) == ["quorum_lost", "backup_begun", "quorum_regained", "backup_ended"]

    def test_what_is_frequent_is_summed_up(self, events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 1000.0
        monkeypatch.setattr("lasthop.director.director.time.monotonic", lambda: now)
        director, dataplane = started()
        sweep(director)
        for _ in range(3):
            dataplane.pinned.counts["event_hop_learned"] += 5
            dataplane.pinned.counts["event_asymmetric"] += 1
            sweep(director)
        now += 11
        sweep(director)
        sweep(director)
        found = [(event.kind.value, event.count) for event in events.recent(ALL)]
        assert found == [("hops_learned", 5), ("asymmetric", 1), ("hops_learned", 10), ("asymmetric", 2)]

    def test_what_was_counted_before_the_start_is_no_news(self, events: Events) -> None:
        director, dataplane = started()
        dataplane.pinned.counts["event_hop_learned"] = 5
        sweep(director)
        assert kinds(events) == []

    def test_health_is_told_with_the_check_and_its_problem(self, events: Events) -> None:
        director, _ = started()
        asked = Asked("FWM 1", "fw1", FW1, FW1, 0, HealthCheck(Check.PING))
        watch = HealthWatch.__new__(HealthWatch)
        watch._woken = asyncio.Event()
        watch._found(director, asked, Health.DOWN, "no answer")
        watch._found(director, asked, Health.UP, "")
        watch._weighed(director, asked, 7)
        down, up, weighed = events.recent(ALL)
        assert (down.kind, down.level, down.check, down.problem) == ("server_down", "warning", "ping", "no answer")
        assert (up.kind, up.level, up.check, up.problem) == ("server_up", "info", "ping", None)
        assert (weighed.kind, weighed.weight) == ("server_weighed", 7)

    def test_an_edit_that_is_refused_is_no_event(self, events: Events) -> None:
        director, dataplane = started()
        dataplane.refusal = DataPlaneError("can't do it: no", "do something else")
        with pytest.raises(DataPlaneError):
            director.edit([Weigh("weigh", "fw1", 7)])
        assert kinds(events) == []


def sweep(director: Director) -> None:
    while not director.sweep():
        pass

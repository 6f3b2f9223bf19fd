"""Firewalls that are up and pass nothing, that come and go, or are all dead, under live load."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lasthop.lab.load import Load
from lasthop.lab.waiting import patience, wait_until
from tests.faults import settings
from tests.faults.settings import FALL, INTERVAL_S, PATIENCE_S, apply, counted, cut, mended, wait_health

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.lab.topology import Topology

BAD = "fw2"
#: What a machine with other work may take besides.
_SLACK_S = 1.0
FLAPS = 4


@contextmanager
def silent(lab: Topology, name: str) -> Iterator[None]:
    """The firewall answers for itself and forwards nothing."""
    told = lab.run(name, "nft", "-ae", "insert", "rule", "inet", "firewall", "forward", "drop")
    handle = re.findall(r"handle (\d+)", told)[-1]
    try:
        yield
    finally:
        lab.run(name, "nft", "delete", "rule", "inet", "firewall", "forward", "handle", handle)


def states(lab: Topology, name: str) -> dict[str, str]:
    """What each director's checks say of a firewall."""
    rows = {box: director.client.health() for box, director in lab.directors.items()}
    return {box: row["health"] for box, told in rows.items() for row in told if row["real_server"] == name}


def test_a_firewall_that_drops_silently_is_found_in_time_and_loses_nothing_if_it_passes_traffic_again(
    lab: Topology,
) -> None:
    apply(lab, 'on_death = "keep"\n', settings.path_checks(lab))
    with Load(lab) as load:
        load.locate()
        held = load.on(BAD)
        assert held
        began = time.monotonic()
        with silent(lab, BAD):
            wait_health(lab, BAD, "down")
            took = time.monotonic() - began
            # The first check that fails may begin an interval later, and each takes its whole time-out.
            assert took <= patience((FALL + 1) * INTERVAL_S + _SLACK_S), took
            load.progress_of_others(held)
        load.wait_answered(held)
        wait_health(lab, BAD, "up")
        load.progress()
    assert load.broken == []


def flap(lab: Topology, condition: str) -> None:
    """Cut a firewall off until the directors say `condition` of it, and mend it until they say that it is up."""
    with mended(lab):
        cut(lab, BAD)
        wait_health(lab, BAD, condition)
    wait_health(lab, BAD, "up")


def test_a_firewall_that_comes_and_goes_faster_than_its_checks_is_not_found_to_be_dead(lab: Topology) -> None:
    """Some checks of it fail, again and again, and never enough of them in a row."""
    apply(lab, 'on_death = "reset"\n', settings.PING.replace(f"fall = {FALL}", "fall = 20"))
    with Load(lab) as load:
        for _ in range(FLAPS):
            failed = checks(lab, "failures")
            with mended(lab):
                cut(lab, BAD)
                assert wait_until(lambda: checks(lab, "failures") > failed, timeout=PATIENCE_S)  # noqa: B023 -- called here
            assert wait_until(lambda: checks(lab, "streak") == 0, timeout=PATIENCE_S)
            load.progress()
        assert set(states(lab, BAD).values()) == {"up"}
    assert load.broken == []


def checks(lab: Topology, what: str) -> int:
    """How often, or how often in a row, the directors found the firewall dead."""
    rows = [row for director in lab.directors.values() for row in director.client.health()]
    return sum(int(row[what]) for row in rows if row["real_server"] == BAD)


def test_a_firewall_that_flaps_moves_no_connection_of_others_and_within_the_grace_loses_none_of_its_own(
    lab: Topology,
) -> None:
    """It is found dead, and alive again, twice; each time it is back before its connections would be reset."""
    apply(lab, 'on_death = "reset"\ngrace = 20\n')
    resets = counted(lab, "forwarded_reset")
    with Load(lab) as load:
        before = dict(load.locate())
        kept = [each.port for each in load.living]
        for _ in range(2):
            flap(lab, "down")
            load.progress()
        places = now_at(lab)
        assert {port: places[port] for port in kept} == {port: before[port] for port in kept}
    assert load.broken == []
    assert counted(lab, "forwarded_reset") == resets


def now_at(lab: Topology) -> dict[int, str]:
    """The firewall that the outer director has for each connection now, by its client's port."""
    rows = lab.directors["lb1"].client.connections(protocol="tcp")
    return {int(row["source_port"]): str(row["real_server"]) for row in rows}


def test_when_all_are_dead_those_that_return_have_lost_nothing(lab: Topology) -> None:
    apply(lab, 'on_death = "keep"\nwhen_empty = "drop"\n')
    everybody = lab.layout.firewalls
    with Load(lab) as load:
        with mended(lab):
            cut(lab, *everybody)
            for name in everybody:
                wait_health(lab, name, "down")
            assert wait_until(lambda: counted(lab, "drop_empty") > 0, timeout=PATIENCE_S)
            problems = lab.directors["lb1"].client.status()["problems"]
            assert [name for name in everybody if not any(f"{name} is down" in each for each in problems)] == []
        for name in everybody:
            wait_health(lab, name, "up")
        load.progress()
    assert load.broken == []


def test_when_all_are_dead_shorter_than_the_grace_a_rebalance_moves_and_loses_nothing(lab: Topology) -> None:
    apply(lab, 'on_death = "rebalance"\ngrace = 20\n')
    moved = counted(lab, "event_moved")
    with Load(lab) as load:
        with mended(lab):
            cut(lab, *lab.layout.firewalls)
            for name in lab.layout.firewalls:
                wait_health(lab, name, "down")
        load.progress()
        for name in lab.layout.firewalls:
            wait_health(lab, name, "up")
    assert load.broken == []
    assert counted(lab, "event_moved") == moved

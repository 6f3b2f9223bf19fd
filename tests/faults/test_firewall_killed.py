"""A firewall dies under live load: its connections go the way of on_death, and nobody else's are lost.

"Dies" is that both its cables are pulled; when it returns, it knows its connections still.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lasthop.lab.load import Load
from tests.faults.settings import apply, counted, cut, mended, wait_health

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.lab.load import Conversation
    from lasthop.lab.topology import Topology

DEAD = "fw2"
#: A reset comes with the next packet of either end, after the director knows.
SOON_S = 5.0


@contextmanager
def shared_states(lab: Topology) -> Iterator[None]:
    """Firewalls that know each other's connections: each lets pass what began at another."""
    handles = {}
    try:
        for name in lab.layout.firewalls:
            told = lab.run(
                name, "nft", "-ae", "insert", "rule", "inet", "firewall", "forward", "meta l4proto tcp accept"
            )
            handles[name] = re.findall(r"handle (\d+)", told)[-1]
        yield
    finally:
        for name, handle in handles.items():
            lab.run(name, "nft", "delete", "rule", "inet", "firewall", "forward", "handle", handle)


@contextmanager
def killed(lab: Topology, load: Load) -> Iterator[tuple[list[Conversation], float]]:
    """The firewall is dead, and found to be so; gives its kept connections, and when it was found."""
    load.locate()
    held = load.on(DEAD)
    assert len(load.spread()) == len(lab.layout.firewalls), load.spread()
    with mended(lab):
        cut(lab, DEAD)
        wait_health(lab, DEAD, "down")
        found = time.monotonic()
        load.locate()
        yield held, found


def test_with_keep_a_firewall_that_returns_has_lost_nothing(lab: Topology) -> None:
    apply(lab, 'on_death = "keep"\n')
    with Load(lab) as load:
        with killed(lab, load) as (held, _):
            stood_still = [each.answered for each in held]
        load.wait_answered(held)
        assert [each.answered > before for each, before in zip(held, stood_still, strict=True)] == [True] * len(held)
        wait_health(lab, DEAD, "up")
        load.progress()
    assert load.broken == []


def test_with_drop_a_firewall_that_returns_has_lost_nothing_either(lab: Topology) -> None:
    apply(lab, 'on_death = "drop"\n')
    before = counted(lab, "drop_dead")
    with Load(lab) as load:
        with killed(lab, load) as (held, _):
            load.progress_of_others(held)
            assert counted(lab, "drop_dead") > before
        wait_health(lab, DEAD, "up")
        load.wait_answered(held)
    assert load.broken == []


def test_with_reset_only_its_own_connections_end_and_they_do_at_once(lab: Topology) -> None:
    apply(lab, 'on_death = "reset"\n')
    with Load(lab) as load:
        with killed(lab, load) as (held, found):
            load.wait_broken(held)
            load.progress()
            assert DEAD not in load.spread()
        wait_health(lab, DEAD, "up")
        load.progress()
    assert load.lost(DEAD, found=found) == []
    assert {each.problem for each in held} == {"Connection reset by peer"}
    assert [each for each in held if each.broke is None or each.broke > found + SOON_S] == []


def test_with_rebalance_firewalls_that_share_no_states_lose_the_connections_of_the_dead_one_alone(
    lab: Topology,
) -> None:
    apply(lab, 'on_death = "rebalance"\n')
    with Load(lab, patience_s=6) as load:
        with killed(lab, load) as (held, found):
            load.wait_broken(held)
            load.progress()
        wait_health(lab, DEAD, "up")
        load.progress()
    assert load.lost(DEAD, found=found) == []


def test_with_rebalance_firewalls_that_share_their_states_lose_nothing_at_all(lab: Topology) -> None:
    apply(lab, 'on_death = "rebalance"\n')
    moved = counted(lab, "event_moved")
    with shared_states(lab), Load(lab) as load:
        with killed(lab, load) as (held, _):
            load.wait_answered(held)
            load.progress()
            assert counted(lab, "event_moved") >= moved + len(held)
        wait_health(lab, DEAD, "up")
        load.progress()
    assert load.broken == []

"""Upper and lower thresholds: overload as LVS has it, in every scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lasthop.policy.schedulers import SCHEDULERS
from tests.packet.frames import tcp, udp
from tests.packet.plans import FW, ROUTER, firewalls, two_box

if TYPE_CHECKING:
    from tests.packet.rig import Rig


def limited(upper: int, lower: int = 0, count: int = 1, scheduler: str = "rr", **changes: Any) -> Any:
    return two_box(firewalls(count, upper_threshold=upper, lower_threshold=lower), scheduler, **changes)


def sent(rig: Rig, number: int) -> int | None:
    """Where a new connection goes; None if it is dropped."""
    packet = tcp(source=f"198.51.{number >> 8}.{number & 255}", sport=1000 + number)
    outcome = rig.send("outside", packet, ROUTER)
    if outcome.hop is None:
        assert outcome.counted == {"DROP_EMPTY": 1}
        return None
    return FW.index(outcome.hop[1])


def end_one(rig: Rig) -> None:
    """Let the connection that was opened first be forgotten."""
    slot = next(i for i in range(len(rig.entries)) if rig.entries["word"][i] >> 8 & 1)
    before = rig.entries["last_seen_ns"][slot]
    rig.entries["last_seen_ns"][slot] = 1
    assert rig.sweep()["expired"] == 1, before


@pytest.mark.parametrize(("upper", "lower", "again_below"), [(8, 0, 6), (8, 3, 3), (8, 8, 8), (1, 1, 1), (4, 0, 3)])
def test_no_new_connections_from_the_upper_threshold_on_until_below_the_lower(
    rig: Rig, upper: int, lower: int, again_below: int
) -> None:
    rig.publish(limited(upper, lower))
    assert [sent(rig, i) for i in range(upper + 2)] == [0] * upper + [None] * 2
    for live in range(upper - 1, -1, -1):
        end_one(rig)
        expected = 0 if live < again_below else None
        assert sent(rig, 100 + live) == expected, live
        if expected == 0:
            break


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_passes_over_who_is_full_and_drops_when_all_are(rig: Rig, scheduler: str) -> None:
    fallback = (f"{scheduler}-fallback",) if scheduler in {"sh", "mh"} else ()
    rig.publish(limited(5, count=3, scheduler=scheduler, scheduler_flags=fallback))
    chosen = [sent(rig, i) for i in range(400)]
    counts = [chosen.count(i) for i in range(3)]
    if scheduler == "dh":  # one destination has one slot, and no fallback
        assert sorted(counts) == [0, 0, 5]
    elif scheduler == "ovf":  # full by its own rule at more active connections than weight
        assert counts == [2, 2, 2]
    else:
        assert counts == [5, 5, 5]
    assert chosen[-1] is None


def test_without_fallback_the_clients_of_a_full_real_server_get_none(rig: Rig) -> None:
    for scheduler in ("sh", "mh"):
        rig.reset()
        rig.publish(limited(5, count=2, scheduler=scheduler))
        chosen = [sent(rig, i) for i in range(60)]
        assert chosen.count(0) == chosen.count(1) == 5
        assert None in chosen[: chosen.index(0, 1) + 55]


def test_a_mid_stream_packet_and_a_bound_client_go_on_to_who_is_full(rig: Rig) -> None:
    rig.publish(limited(1, persistence_s=60.0))
    client = "198.51.0.1"
    assert rig.send("outside", udp(source=client, sport=1), ROUTER).verdict == "forwarded"
    assert rig.send("outside", udp(source=client, sport=2), ROUTER).verdict == "forwarded"
    assert rig.send("outside", udp(source="198.51.0.2", sport=3), ROUTER).counted == {"DROP_EMPTY": 1}
    assert rig.send("outside", tcp("A", source="198.51.0.2"), ROUTER).verdict == "forwarded"


def test_changed_thresholds_hold_at_once(rig: Rig) -> None:
    rig.publish(limited(0))
    assert [sent(rig, i) for i in range(4)] == [0] * 4
    rig.publish(limited(4))
    assert sent(rig, 5) is None
    rig.publish(limited(6))
    assert [sent(rig, i) for i in range(6, 10)] == [0, 0, None, None]
    rig.publish(limited(0))
    assert sent(rig, 11) == 0

"""Live counters that drifted are mended once two sweeps have seen it; a sweep comes in slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lasthop.dataplane import sweeping
from lasthop.dataplane.kernel import now_ns
from lasthop.dataplane.sweeping import Sweep
from tests.packet.frames import reply, tcp
from tests.packet.plans import FW, ROUTER, firewalls, two_box

if TYPE_CHECKING:
    from collections.abc import Callable

    from lasthop.dataplane.interface import TableSize
    from tests.packet.rig import Rig

APART_S = 2
NS = 1_000_000_000


@pytest.fixture
def swept(rig: Rig) -> Callable[[float], TableSize]:
    """Sweep the rig's table as the director does, at so many seconds from now."""
    rig.publish(two_box(firewalls(2), "rr"))
    for port in range(1, 7):
        rig.send("outside", tcp(sport=port), ROUTER)
    rig.send("firewalls", reply(tcp(sport=1)), FW[0])
    rig.send("outside", tcp("A", sport=1), ROUTER)
    sweep = Sweep(rig.loaded, rig.hops, rig.publisher)
    return lambda after_s: sweep.whole(now_ns() + int(after_s * NS), 1000, both=False)


def skew(counters: Any, number: int, by: int) -> None:
    """Put a live counter off, as atomic additions do: below zero it is a very large one."""
    counters[number] = (int(counters[number]) + by) % 2 ** (8 * counters.itemsize)


def unassured(rig: Rig) -> int:
    return int(rig.table["unassured"][0])


def test_sweep_leaves_counters_that_are_right_alone(rig: Rig, swept: Callable[[float], TableSize]) -> None:
    for i in range(3):
        assert (swept(i * APART_S).connections, swept(i * APART_S).assured) == (6, 1)
    assert [rig.load_of(f"fw{i}") for i in range(2)] == [(3, 0, 0), (3, 0, 0)]
    assert unassured(rig) == 5


@pytest.mark.parametrize("by", [-2, 3])
def test_drift_is_mended_by_the_second_sweep_that_sees_it(
    rig: Rig, swept: Callable[[float], TableSize], by: int, caplog: pytest.LogCaptureFixture
) -> None:
    ids = rig.publisher.server_ids()
    loads = rig.publisher.server_loads
    skew(loads["active"], ids["FWM 1", "fw0"], by)
    skew(loads["inactive"], ids["FWM 1", "fw1"], by)
    skew(rig.table["unassured"], 0, by)
    skew(rig.table["overflowed"], 0, by)
    skew(rig.table["live"], 0, by)
    skew(rig.service_loads["unassured"], rig.publisher.services.id_of("FWM 1"), by)
    swept(0)
    assert rig.load_of("fw0") == ((3 + by) % 2**32, 0, 0), "once may be a packet in flight"
    swept(APART_S)
    assert [rig.load_of(f"fw{i}") for i in range(2)] == [(3, 0, 0), (3, 0, 0)]
    assert (unassured(rig), int(rig.table["overflowed"][0])) == (5, 0)
    assert int(rig.table["live"][0]) == 6
    assert int(rig.service_loads["unassured"].sum()) == 5
    assert caplog.text.count("it was mended") == 6


def test_sweeps_close_together_do_not_count_as_two(rig: Rig, swept: Callable[[float], TableSize]) -> None:
    rig.table["unassured"] += 1
    swept(0)
    swept(0.5)
    assert unassured(rig) == 6
    swept(APART_S)
    assert unassured(rig) == 5


def test_drift_that_changes_is_taken_for_traffic(rig: Rig, swept: Callable[[float], TableSize]) -> None:
    for i in range(1, 4):
        rig.table["unassured"] += 1
        swept(i * APART_S)
        assert unassured(rig) == 5 + i


def test_slices_of_a_sweep_count_what_a_whole_one_counts(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.publish(two_box(firewalls(2), "rr", persistence_s=60.0))
    for port in range(1, 301):
        rig.send("outside", tcp(sport=port), ROUTER)
    monkeypatch.setattr(sweeping, "_SLICE_SLOTS", 96)
    sweep = Sweep(rig.loaded, rig.hops, rig.publisher)
    steps = 1
    while (size := sweep.step(now_ns(), 1000, both=False)) is None:
        assert not rig.hops.refs.any(), "what a sweep counts is shown when it is whole"
        steps += 1
    assert steps == -(-len(rig.entries) // 96)
    assert size.connections == 300
    assert int(rig.hops.refs[rig.hop_id(("outside", ROUTER))]) == 300


def test_counter_that_moved_between_two_sweeps_is_left_alone(rig: Rig, swept: Callable[[float], TableSize]) -> None:
    skew(rig.table["unassured"], 0, 1)
    for i in range(4):
        swept(i * APART_S)
        rig.send("outside", tcp(sport=100 + i), ROUTER)
        assert unassured(rig) == 6 + i + 1
    swept(4 * APART_S)
    swept(5 * APART_S)
    assert unassured(rig) == 5 + 4, "now it rests"


def test_templates_are_swept_as_soon_as_there_are_some_and_until_none_is_left(rig: Rig) -> None:
    rig.publish(two_box(firewalls(2), "rr", persistence_s=60.0))
    sweep = Sweep(rig.loaded, rig.hops, rig.publisher)

    def swept(after_s: float) -> int:
        return sweep.whole(now_ns() + int(after_s * NS), 1000, both=False).connections

    assert (swept(0), len(rig.templates())) == (0, 0)
    rig.send("outside", tcp(), ROUTER)
    assert (swept(0), len(rig.templates())) == (1, 1)
    rig.publisher.server_loads["persistent"] = 0
    assert (swept(1000), len(rig.templates())) == (0, 0)

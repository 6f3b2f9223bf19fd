"""Room: as many live connections as were promised, under churn; and floods that cannot take it from them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from lasthop.dataplane import abi
from lasthop.dataplane.table_size import memory_bytes
from tests.packet.conftest import CONNECTIONS, LARGE
from tests.packet.crowds import ACK, ANSWER, RST, SYN, SYN_ACK, establish, request, response
from tests.packet.frames import reply, tcp, udp
from tests.packet.plans import FW, firewalls, two_box

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.packet.rig import Rig

BYTES_PER_CONNECTION = 170
TURNOVERS = 1.5


@pytest.fixture
def crowd(large: Rig) -> Rig:
    """The large data plane, empty, with one firewall."""
    large.reset()
    large.entry = "tc"
    large.publish(two_box(firewalls(1)))
    return large


def counted(rig: Rig) -> dict[str, int]:
    """What was counted since the last call."""
    return rig._counted()  # the rig's own look at the counters


def keys(rig: Rig) -> set[bytes]:
    """The keys of all live connections."""
    return {key.tobytes() for key in rig.entries["key"][rig.live()]}


def test_promised_connections_all_live_under_churn_and_none_is_refused(crowd: Rig) -> None:
    rng = random.Random(7)
    for number in range(LARGE):
        establish(crowd, number)
    living, fresh = list(range(LARGE)), LARGE
    for _ in range(int(LARGE * TURNOVERS)):
        place = rng.randrange(LARGE)
        # A RST ends it; a SYN on the same ports takes the entry out, and its successor is another client's.
        crowd.run("outside", RST(living[place]))
        crowd.run("outside", SYN(living[place]))
        crowd.run("outside", RST(living[place]))
        living[place] = fresh
        fresh += 1
    crowd.age(11)
    gone = crowd.sweep()
    assert gone["connections"] <= LARGE
    events = counted(crowd)
    assert not {"EVENT_TABLE_FULL", "EVENT_REPLACED", "EVENT_QUOTA"} & events.keys(), events


def test_table_takes_no_more_memory_than_was_said() -> None:
    for connections in (65_536, 1_000_000, 8_000_000):
        assert memory_bytes(connections) <= BYTES_PER_CONNECTION * connections
    types = abi.types()
    assert (types.struct("bucket").itemsize, types.struct("connection").itemsize) == (64, 128)


FLOODS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "SYN": ("outside", SYN),
    "lone ACK": ("outside", ACK),
    "SYN and ACK": ("outside", request(tcp("SA"))),
    "UDP": ("outside", request(udp())),
    "UDP from inside": ("firewalls", response(reply(udp()), FW[0])),
}


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("kept", [CONNECTIONS // 2, CONNECTIONS])
def test_flood_of_ten_times_the_table_costs_no_live_connection(rig: Rig, kept: int, flood: str) -> None:
    rig.publish(two_box(firewalls(1)))
    flooded = 10 * len(rig.entries)
    for number in range(kept):
        establish(rig, number)
    before = keys(rig)
    counted(rig)
    leg, frame = FLOODS[flood]
    for number in range(100_000, 100_000 + flooded):
        assert rig.run(leg, frame(number))[0] == "forwarded"
    events = counted(rig)
    if kept < CONNECTIONS:
        assert events["EVENT_QUOTA"] == events["FORWARDED_UNTRACKED"] > 0.9 * flooded
        assert int(rig.table["unassured"][0]) == CONNECTIONS * 3 // 8, "one service's share"
    else:
        assert events["EVENT_REPLACED"] > 0.9 * flooded, "the flood's own connections give way to one another"
        assert int(rig.table["unassured"][0]) <= len(rig.entries) - kept
    assert before <= keys(rig)
    for number in range(kept):
        rig.run("firewalls", ANSWER(number))
        rig.run("outside", ACK(number))
    assert counted(rig) == {"FORWARDED_RESPONSE": kept, "FORWARDED_REQUEST": kept}


def test_floods_of_all_services_together_have_half_of_the_table(rig: Rig) -> None:
    rig.publish(two_box(firewalls(1)))
    for number in range(2 * CONNECTIONS):
        rig.run("outside", SYN(number))
        rig.run("firewalls", response(tcp("S"))(100_000 + number))
    loads = [int(load) for load in rig.service_loads["unassured"][:2]]
    assert int(rig.table["unassured"][0]) == sum(loads) == CONNECTIONS // 2
    assert max(loads) <= CONNECTIONS * 3 // 8


def test_connection_that_becomes_assured_makes_room_in_the_quota(rig: Rig) -> None:
    rig.publish(two_box(firewalls(1)))
    quota = CONNECTIONS * 3 // 8
    for number in range(quota + 1):
        rig.run("outside", SYN(number))
    assert counted(rig)["EVENT_QUOTA"] == 1
    rig.run("firewalls", SYN_ACK(0))
    rig.run("outside", ACK(0))
    rig.run("outside", SYN(quota))
    assert "EVENT_QUOTA" not in counted(rig)
    assert (len(rig.live()), int(rig.table["unassured"][0])) == (quota + 1, quota)

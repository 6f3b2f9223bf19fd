"""What only the fake data plane does; what it shares with the kernel's is in tests/contract/test_dataplane.py."""

from __future__ import annotations

import pytest

from lasthop.dataplane.fake import FakeDataPlane
from lasthop.errors import DataPlaneError
from lasthop.model.connection_query import ConnectionQuery
from lasthop.model.director import State
from tests.unit.director_worlds import CLIENT, ROUTER_MAC, WWW, started

OPENING = (("FWM 1", "fw1"), ("outside", ROUTER_MAC), CLIENT, WWW)


def test_each_state_counts_as_active_or_inactive_as_in_lvs() -> None:
    """Four of TCP's and ESTABLISHED of SCTP."""
    _, dataplane = started()
    for number, state in enumerate(State):
        dataplane.open(*OPENING[:2], (CLIENT[0], number), WWW, state)
    load = dataplane.load()["FWM 1", "fw1"]
    assert (load.active, load.inactive) == (5, len(State) - 5)


def test_a_refusal_is_raised_by_every_publish_until_it_is_taken_back() -> None:
    _, dataplane = started()
    plan = dataplane.pinned.plan
    assert plan is not None
    dataplane.refusal = DataPlaneError("can't write map rules: Cannot allocate memory", "free memory")
    for _ in range(2):
        with pytest.raises(DataPlaneError, match="Cannot allocate memory"):
            dataplane.publish(plan)
    dataplane.refusal = None
    dataplane.publish(plan)


def test_counted_reasons_stay_with_the_pins() -> None:
    _, dataplane = started()
    dataplane.pinned.counts["drop_loop"] += 2
    dataplane.close()
    counters = FakeDataPlane(pinned=dataplane.pinned).counters()
    assert {counter.name: counter.value for counter in counters if counter.value} == {"drop_loop": 2}


def test_a_connection_of_a_protocol_without_a_state_is_put_in_by_its_name() -> None:
    director, dataplane = started()
    dataplane.open(*OPENING, State.OTHER, "gre")
    (connection,) = director.connections(ConnectionQuery()).connections
    assert (connection.protocol, connection.state, connection.assured) == ("gre", "OTHER", False)
    assert connection.expires_s == 600


def test_expired_connections_are_counted() -> None:
    _, dataplane = started()
    dataplane.open(*OPENING)
    dataplane.expire()
    assert dataplane.sweep().connections == 0
    assert {counter.name: counter.value for counter in dataplane.counters() if counter.value} == {
        "forwarded_opening": 1,
        "event_expired": 1,
    }

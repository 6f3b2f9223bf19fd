"""How big a connection table is: for a number of connections, and for a machine's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasthop.daemon.memory import default_connections
from lasthop.dataplane import table_size
from lasthop.model.director import DEFAULT_CONNECTIONS
from lasthop.policy.limits import MAX_CONNECTIONS, MIN_CONNECTIONS
from lasthop.policy.memory import suitable_connections

if TYPE_CHECKING:
    from pathlib import Path

CONNECTIONS = st.integers(MIN_CONNECTIONS, MAX_CONNECTIONS)
GIB = 1 << 30


@given(CONNECTIONS)
def test_a_table_is_78_percent_full_with_its_connections(connections: int) -> None:
    slots = table_size.buckets_for(connections) * table_size.WAYS
    assert connections <= slots * 0.78 + 1e-6
    assert (slots - table_size.WAYS) * 0.78 < connections


@given(CONNECTIONS)
def test_the_most_connections_of_a_table_make_a_table_of_the_same_size(connections: int) -> None:
    buckets = table_size.buckets_for(connections)
    most = table_size.connections_of(buckets)
    assert most >= connections
    assert table_size.buckets_for(most) == buckets
    assert table_size.buckets_for(most + 1) == buckets + 1


@given(CONNECTIONS)
def test_what_was_noted_is_shown_as_it_was_configured(connections: int) -> None:
    buckets = table_size.buckets_for(connections)
    assert table_size.noted_or_computed(buckets, 0, connections) == connections
    assert table_size.noted_or_computed(buckets + 1, connections) == table_size.connections_of(buckets + 1)


@given(CONNECTIONS)
def test_slots_are_counted_in_31_bits(connections: int) -> None:
    assert table_size.buckets_for(connections) * table_size.WAYS < 1 << 31
    assert table_size.templates_for(connections) <= min(connections, 1 << 27)


def test_half_of_the_connections_may_be_unassured_and_three_eighths_of_one_service() -> None:
    assert table_size.unassured_quotas(65_536) == (32_768, 24_576)


@pytest.mark.parametrize(
    ("memory", "connections"),
    [
        (GIB, 99_000),
        (16 * GIB, 1_500_000),
        (64 * GIB, 6_300_000),
        (512 << 20, 65_536),
        (0, 65_536),
        (1024 * GIB, 8_000_000),
    ],
)
def test_a_machine_gets_a_table_of_a_64th_of_its_memory_within_bounds(memory: int, connections: int) -> None:
    assert suitable_connections(memory) == connections


def test_the_memory_of_the_machine_is_read_from_proc(tmp_path: Path) -> None:
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:       16777216 kB\nMemFree:          100000 kB\n")
    assert default_connections(told) == 1_500_000
    told.write_text("nothing known")
    assert default_connections(told) == default_connections(tmp_path / "none") == DEFAULT_CONNECTIONS

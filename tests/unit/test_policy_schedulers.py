"""The tables of the schedulers, and the rendezvous table beside the oracle written from its description."""

from __future__ import annotations

import math
import time
from collections import Counter
from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st

from lasthop.policy.plan import Choice, PlannedServer
from lasthop.policy.schedulers import SCHEDULERS, rendezvous
from lasthop.policy.schedulers.wrr import LONGEST_CYCLE
from tests.oracles import fo as fo_oracle
from tests.oracles import rendezvous as rendezvous_oracle
from tests.oracles import rr as rr_oracle
from tests.oracles import sh as sh_oracle
from tests.oracles.wrr import WeightedRoundRobin


def server(name: str, weight: int = 1, *, usable: bool = True, address: str = "10.0.1.1") -> PlannedServer:
    return PlannedServer(name, IPv4Address(address), "firewalls", "02:00:00:00:00:01", weight, usable)


SERVERS = st.lists(
    st.builds(
        server,
        st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8),
        st.integers(0, 3),
        usable=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda each: each.name,
)


def names(servers: list[PlannedServer]) -> list[str]:
    """The name in each slot of the rendezvous table."""
    return [servers[index].name for index in rendezvous.table(servers)]


def test_the_registry_holds_each_scheduler_by_its_own_name() -> None:
    assert {name: scheduler.choice for name, scheduler in SCHEDULERS.items()} == {
        "rr": Choice.BY_TURN,
        "wrr": Choice.BY_TURN,
        "fo": Choice.BY_ORDER,
        "lc": Choice.BY_LOAD_LC,
        "wlc": Choice.BY_LOAD_WLC,
        "sed": Choice.BY_LOAD_SED,
        "nq": Choice.BY_LOAD_NQ,
        "ovf": Choice.BY_LOAD_OVF,
        "twos": Choice.BY_LOAD_TWOS,
        "sh": Choice.BY_SOURCE,
        "dh": Choice.BY_DESTINATION,
        "mh": Choice.BY_PAIR,
        "lblc": Choice.BY_LOCALITY,
        "lblcr": Choice.BY_LOCALITY_SET,
        "rendezvous": Choice.BY_RENDEZVOUS,
    }
    assert all(name == scheduler.name for name, scheduler in SCHEDULERS.items())


@given(SERVERS)
def test_round_robin_visits_in_turn_what_the_oracle_visits(servers: list[PlannedServer]) -> None:
    weights = [each.weight if each.usable else 0 for each in servers]
    turns = SCHEDULERS["rr"].turns(servers)
    last = None
    for visit in range(2 * len(turns)):
        last = rr_oracle.choose(weights, last)
        assert turns[visit % len(turns)] == last
    if not turns:
        assert rr_oracle.choose(weights, None) is None


@given(SERVERS)
def test_weighted_round_robin_visits_in_turn_what_the_oracle_visits(servers: list[PlannedServer]) -> None:
    oracle = WeightedRoundRobin([each.effective_weight for each in servers])
    turns = SCHEDULERS["wrr"].turns(servers)
    for visit in range(2 * len(turns)):
        assert turns[visit % len(turns)] == oracle.choose()
    if not turns:
        assert oracle.choose() is None


@given(st.lists(st.integers(0, 65535), max_size=64))
def test_weighted_round_robin_keeps_proportions_in_a_cycle_that_fits(weights: list[int]) -> None:
    turns = SCHEDULERS["wrr"].turns([server(f"fw{i}", weight) for i, weight in enumerate(weights)])
    assert len(turns) <= LONGEST_CYCLE
    shares = Counter(turns)
    for index, weight in enumerate(weights):
        assert (shares[index] > 0) == (weight > 0)
        # A share is rounded down, out of no fewer turns than the longest cycle less one for each.
        exact = weight * len(turns) / max(sum(weights), 1)
        assert shares[index] >= math.floor(exact * (LONGEST_CYCLE - len(weights)) / LONGEST_CYCLE) - 1
        assert shares[index] <= max(1, exact + len(weights))


def test_a_hundred_thousand_turns_are_shared_by_weight() -> None:
    weights = [1, 2, 3, 14]
    turns = SCHEDULERS["wrr"].turns([server(f"fw{i}", weight) for i, weight in enumerate(weights)])
    counted = Counter(turns[turn % len(turns)] for turn in range(100_000))
    assert [counted[index] for index in range(4)] == [5_000, 10_000, 15_000, 70_000]


@given(SERVERS)
def test_failover_has_the_turn_the_oracle_gives(servers: list[PlannedServer]) -> None:
    chosen = fo_oracle.choose([each.effective_weight for each in servers])
    assert SCHEDULERS["fo"].turns(servers)[:1] == (() if chosen is None else (chosen,))


@given(SERVERS)
def test_source_hashing_fills_its_slots_as_the_oracle_does(servers: list[PlannedServer]) -> None:
    usable = [index for index, each in enumerate(servers) if each.usable]
    filled = sh_oracle.buckets([servers[index].weight for index in usable])
    assert SCHEDULERS["sh"].turns(servers) == tuple(usable[place] for place in filled)


def test_a_hundred_thousand_addresses_are_shared_by_weight_where_the_weights_fill_the_slots() -> None:
    servers = [server(f"fw{i}", weight) for i, weight in enumerate((32, 96, 128))]
    turns = SCHEDULERS["sh"].turns(servers)
    counted = Counter(turns[sh_oracle.hash_32(0x0A000000 + address)] for address in range(100_000))
    assert all(abs(counted[i] - 100_000 * share) < 2_000 for i, share in enumerate((1 / 8, 3 / 8, 1 / 2)))


def test_wlc_has_no_turns_since_the_data_plane_compares_loads() -> None:
    assert SCHEDULERS["wlc"].turns([server("fw1"), server("fw2")]) == ()


@settings(max_examples=30, deadline=None)
@given(SERVERS)
def test_rendezvous_fills_the_table_as_the_oracle_does(servers: list[PlannedServer]) -> None:
    described = [(each.name, each.weight, each.usable) for each in servers]
    assert names(servers) == rendezvous_oracle.table(described)


@settings(deadline=None)
@given(servers=SERVERS, data=st.data())
def test_rendezvous_depends_on_names_alone(servers: list[PlannedServer], data: st.DataObject) -> None:
    elsewhere = [
        PlannedServer(each.name, IPv4Address("192.0.2.9"), "inside", "02:00:00:00:00:99", each.weight, each.usable)
        for each in data.draw(st.permutations(servers))
    ]
    assert names(elsewhere) == names(servers)


@settings(deadline=None)
@given(servers=SERVERS.filter(bool), data=st.data())
def test_rendezvous_moves_only_the_slots_of_the_server_that_left(
    servers: list[PlannedServer], data: st.DataObject
) -> None:
    weighted = [server(each.name, each.weight + 1) for each in servers]
    gone = data.draw(st.sampled_from(weighted))
    before = names(weighted)
    after = names([each for each in weighted if each is not gone])
    assert all(old in {new, gone.name} for old, new in zip(before, after, strict=False))


def test_rendezvous_uses_weight_0_only_where_nothing_else_is_usable() -> None:
    assert set(names([server("a", 0), server("b")])) == {"b"}
    assert set(names([server("a", 0), server("b", usable=False), server("c", 0)])) == {"a", "c"}


def test_rendezvous_is_empty_where_no_server_is_usable() -> None:
    assert rendezvous.table([]) == ()
    assert rendezvous.table([server("a", usable=False), server("b", 0, usable=False)]) == ()


def test_rendezvous_shares_slots_evenly() -> None:
    servers = [server(f"fw{number}") for number in range(1, 5)]
    shares = [rendezvous.table(servers).count(index) for index in range(4)]
    # Binomial with p = 1/4: 255 on average, standard deviation 14; five of them either way.
    assert all(185 <= share <= 325 for share in shares)
    assert sum(shares) == rendezvous.TABLE_SIZE


def test_rendezvous_of_64_servers_takes_milliseconds() -> None:
    servers = [server(f"firewall-{number}") for number in range(64)]
    fastest = min(_seconds_to_fill(servers) for _ in range(5))
    assert fastest < 0.005


def _seconds_to_fill(servers: list[PlannedServer]) -> float:
    rendezvous.scores.cache_clear()
    begin = time.thread_time()
    rendezvous.table(servers)
    return time.thread_time() - begin

"""The connection table as it is read: which slots a query finds, and what packets change meanwhile."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasthop.dataplane import abi
from lasthop.dataplane.connection_table import Conditions, ConnectionTable
from lasthop.model.connection_query import Top
from lasthop.model.director import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from lasthop.dataplane.connection_table import Found

CONNECTION = abi.types().struct("connection")
FLAGS = {name.removeprefix("CONNECTION_"): bit for name, bit in abi.enum("connection_flag").items()}
NOW = 10**15
#: A state's time-out is its number in seconds.
TIMEOUTS = np.array([int(state) * 10**9 for state in State], "i8")
NETWORKS = [IPv4Network("10.0.0.0/8"), IPv4Network("10.0.0.2/32"), IPv4Network("0.0.0.0/0"), IPv4Network("10.0.0.0/30"),
            IPv6Network("2001:db8::/33"), IPv6Network("2001:db8:8000::1/128"), IPv6Network("::/0")]  # fmt: skip
ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.5", "192.0.2.1", "2001:db8::1", "2001:db8:8000::1"]


def entries(slots: int) -> NDArray[Any]:
    """A table without connections."""
    return np.zeros(slots, CONNECTION)


def put(
    table: NDArray[Any], slot: int, port: int, generation: int = 1, flags: int = FLAGS["LIVE"], **fields: Any
) -> None:
    """Write a connection from 10.0.0.2 to 10.0.0.1 that was seen just now; `fields` are those of the struct."""
    low, high = (np.frombuffer(abi.pack_address(ip_address(each)), "u1") for each in ("10.0.0.1", "10.0.0.2"))
    table[slot] = np.zeros((), CONNECTION)
    table["key"]["low"][slot], table["key"]["high"][slot] = low, high
    table["key"]["high_port"][slot] = port
    table["word"][slot] = generation << 32 | flags << 8 | State.ESTABLISHED
    table["last_seen_ns"][slot] = table["created_ns"][slot] = NOW
    for name, value in fields.items():
        table[name][slot] = value


def ports(table: ConnectionTable, found: Found) -> list[int]:
    """Port of each row, in the order of the rows."""
    return [int(port) for rows in table.rows(found) for port in rows["key"]["high_port"]]


def anything(slots: int, seed: int) -> NDArray[Any]:
    """Slots with anything in them that the kernel may have put there."""
    table, random = entries(slots), np.random.default_rng(seed)
    packed = np.array([np.frombuffer(abi.pack_address(ip_address(each)), "u1") for each in ADDRESSES])
    table["key"]["low"], table["key"]["high"] = packed[random.integers(0, len(packed), (2, slots))]
    table["key"]["high_port"] = np.arange(slots)
    generations = np.array([0, 1, 2**32 - 1], "u8")[random.integers(0, 3, slots)]
    flags = random.integers(0, 64, slots).astype("u8") * 2 + (random.integers(0, 4, slots) > 0).astype("u8")
    table["word"] = (
        generations << np.uint64(32) | flags << np.uint64(8) | random.integers(0, len(State), slots).astype("u8")
    )
    table["service"], table["server"] = random.integers(0, 6, (2, slots))
    table["last_seen_ns"] = NOW - random.integers(-1, 14, slots) * 10**9
    table["created_ns"] = NOW - random.integers(0, 20, slots) * 10**9
    table["packets"] = random.integers(0, 6, (slots, 2))
    table["bytes"] = random.integers(0, 2**62, (slots, 2))
    return table


TABLES = st.builds(anything, st.integers(1, 200), st.integers(0, 2**32 - 1))
CONDITIONS = st.builds(
    Conditions,
    service=st.none() | st.integers(0, 5),
    servers=st.none() | st.lists(st.integers(0, 5), max_size=3),
    state=st.none() | st.sampled_from(State),
    client=st.none() | st.sampled_from(NETWORKS),
    created_ns=st.none() | st.integers(0, 20).map(lambda seconds: NOW - seconds * 10**9),
    top=st.none() | st.sampled_from(Top),
)


def meets(entry: Any, wanted: Conditions) -> bool:
    """The conditions once more, in plain Python."""
    word = int(entry["word"])
    state, flags = word & 0xFF, word >> 8 & 0xFF
    client = IPv6Address(entry["key"]["low" if flags & FLAGS["FROM_LOW"] else "high"].tobytes())
    within = wanted.client is None or (client.ipv4_mapped or client) in wanted.client
    return bool(
        flags & FLAGS["LIVE"]
        and NOW - int(entry["last_seen_ns"]) <= int(TIMEOUTS[state])
        and wanted.service in (None, int(entry["service"]))
        and (wanted.servers is None or int(entry["server"]) in wanted.servers)
        and wanted.state in (None, state)
        and within
        and (wanted.created_ns is None or int(entry["created_ns"]) <= wanted.created_ns)
    )


def measure(entry: Any, top: Top) -> int:
    return NOW - int(entry["created_ns"]) if top is Top.AGE else sum(map(int, entry[top.value]))


@given(TABLES, CONDITIONS, st.none() | st.integers(1, 50))
def test_a_query_finds_what_a_plain_filter_finds(array: NDArray[Any], wanted: Conditions, limit: int | None) -> None:
    table = ConnectionTable(array)
    found = table.select(wanted, NOW, TIMEOUTS)
    expected = [entry for entry in array if meets(entry, wanted)]
    assert len(found) == len(expected)
    shown = [row for rows in table.rows(found.first(limit)) for row in rows]
    assert len(shown) == (len(expected) if limit is None else min(limit, len(expected)))
    assert {row.tobytes() for row in shown} <= {entry.tobytes() for entry in expected}
    if wanted.top is None:
        assert [row.tobytes() for row in shown] == [entry.tobytes() for entry in expected[:limit]]
    else:
        top = wanted.top
        most = sorted((measure(entry, top) for entry in expected), reverse=True)[:limit]
        assert [measure(row, top) for row in shown] == most


@given(TABLES, TABLES, CONDITIONS)
def test_two_tables_are_read_as_one(main: NDArray[Any], following: NDArray[Any], wanted: Conditions) -> None:
    following["key"]["high_port"] += 1000
    alone = [ConnectionTable(each).select(wanted, NOW, TIMEOUTS) for each in (main, following)]
    table = ConnectionTable(main, following)
    found = table.select(wanted, NOW, TIMEOUTS)
    assert len(found) == sum(map(len, alone))
    rows = np.concatenate([np.empty(0, CONNECTION), *table.rows(found)])
    expected = [entry for array in (main, following) for entry in array if meets(entry, wanted)]
    assert [row.tobytes() for row in rows] == [entry.tobytes() for entry in expected]


def test_large_tables_are_whole_beyond_a_block_and_a_portion() -> None:
    array = entries(20_000)
    for slot in range(0, 20_000, 4):
        put(array, slot, slot, bytes=(slot, 1))
    table = ConnectionTable(array)
    assert ports(table, table.select(Conditions(), NOW, TIMEOUTS)) == list(range(0, 20_000, 4))
    found = table.select(Conditions(top=Top.BYTES), NOW, TIMEOUTS)
    assert ports(table, found.first(3)) == [19_996, 19_992, 19_988]


def test_a_connection_that_is_in_both_tables_while_it_moves_counts_once() -> None:
    main, following = entries(32), entries(64)
    for slot in range(20):
        put(main, slot, slot)
    for slot in range(15, 25):
        put(following, slot * 2, slot, generation=7)
    table = ConnectionTable(main, following)
    found = table.select(Conditions(), NOW, TIMEOUTS)
    assert len(found) == 25
    main["word"][15:20] = 1 << 32
    assert ports(table, found) == list(range(25)), "the one that stays is the one that is read"


class Busy(ConnectionTable):
    """A table in which `packet` happens after entries were copied and before their words are read again."""

    packet: Callable[[], None] = staticmethod(lambda: None)

    def _copy(self, slots: NDArray[np.intp]) -> NDArray[Any]:
        copied = super()._copy(slots)
        self.packet()
        return copied


def busy(packet: Callable[[NDArray[Any]], None]) -> tuple[Busy, NDArray[Any]]:
    """Four connections, of ports 0 to 3, and something that happens in the middle of reading them."""
    array = entries(16)
    for slot in range(4):
        put(array, slot, slot, service=1, packets=(1, 1))
    table = Busy(array)
    table.packet = lambda: packet(array)
    return table, array


def reused(array: NDArray[Any]) -> None:
    put(array, 2, 99, generation=2, service=5)


def ended(array: NDArray[Any]) -> None:
    array["word"][2] = 1 << 32


def ended_and_pending(array: NDArray[Any]) -> None:
    put(array, 2, 99, generation=2, flags=FLAGS["PENDING"])


@pytest.mark.parametrize("packet", [reused, ended, ended_and_pending])
def test_a_row_whose_slot_changed_hands_while_it_was_copied_is_left_out(packet: Callable[[Any], None]) -> None:
    table, _ = busy(packet)
    assert ports(table, table.select(Conditions(service=1), NOW, TIMEOUTS)) == [0, 1, 3]


@pytest.mark.parametrize("packet", [reused, ended, ended_and_pending])
def test_a_row_whose_slot_changed_hands_after_it_was_chosen_is_left_out(packet: Callable[[Any], None]) -> None:
    table, array = busy(lambda _: None)
    found = table.select(Conditions(service=1), NOW, TIMEOUTS)
    packet(array)
    assert ports(table, found) == [0, 1, 3]


def test_a_row_torn_between_two_connections_is_never_shown() -> None:
    """Half of the copy is the next connection's: what a copy taken in the middle of a packet's writing holds."""

    class Torn(ConnectionTable):
        def _copy(self, slots: NDArray[np.intp]) -> NDArray[Any]:
            before = super()._copy(slots)
            reused(array)
            after = super()._copy(slots)
            before["service"], before["server"] = after["service"], after["server"]
            return before

    _, array = busy(lambda _: None)
    table = Torn(array)
    rows = np.concatenate(list(table.rows(table.select(Conditions(), NOW, TIMEOUTS))))
    assert set(rows["service"].tolist()) == {1}
    assert rows["key"]["high_port"].tolist() == [0, 1, 3]


def test_a_row_whose_state_and_counters_moved_while_it_was_copied_is_shown() -> None:
    def packet(array: NDArray[Any]) -> None:
        array["word"][2] = 1 << 32 | (FLAGS["LIVE"] | FLAGS["ASSURED"]) << 8 | State.FIN_WAIT
        array["packets"][2] += 1

    table, array = busy(packet)
    rows = np.concatenate(list(table.rows(table.select(Conditions(), NOW, TIMEOUTS))))
    assert rows["packets"].tolist() == [[1, 1]] * 4
    assert array["packets"][2].tolist() == [2, 2]


def test_openings_are_counted_by_real_server_and_those_without_an_answer_beside() -> None:
    made, live, replied = entries(32), FLAGS["LIVE"], FLAGS["LIVE"] | FLAGS["REPLIED"]
    put(made, 1, 1, flags=live, server=3)
    put(made, 2, 2, flags=replied, server=3)
    put(made, 3, 3, flags=replied, server=7)
    put(made, 4, 4, flags=live, server=7, created_ns=NOW - 20)
    put(made, 5, 5, flags=live, server=7, created_ns=NOW + 1)
    put(made, 6, 6, flags=0, server=7)
    put(made, 7, 7, flags=live, server=65_535)
    made["key"]["ip_proto"] = 6
    put(made, 8, 8, flags=live, server=7)
    opened, unanswered = ConnectionTable(made).openings(6, NOW - 20, NOW)
    assert {int(server): (int(opened[server]), int(unanswered[server])) for server in np.flatnonzero(opened)} == {
        3: (2, 1),
        7: (1, 0),
        65_535: (1, 1),
    }

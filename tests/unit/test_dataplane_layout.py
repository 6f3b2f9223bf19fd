"""Layouts and words of the data plane that need no kernel: BTF, packing, ids, the encoding of a plan."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lasthop.dataplane import abi, table_size
from lasthop.dataplane.btf import Btf
from lasthop.dataplane.encode import Half, Ids, encode
from lasthop.dataplane.identity import NameTable
from lasthop.dataplane.kernel import require_kernel
from lasthop.dataplane.loader import Role
from lasthop.dataplane.reasons import GROUP_MARKS, REASONS
from lasthop.dataplane.resize import Phase
from lasthop.errors import DataPlaneError
from lasthop.model.director import PROFILES, State, Timeouts
from lasthop.model.rule import PortRange
from lasthop.model.service import Related, WhenEmpty
from lasthop.policy import limits
from lasthop.policy.plan import Choice, Plan, PlannedRule, PlannedServer, PlannedService

if TYPE_CHECKING:
    from collections.abc import Sequence
    from enum import IntEnum
    from pathlib import Path

ANY_PORT = PortRange(0, 65535)
MACS = st.binary(min_size=6, max_size=6).map(lambda packed: packed.hex(":"))


class ArrayInMemory:
    """As much of a map as NameTable reads."""

    def __init__(self, entries: int) -> None:
        self.memory = np.zeros(entries, abi.types().struct("name"))

    def view(self, dtype: np.dtype[Any]) -> Any:
        return self.memory.view(dtype)


def names(table: ArrayInMemory, first: int = 0) -> NameTable:
    return NameTable(table, "thing", first)  # type: ignore[arg-type]


# --- BTF ------------------------------------------------------------------------------------------------------------


def test_states_of_the_model_are_those_of_the_header() -> None:
    values = abi.enum("state")
    assert {state.name: int(state) for state in State} == {
        name.removeprefix("STATE_"): value for name, value in values.items() if name != "STATE_COUNT"
    }


def test_choices_of_the_plan_are_those_of_the_header() -> None:
    assert {choice.name: int(choice) for choice in Choice} == abi.enum("choice")


def test_every_reason_of_the_header_has_a_sentence_and_no_other() -> None:
    assert set(abi.enum("reason")) - GROUP_MARKS == set(REASONS)


def test_what_a_reason_says_is_a_sentence_of_its_own() -> None:
    assert all(reason.sentence[0].isupper() and reason.sentence.endswith(".") for reason in REASONS.values())
    assert len({reason.sentence for reason in REASONS.values()}) == len(REASONS)


@pytest.mark.parametrize(("ours", "name"), [(Role, "table_role"), (Phase, "resize_phase")])
def test_enums_of_the_resize_are_those_of_the_header(ours: type[IntEnum], name: str) -> None:
    shared = {value.rpartition("_")[2]: number for value, number in abi.enum(name).items()}
    assert {each.name: each.value for each in ours} == shared


def test_a_bucket_has_the_ways_of_the_header_and_a_connection_the_bytes_that_policy_counts() -> None:
    assert abi.limit("WAYS") == table_size.WAYS
    types = abi.types()
    bucket = types.struct("bucket").itemsize + table_size.WAYS * types.struct("connection").itemsize
    for connections in (1024, 65_536, 8_000_000):
        assert table_size.memory_bytes(connections) == table_size.buckets_for(connections) * bucket
    assert table_size.memory_bytes(10_000_000) // 10_000_000 == limits.BYTES_PER_CONNECTION


def test_policy_promises_no_more_than_the_maps_hold() -> None:
    for name in ("MAX_LEGS", "MAX_RULES", "MAX_SERVICES", "MAX_SERVERS"):
        assert getattr(limits, name) <= abi.limit(name), name


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("connection_key", 40),
        ("hop", 32),
        ("server", 16),
        ("server_load", 32),
        ("template_key", 20),
        ("template", 16),
        ("own_mac_key", 12),
        ("local_key", 20),
        ("server_address", 20),
        ("name", 64),
        ("bucket", 64),
        ("connection", 128),
        ("table", 128),
        ("live", 32),
        ("slice", 216),
    ],
)
def test_dtypes_are_as_large_as_the_kernels_structs(name: str, size: int) -> None:
    assert abi.types().struct(name).itemsize == size


def test_fields_of_a_dtype_lie_where_c_puts_them() -> None:
    key = np.zeros(1, abi.types().struct("connection_key"))
    key["low"], key["high_port"], key["ip_proto"] = np.arange(16), 0x5000, 6
    assert key.tobytes() == bytes(range(16)) + bytes(18) + b"\x00\x50" + bytes(2) + b"\x06\x00"


def test_unknown_type_is_an_error_that_names_it() -> None:
    with pytest.raises(DataPlaneError, match="no type nonsense; rebuild"):
        abi.types().struct("nonsense")
    with pytest.raises(DataPlaneError, match="no type nonsense; rebuild"):
        abi.enum("nonsense")


def test_file_without_btf_is_an_error_that_names_it(tmp_path: Path) -> None:
    broken = tmp_path / "broken.bpf.o"
    broken.write_bytes(b"no object")
    with pytest.raises(DataPlaneError, match="can't read the types of"):
        Btf(broken)


# --- packing --------------------------------------------------------------------------------------------------------


@given(st.ip_addresses(v=4))
def test_ipv4_address_is_packed_as_a_mapped_one_and_back(address: IPv4Address) -> None:
    assert abi.pack_address(address) == bytes(10) + b"\xff\xff" + address.packed
    assert abi.unpack_address(abi.pack_address(address)) == address


@given(st.ip_addresses(v=6))
def test_ipv6_address_is_packed_as_it_is_and_back(address: IPv6Address) -> None:
    assert abi.pack_address(address) == address.packed
    if address.ipv4_mapped is None:
        assert abi.unpack_address(address.packed) == address


@given(st.integers(0, 63), MACS)
def test_target_word_holds_leg_and_mac_and_is_never_zero(leg_id: int, mac: str) -> None:
    word = abi.target_word(leg_id, mac)
    assert 0 < word < 2**64
    assert struct.pack("<Q", word)[:6].hex(":") == mac
    assert abi.split_target(word) == (leg_id, mac)


@pytest.mark.parametrize(
    ("network", "mask"),
    [
        ("10.1.0.0/16", bytes([0xFF] * 14) + bytes(2)),
        ("0.0.0.0/0", bytes([0xFF] * 12) + bytes(4)),
        ("::/0", bytes(16)),
        ("2001:db8::/33", bytes([0xFF] * 4 + [0x80]) + bytes(11)),
        ("2001:db8::1/128", bytes([0xFF] * 16)),
    ],
)
def test_the_mask_of_a_prefix_is_of_128_bits(network: str, mask: bytes) -> None:
    assert abi.mask(ip_network(network)) == mask
    assert abi.prefix_length(ip_network(network)) == int.from_bytes(mask, "big").bit_count()


@pytest.mark.parametrize("release", ["6.1.0-18-cloud-amd64", "6.18.44", "7.0", "10.2.1", "unheard-of"])
def test_kernels_from_6_1_on_are_taken(release: str) -> None:
    require_kernel(release)


@pytest.mark.parametrize("release", ["6.0.19", "5.15.0-91-generic", "4.19.0"])
def test_older_kernel_is_refused_with_what_to_do(release: str) -> None:
    with pytest.raises(DataPlaneError, match=f"kernel {release}; boot kernel 6.1"):
        require_kernel(release)


# --- names and ids --------------------------------------------------------------------------------------------------


def test_name_keeps_its_id_and_the_next_process_reads_it_back() -> None:
    table = ArrayInMemory(4)
    first = names(table, first=1)
    assert [first.id_of(name) for name in ("fw1", "fw2", "fw1")] == [1, 2, 1]
    second = names(table, first=1)
    assert (second.get("fw2"), second.name_of(1), set(second.names())) == (2, "fw1", {"fw1", "fw2"})


def test_forgotten_name_gives_its_id_to_another() -> None:
    table = names(ArrayInMemory(2))
    assert [table.id_of("a"), table.id_of("b")] == [0, 1]
    table.forget("a")
    assert (table.get("a"), table.name_of(0), table.id_of("c")) == (None, "", 0)


def test_ids_that_are_all_taken_are_an_error_with_the_name_and_the_number() -> None:
    table = names(ArrayInMemory(3), first=1)
    table.id_of("a")
    table.id_of("b")
    with pytest.raises(DataPlaneError, match="can't add thing 'c': all 2 ids are taken"):
        table.id_of("c")


def test_id_that_is_none_has_no_name() -> None:
    table = names(ArrayInMemory(3), first=1)
    assert [table.name_of(id_) for id_ in (0, 1, 3, 99)] == ["", "", "", ""]


def test_longest_name_fits_and_comes_back_whole() -> None:
    table = ArrayInMemory(2)
    longest = "x" * (abi.limit("NAME_LENGTH") - 1)
    names(table).id_of(longest)
    assert names(table).get(longest) == 0


# --- plans ----------------------------------------------------------------------------------------------------------


def server(name: str, weight: int = 1, *, usable: bool = True) -> PlannedServer:
    return PlannedServer(name, IPv4Address("10.0.1.1"), "firewalls", "02:00:00:00:00:01", weight, usable)


def service(label: str, servers: Sequence[PlannedServer], **changes: Any) -> PlannedService:
    plain: dict[str, Any] = {
        "label": label, "mark": 7, "choice": Choice.BY_LOAD_WLC, "scheduler": "wlc", "servers": tuple(servers),
        "turns": (), "fallback": (), "persistence_s": None, "persistence_prefix": 32, "when_empty": WhenEmpty.DROP,
    }  # fmt: skip
    return PlannedService(**(plain | changes))


def rule(to: str | None, **conditions: Any) -> PlannedRule:
    plain: dict[str, Any] = dict.fromkeys(("leg", "source_real_server", "protocol", "source", "destination", "dscp"))
    return PlannedRule(to, **(plain | {"source_ports": ANY_PORT, "destination_ports": ANY_PORT} | conditions))


def encoded(services: Sequence[PlannedService], rules: Sequence[PlannedRule] = (), **given_ids: Any) -> Half:
    ids = Ids(
        legs={"outside": 3}, mtus={"outside": 9000, "firewalls": 1500}, xdp_legs=frozenset({"firewalls"}), **given_ids
    )
    for number, each in enumerate(services):
        ids.services[each.label] = number + 5
        for one in each.servers:
            ids.boxes.setdefault(one.name, len(ids.boxes) + 1)
            ids.servers[each.label, one.name] = len(ids.servers) + 10
            ids.hops[each.label, one.name] = len(ids.hops) + 100
    return encode(Plan((), tuple(rules), tuple(services), frozenset(), (), Timeouts()), ids)


def test_service_points_to_its_servers_and_turns_in_order() -> None:
    boxes = [server("a"), server("b", 3), server("c", usable=False)]
    half = encoded([service("one", boxes[:1]), service("two", boxes, turns=(1, 0, 1), choice=Choice.BY_TURN)])
    record = half.services[6]
    assert half.listed[record["first_server"] :][: record["server_count"]].tolist() == [11, 12, 13]
    assert half.listed[record["first_turn"] :][: record["turn_count"]].tolist() == [12, 11, 12]
    assert half.servers["weight"][11:14].tolist() == [1, 3, 1]
    assert half.servers["flags"][11:14].tolist() == [1, 1, 0]
    assert half.servers["box"][[10, 11]].tolist() == [1, 1], "one box in two services"
    assert (record["mark"], record["choice"]) == (7, abi.enum("choice")["BY_TURN"])


def test_server_whose_mac_was_never_known_is_not_usable_in_the_kernel() -> None:
    one = service("one", [server("a")])
    ids = Ids(
        services={"one": 0}, boxes={"a": 1}, servers={("one", "a"): 0}, hops={("one", "a"): 0}, mtus={"firewalls": 1500}
    )
    half = encode(Plan((), (), (one,), frozenset(), (), Timeouts()), ids)
    assert half.servers["flags"][0] == 0


def test_flags_of_a_service_say_what_happens_when_empty_and_whether_xdp_may_forward() -> None:
    flags = abi.enum("service_flag")
    one = encoded([service("one", [server("a")], when_empty=WhenEmpty.KERNEL)]).services[5]["flags"]
    assert one == flags["SERVICE_EMPTY_TO_KERNEL"] | flags["SERVICE_XDP"]
    elsewhere = PlannedServer("b", IPv4Address("10.0.1.2"), "outside", None, 1, usable=False)
    assert encoded([service("one", [server("a"), elsewhere])]).services[5]["flags"] == 0


def test_fallback_table_names_servers_by_their_ids() -> None:
    slots = tuple(i % 2 for i in range(abi.limit("FALLBACK_SLOTS")))
    half = encoded([service("one", [server("a"), server("b")], fallback=slots)])
    assert half.fallbacks["server"][5, : len(slots)].tolist() == [10 + i for i in slots]
    assert half.services[5]["fallback_count"] == len(slots)


def test_persistence_is_laid_out_in_nanoseconds_and_prefix_bits() -> None:
    one = service("one", [server("a")], persistence_s=0.5, persistence_prefix=24, persistence_prefix6=64)
    laid = encoded([one]).services[5]
    assert [int(laid[f"persistence_{name}"]) for name in ("ns", "prefix", "prefix6")] == [500_000_000, 96 + 24, 64]


def test_a_related_service_says_so_and_has_packets_note_pairs_of_addresses() -> None:
    related, noting = abi.enum("service_flag")["SERVICE_RELATED"], abi.enum("ruleset_flag")["RULESET_RELATED"]
    half = encoded([service("one", [server("a")], related=Related.ADDRESS_PAIR), service("two", [server("b")])])
    assert [bool(half.services[id_]["flags"] & related) for id_ in (5, 6)] == [True, False]
    assert half.ruleset["flags"][0] & noting
    assert not encoded([service("one", [server("a")])]).ruleset["flags"][0] & noting


@pytest.mark.parametrize("profile", PROFILES)
def test_every_states_timeout_is_laid_out_in_nanoseconds(profile: str) -> None:
    plan = Plan((), (), (), frozenset(), (), Timeouts(profile, PROFILES[profile]))
    laid = encode(plan, Ids()).ruleset["timeout_ns"][0]
    assert {state: int(laid[state]) for state in State} == {
        state: int(seconds * 1_000_000_000) for state, seconds in PROFILES[profile].items()
    }


def test_rule_without_conditions_takes_everything() -> None:
    half = encoded([service("one", [server("a")])], [rule(None), rule("one")])
    values = abi.enum("rule_value")
    passing, marking = half.rules[:2]
    assert (int(half.ruleset["pass_count"][0]), int(half.ruleset["rule_count"][0])) == (1, 2)
    assert [int(passing["service"]), int(marking["service"])] == [abi.enum("service_id")["SERVICE_NONE"], 5]
    assert [int(marking[name]) for name in ("leg", "box", "dscp", "ip_proto", "family")] == [
        values["ANY_LEG"], values["NO_BOX"], values["ANY_DSCP"], values["ANY_PROTOCOL"], values["ANY_FAMILY"]
    ]  # fmt: skip
    assert not marking["source_mask"].any()
    assert not marking["destination_mask"].any()
    assert (int(marking["source_port_first"]), int(marking["source_port_last"])) == (0, 65535)


def test_conditions_of_a_rule_are_laid_out_with_addresses_in_network_order() -> None:
    conditions = {"leg": "outside", "source": IPv4Network("10.1.2.0/24"), "dscp": 0, "protocol": 17}
    half = encoded([service("one", [server("a")])], [rule("one", source_real_server="a", **conditions)])
    laid = half.rules[0]
    assert laid["source"].tobytes() == bytes(10) + bytes([255, 255, 10, 1, 2, 0])
    assert laid["source_mask"].tobytes() == bytes([255] * 15 + [0])
    assert int(laid["family"]) == 4
    assert [int(laid[name]) for name in ("leg", "box", "dscp", "ip_proto")] == [3, 1, 0, 17]
    anyone = encoded([service("one", [server("a")])], [rule("one", source_real_server="*")]).rules[0]
    assert int(anyone["box"]) == abi.enum("rule_value")["ANY_BOX"]


def test_what_exceeds_the_maps_is_refused_with_both_numbers() -> None:
    most = abi.limit("MAX_RULES")
    with pytest.raises(DataPlaneError, match=f"can't publish {most + 1} rules: {most} fit"):
        encoded([], [rule(None)] * (most + 1))
    room, turns = abi.limit("MAX_LISTED"), (0,) * 65_535
    with pytest.raises(DataPlaneError, match=f"{room + 16} real servers and turns, {room} fit"):
        encoded(
            [service(f"one{number}", [server("a")], turns=turns) for number in range(16)]
            + [service("two", [server("a")] * 16)]
        )


def test_rule_for_ipv6_is_laid_out_as_it_is() -> None:
    half = encoded([], [rule(None, destination=IPv6Network("2001:db8::/32")), rule(None, family=6)])
    laid, any_address = half.rules[:2]
    assert laid["destination"].tobytes() == IPv6Address("2001:db8::").packed
    assert laid["destination_mask"].tobytes() == bytes([255] * 4) + bytes(12)
    assert [int(each["family"]) for each in (laid, any_address)] == [6, 6]
    assert not any_address["destination_mask"].any()


def test_every_ipv4_address_is_more_than_no_prefix() -> None:
    laid = encoded([], [rule(None, source=IPv4Network("0.0.0.0/0"))]).rules[0]
    assert laid["source"].tobytes() == bytes(10) + bytes([255, 255]) + bytes(4)
    assert laid["source_mask"].tobytes() == bytes([255] * 12) + bytes(4)

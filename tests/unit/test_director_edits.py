"""Edits of the running configuration: what each does, and how it is refused."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lasthop.config import load
from lasthop.director.advice import warnings_of
from lasthop.director.edits import edited, service_of
from lasthop.errors import EditError
from lasthop.model.director import State
from lasthop.model.edit import (
    REFUSALS,
    Clear,
    DeleteServer,
    DeleteService,
    MarkEdit,
    ServerEdit,
    ServiceEdit,
    SetTimeouts,
    Weigh,
)
from lasthop.model.rule import MarkRule, Match, PortRange
from lasthop.model.service import Persistence, Service, VirtualAddress
from lasthop.policy.limits import MAX_SERVERS_PER_SERVICE

if TYPE_CHECKING:
    from lasthop.model.configuration import Configuration
    from lasthop.model.edit import Edit

LB1 = load(Path(__file__).parents[2] / "examples/lb1.toml")


def service(configuration: Configuration, label: str) -> Service:
    return next(each for each in configuration.services if each.label == label)


def refused(*edits: Edit) -> EditError:
    with pytest.raises(EditError) as caught:
        edited(LB1, edits)
    assert caught.value.code in REFUSALS
    assert caught.value.problem
    assert caught.value.remedy
    return caught.value


def test_a_service_that_is_added_has_what_was_given_and_the_others_stay_the_same_objects() -> None:
    after = edited(LB1, [ServiceEdit("add_service", "FWM 7", "sh", ("sh-port",), 120, 24)])
    added = after.services[-1]
    assert (added.label, added.scheduler, added.scheduler_flags) == ("FWM 7", "sh", ("sh-port",))
    assert added.persistence == Persistence(120, 24)
    assert (added.real_servers, added.matches) == ((), ())
    assert all(now is before for now, before in zip(after.services, LB1.services, strict=False))


def test_an_edited_service_keeps_its_matches_and_real_servers_and_forgets_what_is_not_given() -> None:
    before = service(LB1, "FWM 1")
    first = edited(LB1, [ServiceEdit("edit_service", "FWM 1", "rr", persistence_s=60)])
    after = service(edited(first, [ServiceEdit("edit_service", "FWM 1", "lc")]), "FWM 1")
    assert (after.scheduler, after.persistence) == ("lc", None)
    assert (after.matches, after.real_servers) == (before.matches, before.real_servers)


def test_a_deleted_service_is_gone_and_clear_removes_them_all() -> None:
    assert [each.label for each in edited(LB1, [DeleteService("delete_service", "FWM 1")]).services] == ["FWM 2"]
    cleared = edited(LB1, [MarkEdit("add_mark", 1, protocol="tcp"), Clear("clear")])
    assert cleared.services == ()
    assert cleared.mark_rules[0] == MarkRule(1, Match(protocols=("tcp",)))


def test_what_a_deleted_service_matched_leads_to_it_again_when_it_comes_back() -> None:
    before = service(LB1, "FWM 1")
    without = edited(LB1, [DeleteService("delete_service", "FWM 1")])
    assert without.mark_rules == tuple(MarkRule(1, match) for match in before.matches)
    again = [ServiceEdit("add_service", "FWM 1")]
    assert warnings_of(edited(without, again), again) == []
    twice = edited(without, [*again, DeleteService("delete_service", "FWM 1")])
    assert twice.mark_rules == without.mark_rules


def test_what_is_cleared_and_restored_in_one_go_keeps_its_names_and_senders() -> None:
    one_arm = load(Path(__file__).parents[2] / "examples/one-arm.toml")
    edits: list[Edit] = [Clear("clear")]
    for each in one_arm.services:
        edits.append(ServiceEdit("add_service", each.label))
        edits += [ServerEdit("add_server", each.label, str(server.address)) for server in each.real_servers]
    restored = edited(one_arm, edits)
    assert [[s.name for s in each.real_servers] for each in restored.services] == [
        [s.name for s in each.real_servers] for each in one_arm.services
    ]
    assert warnings_of(restored, edits) == []
    apart = edited(edited(one_arm, edits[:1]), edits[1:])
    assert len(warnings_of(apart, edits)) == len(one_arm.services), (
        "the senders that the rules name have other names now"
    )


def test_a_real_server_is_added_edited_and_deleted_by_its_address() -> None:
    edits: list[Edit] = [ServerEdit("add_server", "FWM 1", "10.0.1.99", "rs9", 3, 100, 50)]
    added = service(edited(LB1, edits), "FWM 1").real_servers[-1]
    assert (added.name, added.address, added.weight) == ("rs9", IPv4Address("10.0.1.99"), 3)
    assert (added.upper_threshold, added.lower_threshold) == (100, 50)
    edits.append(ServerEdit("edit_server", "FWM 1", "10.0.1.99", weight=0))
    changed = service(edited(LB1, edits), "FWM 1").real_servers[-1]
    assert (changed.name, changed.weight, changed.upper_threshold) == ("rs9", 0, 0)
    edits.append(DeleteServer("delete_server", "FWM 1", "10.0.1.99"))
    assert edited(LB1, edits) == LB1


def test_a_real_server_without_a_name_is_called_by_its_address() -> None:
    after = edited(LB1, [ServerEdit("add_server", "FWM 1", "10.0.1.99")])
    assert service(after, "FWM 1").real_servers[-1].name == "10.0.1.99"


def test_an_address_that_has_a_name_keeps_it_in_every_service() -> None:
    known = service(LB1, "FWM 1").real_servers[0]
    after = edited(
        LB1, [ServiceEdit("add_service", "FWM 7"), ServerEdit("add_server", "FWM 7", str(known.address), "other")]
    )
    assert after.services[-1].real_servers[0].name == known.name


def test_a_weight_is_set_in_all_services_or_in_one() -> None:
    known = service(LB1, "FWM 1").real_servers[1]
    both: list[Edit] = [
        ServiceEdit("add_service", "FWM 7"),
        ServerEdit("add_server", "FWM 7", str(known.address)),
    ]
    everywhere = edited(LB1, [*both, Weigh("weigh", known.name, 9)])
    assert [service(everywhere, label).real_servers[i].weight for label, i in (("FWM 1", 1), ("FWM 7", 0))] == [9, 9]
    one = edited(LB1, [*both, Weigh("weigh", known.name, 9, "FWM 7")])
    assert [service(one, label).real_servers[i].weight for label, i in (("FWM 1", 1), ("FWM 7", 0))] == [1, 9]


def test_timeouts_change_where_a_number_is_given() -> None:
    after = edited(LB1, [SetTimeouts("set_timeouts", tcp=900, udp=100)]).director.timeouts.seconds
    before = LB1.director.timeouts.seconds
    assert (after[State.ESTABLISHED], after[State.UDP]) == (900, 100)
    assert after[State.FIN_WAIT] == before[State.FIN_WAIT]


def test_mark_rules_are_added_in_order_and_deleted() -> None:
    first = MarkEdit("add_mark", 1, leg="outside", protocol="tcp", destination_port="80")
    after = edited(LB1, [first, MarkEdit("add_mark", 2, dscp=46)])
    assert after.mark_rules[0].match == Match(
        legs=("outside",), protocols=("tcp",), destination_ports=(PortRange(80, 80),)
    )
    assert [rule.mark for rule in after.mark_rules] == [1, 2]
    delete = MarkEdit("delete_mark", 1, leg="outside", protocol="tcp", destination_port="80")
    assert [rule.mark for rule in edited(after, [delete]).mark_rules] == [2]


def test_a_service_that_no_rule_leads_to_is_warned_of_with_the_command_that_mends_it() -> None:
    edits = [ServiceEdit("add_service", "FWM 7"), ServiceEdit("add_service", "TCP 203.0.113.80:80")]
    (warning,) = warnings_of(edited(LB1, edits), edits)
    assert "FWM 7" in warning
    assert "lasthop mark add --protocol tcp --destination-port 80 --mark 7 --leg outside" in warning
    assert not warnings_of(edited(LB1, [MarkEdit("add_mark", 7, protocol="tcp"), *edits]), edits)


def test_a_refused_edit_tells_its_place_and_changes_nothing() -> None:
    error = refused(ServiceEdit("add_service", "FWM 7"), ServiceEdit("add_service", "FWM 1"))
    assert (error.code, error.index) == ("service_exists", 1)


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (ServiceEdit("edit_service", "FWM 9"), "no_such_service"),
        (DeleteService("delete_service", "FWM 9"), "no_such_service"),
        (ServiceEdit("add_service", "FWM 0"), "invalid"),
        (ServiceEdit("add_service", "TCP nonsense:80"), "invalid"),
        (ServiceEdit("add_service", "TCP 203.0.113.80:65536"), "invalid"),
        (ServiceEdit("add_service", "TCP 203.0.113.80:0"), "invalid"),
        (ServiceEdit("add_service", "TCP 203.0.113.80:80", one_packet=True), "invalid"),
        (ServiceEdit("add_service", "FWM 7", "nosuch"), "no_such_scheduler"),
        (ServiceEdit("add_service", "FWM 7", "rr", ("sh-port",)), "invalid"),
        (ServiceEdit("add_service", "FWM 7", "sh", ("port",)), "invalid"),
        (ServiceEdit("add_service", "FWM 7", persistence_s=0), "invalid"),
        (ServiceEdit("add_service", "FWM 7", persistence_s=1, persistence_prefix=0), "invalid"),
        (ServiceEdit("add_service", "FWM 7", persistence_s=1, persistence_prefix6=129), "invalid"),
        (ServiceEdit("add_service", "FWM 7 IPv4"), "invalid"),
        (ServiceEdit("add_service", "TCP [fe80::1]:80"), "invalid"),
        (MarkEdit("add_mark", 1, family="ipv6", protocol="icmp"), "invalid"),
        (ServerEdit("add_server", "FWM 9", "10.0.1.99"), "no_such_service"),
        (ServerEdit("add_server", "FWM 1", "10.0.1.11"), "server_exists"),
        (ServerEdit("add_server", "FWM 1", "10.0.1.99", "fw1"), "server_exists"),
        (ServerEdit("add_server", "FWM 1", "10.0.1.99", "a b"), "invalid"),
        (ServerEdit("add_server", "FWM 1", "10.0.1.300"), "invalid"),
        (ServerEdit("add_server", "FWM 1", "10.0.1.99", weight=65536), "invalid"),
        (ServerEdit("add_server", "FWM 1", "10.0.1.99", upper_threshold=1, lower_threshold=2), "invalid"),
        (ServerEdit("add_server", "FWM 1", "10.0.1.99", upper_threshold=70000), "invalid"),
        (ServerEdit("edit_server", "FWM 1", "10.0.1.99"), "no_such_server"),
        (DeleteServer("delete_server", "FWM 1", "10.0.1.99"), "no_such_server"),
        (DeleteServer("delete_server", "FWM 9", "10.0.1.11"), "no_such_service"),
        (Weigh("weigh", "fw9", 1), "no_such_server"),
        (Weigh("weigh", "fw1", 1, "FWM 9"), "no_such_service"),
        (Weigh("weigh", "fw1", -1), "invalid"),
        (SetTimeouts("set_timeouts", tcp=-1), "invalid"),
        (MarkEdit("add_mark", 0), "invalid"),
        (MarkEdit("add_mark", 1, leg="outsde"), "invalid"),
        (MarkEdit("add_mark", 1, source_real_server="fw9"), "invalid"),
        (MarkEdit("add_mark", 1, destination_port="80"), "invalid"),
        (MarkEdit("add_mark", 1, source="10.0.0.1/24"), "invalid"),
        (MarkEdit("add_mark", 1, dscp=64), "invalid"),
        (MarkEdit("delete_mark", 1, protocol="tcp"), "no_such_rule"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused_by_name(edit: Edit, code: str) -> None:
    assert refused(edit).code == code


def test_a_rule_is_not_added_twice() -> None:
    rule = MarkEdit("add_mark", 1, protocol="tcp")
    assert refused(rule, rule).code == "rule_exists"


def test_more_real_servers_than_a_service_holds_are_refused() -> None:
    edits = [ServerEdit("add_server", "FWM 1", f"10.9.{i >> 8}.{i & 255}") for i in range(MAX_SERVERS_PER_SERVICE)]
    assert str(MAX_SERVERS_PER_SERVICE) in refused(*edits).problem


@pytest.mark.parametrize(
    ("label", "meant"),
    [
        ("FWM 4294967295", (4294967295, "", None)),
        ("FWM 8 IPv6", (8, "ipv6", None)),
        ("SCTP 203.0.113.80:9", (0, "", VirtualAddress("sctp", IPv4Address("203.0.113.80"), 9))),
        ("TCP [2001:db8::80]:80", (0, "", VirtualAddress("tcp", IPv6Address("2001:db8::80"), 80))),
    ],
)
def test_a_label_is_read_and_is_what_its_service_calls_itself(label: str, meant: object) -> None:
    service = service_of(label)
    assert (service.mark, service.family, service.virtual_address) == meant
    assert service.label == label


def test_a_service_is_found_by_its_address_however_it_is_written() -> None:
    service = ServiceEdit("add_service", "TCP [2001:DB8:0::80]:080")
    server = ServerEdit("add_server", "TCP [2001:db8::80]:80", "2001:db8:1:0::11")
    made = edited(LB1, [service, server]).services[-1]
    assert made.label == "TCP [2001:db8::80]:80"
    assert [(each.name, str(each.address)) for each in made.real_servers] == [("2001:db8:1::11", "2001:db8:1::11")]
    assert refused(service, service).code == "service_exists"


def test_a_mark_may_have_a_service_for_ipv6_beside_the_other() -> None:
    after = edited(LB1, [ServiceEdit("add_service", "FWM 1 IPv6", "rr", persistence_s=60, persistence_prefix6=64)])
    assert [service.label for service in after.services if service.mark == 1] == ["FWM 1", "FWM 1 IPv6"]
    assert after.services[-1].persistence == Persistence(60, 32, 64)
    assert not warnings_of(after, [ServiceEdit("add_service", "FWM 1 IPv6")]), "what FWM 1 matches has the mark"
    alone = edited(LB1, [ServiceEdit("add_service", "FWM 77 IPv6")])
    assert warnings_of(alone, [ServiceEdit("add_service", "FWM 77 IPv6")])


def test_what_a_service_for_ipv6_matched_stays_a_rule_for_ipv6() -> None:
    own = Service(5, (Match(protocols=("tcp",)),), (), family="ipv6")
    after = edited(replace(LB1, services=(*LB1.services, own)), [DeleteService("delete_service", "FWM 5 IPv6")])
    assert after.mark_rules[-1] == MarkRule(5, Match(protocols=("tcp",), families=("ipv6",)))


def test_an_edit_that_says_nothing_of_ipv6_clients_keeps_their_prefix() -> None:
    first = ServiceEdit("edit_service", "FWM 1", persistence_s=60, persistence_prefix6=56)
    again = ServiceEdit("edit_service", "FWM 1", persistence_s=70)
    assert edited(LB1, [first, again]).services[0].persistence == Persistence(70, 32, 56)

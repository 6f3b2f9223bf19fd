"""The verbs: which edit each sends, and what it says."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import pytest

from lasthop.cli.drain import progress
from lasthop.errors import EditError
from lasthop.model.edit import Administer, MarkEdit, SetTimeouts, Weigh

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from lasthop.api.fake import FakeOperations
    from lasthop.model.drain import DrainReport


def test_weight_enable_and_disable_say_what_they_did(
    lasthop: Callable[..., Result], operations: FakeOperations
) -> None:
    assert lasthop("weight", "fw1", "3").output == "real server fw1 has weight 3 in every service\n"
    assert lasthop("disable", "fw1", "--service", "1").output == "real server fw1 is disabled in FWM 1\n"
    told = lasthop("enable", "fw1", "--service", "TCP 203.0.113.80:80").output
    assert told == "real server fw1 takes new connections in TCP 203.0.113.80:80\n"
    assert operations.edited == [
        Weigh("weigh", "fw1", 3),
        Administer("disable", "fw1", "FWM 1"),
        Administer("enable", "fw1", "TCP 203.0.113.80:80"),
    ]


def test_a_weight_out_of_range_is_wrong_usage_and_a_refused_edit_one_line(
    lasthop: Callable[..., Result], operations: FakeOperations
) -> None:
    assert lasthop("weight", "fw1", "65536").exit_code == 2
    operations.failure = EditError(
        "there is no real server fw9 in any service", "see lasthop servers", "no_such_server"
    )
    result = lasthop("weight", "fw9", "1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "lasthop: there is no real server fw9 in any service; see lasthop servers\n"


def test_mark_rules_are_told_by_their_conditions(lasthop: Callable[..., Result], operations: FakeOperations) -> None:
    rule = ("--mark", "1", "--leg", "outside", "--protocol", "tcp", "--destination-port", "80", "--dscp", "46")
    assert lasthop("mark", "add", *rule).output == "packets like that get mark 1\n"
    assert lasthop("mark", "delete", *rule).output == "the rule is deleted; live connections go on\n"
    edit = MarkEdit("add_mark", 1, leg="outside", protocol="tcp", destination_port="80", dscp=46)
    assert operations.edited == [edit, dataclasses.replace(edit, kind="delete_mark")]
    assert lasthop("mark", "add", "--leg", "outside").exit_code == 2
    assert lasthop("mark", "add", "--mark", "1", "--family", "ipv6", "--protocol", "89").exit_code == 0
    assert operations.edited[-1] == MarkEdit("add_mark", 1, family="ipv6", protocol="89")
    assert lasthop("mark", "add", "--mark", "1", "--family", "ip").exit_code == 2


def test_warnings_are_lines_on_standard_error(lasthop: Callable[..., Result], operations: FakeOperations) -> None:
    operations.edit_warnings = ["service FWM 7 gets no packets: no mark rule gives mark 7"]
    result = lasthop("weight", "fw1", "1")
    assert result.exit_code == 0
    assert result.stderr == "lasthop: service FWM 7 gets no packets: no mark rule gives mark 7\n"


def test_timeouts_can_be_set(lasthop: Callable[..., Result], operations: FakeOperations) -> None:
    assert lasthop("timeouts", "--set-tcp", "900", "--set-udp", "30").output == "set: tcp_established = 900, udp = 30\n"
    assert operations.edited == [SetTimeouts("set_timeouts", tcp=900, udp=30)]


def test_zero_and_dump_speak_to_the_director(lasthop: Callable[..., Result], operations: FakeOperations) -> None:
    operations.dumped = '[director]\nname = "lb1"\n'
    assert lasthop("zero").output == "statistics count from here on in every service\n"
    assert lasthop("zero", "--service", "1").exit_code == 0
    assert operations.zeroed == [None, "FWM 1"]
    assert lasthop("dump").output == operations.dumped


def test_traffic_is_shown_in_all_or_per_second(lasthop: Callable[..., Result]) -> None:
    head, first, *_ = lasthop("services", "--stats").output.splitlines()
    assert head.split() == ["SERVICE", "CONNECTIONS", "PACKETS", "BYTES"]
    assert first.split() == ["FWM", "1", "17", "1200/900", "98000/1250000"]
    head, first, *_ = lasthop("servers", "--rates").output.splitlines()
    assert head.split() == ["SERVICE", "SERVER", "CONNECTIONS/S", "PACKETS/S", "BYTES/S"]
    assert first.split() == ["FWM", "1", "fw1", "0.25", "12/10", "831/12000"]


def test_drain_can_be_left_alone(lasthop: Callable[..., Result], operations: FakeOperations) -> None:
    before = time.time()
    result = lasthop("drain", "fw2", "--deadline", "10m", "--no-wait")
    assert result.output == "real server fw2 gets no new connections in every service\n"
    (edit,) = operations.edited
    assert isinstance(edit, Administer)
    assert edit.until_s is not None
    assert 600 <= edit.until_s - before <= 660
    assert dataclasses.replace(edit, until_s=None) == Administer("drain", "fw2")
    assert lasthop("drain", "fw2", "--deadline", "soon").exit_code == 2


def watched(
    lasthop: Callable[..., Result],
    operations: FakeOperations,
    patch: pytest.MonkeyPatch,
    *,
    after: list[DrainReport],
    admin: str = "drained",
) -> Result:
    """`lasthop drain fw2`, for which the drains are `after` when it looks again."""

    def sleep(_seconds: float) -> None:
        operations.drain_reports = after
        operations.server_reports = [
            dataclasses.replace(each, admin=admin) if each.name == "fw2" else each for each in operations.server_reports
        ]

    patch.setattr("lasthop.cli.drain.time.sleep", sleep)
    return lasthop("drain", "fw2")


def test_drain_watches_until_the_real_server_is_empty(
    lasthop: Callable[..., Result], operations: FakeOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    (drain,) = operations.drain_reports
    result = watched(lasthop, operations, monkeypatch, after=[dataclasses.replace(drain, remaining=0)])
    assert result.output.splitlines() == [
        "real server fw2 gets no new connections in every service",
        "1 connection left, the oldest 1m12s old, about 41s to go, 9m30s to the deadline",
        "real server fw2 is empty",
    ]


@pytest.mark.parametrize(
    ("admin", "said"),
    [
        ("disabled", "real server fw2 is disabled with 1 connection left; on_death = rebalance"),
        ("enabled", "real server fw2 was enabled again with 1 connection left"),
    ],
)
def test_drain_says_why_it_is_over_when_it_is_not_empty(
    admin: str,
    said: str,
    lasthop: Callable[..., Result],
    operations: FakeOperations,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = watched(lasthop, operations, monkeypatch, after=[], admin=admin)
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, said)


def test_progress_adds_up_the_services_of_a_real_server() -> None:
    one = {"remaining": 3, "oldest_s": 60.0, "eta_s": None, "deadline_s": None}
    other = {"remaining": 4, "oldest_s": 90.0, "eta_s": 30.0, "deadline_s": None}
    assert progress([one, other]) == "7 connections left, the oldest 1m30s old, about 30s to go"
    assert progress([]) == ""

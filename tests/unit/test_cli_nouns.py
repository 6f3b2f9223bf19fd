"""The nouns of the command line, against a director on a real socket."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from lasthop.__main__ import program
from lasthop.api.fake import FakeOperations, ServedDirector
from lasthop.api.location import socket_path
from lasthop.api.sample import sample
from lasthop.model.asymmetry import AsymmetricResponse, AsymmetryReport
from lasthop.model.connection import EachWay
from lasthop.model.connection_query import ConnectionPage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

NOUNS = (
    "status",
    "legs",
    "services",
    "servers",
    "health",
    "connections",
    "templates",
    "drains",
    "timeouts",
    "hops",
    "counters",
)


def table(result: Result) -> list[list[str]]:
    """Cells of a piped table, cut apart where two spaces or more are."""
    assert result.exit_code == 0, result.output
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in result.stdout.splitlines()]


@pytest.mark.parametrize("noun", NOUNS)
def test_json_is_the_document_of_the_dataclasses(
    noun: str, lasthop: Callable[..., Result], operations: FakeOperations
) -> None:
    result = lasthop(noun, "--json")
    reports: Any = operations.connection_reports if noun == "connections" else getattr(operations, noun)()
    expected = [asdict(report) for report in reports] if isinstance(reports, list) else asdict(reports)
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == json.loads(json.dumps(expected))


@pytest.mark.parametrize("noun", NOUNS[1:])
def test_a_piped_table_has_a_header_and_as_many_cells_in_every_row(noun: str, lasthop: Callable[..., Result]) -> None:
    header, *rows = table(lasthop(noun))
    assert rows
    assert all(len(row) == len(header) for row in rows), rows
    assert all(cell == cell.upper() and " " not in cell for cell in header)


def test_status_gives_a_verdict_and_its_reasons(lasthop: Callable[..., Result]) -> None:
    assert lasthop("status").stdout.splitlines() == [
        "Director lb1: needs attention.",
        "  lasthop 0.1.0, pid 4242, has run for 3h12m on kernel 6.1.0.",
        "  Its configuration is /etc/lasthop/lb1.toml.",
        "  2 legs, all up.",
        "  5 real servers in 2 services; without a MAC address: fw4 (gets no packets).",
        "  4 of at most 1000000 connections, 2 of them assured, over 3 hops.",
        "  Unexpected: loop 3 (lasthop counters explains).",
        "  Asymmetric responses: 0.",
        "  Problem: real server 'fw4' (10.0.1.14) does not answer on leg 'firewalls'.",
    ]


def test_status_of_a_healthy_director_is_all_well(lasthop: Callable[..., Result], operations: FakeOperations) -> None:
    report = asdict(operations.status_report) | {"unresolved": [], "problems": [], "unexpected": {}}
    operations.status_report = type(operations.status_report)(**report)
    lines = lasthop("status").stdout.splitlines()
    assert lines[0] == "Director lb1: all well."
    assert lines[4] == "  5 real servers in 2 services, all with a MAC address."
    assert lines[-2:] == ["  No unexpected counters.", "  Asymmetric responses: 0."]


def test_status_tells_of_the_newest_asymmetric_response(
    lasthop: Callable[..., Result], operations: FakeOperations
) -> None:
    newest = AsymmetricResponse("edge", "tcp", "203.0.113.80", 80, "10.9.0.2", 4242, "fw1", "fw2", 4.2)
    older = replace(newest, came_from="fw3", ago_s=70.0)
    asymmetric = AsymmetryReport(3, [newest, older])
    operations.status_report = replace(operations.status_report, asymmetric=asymmetric)
    told = "  Asymmetric responses: 3, last tcp 203.0.113.80:80 > 10.9.0.2:4242 from fw2, expected fw1, 4s ago."
    assert told in lasthop("status").stdout.splitlines()
    assert json.loads(lasthop("status", "--json").stdout)["asymmetric"] == asdict(asymmetric)


def test_status_needs_attention_when_a_leg_is_not_up(
    lasthop: Callable[..., Result], operations: FakeOperations
) -> None:
    report = asdict(operations.status_report) | {"unresolved": [], "problems": [], "legs_up": 1}
    operations.status_report = type(operations.status_report)(**report)
    lines = lasthop("status").stdout.splitlines()
    assert lines[0] == "Director lb1: needs attention."
    assert lines[3] == "  1 of 2 legs up: see lasthop legs."


def test_servers_show_configured_and_effective_weight(lasthop: Callable[..., Result]) -> None:
    rows = table(lasthop("servers"))
    assert rows[0] == [
        "SERVICE", "SERVER", "ADDRESS", "WEIGHT", "EFF", "HEALTH", "ACTIVE", "INACTIVE", "PERSIST", "LEG", "MAC",
    ]  # fmt: skip
    assert rows[1] == ["FWM 1", "fw1", "10.0.1.11", "1", "1", "up", "1", "1", "1", "firewalls", "02:00:00:00:00:11"]
    assert rows[4] == ["FWM 1", "fw4", "10.0.1.14", "1", "0", "unresolved", "0", "0", "1", "firewalls", "-"]


def test_connections_are_ordered_by_source_and_show_both_hops(lasthop: Callable[..., Result]) -> None:
    header, *rows = table(lasthop("connections"))
    source = header.index("SOURCE")
    assert [row[source] for row in rows] == [
        "192.0.2.200:40000", "198.51.100.9:40000", "198.51.100.10:40000", "198.51.100.20:40000",
    ]  # fmt: skip
    assert dict(zip(header, rows[3], strict=True)) == {
        "ZONE": "edge", "PROTO": "tcp", "SOURCE": "198.51.100.20:40000", "DESTINATION": "203.0.113.80:80",
        "STATE": "SYN_RECV", "ASSURED": "no", "SERVICE": "FWM 1", "SERVER": "fw3",
        "FORWARD-HOP": "fw3 02:00:00:00:00:13@firewalls",
        "LAST-HOP": "02:00:00:00:00:02@outside", "PACKETS": "12/10", "BYTES": "3456/45678", "AGE": "1m12s",
        "IDLE": "2s", "EXPIRES": "14m57s",
    }  # fmt: skip


def test_ipv6_is_in_brackets_and_a_gre_key_beside_the_protocol(
    lasthop: Callable[..., Result], operations: FakeOperations
) -> None:
    tunnel = replace(
        operations.connection_reports[0],
        protocol="gre", source="2001:db8::9", source_port=0, destination="2001:db8::80", destination_port=0, key=4660,
    )  # fmt: skip
    operations.connection_reports = [tunnel, *operations.connection_reports]
    _, *rows = table(lasthop("connections"))
    assert rows[-1][:4] == ["edge", "gre key 4660", "[2001:db8::9]:0", "[2001:db8::80]:0"], "IPv4 comes first"


def test_templates_of_ipv6_clients_have_their_own_prefix(
    lasthop: Callable[..., Result], operations: FakeOperations
) -> None:
    six = replace(operations.template_reports[0], client="2001:db8:51::", prefix=64)
    operations.template_reports = [six, replace(six, client="2001:db8::1", prefix=128), *operations.template_reports]
    _, *rows = table(lasthop("templates"))
    assert [row[1] for row in rows] == ["198.51.100.9", "198.51.101.0/24", "2001:db8::1", "2001:db8:51::/64"]


@pytest.mark.parametrize(
    ("filters", "number"),
    [
        ((), 4),
        (("--service", "1"), 4),
        (("--service", "FWM 2"), 0),
        (("--server", "fw1"), 2),
        (("--state", "established"), 2),
        (("--client", "198.51.100.0/28"), 2),
        (("--client", "192.0.2.200", "--server", "fw1"), 1),
    ],
)
def test_connections_are_filtered_and_counted(
    filters: tuple[str, ...], number: int, lasthop: Callable[..., Result]
) -> None:
    assert len(table(lasthop("connections", *filters))) == number + 1
    assert len(json.loads(lasthop("connections", *filters, "--json").stdout)) == number
    assert lasthop("connections", *filters, "--count").stdout == f"{number}\n"
    assert json.loads(lasthop("connections", *filters, "--count", "--json").stdout) == {"connections": number}


def test_hops_are_shown_as_names_and_macs(lasthop: Callable[..., Result]) -> None:
    header, *rows = table(lasthop("connections", "--server", "fw1"))
    hops = [(row[header.index("FORWARD-HOP")], row[header.index("LAST-HOP")]) for row in rows]
    assert hops == [("fw1 02:00:00:00:00:11@firewalls", "router 02:00:00:00:00:01@outside")] * 2


def test_connections_can_be_limited(lasthop: Callable[..., Result]) -> None:
    assert len(table(lasthop("connections", "--limit", "2"))) == 3
    assert len(json.loads(lasthop("connections", "--limit", "2", "--json").stdout)) == 2
    assert len(table(lasthop("connections", "--limit", "0"))) == 5


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_nobody_takes_a_part_for_the_whole(
    form: tuple[str, ...], lasthop: Callable[..., Result], operations: FakeOperations
) -> None:
    operations.connection_reports *= 300
    assert lasthop("connections", *form).stderr == "1,000 of 1,200 shown; --limit 0 shows all\n"
    assert lasthop("connections", *form, "--limit", "7", "--server", "fw1").stderr == (
        "7 of 600 shown; --limit 0 shows all\n"
    )
    for whole in (("--limit", "0"), ("--server", "fw1"), ("--count",)):
        assert lasthop("connections", *form, *whole).stderr == ""


def test_connections_that_ended_while_they_were_listed_are_accounted_for(
    lasthop: Callable[..., Result], operations: FakeOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ConnectionPage(4, iter(operations.connection_reports[:3]))
    monkeypatch.setattr(operations, "connections", lambda _: page)
    result = lasthop("connections")
    assert len(table(result)) == 4
    assert result.stderr == "3 of 4 shown; the others have ended or moved meanwhile\n"


def test_top_connections_are_in_the_order_of_what_they_have_most_of(
    lasthop: Callable[..., Result], operations: FakeOperations
) -> None:
    operations.connection_reports = [
        replace(report, bytes=EachWay(number, 5)) for number, report in enumerate(operations.connection_reports)
    ]
    header, *rows = table(lasthop("connections", "--top", "bytes", "--limit", "3"))
    assert [row[header.index("BYTES")] for row in rows] == ["3/5", "2/5", "1/5"]


@pytest.mark.parametrize(
    ("age", "number"), [("72", 4), ("72s", 4), ("73", 0), ("1m", 4), ("2m", 0), ("1h", 0), ("1d", 0)]
)
def test_connections_older_than_a_duration_are_shown(age: str, number: int, lasthop: Callable[..., Result]) -> None:
    assert lasthop("connections", "--count", "--older-than", age).stdout == f"{number}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--limit", "-1"), ("--limit", "x"), ("--count", "--limit", "1"), ("--count", "--top", "bytes"),
        ("--top", "size"),
        ("--older-than", "1w"), ("--older-than", "s"), ("--older-than", "1ms"), ("--older-than", "-1"),
        ("--unknown",),
    ],
)  # fmt: skip
def test_wrong_usage_exits_2(arguments: tuple[str, ...], lasthop: Callable[..., Result]) -> None:
    result = lasthop("connections", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: lasthop connections" in result.stderr


def test_a_bad_filter_is_one_line_with_a_remedy(lasthop: Callable[..., Result]) -> None:
    result = lasthop("connections", "--client", "nobody")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "lasthop: can't select connections by client 'nobody': it is neither an address nor a prefix; "
        "write it like 192.0.2.7 or 192.0.2.0/24\n"
    )


def test_counters_hide_zero_rows_unless_all_are_asked_for(lasthop: Callable[..., Result]) -> None:
    assert table(lasthop("counters")) == [
        ["COUNTER", "VALUE", "KIND", "MEANING"],
        ["forwarded", "1234567", "expected", "Sent to a real server or a last hop."],
        ["loop", "3", "unexpected", "Would have gone back to the MAC it came from: dropped."],
    ]
    assert len(table(lasthop("counters", "--all"))) == 5


def test_the_director_is_chosen_by_option_or_environment(tmp_path: Path) -> None:
    def director(*arguments: str, **environment: str) -> str:
        result = CliRunner().invoke(program, [*arguments, "status", "--json"], obj=tmp_path, env=environment)
        return str(json.loads(result.stdout)["director"]) if result.exit_code == 0 else result.stderr

    with (
        ServedDirector(sample("lb1"), socket_path("lb1", tmp_path)),
        ServedDirector(sample("lb2"), socket_path("lb2", tmp_path)),
    ):
        assert director("--director", "lb1") == "lb1"
        assert director(LASTHOP_DIRECTOR="lb2") == "lb2"
        assert director("--director", "lb1", LASTHOP_DIRECTOR="lb2") == "lb1"
        assert "2 run here (lb1, lb2)" in director()


def test_services_show_the_flags_of_a_scheduler_as_ipvsadm_does(
    lasthop: Callable[..., Result], operations: FakeOperations
) -> None:
    flagged = replace(operations.service_reports[0], scheduler="sh", scheduler_flags=("sh-port", "sh-fallback"))
    operations.service_reports[0] = flagged
    assert "sh (sh-port,sh-fallback)" in lasthop("services").stdout

"""ipvsadm's lists, character by character, from the rows that the golden lists show."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.cli.ipvsadm import formats, save
from lasthop.cli.ipvsadm.connections import COLUMNS, ENGINE_COLUMNS, TITLE
from lasthop.cli.ipvsadm.formats import ServerRow, ServiceRow, Shape
from lasthop.cli.ipvsadm.names import Names
from lasthop.cli.ipvsadm.request import parse
from lasthop.cli.ipvsadm.rows import dotted, label_parts, rows_of
from lasthop.cli.ipvsadm.save import saved
from lasthop.model.director import PROFILES, State
from tests.unit.ipvsadm_golden import Block, blocks, first, services

if TYPE_CHECKING:
    from collections.abc import Sequence

NUMERIC = Names(numeric=True)
LVS_TIMEOUTS = {"profile": "lvs", "seconds": {"tcp_established": 900.0, "tcp_fin_wait": 120.0, "udp": 300.0}}
SHAPES = list(itertools.takewhile(lambda block: block.words[0] != "--set", blocks("cli-04-shapes.txt")))
NUMBERS = blocks("cli-06-numbers.txt")


def listed(rows: Sequence[ServiceRow], words: Sequence[str]) -> str:
    """What the list that `words` ask for shows of `rows`."""
    request = parse(words)
    if request.command == "save":
        # A real -S loses thresholds.
        rows = [
            row._replace(servers=tuple(server._replace(upper=0, lower=0) for server in row.servers)) for row in rows
        ]
        return "".join(f"{line}\n" for line in saved(rows, LVS_TIMEOUTS, NUMERIC))
    kind = next((kind for kind in formats.SHAPES if request.has(kind)), formats.PLAIN)
    if request.has("service-address"):
        rows = [row for row in rows if (row.mark or row.port) == (request.mark or request.port)]
        title = []
    else:
        title = [formats.version_line(4096)]
    shape = Shape(kind, NUMERIC, request.has("exact"))
    return "".join(f"{line}\n" for line in [*title, *formats.titles(kind), *formats.lines(rows, shape)])


def lists(found: list[Block]) -> list[Block]:
    """Those blocks that are lists of services in ipvsadm's own order."""
    return [
        block
        for block in found
        if block.words[0] in {"-Ln", "-S"} and not {"--timeout", "--nosort", "--daemon"} & set(block.words)
    ]


@pytest.mark.parametrize("block", lists(SHAPES), ids=lambda block: " ".join(block.words))
def test_every_shape_of_service_and_real_server_is_listed_as_ipvsadm_does(block: Block) -> None:
    assert listed(services(SHAPES), block.words) == block.text


@pytest.mark.parametrize("block", lists(NUMBERS), ids=lambda block: " ".join(block.words))
def test_numbers_at_the_limits_of_their_units_are_listed_as_ipvsadm_does(block: Block) -> None:
    assert listed(services(NUMBERS), block.words) == block.text


@pytest.mark.parametrize("found", [SHAPES, NUMBERS], ids=["shapes", "numbers"])
def test_services_are_sorted_as_ipvsadm_sorts_them(found: list[Block]) -> None:
    rows = services(found)
    mixed = [row._replace(servers=row.servers[::-1]) for row in rows[::-1]]
    assert formats.in_order(mixed) == rows


def test_services_that_are_not_sorted_come_as_they_are() -> None:
    block = first(SHAPES, "-Ln", "--nosort")
    rows = services([block._replace(words=("-Ln",))])
    assert listed(rows, block.words) == block.text
    assert formats.in_order(rows) == [
        row._replace(statistics=(0,) * 5, rates=(0,) * 5) for row in services([first(SHAPES, "-Ln")])
    ]


@pytest.mark.parametrize(
    ("number", "text", "exact"),
    [
        (0, "        0", "        0"),
        (99_999_999, " 99999999", " 99999999"),
        (100_000_000, "  100000K", " 100000000"),
        (999_999_999, "  999999K", " 999999999"),
        (1_000_000_000, "    1000M", " 1000000000"),
        (99_999_999_999, "   99999M", " 99999999999"),
        (100_000_000_000, "     100G", " 100000000000"),
        (99_999_999_999_999, "   99999G", " 99999999999999"),
        (100_000_000_000_000, "     100T", " 100000000000000"),
        (2**64 - 1, "18446744T", " 18446744073709551615"),
    ],
)
def test_large_numbers_have_ipvsadms_units(number: int, text: str, exact: str) -> None:
    assert formats.large(number, exact=False) == text
    assert formats.large(number, exact=True) == exact


def test_marks_from_the_upper_half_are_printed_as_they_are() -> None:
    row = ServiceRow(2**32 - 1, ipv6=False, protocol="", address="", port=0, scheduler="rr")
    assert "FWM  4294967295 rr\n" in listed([row], ["-Ln"])
    assert listed([row], ["-S"]) == "-A -f 4294967295 -s rr\n"


def test_what_a_real_save_loses_is_saved_in_lines_that_a_real_restore_takes() -> None:
    row = next(row for row in services(SHAPES) if row.port == 80)
    servers = (ServerRow("10.1.0.11", 80, upper=100, lower=50), ServerRow("10.1.0.12", 80, upper=7))
    changed = {"profile": "lvs", "seconds": {"tcp_established": 300.0, "tcp_fin_wait": 60.4, "udp": 9_999_999.0}}
    assert list(saved([row._replace(servers=servers)], changed, NUMERIC)) == [
        "--set 300 60 0",
        "-A -t 203.0.113.90:80 -s rr",
        "-a -t 203.0.113.90:80 -r 10.1.0.11:80 -g -w 1 -x 100 -y 50",
        "-a -t 203.0.113.90:80 -r 10.1.0.12:80 -g -w 1 -x 7",
    ]


def test_timeouts_are_saved_unless_they_are_their_profiles_own() -> None:
    states = (State.ESTABLISHED, State.FIN_WAIT, State.UDP)
    assert {name: tuple(seconds[state] for state in states) for name, seconds in PROFILES.items()} == save.PROFILES
    assert list(saved([], LVS_TIMEOUTS | {"profile": "another"}, NUMERIC)) == ["--set 900 120 300"]


def test_long_names_are_cut_where_ipvsadm_cuts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Names, "_host", lambda _self, _address: "a-very-long-name-of-a-host.example.org")
    row = ServiceRow(0, False, "tcp", "10.0.0.1", 80, "rr", servers=(ServerRow("10.0.0.2", 80),))
    *_, service, server = formats.lines([row], Shape(formats.PLAIN, Names(numeric=False)))
    assert service == "TCP  a-very-long-name-of-a-host.e rr"
    assert server == "  -> a-very-long-name-of-a-host.e Route   1      0          0         "
    assert list(saved([row], LVS_TIMEOUTS, Names(numeric=False))) == [
        "-A -t a-very-long-name-of-a-host.example.org:http -s rr",
        "-a -t a-very-long-name-of-a-host.example.org:http -r a-very-long-name-of-a-host.example.org:http -g -w 1",
    ]


def test_the_titles_of_connections_are_ipvsadms() -> None:
    for words, columns in ((("-Lnc",), COLUMNS), (("-Lnc", "--persistent-conn"), ENGINE_COLUMNS)):
        assert first(NUMBERS, *words).text.splitlines()[:2] == [TITLE, columns]


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("FWM 1", (1, False, "", "", 0)),
        ("FWM 8 IPv6", (8, True, "", "", 0)),
        ("TCP 203.0.113.80:80", (0, False, "tcp", "203.0.113.80", 80)),
        ("SCTP [2001:db8::80]:80", (0, True, "sctp", "2001:db8::80", 80)),
    ],
)
def test_a_label_is_taken_apart(label: str, parts: tuple[int, bool, str, str, int]) -> None:
    assert label_parts(label) == parts


def test_a_prefix_is_shown_as_a_dotted_mask() -> None:
    assert [dotted(prefix) for prefix in (1, 24, 31, 32)] == [
        "128.0.0.0", "255.255.255.0", "255.255.255.254", "255.255.255.255",
    ]  # fmt: skip


def test_rates_are_rounded_as_the_kernel_rounds_them() -> None:
    each_way = {"request": 2.5, "response": 2.502}
    rates = {"connections": 0.5009765625, "packets": each_way, "bytes": {"request": 7.53125, "response": 7.53}}
    none = {"connections": 0, "packets": {"request": 0, "response": 0}, "bytes": {"request": 0, "response": 0}}
    service: dict[str, Any] = {
        "service": "FWM 1", "scheduler": "rr", "scheduler_flags": [], "persistence_s": None, "persistence_prefix": 32,
        "one_packet": False, "statistics": none, "rates": rates,
    }  # fmt: skip
    # In 1024ths: 513 + 511 is the first that reaches 1; in 32nds 17 + 15.
    assert rows_of([service], [])[0].rates == (1, 2, 3, 8, 7)
